"""Fixtures that several folders share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def demo_model_path() -> Path:
    """The packaged demo model, or the GGUF that CAESURA_TEST_MODEL names. Without either the tests fail."""
    named = os.environ.get("CAESURA_TEST_MODEL")
    path = Path(named) if named else Path(__file__).parents[1] / "sampler" / "models" / "demo.gguf"
    assert path.is_file(), f"no model at {path}: `make model` makes the packaged one"
    return path
