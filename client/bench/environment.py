"""What a reader must know of the machine and the software to believe a figure. No names of hosts, no paths."""

from __future__ import annotations

import os
import platform
import subprocess
from collections import Counter
from importlib import metadata
from pathlib import Path
from typing import Any

from gguf import GGUFReader

PACKAGES = ("caesura", "llama-cpp-python", "websockets", "uvicorn", "uvloop", "httptools", "msgspec", "numpy")

_GIT_TIMEOUT_S = 10.0


def environment(model: Path | None = None) -> dict[str, Any]:
    """As JSON data; a value is None where it can't be told.

    :param model: the GGUF under test; see :func:`model_file`.
    """
    return {
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "usable_cores": _usable_cores(),
        "governor": _read("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
        "memory_bytes": _memory_bytes(),
        "load_average": list(os.getloadavg()),
        "os": platform.system(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "git": git_state(),
        "model": None if model is None else model_file(model),
    }


def model_file(path: Path) -> dict[str, Any]:
    """``file`` (without its folder), ``bytes``; ``parameters``, and ``quantization``: the type that most of them are
    stored in. These two are None for what is no GGUF."""
    facts: dict[str, Any] = {"file": path.name, "bytes": None, "parameters": None, "quantization": None}
    try:
        facts["bytes"] = path.stat().st_size
        tensors = GGUFReader(path).tensors
    except (OSError, ValueError, KeyError, IndexError):
        return facts
    types: Counter[str] = Counter()
    for tensor in tensors:
        types[tensor.tensor_type.name] += int(tensor.n_elements)
    if types:
        facts |= {"parameters": types.total(), "quantization": types.most_common(1)[0][0]}
    return facts


def git_state(folder: Path = Path(__file__).parents[1]) -> dict[str, Any] | None:
    """Commit of the code that runs, and whether it was changed since (``dirty``); None if it is in no repository.

    An installed copy may lie in a repository that is not its own: the package must be a file of it.
    """
    if _git(folder, "ls-files", "--error-unmatch", "__init__.py") is None:
        return None
    commit, changes = _git(folder, "rev-parse", "HEAD"), _git(folder, "status", "--porcelain")
    return None if commit is None else {"commit": commit, "dirty": None if changes is None else bool(changes)}


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def _cpu_model() -> str | None:
    for line in (_read("/proc/cpuinfo") or "").splitlines():
        name, _, value = line.partition(":")
        if name.strip() in ("model name", "Model", "Hardware"):
            return value.strip()
    return platform.processor() or platform.machine() or None


def _usable_cores() -> int | None:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None


def _memory_bytes() -> int | None:
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (OSError, ValueError):
        return None


def _read(path: str) -> str | None:
    try:
        return Path(path).read_text().strip() or None
    except OSError:
        return None
