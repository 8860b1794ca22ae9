"""What is told of the machine, and what is not."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path

import pytest
from caesura.client.bench.environment import PACKAGES, environment, git_state, model_file


def test_it_is_json_and_names_what_matters(demo_model_path: Path) -> None:
    facts = environment(demo_model_path)
    assert json.loads(json.dumps(facts)) == facts
    assert facts["cores"] == os.cpu_count()
    assert facts["cpu"]
    assert facts["memory_bytes"] > 1 << 28
    assert len(facts["load_average"]) == 3
    assert set(facts["versions"]) == set(PACKAGES)
    assert facts["versions"]["caesura"]


def test_no_host_and_no_path_is_told(demo_model_path: Path) -> None:
    text = json.dumps(environment(demo_model_path))
    assert platform.node() not in text.split('"')
    assert str(demo_model_path.parent) not in text
    assert str(Path.home()) not in text


def test_a_model(demo_model_path: Path) -> None:
    facts = model_file(demo_model_path)
    assert facts["file"] == demo_model_path.name
    assert facts["bytes"] == demo_model_path.stat().st_size
    assert facts["parameters"] > 1_000_000
    assert facts["quantization"]


@pytest.mark.parametrize("content", [b"", b"GGUF", b"no model at all"])
def test_what_is_no_model(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.gguf"
    path.write_bytes(content)
    assert model_file(path) == {"file": "x.gguf", "bytes": len(content), "parameters": None, "quantization": None}
    assert model_file(tmp_path / "none.gguf")["bytes"] is None


def test_the_commit_of_a_package(tmp_path: Path) -> None:
    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b.c", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    git("init")
    assert git_state(package) is None  # it is no file of the repository
    git("add", ".")
    git("commit", "-m", "one")
    assert git_state(package) == {"commit": git("rev-parse", "HEAD"), "dirty": False}
    (package / "__init__.py").write_text("changed = True")
    assert git_state(package) == {"commit": git("rev-parse", "HEAD"), "dirty": True}


def test_no_git(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert git_state(tmp_path) is None
    monkeypatch.setenv("PATH", str(tmp_path))
    assert git_state() is None
