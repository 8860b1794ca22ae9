"""Model files: what loads, and one clear error for what doesn't."""

from __future__ import annotations

import struct
import subprocess
import sys
from pathlib import Path

import caesura.sampler.model as model_module
import pytest
from caesura.sampler.errors import ModelLoadFailed, ModelNotFound, ModelWithoutChatTemplate
from caesura.sampler.model import Model, load_model, model_path


def test_what_a_model_knows(model: Model) -> None:
    assert model.name
    assert model.context_train >= 512
    assert model.context_length == model.context_train
    assert 0 <= model.default_temperature <= 100
    assert model.stop_tokens
    assert model.llama.parameters > 100_000


def test_vocab_only_is_enough_for_tokens(demo_model_path: Path, model: Model) -> None:
    small = load_model(demo_model_path, vocab_only=True, context_length=100)
    assert small.context_train == model.context_train
    assert small.context_length == 100
    messages = [{"role": "user", "content": "Hello."}]
    assert small.chat_template.encode_prompt(messages) == model.chat_template.encode_prompt(messages)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(ModelNotFound, match="no model file at"):
        load_model(tmp_path / "none.gguf")
    with pytest.raises(ModelNotFound, match="can't read"):
        load_model(tmp_path)
    with pytest.raises(ModelNotFound):
        load_model("a\0b")


@pytest.mark.parametrize("content", [b"", b"GGUF", b"PK\x03\x04" + bytes(100)])
def test_no_gguf(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(content)
    with pytest.raises(ModelNotFound, match="not a GGUF"):
        load_model(file)


def test_a_broken_gguf(tmp_path: Path, demo_model_path: Path) -> None:
    file = tmp_path / "model.gguf"
    file.write_bytes(demo_model_path.read_bytes()[:100_000])
    with pytest.raises(ModelLoadFailed, match="can't load"):
        load_model(file)
    file.write_bytes(b"GGUF" + b"\xff" * 1000)
    with pytest.raises(ModelLoadFailed):
        load_model(file)


def test_a_truncated_gguf(tmp_path: Path, demo_model_path: Path) -> None:
    data = demo_model_path.read_bytes()
    for size in (24, 1000, 20_000, len(data) // 2, len(data) - 1):
        file = tmp_path / f"{size}.gguf"
        file.write_bytes(data[:size])
        with pytest.raises(ModelLoadFailed):
            load_model(file)


@pytest.mark.parametrize("at", [8, 16, 24])
@pytest.mark.parametrize("value", [2**30, 2**33, 2**60, 2**64 - 1])
def test_an_absurd_count(tmp_path: Path, demo_model_path: Path, at: int, value: int) -> None:
    """Of tensors, of metadata, of characters in the first key."""
    data = bytearray(demo_model_path.read_bytes())
    data[at : at + 8] = struct.pack("<Q", value)
    file = tmp_path / "model.gguf"
    file.write_bytes(data)
    with pytest.raises(ModelLoadFailed):
        load_model(file)


@pytest.mark.parametrize("layers", [0, 513, 2**20, 2**32 - 1])
def test_layers_out_of_range(tmp_path: Path, demo_model_path: Path, layers: int) -> None:
    """llama.cpp would abort the process on these."""
    data = bytearray(demo_model_path.read_bytes())
    key = b"qwen2.block_count"
    at = data.index(key) + len(key) + 4
    data[at : at + 4] = struct.pack("<I", layers)
    file = tmp_path / "model.gguf"
    file.write_bytes(data)
    with pytest.raises(ModelLoadFailed, match=f"{layers} layers"):
        load_model(file)


@pytest.mark.parametrize("replacement", [b"<|im_start|>", b"a\0xxxxxxxx"])
def test_a_token_twice(tmp_path: Path, demo_model_path: Path, replacement: bytes) -> None:
    """So would it on these: to it, a text ends at a NUL."""
    data = demo_model_path.read_bytes()
    token = b"<|im_end|>" if len(replacement) == 10 else b"</tool_call>"
    stored = struct.pack("<Q", len(token)) + token
    assert data.count(stored) == 1
    file = tmp_path / "model.gguf"
    file.write_bytes(data.replace(stored, struct.pack("<Q", len(token)) + replacement))
    with pytest.raises(ModelLoadFailed, match="twice"):
        load_model(file)


def test_a_file_rewritten_under_a_loaded_model(tmp_path: Path, demo_model_path: Path) -> None:
    """In a process of its own, since what it guards against is a fatal signal."""
    file = tmp_path / "model.gguf"
    file.write_bytes(demo_model_path.read_bytes())
    code = """
import asyncio, os, sys
from caesura.sampler import LlamaEngine, SamplingParams, load_model
model = load_model(sys.argv[1])
os.truncate(sys.argv[1], 0)
async def main():
    engine = LlamaEngine(model, context_length=256, sequences=1)
    sequence = await engine.open([1, 2, 3])
    async for _ in sequence.sample(SamplingParams(temperature=0, max_tokens=3)):
        pass
    await engine.close()
asyncio.run(main())
"""
    subprocess.run([sys.executable, "-c", code, str(file)], check=True, timeout=60)


def test_without_a_chat_template(tmp_path: Path, demo_model_path: Path) -> None:
    data = demo_model_path.read_bytes()
    key = b"tokenizer.chat_template"
    assert data.count(key) == 1
    file = tmp_path / "model.gguf"
    file.write_bytes(data.replace(key, b"tokenizer.chat_templatX"))
    with pytest.raises(ModelWithoutChatTemplate, match="instruction-tuned"):
        load_model(file)


def test_demo_that_is_not_packaged(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(model_module, "_DEMO_FILE", tmp_path / "demo.gguf")
    with pytest.raises(ModelNotFound, match="make model"):
        model_path("demo")


@pytest.mark.parametrize(
    ("value", "expected"), [(None, 1.0), ("0.7", 0.7), ("0", 0.0), ("nan", 1.0), ("-1", 1.0), ("hot", 1.0)]
)
def test_default_temperature(value: str | None, expected: float) -> None:
    assert model_module._temperature(value) == expected


def test_importing_the_package_is_light() -> None:
    code = "import caesura.sampler, sys; assert not {'llama_cpp', 'numpy', 'jinja2'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
