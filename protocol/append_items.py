"""The ``input`` of an append: outputs of open calls, and after them messages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from .errors import InvalidValue, MissingParameter, TooManyItems
from .items import FunctionCallOutput, InputItem, InputMessage, OtherItem, Reasoning, parse_input

ROLES = ("user", "developer", "system")


@dataclass(frozen=True, slots=True)
class Append:
    """What an append brings. At least one of the two is not empty."""

    outputs: tuple[FunctionCallOutput, ...] = ()
    messages: tuple[InputMessage, ...] = ()

    @property
    def call_ids(self) -> list[str]:
        """The calls that it has outputs for, each once, in its own order."""
        return list(dict.fromkeys(output.call_id for output in self.outputs))


def parse_append(value: object, *, max_items: int, param: str = "input") -> Append:
    """Read the ``input`` of an append.

    :param value: decoded JSON: a string (one user message) or a list of item objects.
    :raises MissingParameter: there is nothing in it.
    :raises TooManyItems: it is longer than ``max_items``.
    :raises InvalidValue: an item is none that an append takes, or an output follows a message.
    """
    if isinstance(value, list) and len(value) > max_items:
        raise TooManyItems(
            f"'{param}' has {len(value)} items; an append takes {max_items}. Send several appends.", param=param
        )
    return as_append(parse_input(value, param=param), param=param)


def as_append(items: Sequence[InputItem], *, param: str = "input") -> Append:
    """The same of items.

    :raises MissingParameter, InvalidValue: as there.
    """
    outputs: list[FunctionCallOutput] = []
    messages: list[InputMessage] = []
    for at, item in enumerate(items):
        match item:
            case FunctionCallOutput() if messages:
                raise InvalidValue(
                    "An output follows a message. Put the outputs first: messages enter the context after them.",
                    param=f"{param}[{at}]",
                )
            case FunctionCallOutput():
                outputs.append(item)
            case InputMessage(role=role) if role in ROLES:
                messages.append(item)
            case InputMessage(role=role):
                raise InvalidValue(
                    f"An append takes messages of {', '.join(ROLES)}, not of {role!r}.", param=f"{param}[{at}].role"
                )
            case Reasoning() | OtherItem():
                pass  # the model's own, sent back: it is where it belongs already
            case _:
                raise InvalidValue(
                    "An append takes function_call_output items, and messages after them.", param=f"{param}[{at}].type"
                )
    if not outputs and not messages:
        raise MissingParameter(f"'{param}' is empty. Give at least one output or message.", param=param)
    return Append(tuple(outputs), tuple(messages))
