"""Bounds on what comes in at once, for a server that many share.

They hold back what the protocol's own limits let pass: those bound bytes and items of a message, these what a model is
given to read.
"""

from __future__ import annotations

from collections.abc import Sequence

from ...protocol.errors import GuardStopped
from ...protocol.items import FunctionCall, FunctionCallOutput, HostedCall, InputItem, InputMessage, Reasoning


class LimitsGuard:
    """A bound that is None holds nothing back. Characters are Unicode's, before anything is tokenised.

    :param max_input_items: items of a create or an append.
    :param max_input_chars: of all of these together.
    :param max_output_chars: of one tool's output, a hosted one's too.
    :param max_message_chars: of one message.
    """

    name = "limits"
    fails_open = False

    def __init__(
        self,
        *,
        max_input_items: int | None = None,
        max_input_chars: int | None = None,
        max_output_chars: int | None = None,
        max_message_chars: int | None = None,
    ) -> None:
        self._max_items = max_input_items
        self._max_chars = max_input_chars
        self._max_output = max_output_chars
        self._max_message = max_message_chars

    def rewrite(self, items: Sequence[InputItem]) -> Sequence[InputItem]:
        """The same items.

        :raises GuardStopped: they are beyond a bound.
        """
        _check(len(items), self._max_items, "'input' has {} items; at most {} go in at once", "input")
        total = 0
        for at, item in enumerate(items):
            match item:
                case InputMessage(text=text):
                    _check(len(text), self._max_message, "A message has {} characters; at most {} go", f"input[{at}]")
                case FunctionCallOutput(output=text):
                    _check(len(text), self._max_output, "An output has {} characters; at most {} go", f"input[{at}]")
                case HostedCall(output=str(text)):
                    _check(len(text), self._max_output, "An output has {} characters; at most {} go", f"input[{at}]")
                case FunctionCall(arguments=text):
                    pass
                case Reasoning():
                    text = item.text
                case _:
                    text = ""
            total += len(text)
        _check(total, self._max_chars, "'input' has {} characters; at most {} go in at once", "input")
        return items

    def check(self, items: Sequence[InputItem]) -> None:
        """All was looked at already."""
        return None


def _check(amount: int, bound: int | None, message: str, param: str) -> None:
    if bound is not None and amount > bound:
        raise GuardStopped(f"{message.format(amount, bound)} on this server. Send less.", param=param)
