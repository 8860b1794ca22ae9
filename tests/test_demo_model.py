import hashlib
import json
import random
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from caesura.sampler.train import data
from caesura.sampler.train.conversation import Words
from caesura.sampler.train.template import chat_template, render
from caesura.sampler.train.tokenizer import CONTROL, USER_DEFINED, VOCABULARY_SIZE, load_tokenizer
from hypothesis import given
from hypothesis import strategies as st

FROZEN = {
    "tokenizer.json": "69709fa8449d5b5cbf8d738deaee001381bab668389f063f2bab8a42389b7211",
    "words.txt": "119c8956f5dee6efef326af47fe1d943eb6c4571cb74073c35944b6488d15695",
}
KINDS = list(data.HELD_OUT_FAMILIES)
MODEL = Path(str(files("caesura.sampler.models"))) / "demo.gguf"


def _conversation(kind: str, seed: int, held_out: bool = False) -> dict[str, Any]:
    return data.make_conversation(kind, random.Random(seed), held_out).as_dict()


@pytest.mark.parametrize(("name", "digest"), FROZEN.items())
def test_frozen_files_are_unchanged(name: str, digest: str) -> None:
    """Another vocabulary would need another training run."""
    assert hashlib.sha256((files("caesura.sampler.train") / name).read_bytes()).hexdigest() == digest


def test_every_token_has_its_own_id() -> None:
    tokenizer = load_tokenizer()
    assert len(tokenizer.ids) == len(tokenizer.tokens) == VOCABULARY_SIZE
    assert tokenizer.tokens[-9:] == [*USER_DEFINED, *CONTROL]


@given(st.text() | st.text(alphabet="abz_ \n\r\t\"'{}[]:,.<>|/\\019é日"))
def test_decoding_gives_the_text_back(text: str) -> None:
    tokenizer = load_tokenizer()
    assert tokenizer.decode(tokenizer.encode(text)) == text


@pytest.mark.parametrize("word", ["lantern", "return", "zunwaldo"])
def test_a_word_is_the_same_tokens_wherever_it_stands(word: str) -> None:
    tokenizer = load_tokenizer()
    alone = tokenizer.encode(word)
    for before, after in [(" ", ""), ('"', '"'), ("_", "("), ("\\n", ""), ("[", "]"), (' "', '",')]:
        ids = tokenizer.encode(before + word + after)
        assert any(ids[start : start + len(alone)] == alone for start in range(len(ids)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_template_only_appends(kind: str) -> None:
    conversation = _conversation(kind, 1)
    messages, tools = conversation["messages"], conversation["tools"]
    whole = render(messages, tools)
    for count in range(1, len(messages)):
        if messages[count]["role"] != "tool":
            assert whole.startswith(render(messages[:count], tools))
        if messages[count]["role"] == "assistant":
            assert whole.startswith(render(messages[:count], tools, generation_prompt=True))


def test_calls_and_results_have_the_hermes_form() -> None:
    function = {"name": "add", "arguments": {"a": 1}}
    messages = [
        {"role": "developer", "content": "Be brief."},
        {"role": "user", "content": [{"type": "text", "text": "1 + 1"}]},
        {
            "role": "assistant",
            "content": "So:",
            "tool_calls": [{"function": function}, {"function": function | {"arguments": "{}"}}],
        },
        {"role": "tool", "content": "2"},
        {"role": "tool", "content": "3"},
    ]
    assert render(messages, [], generation_prompt=True) == (
        "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1 + 1<|im_end|>\n<|im_start|>assistant\nSo:\n"
        '<tool_call>\n{"name": "add", "arguments": {"a": 1}}\n</tool_call>\n'
        '<tool_call>\n{"name": "add", "arguments": {}}\n</tool_call><|im_end|>\n'
        "<|im_start|>user\n<tool_response>\n2\n</tool_response>\n<tool_response>\n3\n</tool_response><|im_end|>\n"
        "<|im_start|>assistant\n"
    )


@pytest.mark.parametrize("kind", [*KINDS, "copy"])
def test_the_loss_counts_assistant_turns_only(kind: str) -> None:
    tokenizer = load_tokenizer()
    conversation = _conversation(kind, 2)
    conversation["messages"][-1]["train"] = False
    ids, mask = data.encode(tokenizer, conversation)
    trained = tokenizer.decode(int(token) for token in ids[mask])
    spoken = [
        message for message in conversation["messages"] if message["role"] == "assistant" and message.get("train", True)
    ]
    expected = "".join(
        render([message]).removeprefix("<|im_start|>assistant\n").removesuffix("\n") for message in spoken
    )
    assert trained == expected


def test_held_out_words_are_never_trained_on() -> None:
    held_out = {Words(random.Random(seed), True).word() for seed in range(400)}
    trained = {Words(random.Random(seed), False).word() for seed in range(4000)}
    assert len(held_out) > 100
    assert not held_out & trained


def test_data_depends_on_the_index_alone(tmp_path: Path) -> None:
    episodes = tmp_path / "episodes.jsonl"
    line = json.dumps(
        {
            "family": "code_fix",
            "tools": [],
            "messages": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}],
        }
    )
    episodes.write_text((line + "\n") * 40)
    assert list(data.conversations(episodes, 40)) == list(data.conversations(episodes, 60))[:40]
    with pytest.raises(ValueError, match="too few episodes"):
        list(data.conversations(episodes, 400))


def test_shards_hold_what_was_encoded(tmp_path: Path) -> None:
    episodes = tmp_path / "episodes.jsonl"
    episodes.write_text((json.dumps(_conversation("chat", 3)) + "\n") * 40)
    data.write_shards(episodes, tmp_path / "shards", 30, size=20)
    samples = data.read_shard(tmp_path / "shards" / "0000.npz") + data.read_shard(tmp_path / "shards" / "0001.npz")
    encoded = [data.encode(load_tokenizer(), conversation) for conversation in data.conversations(episodes, 30)]
    short = [sample for sample in encoded if len(sample[0]) <= data.MAX_LENGTH]
    assert [ids.tolist() for ids, _ in samples] == [ids.tolist() for ids, _ in short]
    assert [mask.tolist() for _, mask in samples] == [mask.tolist() for _, mask in short]


@pytest.fixture(scope="module")
def greedy() -> Any:
    from caesura.sampler.train.engine import Greedy

    return Greedy(MODEL)


@pytest.mark.parametrize("kind", KINDS)
def test_llama_cpp_tokenizes_like_the_trainer(greedy: Any, kind: str) -> None:
    for seed in range(5):
        conversation = _conversation(kind, seed, held_out=True)
        text = render(conversation["messages"], conversation["tools"], generation_prompt=True)
        assert greedy.tokenize(text) == load_tokenizer().encode(text)


@given(st.text(alphabet=st.characters(codec="ascii")))
def test_llama_cpp_tokenizes_any_ascii_like_the_trainer(greedy: Any, text: str) -> None:
    if text:
        assert greedy.tokenize(text) == load_tokenizer().encode(text)


def test_the_shipped_model_does_arithmetic_with_its_tool(greedy: Any) -> None:
    from caesura.sampler.train.evaluate import score

    right = total = 0
    for seed in range(6):
        result = score(greedy, _conversation("calculator", 1000 + seed, held_out=True), [])
        right, total = right + result["right calls"], total + result["calls"]
    assert right / total > 0.8


def test_the_shipped_model_is_small_and_has_the_template() -> None:
    assert MODEL.stat().st_size < 8_000_000
    assert chat_template().encode() in MODEL.read_bytes()
