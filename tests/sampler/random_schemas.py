"""Random JSON schemas, and a random model that writes what a grammar allows."""

from __future__ import annotations

from typing import Any

import numpy as np
from caesura.sampler.grammar import GrammarCompiler
from caesura.sampler.vocabulary import Vocabulary
from hypothesis import strategies as st

PATTERNS = [
    "a",
    "^a+$",
    "^[a-z]{2,5}$",
    r"^\d{1,4}-\w+$",
    r"^\S*$",
    r"^[^\s,]{1,3}$",
    "^(x|yé|z)*$",
    "b$",
    r"^\w+@\w+\.(com|org)$",
    "^.{0,3}$",
    "^$",
    r"[\"\\/]",
    r"\n",
    "^[^a]$",
    "^a|b$",
    r"\u00e9{2}",
]
NAMES = st.one_of(
    st.sampled_from(["a", "b", "name", "$ref", "properties", "", 'q"uote', "back\\slash", "ünï ö", "😀", "new\nline"]),
    st.text('abé"\\ /{}', max_size=4),
)
BOUNDS = st.one_of(st.integers(-200, 200), st.floats(-50, 50), st.sampled_from([0, 0.1, 1e15, -1e15, 1e-9]))
SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**6), 10**6),
    st.floats(-1e6, 1e6).map(lambda value: round(value, 6)),
    st.text('aé"\\\n/😀', max_size=6),
)
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3))


def keywords(**strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return st.fixed_dictionaries({}, optional=strategies)


def typed(name: str, **strategies: st.SearchStrategy[Any]) -> st.SearchStrategy[dict[str, Any]]:
    return keywords(**strategies).map(lambda rest: {"type": name, **rest})


LENGTHS = st.integers(0, 8)
NUMERIC = {"minimum": BOUNDS, "maximum": BOUNDS, "exclusiveMinimum": BOUNDS, "exclusiveMaximum": BOUNDS}
LEAVES = st.one_of(
    typed("string", minLength=LENGTHS, maxLength=LENGTHS),
    typed("string", pattern=st.sampled_from(PATTERNS), maxLength=LENGTHS),
    typed("string", format=st.sampled_from(["date-time", "date", "email", "ipv4", "uuid", "uri", "hostname"])),
    typed("integer", **NUMERIC, multipleOf=st.integers(1, 50)),
    typed("integer"),
    typed("number", **NUMERIC),
    typed("number"),
    st.sampled_from([{"type": "boolean"}, {"type": "null"}, {"type": ["string", "null"]}, {}, True, {"title": "x"}]),
    st.builds(lambda value: {"const": value}, VALUES),
    st.builds(lambda values: {"enum": values}, st.lists(VALUES, min_size=1, max_size=4)),
    st.just({"$ref": "#/$defs/leaf"}),
    st.just({"type": "array", "items": {"$ref": "#/$defs/tree"}, "maxItems": 2}),
    keywords(**NUMERIC, minLength=LENGTHS, maxItems=LENGTHS),
)


@st.composite
def objects(draw: st.DrawFn, inner: st.SearchStrategy[Any]) -> dict[str, Any]:
    properties = draw(st.dictionaries(NAMES, inner, max_size=4))
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    if properties and draw(st.booleans()):
        schema["required"] = draw(st.lists(st.sampled_from(sorted(properties)), unique=True))
    if draw(st.booleans()):
        schema["additionalProperties"] = draw(st.one_of(st.just(False), inner))
    if not draw(st.integers(0, 15)):
        schema["minProperties"] = draw(st.integers(0, 1))
    if not draw(st.integers(0, 15)):
        schema["maxProperties"] = draw(st.integers(0, 5))
    return schema


def _larger(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        objects(inner),
        objects(inner),
        typed("array", items=inner, minItems=st.integers(0, 3), maxItems=st.integers(0, 4)),
        typed("array", prefixItems=st.lists(inner, min_size=1, max_size=3), items=inner),
        st.builds(lambda parts: {"anyOf": parts}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda parts: {"oneOf": parts}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda parts: {"allOf": parts}, st.lists(inner, min_size=1, max_size=2)),
        st.builds(lambda part, more: {**more, "anyOf": [part, {"type": "null"}]}, inner, objects(inner)),
    )


@st.composite
def object_schemas(draw: st.DrawFn) -> dict[str, Any]:
    """The schema of a function's arguments, with definitions to refer to."""
    inner = st.recursive(LEAVES, _larger, max_leaves=6)
    schema = draw(objects(inner))
    tree = {"type": "object", "properties": {"children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}
    schema["$defs"] = {"leaf": draw(LEAVES.filter(lambda leaf: leaf != {"$ref": "#/$defs/leaf"})), "tree": tree}
    return schema


def write_randomly(
    compiler: GrammarCompiler, vocab: Vocabulary, grammar: str, *, seed: int, limit: int = 400
) -> tuple[list[int], bool]:
    """The tokens that a model of random logits samples at temperature 2, and whether it came to the end.

    Stop tokens are left out. What closes strings, objects and lists is likelier than the rest, or the text would hardly
    ever end.
    """
    rng = np.random.default_rng(seed)
    closing = np.zeros(vocab.size, np.float32)
    for token in range(vocab.size):
        if token in vocab.stop_tokens or any(byte in b'"}]' for byte in vocab.piece(token)):
            closing[token] = 8.0
    matcher = compiler.matcher(grammar)
    tokens: list[int] = []
    for _ in range(limit):
        logits = (3 * rng.standard_normal(vocab.size, dtype=np.float32) + closing) / 2
        noise = rng.gumbel(size=vocab.size).astype(np.float32)
        token = int((matcher.mask(logits) + noise).argmax())
        matcher.advance(token)
        if token in vocab.stop_tokens:
            return tokens, True
        tokens.append(token)
        if matcher.finished:
            return tokens, True
    return tokens, False
