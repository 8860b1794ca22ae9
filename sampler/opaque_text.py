"""Text that a template may write but not look into: what a suffix can be rendered ahead for.

A chat template is a program, and how it writes a tool's result may depend on the result. Mostly it doesn't. `Opaque` is
a string that notes when anything is asked of it but to be written out or joined to another string: if nothing was, then
the template writes every text in that place, whatever it says, in the same way.

Not every way of looking goes through the object. Where Jinja joins texts, `joined` has to do it. Filters may lose the
note, and `may_hide` refuses templates with any but a few. C code reads strings directly, but what it makes of one
(JSON, escaping) shows, if the text holds quotes, a backslash, markup and white space.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import jinja2.nodes
import jinja2.sandbox

_ALLOWED_FILTERS = frozenset(
    {
        "count",
        "default",
        "first",
        "int",
        "items",
        "last",
        "length",
        "list",
        "lower",
        "rejectattr",
        "replace",
        "selectattr",
        "string",
        "tojson",
        "trim",
        "upper",
    }
)
"""Those that leave a string as it is, or ask it for something."""

_CLOCK = "strftime_now"


class Looks:
    """Whether any of the texts that were made for it was looked into."""

    def __init__(self) -> None:
        self.any = False


class Opaque(str):
    """A text that belongs to a `Looks`. It counts as true: what stands for it must not be empty."""

    looks: Looks

    def __new__(cls, text: str, looks: Looks) -> Opaque:
        opaque = super().__new__(cls, text)
        opaque.looks = looks
        return opaque

    def __bool__(self) -> bool:
        return True

    def __str__(self) -> str:
        return self

    def __add__(self, other: str) -> str:
        return Opaque(str.__add__(self, other), self.looks)

    def __radd__(self, other: str) -> str:
        return Opaque(str.__add__(other, self), self.looks)


def joined(pieces: Iterable[str]) -> str:
    """`"".join`, for a Jinja environment's `concat`: what an `Opaque` went into is one."""
    pieces = list(pieces)
    for piece in pieces:
        if type(piece) is Opaque:
            return Opaque("".join(pieces), piece.looks)
    return "".join(pieces)


def plain(text: str) -> str:
    """A string like any other."""
    return "".join((text, "")) if isinstance(text, Opaque) else text


def _noting(name: str) -> Callable[..., Any]:
    method = getattr(str, name)

    def noted(self: Opaque, *args: Any, **named: Any) -> Any:
        self.looks.any = True
        return method(self, *args, **named)

    return noted


_FREE = {"__add__", "__class__", "__doc__", "__getattribute__", "__init__", "__init_subclass__", "__new__", "__str__"}
_FREE |= {"__subclasshook__", "__setattr__", "__delattr__", "__dir__", "__sizeof__", "__reduce__", "__reduce_ex__"}
for _name in dir(str):
    if _name not in _FREE and callable(getattr(str, _name)):
        setattr(Opaque, _name, _noting(_name))


def may_hide(source: str) -> bool:
    """Whether a template may look into a text without an `Opaque` noting it, or writes the time."""
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(extensions=["jinja2.ext.loopcontrols"])
    if _CLOCK in source:
        return True
    try:
        tree = environment.parse(source)
    except jinja2.TemplateSyntaxError:  # a tag of an extension: {% generation %}
        return True
    return any(each.name not in _ALLOWED_FILTERS for each in tree.find_all(jinja2.nodes.Filter))
