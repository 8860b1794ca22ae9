"""Schemas for constrained decoding: bad ones are refused, the rest mean what a validator says they mean."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from caesura.sampler.errors import InvalidGrammar
from caesura.sampler.grammar import GrammarCompiler
from caesura.sampler.model import Model
from caesura.sampler.schema_pattern import check_pattern
from caesura.sampler.strict_schema import rewrite_schema
from caesura.sampler.vocabulary import Vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st
from random_schemas import write_randomly


def nested(depth: int, keyword: str = "items") -> Any:
    schema: Any = {}
    for _ in range(depth):
        schema = {keyword: schema if keyword == "items" else [schema]}
    return schema


def deep_value(depth: int) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


CIRCLE = {"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"anyOf": [{"type": "null"}, {"$ref": "#/$defs/a"}]}}}
BAD: dict[str, Any] = {
    "no object": [],
    "a string": "object",
    "none": None,
    "100k deep": nested(100_000),
    "100k deep in lists": nested(100_000, "anyOf"),
    "a value 100k deep": {"const": deep_value(100_000)},
    "too many parts": {"properties": {f"p{a}": {"anyOf": [{}] * 100} for a in range(100)}},
    "too many properties": {"properties": {f"p{number}": {} for number in range(1000)}},
    "too much text": {"enum": ["x" * 2**20]},
    "too many values": {"enum": list(range(20_000))},
    "unknown keyword": {"frobnicate": 1},
    "options of the compiler": {"x-guidance": {"lenient": True}},
    "not": {"not": {}},
    "uniqueItems": {"type": "array", "uniqueItems": True},
    "contains": {"contains": {}, "minContains": 2},
    "if": {"if": {}, "then": {}},
    "patternProperties": {"patternProperties": {"^a": {}}},
    "minProperties": {"minProperties": 2},
    "another draft": {"$schema": "http://json-schema.org/draft-04/schema#"},
    "draft 7 has no prefixItems": {"$schema": "http://json-schema.org/draft-07/schema#", "prefixItems": [{}]},
    "items of draft 7": {"items": [{}]},
    "no such type": {"type": "text"},
    "type of a wrong type": {"type": 1},
    "unhashable type": {"type": [["string"]]},
    "boolean bound": {"exclusiveMinimum": True, "minimum": 3},
    "NaN": {"minimum": float("nan")},
    "infinite value": {"const": float("inf")},
    "far bound": {"type": "number", "maximum": 1e300},
    "empty range": {"type": "integer", "minimum": 0.2, "maximum": 0.8},
    "negative length": {"minLength": -1},
    "boolean length": {"maxLength": True},
    "multiples of a tenth": {"type": "number", "multipleOf": 0.1},
    "multiples of nothing": {"type": "integer", "multipleOf": 0},
    "object for required": {"required": {"a": 1}},
    "numbers for names": {"required": [1]},
    "name that is no text": {"properties": {1: {}}},
    "lone surrogate": {"properties": {"\ud800": {}}},
    "lone surrogate in a value": {"enum": ["\udfff"]},
    "control character": {"const": "\x01"},
    "no JSON value": {"const": {1, 2}},
    "unknown reference": {"$ref": "#/$defs/a"},
    "remote reference": {"$ref": "https://example.com/schema"},
    "reference elsewhere": {"properties": {"a": {}}, "$ref": "#/properties/a"},
    "reference to itself": {"$ref": "#"},
    "circle": {**CIRCLE, "properties": {"a": {"$ref": "#/$defs/a"}}},
    "unused circle": CIRCLE,
    "lookahead": {"pattern": "(?=a)"},
    "pattern that is none": {"pattern": "("},
    "pattern of a wrong type": {"pattern": 1},
    "long pattern": {"pattern": "a" * 2000},
    "deep pattern": {"pattern": "(" * 450 + ")" * 450 + "("},
}


@pytest.mark.parametrize("schema", BAD.values(), ids=BAD.keys())
def test_a_bad_schema_is_refused_with_a_short_message(schema: Any) -> None:
    with pytest.raises(InvalidGrammar) as caught:
        rewrite_schema(schema)
    assert len(str(caught.value)) < 300


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "type",
                    "properties",
                    "items",
                    "anyOf",
                    "enum",
                    "const",
                    "$ref",
                    "$defs",
                    "minimum",
                    "multipleOf",
                    "pattern",
                ]
            ),
            inner,
            max_size=4,
        )
    ),
    max_leaves=15,
)


@given(JSON_LIKE)
def test_nothing_else_is_ever_raised(schema: Any) -> None:
    try:
        rewritten = rewrite_schema(schema)
    except InvalidGrammar:
        return
    json.dumps(rewritten, allow_nan=False)
    assert rewrite_schema(rewritten) is not rewritten


def test_annotations_are_dropped_and_the_order_of_properties_is_kept() -> None:
    schema = {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "T",
        "type": "object",
        "properties": {"z": {"type": "string", "description": "d"}, "a": {"type": "null", "default": None}},
    }
    rewritten = rewrite_schema(schema)
    assert rewritten == {"type": "object", "properties": {"z": {"type": "string"}, "a": {"type": "null"}}}
    assert list(rewritten["properties"]) == ["z", "a"]


def test_a_tree_may_refer_to_itself() -> None:
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#"}}}}
    assert rewrite_schema(tree) == tree


NUMBERS = st.one_of(st.integers(-(10**6), 10**6), st.floats(-1e6, 1e6))


@given(st.fixed_dictionaries({}, optional={"exclusiveMinimum": NUMBERS, "exclusiveMaximum": NUMBERS}))
def test_exclusive_bounds_become_inclusive_ones_inside(bounds: dict[str, float]) -> None:
    try:
        rewritten = rewrite_schema({"type": "number", **bounds})
        as_integer = rewrite_schema({"type": "integer", **bounds})
    except InvalidGrammar:
        return
    if "exclusiveMinimum" in bounds:
        assert bounds["exclusiveMinimum"] < rewritten["minimum"]
        assert bounds["exclusiveMinimum"] < as_integer["minimum"] <= bounds["exclusiveMinimum"] + 1
    if "exclusiveMaximum" in bounds:
        assert rewritten["maximum"] < bounds["exclusiveMaximum"]
        assert bounds["exclusiveMaximum"] - 1 <= as_integer["maximum"] < bounds["exclusiveMaximum"]


@given(st.integers(-(2**65), 2**65), st.integers(-(2**65), 2**65))
def test_bounds_of_integers_are_exact_doubles_within_64_bits(low: int, high: int) -> None:
    try:
        rewritten = rewrite_schema({"type": "integer", "minimum": low, "maximum": high})
    except InvalidGrammar:
        assert low > high or low > 9 * 10**18 or high < -9 * 10**18
        return
    for bound, outer in ((rewritten["maximum"], high), (-rewritten["minimum"], -low)):
        assert float(bound) == bound <= min(outer, 9 * 10**18)


REFUSED = [r"\D", r"\W", r"[^\d]", r"[^\w]", r"a\b", r"(a)\1", "(?i)a", "(?P<n>a)", "[[a]", "[a-z&&[^b]]", "a++", "a*+"]
REFUSED += ["[a--b]", r"\A", r"\Z", "(?<=a)b", "[a||b]", "a{,3}", r"\07", "a{2}+"]


@pytest.mark.parametrize("pattern", REFUSED)
def test_a_pattern_that_validators_read_differently_is_refused(pattern: str) -> None:
    with pytest.raises(InvalidGrammar, match="pattern"):
        check_pattern(pattern)


PIECES = st.sampled_from(
    [
        "a",
        "é",
        ".",
        r"\d",
        r"\w",
        r"\s",
        r"\S",
        "[a-c]",
        r"[^\s]",
        "[^é]",
        r"[\w-]",
        r"\.",
        r"[\]]",
        r"\u00e9",
        "[]a]",
        "\\\\",
    ]
)
PATTERNS = st.recursive(
    PIECES,
    lambda inner: st.one_of(
        st.lists(inner, min_size=1, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda parts: f"(?:{'|'.join(parts)})"),
        st.tuples(inner, st.sampled_from(["*", "+", "?", "{2}", "{1,3}", "*?"])).map(
            lambda parts: f"(?:{parts[0]}){parts[1]}"
        ),
    ),
    max_leaves=5,
)


@settings(max_examples=40)
@given(st.sampled_from(["", "^"]), PATTERNS, st.sampled_from(["", "$"]), st.integers(0, 2**32))
def test_what_a_pattern_allows_matches_it(model: Model, begin: str, middle: str, end: str, seed: int) -> None:
    vocab: Vocabulary = model.vocab
    pattern = begin + middle + end
    schema = {"type": "string", "pattern": check_pattern(pattern), "maxLength": 30}
    options = {"whitespace_flexible": False, "json_allowed_escapes": 'nrbtf\\"'}
    compiler = GrammarCompiler(vocab)
    grammar = "start: %json " + json.dumps({**schema, "x-guidance": options})
    tokens, complete = write_randomly(compiler, vocab, grammar, seed=seed, limit=60)
    if complete:
        assert re.search(pattern, json.loads(vocab.decode(tokens)))
