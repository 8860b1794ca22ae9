"""PROTOCOL.md as text: its headings, its requirements, and the parts between markers that are generated."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

_GENERATED = re.compile(r"(<!-- generated: ([a-z-]+) -->\n).*?(<!-- end generated -->)", re.DOTALL)
_FENCE = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)
_CODE = re.compile(r"`[^`\n]+`")
_HEADING = re.compile(r"^(#{1,6}) (.+)$")
_REQUIREMENT = re.compile(r"\[([a-z0-9]+(?:-[a-z0-9]+)*)\](?!\()")


def fill(text: str, parts: Mapping[str, Callable[[], str]]) -> str:
    """The text with what each part gives between its markers.

    :raises ValueError: the markers in the text are not the parts.
    """
    names = [name for _, name, _ in _GENERATED.findall(text)]
    if sorted(names) != sorted(parts):
        raise ValueError(f"PROTOCOL.md has markers for {sorted(names)}; generated are {sorted(parts)}")
    return _GENERATED.sub(lambda found: f"{found[1]}{parts[found[2]]()}\n{found[3]}", text)


def prose(text: str) -> str:
    """The text that people wrote: without what is generated, and without blocks of code."""
    return _FENCE.sub("", _GENERATED.sub("", text))


def anchor(heading: str) -> str:
    """The fragment that leads to a heading, by GitHub's rule."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def headings(text: str) -> list[tuple[int, str]]:
    """Level and title of every heading."""
    found = (_HEADING.match(line) for line in _FENCE.sub("", text).splitlines())
    return [(len(match[1]), match[2]) for match in found if match]


def headings_of_requirements(text: str) -> dict[str, tuple[str, str]]:
    """Title and anchor of the section in which each requirement is stated."""
    title = ""
    sections: dict[str, tuple[str, str]] = {}
    for line in prose(text).splitlines():
        if match := _HEADING.match(line):
            title = match[2]
        for name in requirement_ids(line):
            sections[name] = (title, anchor(title))
    return sections


def requirement_ids(text: str) -> list[str]:
    """The ids in the prose, as often as they are there."""
    return _REQUIREMENT.findall(_CODE.sub("", prose(text)))


def contents(text: str) -> str:
    """The chapters."""
    titles = [title for level, title in headings(text) if level == 2 and title != "Contents"]
    return "\n".join(f"{number}. [{title}](#{anchor(title)})" for number, title in enumerate(titles, 1))
