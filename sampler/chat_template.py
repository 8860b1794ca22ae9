"""The chat template: a conversation to tokens, once at the start, and by increments from then on.

A rollout grows by appending. After a pause only the new tokens are computed: from the end of the assistant's
turn, over the tool results and further messages, to the header of the next assistant turn. They come from
rendering a short synthetic conversation, so the cost doesn't grow with the history, and what the model sampled is never
rendered or tokenised again (detokenise and retokenise is not the identity).

Boundary: a template ends the assistant's turn with a stop token and often some text (`<|im_end|>` and a newline).
The model samples the stop token, the text after it belongs to the increment. A turn that was cut off before its stop
token gets it with the increment.

Templates differ in what they render from text and in what they need; all of it is probed once when one is loaded.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jinja2

from .errors import InvalidMessage, TemplateError, TemplateNotIncremental, TemplateRejected
from .template_environment import compile_template
from .untrusted_text import MARKER, SENTINEL, Guard, without_markers
from .vocabulary import Vocabulary

Message = Mapping[str, Any]
"""`role` (system, user, assistant or tool) and `content` (str); an assistant's may have `tool_calls`, a list of
ToolCall; a tool's has `tool_call_id` and `name`. `assistant_message` and `tool_message` make them."""

_ROLES = frozenset({"system", "user", "assistant", "tool"})
_USER: Message = {"role": "user", "content": "-"}
_PROBE = "caesura-probe"


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call as the model made it: `arguments` is JSON text, exactly as sampled."""

    name: str
    arguments: str
    call_id: str = ""


def assistant_message(text: str, calls: Sequence[ToolCall] = ()) -> Message:
    return {"role": "assistant", "content": text, "tool_calls": list(calls)}


def tool_message(output: str, *, call_id: str = "", name: str = "") -> Message:
    return {"role": "tool", "content": output, "tool_call_id": call_id, "name": name}


class ChatTemplate:
    """A model's chat template, bound to its vocabulary.

    tool_problem:  why tool results can't be appended to a conversation, None if they can.
    user_problem:  the same for further user messages.
    renders_tools: False if the template ignores the tools it is given.
    divergences:   where the appended text is known to differ from what a full render of the same history would give
                   (the template rewrites earlier turns). Nothing that was sampled is changed for it.
    """

    def __init__(self, source: str, vocab: Vocabulary) -> None:
        """Raises InvalidTemplate."""
        self.source = source
        self._template = compile_template(source)
        self._vocab = vocab
        self._guard = Guard(vocab.special_tokens)
        self._constants = {
            "bos_token": "" if vocab.bos is None else vocab.decode([vocab.bos]),
            "eos_token": "" if vocab.eos is None else vocab.decode([vocab.eos]),
        }
        self._stop_texts = [text for text in map(vocab.decode, ([stop] for stop in vocab.stop_tokens)) if text]
        self._arguments_as_text = self._probe_arguments()
        self.renders_tools = self._probe_tools()
        call = ToolCall("probe", "{}", "probe0001")
        self.tool_problem = self._probe_suffix(tool_message(_PROBE, call_id=call.call_id, name="probe"), [call])
        self.user_problem = self._probe_suffix({"role": "user", "content": _PROBE}, [])
        self.divergences = self._probe_divergences(call)

    def render(
        self, messages: Sequence[Message], tools: Sequence[object] = (), *, add_generation_prompt: bool = True
    ) -> str:
        """The conversation as the template writes it.

        tools: JSON data in the form that the model's template expects, usually
               `{"type": "function", "function": {"name", "description", "parameters"}}`.

        Raises InvalidMessage, TemplateRejected.
        """
        return without_markers(self._render(messages, tools, add_generation_prompt))

    def encode_prompt(
        self, messages: Sequence[Message], tools: Sequence[object] = (), *, add_generation_prompt: bool = True
    ) -> list[int]:
        """Tokens of `render`, in which no text from outside is a control token."""
        tokens = self._tokenize(self._render(messages, tools, add_generation_prompt))
        bos = self._vocab.bos
        if self._vocab.adds_bos and bos is not None and tokens[:1] != [bos]:
            tokens.insert(0, bos)
        return tokens

    def render_suffix(
        self, messages: Sequence[Message], *, calls: Sequence[ToolCall] = (), stopped: bool = True
    ) -> str:
        """What follows an assistant turn when these messages are appended, up to the next assistant header.

        messages: the results of `calls` (in their order) and any further messages.
        calls:    the calls that the assistant turn made; names and ids matter, arguments don't.
        stopped:  whether the turn ended with a sampled stop token; if not, the suffix brings it.

        Raises TemplateNotIncremental, InvalidMessage, TemplateRejected.
        """
        return without_markers(self._suffix(messages, calls, stopped))

    def encode_suffix(
        self, messages: Sequence[Message], *, calls: Sequence[ToolCall] = (), stopped: bool = True
    ) -> list[int]:
        """Tokens of `render_suffix`: what to give to `TokenSequence.extend` after a pause.

        Raises the same, and TemplateNotIncremental also where `tool_problem` or `user_problem` says so.
        """
        problem = self.tool_problem if any(message.get("role") == "tool" for message in messages) else None
        if problem is None and any(message.get("role") == "user" for message in messages):
            problem = self.user_problem
        if problem is not None:
            raise TemplateNotIncremental(problem)
        return self._tokenize(self._suffix(messages, calls, stopped))

    def render_turn(self, text: str, calls: Sequence[ToolCall] = ()) -> str:
        """What the model would have sampled to say this, stop token included."""
        return without_markers(self._turn(text, calls))

    def encode_turn(self, text: str, calls: Sequence[ToolCall] = ()) -> list[int]:
        """Tokens of `render_turn`. Raises TemplateNotIncremental, InvalidMessage, TemplateRejected."""
        return self._tokenize(self._turn(text, calls))

    def _tokenize(self, marked: str) -> list[int]:
        parts = marked.split(MARKER)
        return [token for part in parts for token in self._vocab.tokenize(part, parse_special=True)]

    def _render(self, messages: Sequence[Message], tools: Sequence[object], add_generation_prompt: bool) -> str:
        if not messages:
            raise InvalidMessage("a conversation needs at least one message")
        variables: dict[str, object] = {
            **self._constants,
            "messages": [self._message(message) for message in messages],
            "tools": self._guard.value(list(tools)) if tools else None,
            "add_generation_prompt": add_generation_prompt,
        }
        return self._run(variables)

    def _run(self, variables: dict[str, object]) -> str:
        try:
            return self._template.render(variables)
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
        for key in ("name", "tool_call_id"):
            if message.get(key):
                result[key] = self._guard.value(message[key])
        if message.get("tool_calls"):
            result["tool_calls"] = [self._call(call) for call in message["tool_calls"]]
        return result

    def _call(self, call: ToolCall) -> dict[str, object]:
        function = {"name": self._guard.text(call.name), "arguments": self._arguments(call.arguments)}
        return {"id": self._guard.text(call.call_id), "type": "function", "function": function}

    def _arguments(self, text: str) -> object:
        if not self._arguments_as_text:
            try:
                return {"x": SENTINEL} if text is _SENTINEL_ARGUMENTS else self._guard.value(json.loads(text))
            except (ValueError, RecursionError):
                pass  # the model wrote no JSON: the template shows it as a string
        return text if text is _SENTINEL_ARGUMENTS else self._guard.text(text)

    def _text(self, text: str) -> str:
        # Identity, not equality: a string from outside never is this object.
        return text if text is SENTINEL else self._guard.text(text)

    def _suffix(self, messages: Sequence[Message], calls: Sequence[ToolCall], stopped: bool) -> str:
        if calls:
            last = ToolCall(calls[-1].name, _SENTINEL_ARGUMENTS, calls[-1].call_id)
            calls = [ToolCall(call.name, "{}", call.call_id) for call in calls[:-1]]
            turn = assistant_message("", [*calls, last])
        else:
            turn = assistant_message(SENTINEL)
        rendered = self._render([_USER, turn, *messages], (), True)
        inside = rendered.find(SENTINEL)
        if inside < 0:
            raise TemplateNotIncremental("the chat template drops what an earlier assistant turn said")
        stops = [(at, stop) for stop in self._stop_texts if (at := rendered.find(stop, inside)) >= 0]
        if not stops:
            raise TemplateNotIncremental("the chat template ends an assistant turn without a stop token of the model")
        at, stop = min(stops)
        return rendered[at + len(stop) if stopped else at :]

    def _turn(self, text: str, calls: Sequence[ToolCall]) -> str:
        header = self._render([_USER], (), True)
        full = self._render([_USER, assistant_message(text, calls)], (), False)
        if not full.startswith(header):
            raise TemplateNotIncremental("the chat template's assistant turn doesn't begin with its generation prompt")
        turn = full[len(header) :]
        end = max((at + len(stop) for stop in self._stop_texts if (at := turn.rfind(stop)) >= 0), default=-1)
        if end < 0:
            raise TemplateNotIncremental("the chat template ends an assistant turn without a stop token of the model")
        return turn[:end]

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

    def _probe_tools(self) -> bool:
        function = {"name": "probe_tool", "description": "-", "parameters": {"type": "object", "properties": {}}}
        try:
            return "probe_tool" in self._render([_USER], [{"type": "function", "function": function}], True)
        except TemplateError:
            return False

    def _probe_suffix(self, message: Message, calls: Sequence[ToolCall]) -> str | None:
        try:
            suffix = self._suffix([message], calls, True)
        except TemplateError as error:
            return str(error)
        if _PROBE not in suffix:
            return f"the chat template drops a {message['role']} message that follows an assistant turn"
        return None

    def _probe_divergences(self, call: ToolCall) -> tuple[str, ...]:
        result = tool_message("result", call_id=call.call_id, name=call.name)
        cases: dict[str, tuple[str, list[ToolCall], list[Message]]] = {
            "tool results": ("", [call], [result]),
            "text before a call": ("text", [call], [result]),
            "a further user message": ("text", [], [_USER]),
            "a user message after tool results": ("", [call], [result, _USER]),
        }
        found = []
        for name, (text, calls, messages) in cases.items():
            try:
                appended = self.render([_USER]) + self.render_turn(text, calls)
                appended += self.render_suffix(messages, calls=calls)
                if appended != self.render([_USER, assistant_message(text, calls), *messages]):
                    found.append(name)
            except TemplateError as error:
                found.append(f"{name} ({error})")
        return tuple(found)


_SENTINEL_ARGUMENTS = json.dumps({"x": SENTINEL}, ensure_ascii=False)
