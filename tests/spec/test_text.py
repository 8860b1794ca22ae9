"""The text's form: key words and their ids, headings, links."""

from __future__ import annotations

import itertools
import re
from pathlib import Path

import pytest
from caesura.client.conformance.requirements import REQUIREMENTS

SPEC = Path(__file__).parents[2] / "spec"

_TOKEN = re.compile(
    r"\b(?:MUST NOT|MUST|SHOULD NOT|SHOULD|SHALL|REQUIRED|RECOMMENDED|OPTIONAL)\b|\[([a-z0-9]+(?:-[a-z0-9]+)*)\](?!\()"
)
_CODE = re.compile(r"`[^`\n]+`")
_SPEC_FILE = re.compile(r"\bspec/((?:[\w-]+/)*[\w-]+\.(?:md|py|json|yaml|pml))\b")
_LINK = re.compile(r"\[[^\]]+\]\(([^)]+)\)")


def statements(protocol_text: str) -> list[tuple[str, str]]:
    """Every key word with the id behind it, in the same paragraph or row of a table.

    Fails on a key word without an id, an id without a key word, and two of one of them in a row.
    """
    from generator.text import prose

    text = _CODE.sub("", prose(protocol_text))
    before, _, rest = text.partition("\n## Key words\n")
    text = before + rest.partition("\n## ")[2]  # where the key words themselves are explained
    found: list[tuple[str, str]] = []
    for part in re.split(r"\n\s*\n|\n(?=\|)", text):
        tokens = [(match[0], match[1]) for match in _TOKEN.finditer(part)]
        words = [word for word, name in tokens[::2] if not name]
        names = [name for _, name in tokens[1::2] if name]
        assert 2 * len(words) == 2 * len(names) == len(tokens), f"key words and ids don't alternate in:\n{part}"
        found += zip(words, names, strict=True)
    return found


def test_every_key_word_has_one_id_behind_it(protocol_text: str) -> None:
    assert len(statements(protocol_text)) == len(REQUIREMENTS)


def test_every_requirement_is_stated_once_with_its_own_word(protocol_text: str) -> None:
    found = statements(protocol_text)
    assert sorted(name for _, name in found) == sorted(REQUIREMENTS)
    wrong = {name: word for word, name in found if word.split()[0] != REQUIREMENTS[name].level}
    assert wrong == {}


@pytest.mark.parametrize(
    "edit",
    [
        ("MUST send every message as one text frame", "sends every message as one text frame"),
        ("with the error `binary_frame` [binary-refused]", "with the error `binary_frame`"),
        ("is not negotiated.", "MUST NOT be negotiated."),
        ("[open-query]", "[open-query] [open-query]"),
    ],
)
def test_a_slip_would_be_found(protocol_text: str, edit: tuple[str, str]) -> None:
    assert protocol_text.count(edit[0]) == 1
    with pytest.raises(AssertionError, match="alternate"):
        statements(protocol_text.replace(*edit))


def test_generated_parts_state_nothing(protocol_text: str) -> None:
    """Requirements are stated by people; the index alone repeats the levels."""
    parts = re.findall(r"<!-- generated: ([a-z-]+) -->\n(.*?)<!-- end generated -->", protocol_text, re.DOTALL)
    assert [name for name, part in parts if re.search(r"\b(MUST|SHOULD|MAY)\b", part)] == ["requirements"]


def test_headings_are_unique_and_no_level_is_left_out(protocol_text: str) -> None:
    from generator.text import anchor, headings

    found = headings(protocol_text)
    anchors = [anchor(title) for _, title in found]
    assert len(set(anchors)) == len(anchors)
    assert found[0][0] == 1
    assert [level for level, _ in found].count(1) == 1
    steps = [after[0] - before[0] for before, after in itertools.pairwise(found)]
    assert max(steps) == 1


def test_every_link_leads_somewhere(protocol_text: str) -> None:
    from generator.text import anchor, headings

    anchors = {anchor(title) for _, title in headings(protocol_text)}
    links = set(_LINK.findall(protocol_text))
    assert links
    for link in links:
        file, _, fragment = link.partition("#")
        if file:
            assert (SPEC / file).exists(), link
        else:
            assert fragment in anchors, link


def test_nobody_links_to_what_is_not_in_the_spec() -> None:
    """Files that others name as spec/..., in code and in texts."""
    root = SPEC.parent
    folders = ("protocol", "sampler", "runtime", "client", "spec")
    files = [root / "README.md", *(file for folder in folders for file in (root / folder).rglob("*.*"))]
    for file in files:
        if file.suffix in (".py", ".md"):
            for name in _SPEC_FILE.findall(file.read_text(encoding="utf-8")):
                assert (SPEC / name).exists(), f"{file.relative_to(root)} names spec/{name}"
