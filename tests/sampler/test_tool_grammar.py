"""Constrained turns: every call that a model completes is one that it was allowed to make."""

from __future__ import annotations

import dataclasses
import json
from typing import Any

import jsonschema
import numpy as np
import pytest
from caesura.sampler.errors import InvalidGrammar, InvalidToolChoice
from caesura.sampler.formats.harmony import HARMONY
from caesura.sampler.formats.hermes import HERMES, QWEN3
from caesura.sampler.formats.llama import LLAMA3
from caesura.sampler.formats.mistral import MISTRAL, MISTRAL_V11
from caesura.sampler.grammar import GrammarCompiler
from caesura.sampler.model import Model
from caesura.sampler.tool_call_deltas import CallFinished, CallStarted, TextDelta
from caesura.sampler.tool_format import ToolFormat
from caesura.sampler.tool_grammar import FunctionTool, NamedFunction, turn_grammar
from caesura.sampler.vocabulary import Vocabulary
from hypothesis import given, settings
from hypothesis import strategies as st
from random_schemas import object_schemas, write_randomly

CALC_SCHEMA = {
    "type": "object",
    "properties": {"a": {"type": "integer", "minimum": 0}, "b": {"enum": ["x", "y"]}},
    "required": ["a", "b"],
    "additionalProperties": False,
}
CALC = FunctionTool("calc", CALC_SCHEMA, strict=True)
GET = FunctionTool("get")
FORMATS = [HERMES, QWEN3, LLAMA3, MISTRAL, MISTRAL_V11, HARMONY]
OBJECT = {"type": "object"}
COMPLETE, UNFINISHED = "complete", "unfinished"


@pytest.fixture(scope="module")
def vocab(model: Model) -> Vocabulary:
    return model.vocab


@pytest.fixture(scope="module")
def compiler(vocab: Vocabulary) -> GrammarCompiler:
    return GrammarCompiler(vocab)


@pytest.fixture
def fits(compiler: GrammarCompiler, vocab: Vocabulary) -> Any:
    """COMPLETE, UNFINISHED, or the index of the first token of a turn's text that isn't allowed."""

    def check(grammar: str | None, text: str, *, special: bool = True) -> str | int:
        assert grammar is not None
        matcher = compiler.matcher(grammar)
        # Markers are tokenised as text where the test is about text that looks like them.
        pieces = [text] if special else list(text)
        tokens = [token for piece in pieces for token in vocab.tokenize(piece, parse_special=special)]
        for index, token in enumerate(tokens):
            if not np.isfinite(matcher.mask(np.zeros(vocab.size, np.float32))[token]):
                return index
            matcher.advance(token)
        masked = matcher.mask(np.zeros(vocab.size, np.float32))
        return COMPLETE if np.isfinite(masked[sorted(vocab.stop_tokens)]).all() else UNFINISHED

    return check


def parsed(tool_format: ToolFormat, text: bytes, *, in_reasoning: bool = False) -> tuple[str, list[CallFinished], int]:
    """Text, finished calls and the number of calls begun, as the family's parser reads them."""
    parser = tool_format.parser(in_reasoning)
    deltas = [*parser.feed(text), *parser.finish()]
    said = "".join(delta.text for delta in deltas if isinstance(delta, TextDelta))
    calls = [delta for delta in deltas if isinstance(delta, CallFinished)]
    return said, calls, sum(isinstance(delta, CallStarted) for delta in deltas)


def call(name: str, arguments: str) -> str:
    return f'<tool_call>\n{{"name": "{name}", "arguments": {arguments}}}\n</tool_call>'


@settings(max_examples=60)
@given(object_schemas(), st.sampled_from([HERMES, LLAMA3]), st.integers(0, 2**32))
def test_the_arguments_of_a_strict_tool_always_validate(
    compiler: GrammarCompiler, vocab: Vocabulary, schema: dict[str, Any], tool_format: ToolFormat, seed: int
) -> None:
    tools = [FunctionTool("f", schema, strict=True)]
    try:
        grammar = turn_grammar(vocab, tool_format, tools, tool_choice="required", parallel_tool_calls=False)
        assert grammar is not None
        compiler.compile(grammar)
    except InvalidGrammar:
        return
    tokens, complete = write_randomly(compiler, vocab, grammar, seed=seed, limit=250)
    if complete:
        written = b"".join(map(vocab.piece, tokens)).decode()
        syntax = tool_format.syntax
        before = syntax.before_name + "f" + syntax.before_arguments
        assert written.startswith(before)
        assert written.endswith(syntax.after_arguments)
        arguments = json.loads(written[len(before) : len(written) - len(syntax.after_arguments)])
        jsonschema.Draft202012Validator(schema).validate(arguments)


@pytest.mark.parametrize("tool_format", FORMATS, ids=lambda tool_format: tool_format.name)
@pytest.mark.parametrize("choice", ["auto", "required", NamedFunction("calc")], ids=str)
@pytest.mark.parametrize("parallel", [True, False])
def test_the_parser_reads_what_the_grammar_allows(
    compiler: GrammarCompiler, vocab: Vocabulary, tool_format: ToolFormat, choice: Any, parallel: bool
) -> None:
    tools = [CALC, FunctionTool("no", {"type": "object", "additionalProperties": False}, strict=True)]
    grammar = turn_grammar(vocab, tool_format, tools, tool_choice=choice, parallel_tool_calls=parallel)
    assert grammar is not None
    for seed in range(6):
        tokens, complete = write_randomly(compiler, vocab, grammar, seed=seed)
        said, calls, begun = parsed(tool_format, b"".join(map(vocab.piece, tokens)))
        if not complete:
            continue
        assert begun == len(calls)
        for finished in calls:
            assert finished.complete
            assert finished.name in ("calc", "no")
            jsonschema.validate(json.loads(finished.arguments), CALC_SCHEMA if finished.name == "calc" else OBJECT)
        if choice != "auto":
            assert calls
            assert not said.strip()
        if not parallel or isinstance(choice, NamedFunction):
            assert len(calls) <= 1
        if isinstance(choice, NamedFunction):
            assert [finished.name for finished in calls] == ["calc"]


@pytest.mark.parametrize("tool_format", FORMATS, ids=lambda tool_format: tool_format.name)
def test_what_needs_no_grammar_has_none(vocab: Vocabulary, tool_format: ToolFormat) -> None:
    assert turn_grammar(vocab, tool_format, []) is None
    assert turn_grammar(vocab, tool_format, [], parallel_tool_calls=False) is None
    assert turn_grammar(vocab, tool_format, [GET]) is None
    assert turn_grammar(vocab, tool_format, [CALC], tool_choice="none") is None
    assert turn_grammar(vocab, tool_format, [CALC]) is not None
    assert turn_grammar(vocab, tool_format, [GET], parallel_tool_calls=False) is not None


def test_auto_leaves_text_free_until_a_call_begins(vocab: Vocabulary, fits: Any) -> None:
    grammar = turn_grammar(vocab, HERMES, [CALC, GET])
    assert fits(grammar, "") == COMPLETE
    assert fits(grammar, "Some <b>text</b> {}\n\x01 ünï") == COMPLETE
    good = call("calc", '{"a": 1, "b": "x"}')
    assert fits(grammar, good) == COMPLETE
    other = call("get", '{"any": [1,2, {"é": null}]}')
    assert fits(grammar, f"Let me see.\n{good}") == COMPLETE
    assert fits(grammar, f"{good}\n{other}") == COMPLETE
    assert fits(grammar, call("calc", '{"a": 1').removesuffix("}\n</tool_call>")) == UNFINISHED
    for bad in (
        call("other", "{}"),
        call("calc", "{}"),
        call("calc", '{"a": -1, "b": "x"}'),
        call("get", "[1]"),
        f"{good}\nmore text",
        f"{good}<|im_start|>",
    ):
        assert isinstance(fits(grammar, bad), int)


def test_text_cannot_spell_a_calls_beginning(vocab: Vocabulary, fits: Any) -> None:
    grammar = turn_grammar(vocab, HERMES, [CALC])
    text = "so <tool_call"
    assert fits(grammar, text, special=False) == COMPLETE
    assert fits(grammar, f"{text}>", special=False) == len(text)
    assert fits(grammar, "</tool_call>", special=False) == len("</tool_call")


def test_a_bare_json_call_begins_the_turn_or_is_none(vocab: Vocabulary, fits: Any) -> None:
    grammar = turn_grammar(vocab, LLAMA3, [CALC])
    good = '{"name": "calc", "parameters": {"a": 1, "b": "x"}}'
    assert fits(grammar, good) == COMPLETE
    assert fits(grammar, f"{good}; {good}") == COMPLETE
    assert fits(grammar, "text, then {braces}") == COMPLETE
    assert isinstance(fits(grammar, '{"a": 1}'), int)
    assert isinstance(fits(grammar, '\n {"a": 1}'), int)


def test_a_tag_that_is_no_special_token_begins_a_call_anywhere(vocab: Vocabulary, fits: Any) -> None:
    syntax = dataclasses.replace(HERMES.syntax, before_name='<call>{"name": "', after_arguments="}</call>")
    tagged = dataclasses.replace(HERMES, syntax=syntax)
    grammar = turn_grammar(vocab, tagged, [CALC])
    good = '<call>{"name": "calc", "arguments": {"a":1,"b":"y"}}</call>'
    for text in ("", "<cal", "one < two", f"so: {good}", f"{good}\n{good}"):
        assert fits(grammar, text) == COMPLETE
    assert isinstance(fits(grammar, "so: <call>what"), int)


def test_parallel_calls_are_allowed_or_not(vocab: Vocabulary, fits: Any) -> None:
    one = call("get", "{}")
    for parallel in (True, False):
        for choice in ("auto", "required"):
            grammar = turn_grammar(vocab, HERMES, [GET, CALC], tool_choice=choice, parallel_tool_calls=parallel)
            assert fits(grammar, one) == COMPLETE
            assert (fits(grammar, f"{one}\n{one}") == COMPLETE) == parallel
    named = turn_grammar(vocab, HERMES, [GET, CALC], tool_choice=NamedFunction("get"))
    assert fits(named, one) == COMPLETE
    assert fits(named, f"{one}\n{one}") != COMPLETE
    assert fits(named, call("calc", '{"a": 1, "b": "x"}')) != COMPLETE


def test_a_required_call_comes_first(vocab: Vocabulary, fits: Any) -> None:
    grammar = turn_grammar(vocab, HERMES, [GET], tool_choice="required")
    assert fits(grammar, "") == UNFINISHED
    assert fits(grammar, "Sure!") == 0


def test_reasoning_may_come_before_what_is_constrained(vocab: Vocabulary, fits: Any) -> None:
    one = call("get", "{}")
    grammar = turn_grammar(vocab, QWEN3, [GET], tool_choice="required")
    assert fits(grammar, one) == COMPLETE
    assert fits(grammar, f"<think>\nWell, {{}}?\n</think>\n\n{one}") == COMPLETE
    assert fits(grammar, "<think>\nWell") == UNFINISHED
    assert isinstance(fits(grammar, "<think>\nWell</think>\n\nSure"), int)
    begun = turn_grammar(vocab, QWEN3, [GET], tool_choice="required", in_reasoning=True)
    assert fits(begun, f"Well.</think>\n\n{one}") == COMPLETE
    assert fits(begun, "") == UNFINISHED
    as_json = turn_grammar(vocab, QWEN3, [], text_schema=OBJECT, in_reasoning=True)
    assert fits(as_json, 'Well.</think>\n\n{"a": 1}') == COMPLETE


def test_text_in_json(vocab: Vocabulary, fits: Any) -> None:
    for tools, choice in (((), "auto"), ((GET,), "none"), ((), "none")):
        grammar = turn_grammar(vocab, HERMES, tools, tool_choice=choice, text_schema=CALC_SCHEMA)
        assert fits(grammar, '{"a": 1, "b": "x"}') == COMPLETE
        assert isinstance(fits(grammar, '{"a": 1}'), int)
        assert fits(grammar, "text") == 0
        assert fits(grammar, call("get", "{}")) == 0
    both = turn_grammar(vocab, HERMES, [GET], text_schema=OBJECT)
    assert fits(both, '{"any": "thing"}') == COMPLETE
    assert fits(both, call("get", "{}")) == COMPLETE
    assert fits(both, "text") == 0
    only_calls = turn_grammar(vocab, HERMES, [GET], tool_choice="required", text_schema=OBJECT)
    assert fits(only_calls, "{}") == 0


def test_json_has_little_white_space_and_no_second_spelling(vocab: Vocabulary, fits: Any) -> None:
    grammar = turn_grammar(vocab, HERMES, [], text_schema={"type": "object", "properties": {"a": {"type": "integer"}}})
    for text in ('{"a": 1, "b": [1, 2]}', '{"a":1,"b":[1,2]}', '{"b\\n": "\\t\\\\\\""}', "{}"):
        assert fits(grammar, text) == COMPLETE
    for text in ('{ "a": 1}', '{"a" : 1}', '{"a":  1}', '{"a": 1 }', ' {"a": 1}', '{"a": 1,\n"b": 1}'):
        assert isinstance(fits(grammar, text), int)
    for text in ('{"\\u0061": "no integer"}', '{"a": 1, "a": "x"}', '{"b": "\\u00e9"}', '{"b": "\x01"}'):
        assert isinstance(fits(grammar, text), int)


NAMES = ["get_weather", "get", "näme", "a b", 'q"uote', "back\\slash", "new\nline", "</tool_call>", "😀", "\x7f"]


def test_any_name_can_be_called(compiler: GrammarCompiler, vocab: Vocabulary) -> None:
    tools = [FunctionTool(name, {"type": "object", "additionalProperties": False}, strict=True) for name in NAMES]
    for name in NAMES:
        grammar = turn_grammar(vocab, HERMES, tools, tool_choice=NamedFunction(name))
        assert grammar is not None
        tokens, complete = write_randomly(compiler, vocab, grammar, seed=0)
        assert complete
        _, calls, _ = parsed(HERMES, b"".join(map(vocab.piece, tokens)))
        assert [(finished.name, finished.arguments) for finished in calls] == [(name, "{}")]


def test_tools_that_are_not_there(vocab: Vocabulary) -> None:
    with pytest.raises(InvalidToolChoice, match="no tools"):
        turn_grammar(vocab, HERMES, [], tool_choice="required")
    with pytest.raises(InvalidToolChoice, match="'other'"):
        turn_grammar(vocab, HERMES, [GET], tool_choice=NamedFunction("other"))


@pytest.mark.parametrize("schema", [{"type": "string"}, {"type": ["object", "null"]}, {"uniqueItems": True}, [], 1])
def test_a_bad_schema_names_its_function(vocab: Vocabulary, schema: Any) -> None:
    with pytest.raises(InvalidGrammar, match="'calc'"):
        turn_grammar(vocab, HERMES, [FunctionTool("calc", schema, strict=True)])
    if isinstance(schema, dict):
        assert turn_grammar(vocab, HERMES, [FunctionTool("calc", schema)]) is None


def test_a_text_schema_says_that_it_is_the_bad_one(vocab: Vocabulary) -> None:
    with pytest.raises(InvalidGrammar, match="text"):
        turn_grammar(vocab, HERMES, [], text_schema={"not": {}})
