"""`$ref` in a schema: to the schema itself or one of its definitions, and never round in a circle."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .errors import InvalidGrammar

MAX_REFERENCES = 500

_DEFINITIONS = ("$defs", "definitions")


def check_references(schema: dict[str, Any]) -> None:
    """Raise InvalidGrammar for a reference that leads elsewhere, or back to itself without a value in between.

    A tree whose nodes hold nodes is fine. A schema that is itself, or itself or a string, is read for ever by
    validators. llguidance would just stop in the middle of the text.
    """
    references = 0
    for part in _walk(schema):
        if "$ref" in part:
            references += 1
            _resolve(schema, part["$ref"])
    if references > MAX_REFERENCES:
        raise InvalidGrammar(f"the schema has {references} references, {MAX_REFERENCES} at most are taken")
    if references:
        _check_circles(schema)


def _check_circles(root: dict[str, Any]) -> None:
    """Depth first along what applies to the same value, without recursion."""
    done: set[int] = set()
    for start in _walk(root):
        open_parts: set[int] = set()
        stack: list[tuple[dict[str, Any], bool]] = [(start, False)]
        while stack:
            part, left = stack.pop()
            if left:
                open_parts.discard(id(part))
                done.add(id(part))
            elif id(part) in open_parts:
                raise InvalidGrammar("a $ref leads back to itself")
            elif id(part) not in done:
                open_parts.add(id(part))
                stack.append((part, True))
                stack += [(other, False) for other in _same_value(root, part)]


def _same_value(root: dict[str, Any], part: dict[str, Any]) -> Iterator[dict[str, Any]]:
    if "$ref" in part:
        target = _resolve(root, part["$ref"])
        if isinstance(target, dict):
            yield target
    for keyword in ("anyOf", "oneOf", "allOf"):
        yield from (other for other in part.get(keyword, ()) if isinstance(other, dict))


def _resolve(root: dict[str, Any], reference: str) -> Any:
    if reference == "#":
        return root
    for keyword in _DEFINITIONS:
        name = reference.removeprefix(f"#/{keyword}/")
        if name != reference and name in root.get(keyword, {}) and not set(name) & set("/~%"):
            return root[keyword][name]
    raise InvalidGrammar(f"$ref must be `#` or name one of the schema's $defs, which {reference[:60]!r} doesn't")


def _walk(schema: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Every subschema that is an object."""
    todo: list[Any] = [schema]
    while todo:
        part = todo.pop()
        if not isinstance(part, dict):
            continue
        yield part
        for keyword in ("items", "additionalProperties"):
            todo.append(part.get(keyword))
        for keyword in ("anyOf", "oneOf", "allOf", "prefixItems"):
            todo += part.get(keyword, ())
        for keyword in ("properties", *_DEFINITIONS):
            todo += part.get(keyword, {}).values()
