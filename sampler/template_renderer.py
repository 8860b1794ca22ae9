"""One conversation through the Jinja template, each value in the form that this template takes.

Templates differ in that form: arguments as text or as an object, ids of any length or of nine characters, several calls
in a turn or one. That is found out when a template is loaded, by rendering short probes.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

import jinja2

from .chat_message import Message, ToolCall, assistant_message, one_call_each, short_id, tool_message
from .errors import InvalidMessage, TemplateError, TemplateRejected
from .opaque_text import Opaque, plain
from .template_environment import compile_template
from .untrusted_text import SENTINEL, Guard
from .vocabulary import Vocabulary

SENTINEL_ARGUMENTS = json.dumps({"x": SENTINEL}, ensure_ascii=False)

_ROLES = frozenset({"system", "user", "assistant", "tool"})
_USER: Message = {"role": "user", "content": "-"}


class TemplateRenderer:
    """parallel_calls: False if the template takes no turn with several calls. Then they are shown one by one."""

    def __init__(self, source: str, vocab: Vocabulary) -> None:
        """Raises InvalidTemplate."""
        self._template = compile_template(source)
        self._guard = Guard(vocab.special_tokens)
        self._constants = {
            "bos_token": "" if vocab.bos is None else vocab.decode([vocab.bos]),
            "eos_token": "" if vocab.eos is None else vocab.decode([vocab.eos]),
        }
        self._short_ids = False
        self.parallel_calls = True
        self._arguments_as_text = self._probe_arguments()
        self._short_ids = self._probe_ids()
        self.parallel_calls = self._probe_parallel_calls()

    def render(self, messages: Sequence[Message], tools: Sequence[object], add_generation_prompt: bool) -> str:
        """The rendered text with the guard's markers in it.

        Only text from outside is guarded: SENTINEL and SENTINEL_ARGUMENTS, the objects themselves, go through.

        Raises InvalidMessage, TemplateRejected.
        """
        if not messages:
            raise InvalidMessage("a conversation needs at least one message")
        if not self.parallel_calls:
            messages = one_call_each(messages)
        variables: dict[str, object] = {
            **self._constants,
            "messages": [self._message(message) for message in messages],
            "tools": self._guard.value(list(tools)) if tools else None,
            "add_generation_prompt": add_generation_prompt,
        }
        return self._run(variables)

    def _run(self, variables: dict[str, object]) -> str:
        try:
            return plain(self._template.render(variables))
        except TemplateError:
            raise
        except jinja2.TemplateError as error:
            raise TemplateRejected(f"the model's chat template can't render this conversation: {error}") from error
        # A template is a program of the model's author: it may add None to a string or index past an end.
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise TemplateRejected(f"the model's chat template failed on this conversation: {reason}") from error

    def _message(self, message: Message) -> dict[str, object]:
        role, content = message.get("role"), message.get("content")
        if role not in _ROLES:
            raise InvalidMessage(f"role must be one of {', '.join(sorted(_ROLES))}, not {role!r}")
        if not isinstance(content, str):
            raise InvalidMessage(f"the content of a {role} message must be text")
        result: dict[str, object] = {"role": role, "content": self._text(content)}
        if message.get("name"):
            result["name"] = self._guard.value(message["name"])
        if message.get("tool_call_id") or (role == "tool" and self._short_ids):
            result["tool_call_id"] = self.shown_id(message.get("tool_call_id") or "")
        if message.get("reasoning"):
            # Qwen's and most templates read the one, gpt-oss's the other.
            result["reasoning_content"] = result["thinking"] = self._guard.value(message["reasoning"])
        if message.get("tool_calls"):
            result["tool_calls"] = [self._call(call) for call in message["tool_calls"]]
        return result

    def _call(self, call: ToolCall) -> dict[str, object]:
        function = {"name": self._guard.text(call.name), "arguments": self._arguments(call.arguments)}
        return {"id": self.shown_id(call.call_id), "type": "function", "function": function}

    def shown_text(self, text: str) -> str:
        """A content from outside, as it is given to the template."""
        return self._guard.text(text)

    def shown_id(self, call_id: str) -> str:
        """A call's id likewise."""
        if isinstance(call_id, Opaque):
            return call_id
        return short_id(call_id) if self._short_ids else self._guard.text(call_id)

    def _arguments(self, text: str) -> object:
        if not self._arguments_as_text:
            try:
                return {"x": SENTINEL} if text is SENTINEL_ARGUMENTS else self._guard.value(json.loads(text))
            except (ValueError, RecursionError):
                pass  # the model wrote no JSON: the template shows it as a string
        return text if text is SENTINEL_ARGUMENTS else self._guard.text(text)

    def _text(self, text: str) -> str:
        # Identity, not equality: a string from outside never is this object.
        return text if text is SENTINEL or isinstance(text, Opaque) else self._guard.text(text)

    def _probe_arguments(self) -> bool:
        """Whether the template writes arguments given as text as they are; others want them as an object."""
        function: dict[str, object] = {"name": "probe", "arguments": '{"x": "y"}'}
        call = {"id": "probe0001", "type": "function", "function": function}
        turn = {"role": "assistant", "content": "", "tool_calls": [call]}
        variables: dict[str, object] = {
            **self._constants,
            "messages": [_USER, turn],
            "tools": None,
            "add_generation_prompt": False,
        }
        try:
            return '{"x": "y"}' in self._run(variables)
        except TemplateRejected:
            return False

    def _probe_ids(self) -> bool:
        """Whether the template takes short ids only. OpenAI's are longer, and so are those that clients make up."""
        return not self._takes(_history("call_" + 32 * "0")) and self._takes(_history("probe0001"))

    def _probe_parallel_calls(self) -> bool:
        one, two = ToolCall("probe_one", "{}", "probe0001"), ToolCall("probe_two", "{}", "probe0002")
        return self._takes([_USER, assistant_message("", [one, two])], "probe_one", "probe_two") or not self._takes(
            [_USER, assistant_message("", [one])], "probe_one"
        )

    def _takes(self, messages: Sequence[Message], *expected: str) -> bool:
        """Whether the template renders these messages, and these texts with them."""
        try:
            rendered = self.render(messages, (), False)
        except TemplateError:
            return False
        return all(text in rendered for text in expected)


def _history(call_id: str) -> list[Message]:
    call = ToolCall("probe", "{}", call_id)
    return [_USER, assistant_message("", [call]), tool_message("result", call_id=call_id, name="probe")]
