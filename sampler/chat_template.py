"""The chat template: a conversation to tokens, once at the start, and by increments from then on.

A rollout grows by appending. After a pause only the new tokens are computed: from the end of the assistant's
turn, over the tool results and further messages, to the header of the next assistant turn. They come from
rendering a short synthetic conversation, so the cost doesn't grow with the history, and what the model sampled is never
rendered or tokenised again (detokenise and retokenise is not the identity).

Boundary: a template ends the assistant's turn with a stop token and often some text (`<|im_end|>` and a newline).
The model samples the stop token, the text after it belongs to the increment. A turn that was cut off before its stop
token gets it with the increment.

Templates differ in what they render and in what they need; all of it is probed once when one is loaded.
"""

from __future__ import annotations

from collections.abc import Sequence

from .chat_message import Message, ToolCall, assistant_message, tool_message
from .errors import TemplateError, TemplateNotIncremental
from .formats import detect_format
from .suffix_skeleton import SuffixSkeletons
from .template_renderer import SENTINEL_ARGUMENTS, TemplateRenderer
from .tool_format import ToolFormat
from .untrusted_text import MARKER, SENTINEL, without_markers
from .vocabulary import Vocabulary

__all__ = ["ChatTemplate", "Message", "ToolCall", "assistant_message", "tool_message"]

_USER: Message = {"role": "user", "content": "-"}
_PROBE = "caesura-probe"
_FUNCTION = {"name": "probe_tool", "description": "-", "parameters": {"type": "object", "properties": {}}}
_TOOL = {"type": "function", "function": _FUNCTION}


class ChatTemplate:
    """A model's chat template, bound to its vocabulary.

    tool_format:       what the model writes calls and reasoning in.
    generation_prompt: the text that begins an assistant turn; empty if the template has none.
    tool_problem:      why tool results can't be appended to a conversation, None if they can.
    user_problem:      the same for further user messages.
    renders_tools:     False if the template ignores the tools it is given.
    parallel_calls:    False if the template takes no turn with several calls. Then a history shows them one by one.
    divergences:       where the appended text is known to differ from what a full render of the same history would give
                       (the template rewrites earlier turns). Nothing that was sampled is changed for it.
    """

    def __init__(self, source: str, vocab: Vocabulary, tool_format: ToolFormat | None = None) -> None:
        """tool_format: the one that the template and the vocabulary speak for if None.

        Raises InvalidTemplate.
        """
        self.source = source
        self.tool_format = tool_format or detect_format(source, vocab)
        self._vocab = vocab
        self._special = frozenset(vocab.special_tokens.values())
        renderer = TemplateRenderer(source, vocab)
        self._render = renderer.render
        self.parallel_calls = renderer.parallel_calls
        self._skeletons = SuffixSkeletons(source, self._suffix, renderer.shown_text, renderer.shown_id)
        self._stop_texts = [text for text in map(vocab.decode, ([stop] for stop in vocab.stop_tokens)) if text]
        self.renders_tools = self._probe_tools()
        self.generation_prompt = self._probe_generation_prompt()
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
        return self.encode_marked(self._render(messages, tools, add_generation_prompt))

    def render_marked(self, messages: Sequence[Message], tools: Sequence[object] = ()) -> str:
        """The first half of `encode_prompt`, for whoever times the halves. Its text is for `encode_marked` alone: it
        still tells what came from outside."""
        return self._render(messages, tools, True)

    def encode_marked(self, marked: str) -> list[int]:
        """The second half."""
        tokens = self._tokenize(marked)
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
        filled = self._skeletons.fill(messages, calls, stopped)
        return self._tokenize(self._suffix(messages, calls, stopped) if filled is None else filled)

    def encode_certain(self, *, calls: Sequence[ToolCall], stopped: bool = True) -> list[int]:
        """The tokens that `encode_suffix` begins with when each of these calls is answered, in their order and with any
        text that isn't empty. No tokens where the template writes answers in a way that depends on them."""
        if self.tool_problem is not None or not calls:
            return []
        results = [tool_message("-", call_id=call.call_id, name=call.name) for call in calls]
        tokens = self._tokenize(self._skeletons.begin(results, calls, stopped))
        # Text after a special token may make one token with what follows it.
        while tokens and tokens[-1] not in self._special:
            tokens.pop()
        return tokens

    def render_turn(self, text: str, calls: Sequence[ToolCall] = (), *, reasoning: str = "") -> str:
        """What the model would have sampled to say this, stop token included."""
        return without_markers(self._turn(text, calls, reasoning))

    def encode_turn(self, text: str, calls: Sequence[ToolCall] = (), *, reasoning: str = "") -> list[int]:
        """Tokens of `render_turn`. Raises TemplateNotIncremental, InvalidMessage, TemplateRejected."""
        return self._tokenize(self._turn(text, calls, reasoning))

    def _tokenize(self, marked: str) -> list[int]:
        parts = marked.split(MARKER)
        return [token for part in parts for token in self._vocab.tokenize(part, parse_special=True)]

    def _suffix(self, messages: Sequence[Message], calls: Sequence[ToolCall], stopped: bool) -> str:
        if calls:
            last = ToolCall(calls[-1].name, SENTINEL_ARGUMENTS, calls[-1].call_id)
            earlier = calls[:-1] if self.parallel_calls else ()
            turn = assistant_message("", [*(ToolCall(call.name, "{}", call.call_id) for call in earlier), last])
        else:
            turn = assistant_message(SENTINEL)
        rendered = self._render([_USER, turn, *messages], (), True)
        inside = rendered.find(SENTINEL)
        if inside < 0:
            raise TemplateNotIncremental("the chat template drops what an earlier assistant turn said")
        ends = (*self._stop_texts, *self.tool_format.turn_ends)
        stops = [(at, stop) for stop in ends if (at := rendered.find(stop, inside)) >= 0]
        if not stops:
            raise TemplateNotIncremental("the chat template ends an assistant turn without a stop token of the model")
        at, stop = min(stops)
        return rendered[at + len(stop) if stopped else at :]

    def _turn(self, text: str, calls: Sequence[ToolCall], reasoning: str) -> str:
        header = self._render([_USER], (), True)
        full = self._render([_USER, assistant_message(text, calls, reasoning=reasoning)], (), False)
        if not full.startswith(header):
            raise TemplateNotIncremental("the chat template's assistant turn doesn't begin with its generation prompt")
        turn = full[len(header) :]
        end = max((at + len(stop) for stop in self._stop_texts if (at := turn.rfind(stop)) >= 0), default=-1)
        if end < 0:
            raise TemplateNotIncremental("the chat template ends an assistant turn without a stop token of the model")
        return turn[:end]

    def _probe_tools(self) -> bool:
        try:
            return "probe_tool" in self._render([_USER], [_TOOL], True)
        except TemplateError:
            return False

    def _probe_generation_prompt(self) -> str:
        try:
            prompt, bare = self.render([_USER]), self.render([_USER], add_generation_prompt=False)
        except TemplateError:
            return ""
        return prompt.removeprefix(bare) if prompt.startswith(bare) else ""

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
        cases: dict[str, tuple[str, list[ToolCall], list[Message], str]] = {
            "tool results": ("", [call], [result], ""),
            "text before a call": ("text", [call], [result], ""),
            "a further user message": ("text", [], [_USER], ""),
            "a user message after tool results": ("", [call], [result, _USER], ""),
        }
        if self.tool_format.reasoning:
            cases["reasoning before tool results"] = ("", [call], [result], "thought")
            cases["reasoning before a further user message"] = ("text", [], [_USER], "thought")
        found = []
        tools = [_TOOL] if self.renders_tools else []
        for name, (text, calls, messages, reasoning) in cases.items():
            try:
                appended = self.render([_USER], tools) + self.render_turn(text, calls, reasoning=reasoning)
                appended += self.render_suffix(messages, calls=calls)
                turn = assistant_message(text, calls, reasoning=reasoning)
                if appended != self.render([_USER, turn, *messages], tools):
                    found.append(name)
            except TemplateError as error:
                found.append(f"{name} ({error})")
        return (*found, *(() if self.parallel_calls else ("several calls in a turn",)))
