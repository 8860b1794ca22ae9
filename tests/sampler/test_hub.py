"""Models of the Hugging Face Hub, without a network: which file is meant, what is fetched, what errors say."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import huggingface_hub
import pytest
from caesura.sampler.errors import ModelDownloadFailed, ModelNotFound
from caesura.sampler.hub import Reference, choose, is_reference, model_file, parse_reference
from caesura.sampler.model import load_model
from huggingface_hub import errors

REPO = "owner/model-GGUF"
SPLIT = [f"big-Q8_0-0000{part}-of-00003.gguf" for part in (1, 2, 3)]


def test_references() -> None:
    assert is_reference("hf:owner/repo")
    assert not is_reference("demo")
    assert not is_reference(Path("hf:owner/repo"))
    assert parse_reference("hf:owner/repo") == Reference("owner/repo", "")
    assert parse_reference("hf:owner/repo:folder/a.gguf") == Reference("owner/repo", "folder/a.gguf")


@pytest.mark.parametrize("text", ["hf:", "hf:repo", "hf:a/b/c", "hf:a b/c", "hf:../..:x", "hf:é/x", "hf:a/\0"])
def test_a_malformed_reference(text: str) -> None:
    with pytest.raises(ModelNotFound, match="hf:OWNER/REPO"):
        parse_reference(text)


@pytest.mark.parametrize(
    ("names", "file", "expected"),
    [
        (["README.md", "a.gguf"], "", ["a.gguf"]),
        (["a-Q8_0.gguf", "a-Q4_K_M.gguf", "a-f16.gguf"], "", ["a-Q4_K_M.gguf"]),
        (["a-q8_0.gguf", "a-q4_k_m.gguf"], "", ["a-q4_k_m.gguf"]),
        (["a.gguf", "mmproj-a-f16.gguf", "a.imatrix.gguf"], "", ["a.gguf"]),
        (["a-Q8_0.gguf", "a-f16.gguf"], "Q8_0", ["a-Q8_0.gguf"]),
        (["a-Q8_0.gguf", "a-f16.gguf"], "q8_0", ["a-Q8_0.gguf"]),
        (["a.gguf", "a.gguf.part"], "a.gguf", ["a.gguf"]),
        (["x/a.gguf", "y/a.gguf"], "y/a.gguf", ["y/a.gguf"]),
        (SPLIT[::-1], "", SPLIT),
        ([*SPLIT, "big-Q4_K_M.gguf"], "Q8_0", SPLIT),
        ([*SPLIT, "big-Q4_K_M.gguf"], SPLIT[1], SPLIT),
    ],
)
def test_which_file_is_meant(names: list[str], file: str, expected: list[str]) -> None:
    assert choose(Reference(REPO, file), names) == expected


@pytest.mark.parametrize(
    ("names", "file", "message"),
    [
        (["README.md", "model.safetensors"], "", "no GGUF file"),
        (["a-Q8_0.gguf", "a-f16.gguf"], "", "several models: add one as .*a-Q8_0.gguf, a-f16.gguf"),
        (["a-Q4_K_M.gguf", "b-Q4_K_M.gguf", "c.gguf"], "", "has a-Q4_K_M.gguf, b-Q4_K_M.gguf$"),
        (["a-Q8_0.gguf", "b-Q8_0.gguf"], "Q8_0", "'Q8_0' fits several"),
        (["a-Q8_0.gguf"], "Q2_K", "no model file 'Q2_K': it has a-Q8_0.gguf"),
        (SPLIT[:2], "", "only 2 of the 3 parts"),
        ([f"{number}.gguf" for number in range(30)], "", "and 10 more"),
    ],
)
def test_no_file_or_too_many(names: list[str], file: str, message: str) -> None:
    with pytest.raises(ModelNotFound, match=message):
        choose(Reference(REPO, file), names)


@pytest.fixture
def repository(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[list[str]], list[str]]:
    """A Hub of one repository: give its files, get the list of those that are downloaded."""

    def serve(names: list[str]) -> list[str]:
        fetched: list[str] = []

        def download(repo: str, name: str) -> str:
            assert repo == REPO
            fetched.append(name)
            return str(tmp_path / name)

        monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, repo: names)
        monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
        return fetched

    return serve


def test_all_parts_are_fetched_and_the_first_is_loaded(
    repository: Callable[[list[str]], list[str]], tmp_path: Path
) -> None:
    fetched = repository([*SPLIT, "README.md"])
    assert model_file(f"hf:{REPO}") == tmp_path / SPLIT[0]
    assert fetched == SPLIT


RESPONSE: Any = SimpleNamespace(headers={}, request=None)


@pytest.mark.parametrize(
    ("error", "expected", "message"),
    [
        (errors.GatedRepoError("gated", response=RESPONSE), ModelDownloadFailed, "gated: accept its terms.*HF_TOKEN"),
        (errors.RepositoryNotFoundError("404", response=RESPONSE), ModelNotFound, "no repository owner/model-GGUF"),
        (errors.HfHubHTTPError("500 Server Error\nmore", response=RESPONSE), ModelDownloadFailed, "500 Server Error$"),
    ],
)
def test_what_the_hub_refuses(
    monkeypatch: pytest.MonkeyPatch, error: Exception, expected: type[Exception], message: str
) -> None:
    def fail(self: Any, repo: str) -> list[str]:
        raise error

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", fail)
    with pytest.raises(expected, match=message):
        load_model(f"hf:{REPO}")


def test_a_full_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(repo: str, name: str) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", lambda self, repo: ["a.gguf"])
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", fail)
    with pytest.raises(ModelDownloadFailed, match="No space left"):
        model_file(f"hf:{REPO}")


OFFLINE = """
import sys
from caesura.sampler import load_model
from caesura.sampler.errors import SamplerError
try:
    model = load_model(sys.argv[1], vocab_only=True)
    print(model.path, model.vocab.size)
except SamplerError as error:
    print(type(error).__name__, error)
"""


def offline(home: Path, reference: str) -> str:
    """What loading says in a process of its own, since huggingface_hub reads its environment when it is imported."""
    environment = {**os.environ, "HF_HOME": str(home), "HF_HUB_OFFLINE": "1", "HF_HUB_CACHE": str(home / "hub")}
    done = subprocess.run(
        [sys.executable, "-c", OFFLINE, reference],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return done.stdout.strip()


def test_offline_the_cache_serves(tmp_path: Path, demo_model_path: Path, model: Any) -> None:
    """The cache as huggingface_hub lays it out: blobs, and a snapshot of links to them by commit."""
    commit = "0123456789abcdef0123456789abcdef01234567"
    folder = tmp_path / "hub" / "models--owner--model-GGUF"
    snapshot = folder / "snapshots" / commit
    for each in (folder / "blobs", folder / "refs", snapshot):
        each.mkdir(parents=True)
    (folder / "refs" / "main").write_text(commit)
    (folder / "blobs" / "abc").write_bytes(demo_model_path.read_bytes())
    (snapshot / "demo-Q4_K_M.gguf").symlink_to(folder / "blobs" / "abc")
    assert offline(tmp_path, f"hf:{REPO}") == f"{snapshot / 'demo-Q4_K_M.gguf'} {model.vocab.size}"
    assert offline(tmp_path, f"hf:{REPO}:Q4_K_M").endswith(str(model.vocab.size))
    assert offline(tmp_path, f"hf:{REPO}:Q8_0").startswith("ModelNotFound owner/model-GGUF has no model file 'Q8_0'")
    assert "no file of owner/other is in the cache" in offline(tmp_path, "hf:owner/other")


def test_offline_without_a_cache(tmp_path: Path) -> None:
    assert offline(tmp_path / "none", f"hf:{REPO}").startswith(
        "ModelDownloadFailed the Hugging Face Hub can't be reached"
    )


def test_a_broken_connection_is_like_being_offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, repo: str) -> list[str]:
        raise RuntimeError("connection reset\nby peer")

    monkeypatch.setattr(huggingface_hub.HfApi, "list_repo_files", fail)
    monkeypatch.setattr("caesura.sampler.hub._cached_files", lambda reference: {})
    with pytest.raises(ModelDownloadFailed, match=r"can't be reached \(connection reset\)"):
        model_file(f"hf:{REPO}")
