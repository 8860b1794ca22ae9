"""`random:SHAPE[:QUANTIZATION[:ARCHITECTURE]]`."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from caesura.sampler.errors import ModelNotFound
from caesura.sampler.model import load_model, model_path


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("random:tiny", "tiny-f16-qwen2.gguf"),
        ("random:tiny:q8_0", "tiny-q8_0-qwen2.gguf"),
        ("random:tiny:q8_0:mamba", "tiny-q8_0-mamba.gguf"),
    ],
)
def test_it_is_made_and_loads(name: str, file: str, cache: Path) -> None:
    model = load_model(name)
    assert model.path.name == file
    assert model.path.is_relative_to(cache)
    assert model.name == f"random-{model.path.stem}"
    assert model.llama.parameters > 100_000


def test_the_same_name_is_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = model_path("random:tiny")
    made = first.stat().st_mtime_ns
    assert model_path("random:tiny") == first
    assert first.stat().st_mtime_ns == made, "it was made once"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "another"))
    second = model_path("random:tiny")
    assert second != first
    assert second.read_bytes() == first.read_bytes()


def test_several_processes_at_once(cache: Path) -> None:
    command = [sys.executable, "-c", "from caesura.sampler.model import model_path; print(model_path('random:tiny'))"]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    (path,) = {process.communicate(timeout=60)[0].strip() for process in processes}
    assert [file.name for file in Path(path).parent.iterdir()] == ["tiny-f16-qwen2.gguf"]
    assert load_model(path).name == "random-tiny-f16-qwen2"


@pytest.mark.parametrize(
    ("name", "choices"),
    [
        ("random:", "135m"),
        ("random:huge", "135m"),
        ("random:tiny:q2", "q8_0"),
        ("random:tiny:f16:gpt", "mamba"),
        ("random:tiny:f16:qwen2:x", "random:SHAPE"),
        ("random:../tiny", "135m"),
    ],
)
def test_names_of_nothing(name: str, choices: str) -> None:
    with pytest.raises(ModelNotFound, match=choices):
        load_model(name)


def test_a_cache_that_cant_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(ModelNotFound, match="XDG_CACHE_HOME"):
        load_model("random:tiny")
