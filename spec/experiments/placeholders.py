"""The paper's text with its figures filled in: a language of placeholders, and no other.

=======================  ===================================================================================
``{{PATH}}``             a text or a whole number of the data
``{{PATH:SPEC}}``        a number by a format: ``.1f``, ``,.0f``, ``.0%``. An estimate gives its value
``{{PATH±SPEC}}``        an estimate with its interval: ``12.3 (12.1 to 12.6)``
``{{verdict PATH}}``     a target: ``reached (98.1%; target >= 97%)``, ``missed (...)``, ``not told: why (...)``
``{{NAME: ARGUMENTS}}``  a part that is a function of the data: ``table``, ``figure``, ``list``
=======================  ===================================================================================

A path is names with dots between them: the data file, then keys. A number that is null there was not measured, and the
text says so. Nothing is evaluated.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Data = Mapping[str, Any]
Part = Callable[[Data, str], str]

PLACEHOLDER = re.compile(r"\{\{(.*?)\}\}", re.DOTALL)
_VALUE = re.compile(r"([\w.-]+)(?:([:±])([^\s{}]+))?")
_VERDICT = re.compile(r"verdict ([\w.-]+)")
_PART = re.compile(r"([a-z]+): (.+)")
_SPEC = re.compile(r"[+]?,?(\.\d)?[fd%]")
UNKNOWN = "not measured"
_OUTCOMES = {True: "reached", False: "missed", None: "not told"}


class PaperError(Exception):
    """What is wrong with the text or the data, in a line."""


def fill(text: str, data: Data, parts: Mapping[str, Part]) -> str:
    """The text with every placeholder replaced.

    :raises PaperError: a placeholder that is none, or names what isn't in the data.
    """
    return PLACEHOLDER.sub(lambda found: _filled(found[1].strip(), data, parts), text)


def lookup(data: Data, path: str) -> Any:
    """:raises PaperError: naming the path and the first of its names that isn't there."""
    value: Any = data
    for name in path.split("."):
        if not isinstance(value, Mapping) or name not in value:
            raise PaperError(f"{path} is not in the data: there is no {name!r}")
        value = value[name]
    return value


def number(value: Any, spec: str, path: str = "a value") -> str:
    """:raises PaperError: it is no number, or ``spec`` is no format."""
    if not _SPEC.fullmatch(spec):
        raise PaperError(f"{path}: {spec!r} is no format; write .1f, ,.0f, .0% or the like")
    if isinstance(value, Mapping):
        value = value.get("value")
    if value is None:
        return UNKNOWN
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise PaperError(f"{path} is no number: {value!r}")
    return format(round(value) if spec.endswith("d") else value, spec)


def with_interval(estimate: Any, spec: str, path: str = "a value") -> str:
    """Just the value where there was one repeat."""
    text = number(estimate, spec, path)
    if not isinstance(estimate, Mapping) or estimate.get("low") is None:
        return text
    return f"{text} ({number(estimate['low'], spec, path)} to {number(estimate['high'], spec, path)})"


def verdict(target: Any, path: str = "a target") -> str:
    if not isinstance(target, Mapping) or not {"target", "value", "reached"} <= target.keys():
        raise PaperError(f"{path} is no target")
    told = target["reached"] is not None
    remark = f"; {target['remark']}" if told and target.get("remark") else ""
    return f"{outcome(target)} ({target['value']}; target {target['target']}{remark})"


def outcome(target: Mapping[str, Any]) -> str:
    """``reached``, ``missed``, or ``not told: why``."""
    reached = target["reached"]
    why = f": {target['remark']}" if reached is None and target.get("remark") else ""
    return _OUTCOMES[reached] + why


def _filled(text: str, data: Data, parts: Mapping[str, Part]) -> str:
    if (part := _PART.fullmatch(text)) is not None:
        if part[1] not in parts:
            raise PaperError(f"there is no part {part[1]!r} in {{{{{text}}}}}; parts are {', '.join(parts)}")
        return parts[part[1]](data, part[2].strip())
    if (asked := _VERDICT.fullmatch(text)) is not None:
        return verdict(lookup(data, asked[1]), asked[1])
    if (value := _VALUE.fullmatch(text)) is None:
        raise PaperError(f"{{{{{text}}}}} is no placeholder")
    path, kind, spec = value.groups()
    found = lookup(data, path)
    if kind is None:
        if isinstance(found, bool) or not isinstance(found, str | int):
            raise PaperError(f"{path} is no text and no whole number: say how to write it, {{{{{path}:.1f}}}}")
        return str(found)
    return number(found, spec, path) if kind == ":" else with_interval(found, spec, path)
