"""The project's own server in a process of its own, on a model that is small enough to be no matter."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from caesura.sampler.random_model import SHAPES, write_random_model

MODEL = "random-tiny"


def tiny_model(directory: Path) -> Path:
    return write_random_model(directory / "tiny.gguf", SHAPES["tiny"])


@contextmanager
def serving(model: Path, limits: Mapping[str, float]) -> Iterator[str]:
    """Its address; it follows scripts, and has these limits."""
    options = [each for name, value in limits.items() for each in ("--limit", f"{name}={value}")]
    command = [sys.executable, "-m", "caesura.runtime", "serve", "--scripted", "--port", "0", "--ctx", "4096"]
    with subprocess.Popen([*command, "--model", str(model), *options], stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().split()[-1].replace("http", "ws") + "/v1/responses"
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0
