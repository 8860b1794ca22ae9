"""Which format a model's file calls for, by name or by what is found in it."""

from __future__ import annotations

from pathlib import Path

import pytest
from caesura.sampler.errors import UnknownToolFormat
from caesura.sampler.formats import FORMATS, detect_format, named_format
from caesura.sampler.formats.harmony import HarmonyParser
from caesura.sampler.model import Model, load_model
from caesura.sampler.tool_format import Reasoning
from families import load_family
from parsing import Turn, turn_of

EXPECTED = {
    "qwen3": "qwen3",
    "always_thinking": "qwen3",
    "llama3": "llama3",
    "mistral": "mistral",
    "mistral_v11": "mistral-v11",
    "harmony": "harmony",
}


def test_each_family_is_detected(family: Model) -> None:
    assert family.tool_format is FORMATS[EXPECTED[family.name]]
    assert family.chat_template.tool_format is family.tool_format


def test_the_demo_model_is_hermes(model: Model) -> None:
    assert model.tool_format is FORMATS["hermes"]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("plain {{ messages }}", "hermes"),
        ("plain <think>", "qwen3"),
        ("<tool_call>", "hermes"),
        ("<tool_call> <think>", "qwen3"),
        ("<|start_header_id|> <tool_call>", "hermes"),
        ("<|start_header_id|>", "llama3"),
        ("<|python_tag|>", "llama3"),
        ("[TOOL_CALLS]", "mistral"),
        ("[TOOL_CALLS] [ARGS]", "mistral-v11"),
        ("<|channel|> <|message|>", "harmony"),
    ],
)
def test_the_template_decides(model: Model, source: str, expected: str) -> None:
    assert detect_format(source, model.vocab).name == expected


def test_the_vocabulary_decides_where_the_template_writes_no_calls(family: Model) -> None:
    expected = {"mistral": "mistral", "mistral_v11": "mistral-v11"}.get(family.name, "hermes")
    assert detect_format("{{ messages }}", family.vocab).name == expected


def test_a_name_overrides(demo_model_path: Path) -> None:
    model = load_model(demo_model_path, vocab_only=True, tool_format="harmony")
    assert model.tool_format is FORMATS["harmony"]
    assert isinstance(model.turn_parser(), HarmonyParser)


def test_an_unknown_name_lists_the_known_ones(demo_model_path: Path) -> None:
    with pytest.raises(UnknownToolFormat, match="hermes, qwen3, llama3, mistral, mistral-v11, harmony"):
        load_model(demo_model_path, tool_format="gpt")
    assert named_format("hermes") is FORMATS["hermes"]


@pytest.mark.parametrize(
    ("prompt", "is_open"),
    [
        ("<|im_start|>assistant\n", False),
        ("<|im_start|>assistant\n<think>\n", True),
        ("<|im_start|>assistant\n<think>", True),
        ("<|im_start|>assistant\n<think>\n\n</think>\n\n", False),
        ("", False),
    ],
)
def test_whether_a_prompt_begins_the_thought(prompt: str, is_open: bool) -> None:
    assert Reasoning("<think>\n", "</think>\n\n").is_open(prompt) is is_open
    assert FORMATS["qwen3"].begins_in_reasoning(prompt) is is_open
    assert not FORMATS["hermes"].begins_in_reasoning(prompt)


def test_a_turn_after_a_prompt_that_thinks_begins_with_the_thought(tmp_path: Path) -> None:
    model = load_family("always_thinking", tmp_path)
    assert model.chat_template.generation_prompt.endswith("<think>\n")
    assert turn_of(model.turn_parser(), "Hm.\n</think>\n\nHi.") == Turn("Hi.", [], "Hm.")


def test_what_the_syntax_makes_is_what_the_parser_reads(family: Model) -> None:
    """Constrained decoding and parsing are two sides of one format."""
    tool_format = family.tool_format
    syntax = tool_format.syntax
    count = 2 if syntax.parallel else 1
    call = syntax.before_name + "f" + syntax.before_arguments + '{"a": 1}' + syntax.after_arguments
    source = syntax.begin + syntax.separator.join([call] * count) + syntax.end
    expected = [("f", '{"a": 1}', True)] * count
    assert turn_of(tool_format.parser(False), source) == Turn("", expected)
    assert turn_of(tool_format.parser(False), tool_format.text_begin + "Hi.") == Turn("Hi.")
    if tool_format.reasoning:
        thought = tool_format.reasoning.begin + "Hm." + tool_format.reasoning.end
        assert turn_of(tool_format.parser(False), thought + source) == Turn("", expected, "Hm.")
        assert turn_of(tool_format.parser(False), thought + tool_format.text_begin + "Hi.") == Turn("Hi.", [], "Hm.")
