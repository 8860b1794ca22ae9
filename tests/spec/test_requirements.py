"""The three sets of requirement ids are one: those of the text, of the list, and of the tests and checks."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

from caesura.client.conformance.requirements import REQUIREMENTS

ROOT = Path(__file__).parents[2]


def ids_in(source: str, *, mark: str) -> Iterator[str]:
    """The strings that calls of ``mark`` are given: ``pytest.mark.requirement("a", "b")``, ``@check("a")``."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and f".{ast.unparse(node.func)}".endswith(f".{mark}"):
            yield from (arg.value for arg in node.args if isinstance(arg, ast.Constant) and isinstance(arg.value, str))


def ids_on_tests() -> set[str]:
    files = (ROOT / "tests").rglob("test_*.py")
    return {name for file in files for name in ids_in(file.read_text(), mark="mark.requirement")}


def ids_on_checks() -> set[str]:
    files = (ROOT / "client" / "conformance").glob("*.py")
    return {name for file in files for name in ids_in(file.read_text(), mark="check")}


def test_the_text_and_the_list_have_the_same(protocol_text: str) -> None:
    from generator.text import requirement_ids

    stated = requirement_ids(protocol_text)
    assert sorted(stated) == sorted(REQUIREMENTS)


def test_tests_and_checks_name_no_other() -> None:
    assert ids_on_tests() | ids_on_checks() <= set(REQUIREMENTS)


def test_every_requirement_is_tested() -> None:
    assert set(REQUIREMENTS) - ids_on_tests() - ids_on_checks() == set()


def test_the_scan_finds_marks_in_every_form() -> None:
    source = """
import pytest
from pytest import mark

pytestmark = [pytest.mark.requirement("a")]

@pytest.mark.requirement("b", "c")
class TestIt:
    @mark.requirement(
        "d",
    )
    async def test_it(self): ...

pytest.param(1, marks=pytest.mark.requirement("e"))
pytest.mark.parametrize("no", ["no"])
requirement("no")
"""
    assert set(ids_in(source, mark="mark.requirement")) == set("abcde")
    assert set(ids_in('@check("a", "b", needs=["no"])\ndef f(): ...', mark="check")) == {"a", "b"}
    assert set(ids_in('@server.check("a")\ndef f(): ...\ncheck_up("no")', mark="check")) == {"a"}


def test_the_list_says_who_and_what() -> None:
    for found in REQUIREMENTS.values():
        assert found.level in ("MUST", "SHOULD")
        assert found.role in ("server", "client", "both")
        assert found.text.endswith(".")
