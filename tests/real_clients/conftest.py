"""The libraries that people use, unmodified, against ``caesura serve`` with the demo model. Loopback only."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from local_tools import LocalTools
from openai import OpenAI

SECONDS = 30.0
"""Bound on every wait."""


@pytest.fixture(scope="session")
def client(served: Any) -> Iterator[OpenAI]:
    with OpenAI(base_url=served.url, api_key="sk-none", timeout=SECONDS, max_retries=0) as client:
        yield client


@pytest.fixture(scope="session")
def model(served: Any) -> str:
    return str(served.model)


@pytest.fixture
def tools() -> LocalTools:
    return LocalTools.calculator()


@pytest.fixture
def repair(tmp_path: Path) -> LocalTools:
    return LocalTools.repair(tmp_path / "repository")
