"""Make ``.venv`` and install caesura into it, with progress: ``python3 bootstrap.py [EXTRA ...]``.

Standard library only, since it runs before anything is installed. llama-cpp-python has no wheel for most machines and
is compiled; of what it brings, only the library is built: no multimodal part, no tools, no server (decision 0002).
A second run finds its stamp and returns at once. Exit status 2 with one line on stderr if the machine lacks something.
"""

from __future__ import annotations

import hashlib
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
PIP = [str(PYTHON), "-m", "pip", "--disable-pip-version-check"]
PIP_INSTALL = [*PIP, "install"]
LLAMA_CPP = re.search(r'"(llama-cpp-python==[^"]+)"', (ROOT / "pyproject.toml").read_text())
STEP = re.compile(r"\[(\d+)/(\d+)\] ")
CMAKE_ARGS = f"-DLLAVA_BUILD=OFF -DCMAKE_PROJECT_llama.cpp_INCLUDE={ROOT / 'llama-cpp.cmake'}"


def main(extras: list[str]) -> int:
    stamp = VENV / f"caesura-{_fingerprint(extras)}"
    if stamp.exists():
        return 0
    if sys.version_info < (3, 11):  # noqa: UP036 - the point is to be told so by an older one
        return _fail(f"Python 3.11 or newer is needed, this is {sys.version.split()[0]}: make PYTHON=python3.12 ...")
    if not (shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")):
        return _fail("a C++ compiler is needed for llama.cpp; none was found on PATH.")
    if not PYTHON.exists():
        _say("making .venv")
        if subprocess.run([sys.executable, "-m", "venv", str(VENV)], stdout=subprocess.DEVNULL).returncode:
            return _fail("this Python can't make virtual environments; install its venv package.")
    built = VENV / f"llama-cpp-{_llama_cpp_fingerprint()}"
    if not built.exists():
        if _install_llama_cpp():
            return _fail(f"llama-cpp-python could not be built; the log is {VENV / 'llama-cpp.log'}")
        built.touch()
    _say("installing caesura" + (f" [{', '.join(extras)}]" if extras else ""))
    target = f"{ROOT}[{','.join(extras)}]" if extras else str(ROOT)
    if subprocess.run([*PIP_INSTALL, "-q", "-e", target]).returncode:
        return _fail("caesura could not be installed; pip says why above.")
    stamp.touch()
    return 0


def _install_llama_cpp() -> int:
    """Install it from our own wheel, built if need be.

    pip's cache of wheels is no help: it doesn't tell one built with other CMake arguments from ours.
    """
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caesura" / _llama_cpp_fingerprint()
    if not list(cache.glob("*.whl")):
        with tempfile.TemporaryDirectory() as folder:
            if _build_llama_cpp(folder):
                return 1
            cache.mkdir(parents=True, exist_ok=True)
            for wheel in Path(folder).glob("*.whl"):
                shutil.move(wheel, cache / wheel.name)
    (wheel,) = cache.glob("*.whl")
    return subprocess.run([*PIP_INSTALL, "-q", "--force-reinstall", "--no-deps", str(wheel)]).returncode


def _build_llama_cpp(folder: str) -> int:
    """Build the wheel, counting the compiler's steps on one line, or now and then where there is no terminal."""
    assert LLAMA_CPP is not None
    _say(f"building {LLAMA_CPP[1]} (once; 1 to 3 minutes on 2 cores)")
    environment = os.environ | {"CMAKE_ARGS": f"{CMAKE_ARGS} {os.environ.get('CMAKE_ARGS', '')}".strip()}
    command = [*PIP, "wheel", "--no-cache-dir", "--no-deps", "--no-binary", "llama-cpp-python", "-v", "-w", folder]
    began, shown = time.monotonic(), -1
    with (
        (VENV / "llama-cpp.log").open("w") as log,
        subprocess.Popen(
            [*command, LLAMA_CPP[1]], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        ) as pip,
    ):
        assert pip.stdout is not None
        for line in pip.stdout:
            log.write(line)
            if found := STEP.search(line):
                step, total = int(found[1]), int(found[2])
                if sys.stdout.isatty():
                    print(
                        f"\r  compiling llama.cpp: {step}/{total}, {time.monotonic() - began:.0f} s ",
                        end="",
                        flush=True,
                    )
                elif step // 10 != shown:
                    shown = step // 10
                    print(f"  compiling llama.cpp: {step}/{total}, {time.monotonic() - began:.0f} s", flush=True)
    if sys.stdout.isatty():
        print()
    return pip.returncode


def _llama_cpp_fingerprint() -> str:
    """Of everything that makes one build of it another."""
    assert LLAMA_CPP is not None
    content = [
        LLAMA_CPP[1],
        (ROOT / "llama-cpp.cmake").read_text(),
        os.environ.get("CMAKE_ARGS", ""),
        platform.machine(),
        _cpu(),
        f"{sys.version_info.major}.{sys.version_info.minor}",
    ]
    return hashlib.sha256("\n".join(content).encode()).hexdigest()[:16]


def _cpu() -> str:
    """What ggml is compiled for: this machine's instructions."""
    try:
        lines = Path("/proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")


def _fingerprint(extras: list[str]) -> str:
    content = (ROOT / "pyproject.toml").read_bytes() + Path(__file__).read_bytes() + " ".join(extras).encode()
    return hashlib.sha256(content).hexdigest()[:16]


def _say(line: str) -> None:
    print(f"caesura: {line}", flush=True)


def _fail(line: str) -> int:
    print(f"caesura: {line}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
