"""``truncation: "auto"``: what gives way when a conversation is longer than the context."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ..protocol.errors import ContextLengthExceeded
from ..sampler.chat_template import Message


def truncated(messages: Sequence[Message], count: Callable[[Sequence[Message]], int], room: int) -> list[Message]:
    """The conversation without as many of its oldest turns as it takes to fit.

    Kept in any case are the system messages at the beginning, and the last user message with all that follows it: the
    task. Between these, whole turns go, the oldest first. A turn is a user message with what follows it up to the next
    one, so that no result of a call loses its call, and templates that want a user to begin get one. Cutting between
    two assistant messages would keep more, and such templates refuse it. Without a user message, the assistant's
    messages begin turns.

    Counting renders and tokenises everything, so the number of turns is found by halving: it assumes that fewer
    messages never make more tokens. Where a template breaks that by a little the result still fits; it may lack a turn
    that had fitted.

    :param count: how many tokens messages make.
    :param room: how many there may be.
    :raises ContextLengthExceeded: even what has to be kept is longer.
    """
    head = next((at for at, message in enumerate(messages) if message["role"] != "system"), len(messages))
    turns = _places("user", messages) or _places("assistant", messages)
    cuts = [head, *(at for at in turns if at > head)]

    def without(cut: int) -> list[Message]:
        return [*messages[:head], *messages[cut:]]

    low, high = 0, len(cuts) - 1
    found: list[Message] | None = None
    while low <= high:
        middle = (low + high) // 2
        kept = without(cuts[middle])
        if count(kept) <= room:
            found, high = kept, middle - 1
        else:
            low = middle + 1
    if found is None:
        raise ContextLengthExceeded(
            f"What follows the last user message, with the system message, makes more than the {room} tokens that the "
            "context holds, so no truncation helps. Send less, or start the server with a larger --ctx.",
            param="input",
        )
    return found


def _places(role: str, messages: Sequence[Message]) -> list[int]:
    return [at for at, message in enumerate(messages) if message["role"] == role]
