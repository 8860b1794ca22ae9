"""JSON schemas for constrained decoding: what comes out validates against what was given.

llguidance compiles most of JSON schema, but drops or reads differently a few things that a validator
insists on. A schema is rewritten here into one that it reads as Draft 2020-12 means it, narrower where that is the only
way, and refused where there is none:

- Only the keywords below are taken. `uniqueItems`, `contains`, `not`, `if` and others can't be enforced token by
  token. `minProperties` of more than 1 would count a key that comes twice.
- What `schema_numbers`, `schema_pattern` and `schema_references` say.
- Annotations are dropped unread.

Nothing here recurses: a schema from outside may be nested 100,000 deep.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from .errors import InvalidGrammar
from .schema_numbers import check_bound, check_number_value, rewrite_bounds
from .schema_pattern import check_pattern
from .schema_references import check_references

MAX_DEPTH = 40
MAX_VALUE_DEPTH = 10
MAX_SUBSCHEMAS = 2000
MAX_PROPERTIES = 500
MAX_VALUES = 10_000
MAX_CHARACTERS = 2**18

_ANNOTATIONS = frozenset(
    {"title", "description", "default", "examples", "deprecated", "readOnly", "writeOnly", "$comment"}
)
_DRAFTS = ("draft/2020-12/schema", "draft/2019-09/schema", "draft-07/schema")
_TYPES = frozenset({"object", "array", "string", "number", "integer", "boolean", "null"})
_COUNTS = frozenset({"minLength", "maxLength", "minItems", "maxItems", "minProperties", "maxProperties"})
_NUMBERS = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_SCHEMA_MAPS = frozenset({"properties", "$defs", "definitions"})
_SCHEMA_LISTS = frozenset({"anyOf", "oneOf", "allOf", "prefixItems"})
_SCHEMAS = frozenset({"items", "additionalProperties"})


def rewrite_schema(schema: object) -> dict[str, Any]:
    """The schema to give to llguidance; it shares nothing that can change with `schema`. Raises InvalidGrammar."""
    if not isinstance(schema, Mapping):
        raise InvalidGrammar("a schema must be an object")
    draft = schema.get("$schema", _DRAFTS[0])
    if not isinstance(draft, str) or not draft.rstrip("#").endswith(_DRAFTS):
        raise InvalidGrammar("$schema must name JSON schema 2020-12, 2019-09 or draft 7")
    rewriter = _Rewriter(prefix_items=draft.rstrip("#").endswith(_DRAFTS[0]))
    rewritten = rewriter.rewrite({key: value for key, value in schema.items() if key not in ("$schema", "$id")})
    check_references(rewritten)
    return rewritten


class _Rewriter:
    """One pass over a schema. `_todo` holds subschemas, where their rewritings go, and how deep they lie."""

    def __init__(self, *, prefix_items: bool) -> None:
        self._prefix_items = prefix_items
        self._subschemas = 0
        self._values = 0
        self._characters = 0
        self._todo: list[tuple[Any, Any, Any, int]] = []

    def rewrite(self, schema: Mapping[Any, Any]) -> dict[str, Any]:
        root: list[dict[str, Any]] = [{}]
        self._todo.append((schema, root, 0, 1))
        while self._todo:
            source, target, key, depth = self._todo.pop()
            target[key] = self._subschema(source, depth)
        return root[0]

    def _subschema(self, source: object, depth: int) -> dict[str, Any] | bool:
        self._subschemas += 1
        if self._subschemas > MAX_SUBSCHEMAS:
            raise InvalidGrammar(f"the schema has more than {MAX_SUBSCHEMAS} parts")
        if depth > MAX_DEPTH:
            raise InvalidGrammar(f"the schema is nested more than {MAX_DEPTH} deep")
        if isinstance(source, bool):
            return source
        if not isinstance(source, Mapping):
            raise InvalidGrammar("a schema must be an object or a boolean")
        result: dict[str, Any] = {}
        for keyword, value in source.items():
            if keyword in _SCHEMAS:
                result[keyword] = True  # keeps the place in the order
                self._todo.append((value, result, keyword, depth + 1))
            elif keyword in _SCHEMA_LISTS:
                result[keyword] = self._schema_list(keyword, value, depth)
            elif keyword in _SCHEMA_MAPS:
                result[keyword] = self._schema_map(keyword, value, depth)
            elif keyword not in _ANNOTATIONS:
                result[keyword] = self._assertion(keyword, value)
        return rewrite_bounds(result)

    def _schema_list(self, keyword: str, value: Any, depth: int) -> list[Any]:
        if keyword == "prefixItems" and not self._prefix_items:
            raise InvalidGrammar("prefixItems isn't part of the draft that $schema names")
        if not isinstance(value, list | tuple) or not value:
            raise InvalidGrammar(f"{keyword} must be a list of schemas")
        rewritten: list[Any] = [True] * len(value)
        self._todo += [(part, rewritten, index, depth + 1) for index, part in enumerate(value)]
        return rewritten

    def _schema_map(self, keyword: str, value: Any, depth: int) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise InvalidGrammar(f"{keyword} must be an object")
        if len(value) > MAX_PROPERTIES:
            raise InvalidGrammar(f"{keyword} holds {len(value)} schemas, {MAX_PROPERTIES} at most are taken")
        rewritten: dict[str, Any] = {self._text(name, f"a name in {keyword}"): True for name in value}
        self._todo += [(part, rewritten, name, depth + 1) for name, part in value.items()]
        return rewritten

    def _assertion(self, keyword: object, value: Any) -> Any:
        if keyword == "type":
            return _check_type(value)
        if keyword in _COUNTS:
            return _check_count(str(keyword), value)
        if keyword in _NUMBERS:
            return check_bound(str(keyword), value)
        if keyword == "pattern":
            return check_pattern(value)
        if keyword == "const":
            return self._value(value)
        if keyword == "enum":
            if not isinstance(value, list | tuple) or not value:
                raise InvalidGrammar("enum must be a list that isn't empty")
            return [self._value(item) for item in value]
        if keyword == "required":
            if not isinstance(value, list | tuple):
                raise InvalidGrammar("required must be a list of names")
            return [self._text(name, "a name in required") for name in value]
        if keyword in ("format", "$ref"):
            return self._text(value, str(keyword))
        raise InvalidGrammar(f"the keyword {str(keyword)[:60]!r} isn't supported")

    def _text(self, text: object, what: str) -> str:
        if not isinstance(text, str):
            raise InvalidGrammar(f"{what} must be a string")
        self._characters += len(text)
        if self._characters > MAX_CHARACTERS:
            raise InvalidGrammar(f"the schema's names and values have more than {MAX_CHARACTERS} characters")
        # json.dumps writes other control characters as \u escapes, which are no part of the JSON produced here.
        if any(character < " " and character not in "\n\r\t\b\f" for character in text) or "\x7f" in text:
            raise InvalidGrammar(f"{what} holds a control character")
        if any("\ud800" <= character <= "\udfff" for character in text):
            raise InvalidGrammar(f"{what} holds a lone surrogate, which no text can contain")
        return text

    def _value(self, value: Any) -> Any:
        """A value of const or enum, copied and checked without recursion."""
        place: list[Any] = [None]
        todo: list[tuple[Any, Any, Any, int]] = [(value, place, 0, 1)]
        while todo:
            source, target, key, depth = todo.pop()
            self._values += 1
            if self._values > MAX_VALUES or depth > MAX_VALUE_DEPTH:
                raise InvalidGrammar(f"const and enum hold more than {MAX_VALUES} values, or values nested too deep")
            if isinstance(source, Mapping):
                copy: Any = {self._text(name, "a name in a value"): None for name in source}
                todo += [(part, copy, name, depth + 1) for name, part in source.items()]
            elif isinstance(source, list | tuple):
                copy = [None] * len(source)
                todo += [(part, copy, index, depth + 1) for index, part in enumerate(source)]
            elif isinstance(source, str):
                copy = self._text(source, "a value")
            elif source is None or isinstance(source, bool):
                copy = source
            else:
                copy = check_number_value(source)
            target[key] = copy
        return place[0]


def _check_type(value: object) -> str | list[str]:
    names = [value] if isinstance(value, str) else value
    if not isinstance(names, list | tuple) or not names:
        raise InvalidGrammar("type must be a name or a list of names")
    for name in names:
        if not isinstance(name, str) or name not in _TYPES:
            raise InvalidGrammar(f"{str(name)[:60]!r} is no type")
    return value if isinstance(value, str) else list(names)


def _check_count(keyword: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**31:
        raise InvalidGrammar(f"{keyword} must be a whole number that isn't negative")
    if keyword == "minProperties" and value > 1:
        raise InvalidGrammar("minProperties of more than 1 isn't supported")
    return value
