"""Fixtures that several folders share."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def demo_model_path() -> Path:
    """The packaged demo model, or the GGUF that CAESURA_TEST_MODEL names. Without either the tests fail."""
    named = os.environ.get("CAESURA_TEST_MODEL")
    path = Path(named) if named else Path(__file__).parents[1] / "sampler" / "models" / "demo.gguf"
    assert path.is_file(), f"no model at {path}: `make model` makes the packaged one"
    return path


@pytest.fixture(scope="session", autouse=True)
def _own_data_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Servers store Responses in the user's data folder if nobody says otherwise: not while they are tested."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_DATA_HOME", str(tmp_path_factory.mktemp("data")))
        yield


@dataclass(frozen=True)
class Served:
    """A running ``caesura serve``: ``url`` ends in ``/v1``, ``model`` is the one that it serves."""

    url: str
    model: str


@pytest.fixture(scope="session")
def served(demo_model_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """The demo model behind ``caesura serve``, in a process of its own on a free port, with a store."""
    store = tmp_path_factory.mktemp("served") / "responses.db"
    command = [sys.executable, "-m", "caesura.runtime", "serve", "--port", "0", "--sequences", "4"]
    command += ["--model", str(demo_model_path), "--store", str(store)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            assert words[:2] == ["caesura:", "serving"], words
            yield Served(url=f"{words[-1]}/v1", model=words[2])
        finally:
            process.terminate()
    assert process.returncode == 0
