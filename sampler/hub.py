"""Models of the Hugging Face Hub: `hf:OWNER/REPO[:FILE]` to a file in the local cache.

FILE is the name of a GGUF in the repository, or a part of it that only one has, such as a quantisation (`Q8_0`).
Without it, the only model of the repository is meant, or of several the one in Q4_K_M: of the common quantisations the
smallest that costs little quality. Where that leaves a choice, the error lists the files.

The network is asked first, so that a changed repository is noticed. Without it, what is in the cache serves.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from .errors import ModelDownloadFailed, ModelNotFound

PREFIX = "hf:"
PREFERRED = "Q4_K_M"
_PART = re.compile(r"^(?P<stem>.*)-(?P<part>\d{5})-of-(?P<parts>\d{5})\.gguf$", re.IGNORECASE)
_NO_MODEL = re.compile(r"(^|[-_./])(mmproj|imatrix)([-_.]|$)", re.IGNORECASE)
_LISTED = 20


@dataclass(frozen=True, slots=True)
class Reference:
    """A parsed `hf:` reference; `file` is empty if none was named."""

    repo: str
    file: str


def is_reference(name: str | Path) -> bool:
    return isinstance(name, str) and name.startswith(PREFIX)


def parse_reference(text: str) -> Reference:
    """Raises ModelNotFound if it isn't of the form `hf:OWNER/REPO[:FILE]`."""
    repo, _, file = text.removeprefix(PREFIX).partition(":")
    if not re.fullmatch(r"\w[\w.-]*/\w[\w.-]*", repo, re.ASCII):
        raise ModelNotFound(f"{text} names no repository: write hf:OWNER/REPO or hf:OWNER/REPO:FILE")
    return Reference(repo, file)


def model_file(text: str) -> Path:
    """The local file of a reference, downloaded if need be, with a progress bar on stderr. Of a model in several parts,
    all are fetched and the first is returned: llama.cpp finds the others next to it.

    Raises ModelNotFound (no such repository or file), ModelDownloadFailed (gated, offline, no room).
    """
    import huggingface_hub as hub

    reference = parse_reference(text)
    with _errors_of_the_hub(reference):
        try:
            names = hub.HfApi().list_repo_files(reference.repo)
        except (hub.errors.HfHubHTTPError, hub.errors.HFValidationError):
            raise  # the Hub has answered
        # Which errors a connection ends in is the HTTP library's business, and that has changed with the releases.
        except Exception as error:
            cached = _cached_files(reference)
            if not cached:
                raise ModelDownloadFailed(
                    f"the Hugging Face Hub can't be reached ({_reason(error)}), and no file of {reference.repo} is in "
                    "the cache: connect to the network, or give the path of a GGUF file"
                ) from error
            return cached[choose(reference, list(cached))[0]]
        files = [hub.hf_hub_download(reference.repo, part) for part in choose(reference, names)]
        return Path(files[0])


def _cached_files(reference: Reference) -> dict[str, Path]:
    """The repository's files in the local cache, by name: those of its main branch as it was last seen."""
    import huggingface_hub as hub

    try:
        repos = hub.scan_cache_dir().repos
    except hub.CacheNotFound:
        return {}
    revisions = [each for repo in repos if repo.repo_id == reference.repo for each in repo.revisions]
    if not revisions:
        return {}
    latest = max(revisions, key=lambda each: ("main" in each.refs, each.last_modified))
    return {file.file_path.relative_to(latest.snapshot_path).as_posix(): file.file_path for file in latest.files}


def choose(reference: Reference, names: Sequence[str]) -> list[str]:
    """The files to fetch for a reference: one, or all parts of a split model in their order. The module's docstring has
    the rule. Raises ModelNotFound."""
    models = _models(names)
    if not models:
        raise ModelNotFound(f"{reference.repo} holds no GGUF file: choose a repository whose name ends in -GGUF")
    if reference.file:
        wanted = reference.file.lower()
        found = [parts for parts in models if reference.file in parts] or [
            parts for parts in models if wanted in _stem(parts[0]).lower()
        ]
        if not found:
            raise ModelNotFound(f"{reference.repo} has no model file {reference.file!r}: {_listed(models)}")
        problem = f"{reference.file!r} fits several files of {reference.repo}"
    elif len(models) == 1:
        found = models
    else:
        found = [parts for parts in models if PREFERRED.lower() in _stem(parts[0]).lower()] or models
        problem = f"{reference.repo} has several models"
    if len(found) > 1:
        raise ModelNotFound(f"{problem}: add one as hf:{reference.repo}:FILE; {_listed(found)}")
    return _complete(reference, found[0])


def _models(names: Sequence[str]) -> list[list[str]]:
    """The GGUF models among these files, each as the list of its parts."""
    grouped: dict[str, list[str]] = {}
    for name in sorted(names):
        if name.lower().endswith(".gguf") and not _NO_MODEL.search(name):
            grouped.setdefault(_stem(name), []).append(name)
    return list(grouped.values())


def _stem(name: str) -> str:
    part = _PART.match(name)
    return f"{part['stem']}-of-{part['parts']}" if part else name


def _complete(reference: Reference, parts: list[str]) -> list[str]:
    part = _PART.match(parts[0])
    if part and [int(match["part"]) for name in parts if (match := _PART.match(name))] != list(
        range(1, int(part["parts"]) + 1)
    ):
        raise ModelNotFound(f"{reference.repo} has only {len(parts)} of the {int(part['parts'])} parts of {parts[0]}")
    return parts


def _listed(models: Sequence[Sequence[str]]) -> str:
    names = [parts[0] for parts in models]
    more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
    return f"it has {', '.join(names[:_LISTED])}{more}"


@contextmanager
def _errors_of_the_hub(reference: Reference) -> Iterator[None]:
    from huggingface_hub import errors

    repo = reference.repo
    try:
        yield
    except (ModelNotFound, ModelDownloadFailed):
        raise
    except errors.GatedRepoError as error:
        raise ModelDownloadFailed(
            f"{repo} is gated: accept its terms at https://huggingface.co/{repo}, then set HF_TOKEN to a token of yours"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise ModelNotFound(
            f"the Hugging Face Hub has no repository {repo}, or it is private: check the name, or set HF_TOKEN"
        ) from error
    except errors.EntryNotFoundError as error:
        raise ModelNotFound(f"{repo} doesn't have that file any more: {_reason(error)}") from error
    # A download fails in as many ways as networks, disks and the libraries below do; none of them is a defect here.
    except Exception as error:
        raise ModelDownloadFailed(f"can't download {repo}: {_reason(error)}") from error


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
