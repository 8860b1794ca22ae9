"""Write README.md from paper.md.in and data/: ``python -m experiments.render`` (``--check`` only compares)."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from .figures import fingerprint
from .placeholders import PLACEHOLDER, PaperError, fill
from .tables import PARTS

HERE = Path(__file__).parent
_FIGURE = re.compile(r"\]\(figures/([\w.-]+)\)")
_CODE = re.compile(r"^```.*?^```$|`[^`\n]*`", re.DOTALL | re.MULTILINE)
_NUMBER = re.compile(r"(?<![\w.,])\d[\d.,]*(?:%|k)?(?!\w)")


def load(folder: Path) -> dict[str, Any]:
    """The data, by the names of its files."""
    return {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(folder.glob("*.json"))}


def render(text: str, data: dict[str, Any]) -> str:
    """:raises PaperError: text and data don't go together."""
    return fill(text, data, PARTS)


def bare_numbers(text: str) -> list[str]:
    """Numbers that somebody wrote: neither from the data nor part of code or of a heading's place."""
    prose = _CODE.sub("", PLACEHOLDER.sub("", text))
    return [found.rstrip(".,") for found in _NUMBER.findall(prose)]


def section(text: str, title: str) -> str:
    """What is under a heading of the second level.

    :raises PaperError: there is none.
    """
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise PaperError(f"the paper has no section {title!r}")
    return found[1]


def write(folder: Path) -> None:
    """:raises PaperError: text and data don't go together; README.md is as it was then."""
    text = (folder / "paper.md.in").read_text(encoding="utf-8")
    (folder / "README.md").write_text(render(text, load(folder / "data")), encoding="utf-8")


def problems(folder: Path) -> list[str]:
    """What of README.md and figures/ is not what text and data give."""
    try:
        data = load(folder / "data")
        wanted = render((folder / "paper.md.in").read_text(encoding="utf-8"), data)
    except PaperError as error:
        return [str(error)]
    readme = folder / "README.md"
    found = [] if readme.exists() and readme.read_text(encoding="utf-8") == wanted else ["README.md is not up to date"]
    known = {name: mark for each in data.values() for name, mark in each.get("figures", {}).items()}
    there = {file.name: file for file in (folder / "figures").glob("*.svg")}
    found += [f"figures/{name} is in no data file" for name in sorted(there.keys() - known.keys())]
    for name in sorted(known):
        if name not in there:
            found.append(f"figures/{name} is missing")
        elif fingerprint(there[name].read_text(encoding="utf-8")) != known[name]:
            found.append(f"figures/{name} is not the one of the data")
    shown = set(_FIGURE.findall(wanted))
    found += [f"figures/{name} is not shown" for name in sorted(known.keys() - shown)]
    return found


def main() -> int:
    if "--check" in sys.argv[1:]:
        for problem in (found := problems(HERE)):
            print(f"{problem}: run python -m experiments.render, or make experiments", file=sys.stderr)
        return 1 if found else 0
    write(HERE)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except PaperError as error:
        print(error, file=sys.stderr)
        sys.exit(1)
