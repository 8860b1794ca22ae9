"""The project about itself: what is generated, what is packaged."""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]
FOLDERS = ("protocol", "sampler", "runtime", "client")


def test_every_package_is_in_the_wheel() -> None:
    """A new sub-package imports fine in an editable install and would be missing from a wheel."""
    configured = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["packages"]
    found = {
        ".".join(("caesura", *file.parent.relative_to(ROOT).parts))
        for folder in FOLDERS
        for file in (ROOT / folder).rglob("*.py")
    }
    assert found | {"caesura.sampler.models"} == set(configured)


def test_data_files_are_in_the_wheel() -> None:
    from fnmatch import fnmatch

    data = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["setuptools"]["package-data"]
    for folder in FOLDERS:
        for file in (ROOT / folder).rglob("*"):
            if file.is_file() and file.suffix not in (".py", ".pyc"):
                package = ".".join(("caesura", *file.parent.relative_to(ROOT).parts))
                patterns = [*data.get(package, []), *data["*"]]
                assert any(fnmatch(file.name, pattern) for pattern in patterns), file


def test_most_files_hold_one_concept() -> None:
    """250 lines is the aim; nothing is beyond 400."""
    files = [file for folder in FOLDERS for file in (ROOT / folder).rglob("*.py")]
    lengths = {file.relative_to(ROOT): len(file.read_text().splitlines()) for file in files}
    assert {str(file): length for file, length in lengths.items() if length > 400} == {}
