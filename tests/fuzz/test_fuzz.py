"""The fuzzers' seeds, played, and as much fuzzing as a few seconds give. ``run.py`` does more of it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import corpus
import pytest
from hypothesis import given, settings
from scene import decode, play
from strategies import SCRIPTS

pytestmark = pytest.mark.requirement("error-lives", "error-shape", "bad-json", "binary-refused", "unknown-type")


@pytest.mark.parametrize("file", sorted(corpus.FOLDER.iterdir()), ids=lambda file: file.stem)
def test_a_seed(file: Path) -> None:
    data = file.read_bytes()
    scene = play(data)
    assert scene.num_handled + scene.num_errors + scene.num_ignored == sum(
        line[:1] not in (b"!", b"") for line in data.split(b"\n")
    )
    for line in data.split(b"\n"):
        decode(line)


def test_the_seeds_are_those_of_the_script() -> None:
    written = {file.stem: file.read_bytes() for file in corpus.FOLDER.iterdir()}
    expected = {name: "\n".join(lines).encode("utf-8", "surrogatepass") for name, lines in corpus.SEEDS.items()}
    assert written == expected


@settings(max_examples=150, deadline=None)
@given(SCRIPTS)
def test_any_script(data: bytes) -> None:
    play(data)
    decode(data)


def test_a_bounded_run() -> None:
    run = subprocess.run(
        [sys.executable, Path(__file__).parent / "run.py", "--seconds", "1"], capture_output=True, text=True, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr
