"""What a template writes around the results of calls, rendered once and filled in for every pause.

A pause ends with the rendering of a few lines, and Jinja takes ten times as long for them as the lines take to be put
together. Between two pauses only the results and the ids differ. Where the template doesn't look into these
(`opaque_text`), what it writes around them is kept, by the names of the calls and the roles of the messages.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from .chat_message import Message, ToolCall
from .errors import TemplateError
from .opaque_text import Looks, Opaque, may_hide

MAX_SKELETONS = 256
"""Kept. Names come from clients, so there may be any number."""

_HOLE = re.compile(" \ufdd2(\\d+);\"'\\\\<&>\n\ufdd2 ")

Skeleton = tuple[str | int, ...]
"""Texts, and the numbers of the values that go between them."""

Key = tuple[bool, tuple[str, ...], tuple[tuple[str, str], ...]]


def _hole(number: int) -> str:
    return f" \ufdd2{number};\"'\\<&>\n\ufdd2 "


def _ids(messages: Sequence[Message], calls: Sequence[ToolCall]) -> list[str]:
    return [*(call.call_id for call in calls), *(message.get("tool_call_id") or "" for message in messages)]


class SuffixSkeletons:
    """render: the suffix that these messages make, see `ChatTemplate.render_suffix`, with markers in it.

    text, call_id: what is written for a content or an id from outside.
    """

    def __init__(
        self,
        source: str,
        render: Callable[[Sequence[Message], Sequence[ToolCall], bool], str],
        text: Callable[[str], str],
        call_id: Callable[[str], str],
    ) -> None:
        self._is_open = not may_hide(source)
        self._render = render
        self._text = text
        self._call_id = call_id
        self._skeletons: dict[Key, Skeleton | None] = {}

    def fill(self, messages: Sequence[Message], calls: Sequence[ToolCall], stopped: bool) -> str | None:
        """The suffix, markers and all; None where it has to be rendered."""
        if not self._is_open:
            return None
        contents = [message["content"] for message in messages]
        ids = _ids(messages, calls)
        if not all(isinstance(content, str) and content for content in contents):
            return None
        skeleton = self._skeleton(messages, calls, stopped)
        if skeleton is None:
            return None
        pieces = []
        for part in skeleton:
            if isinstance(part, str):
                pieces.append(part)
            elif part < len(contents):
                pieces.append(self._text(contents[part]))
            elif identity := ids[part - len(contents)]:
                pieces.append(self._call_id(identity))
            else:
                return None
        return "".join(pieces)

    def begin(self, messages: Sequence[Message], calls: Sequence[ToolCall], stopped: bool) -> str:
        """What `fill` gives before the first content, which thus begins the suffix whatever the contents are, unless
        one is empty. Empty where it has to be rendered."""
        if not self._is_open:
            return ""
        ids = _ids(messages, calls)
        pieces = []
        for part in self._skeleton(messages, calls, stopped) or ():
            if isinstance(part, str):
                pieces.append(part)
            elif part < len(messages):
                break
            elif identity := ids[part - len(messages)]:
                pieces.append(self._call_id(identity))
            else:
                return ""
        return "".join(pieces)

    def _skeleton(self, messages: Sequence[Message], calls: Sequence[ToolCall], stopped: bool) -> Skeleton | None:
        key = (
            stopped,
            tuple(call.name for call in calls),
            tuple((message["role"], message.get("name") or "") for message in messages),
        )
        skeleton = self._skeletons.get(key, ())
        if skeleton == ():
            while len(self._skeletons) >= MAX_SKELETONS:
                del self._skeletons[next(iter(self._skeletons))]
            skeleton = self._skeletons[key] = self._make(messages, calls, stopped)
        return skeleton

    def _make(self, messages: Sequence[Message], calls: Sequence[ToolCall], stopped: bool) -> Skeleton | None:
        looks = Looks()
        first_id = len(messages)
        marked = [
            {
                **message,
                "content": Opaque(_hole(number), looks),
                "tool_call_id": Opaque(_hole(first_id + len(calls) + number), looks),
            }
            if message["role"] == "tool"
            else {**message, "content": Opaque(_hole(number), looks)}
            for number, message in enumerate(messages)
        ]
        calling = [
            ToolCall(call.name, call.arguments, Opaque(_hole(first_id + number), looks))
            for number, call in enumerate(calls)
        ]
        try:
            rendered = self._render(marked, calling, stopped)
        except TemplateError:
            return None
        parts = _HOLE.split(rendered)
        holes = [int(number) for number in parts[1::2]]
        # Every content once, and nothing left of a hole that was changed.
        if looks.any or sorted(hole for hole in holes if hole < first_id) != list(range(first_id)):
            return None
        if any("\ufdd2" in text for text in parts[::2]):
            return None
        return tuple(part if number % 2 == 0 else int(part) for number, part in enumerate(parts))
