"""What is generated is up to date, and `--check` would say so if it were not."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SPEC = Path(__file__).parents[2] / "spec"
FILES = ("PROTOCOL.md", "schema.json", "asyncapi.yaml")


def test_the_files_are_what_the_code_says() -> None:
    done = subprocess.run([sys.executable, SPEC / "generate.py", "--check"], capture_output=True, text=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.fixture
def copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the spec's files that `generate.py` takes for its own."""
    import generate

    for name in FILES:
        shutil.copy(SPEC / name, tmp_path / name)
    monkeypatch.setattr(generate, "HERE", tmp_path)
    return tmp_path


@pytest.mark.parametrize("name", FILES)
def test_a_stale_file_is_named_and_made_anew(copy: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    import generate

    fresh = (copy / name).read_text()
    (copy / name).write_text(fresh.replace("response.appended", "response.apended"))
    assert generate.main(["--check"]) == 1
    assert [line.split()[0] for line in capsys.readouterr().err.splitlines()] == [f"spec/{name}"]
    assert "response.apended" in (copy / name).read_text()
    if name == "PROTOCOL.md":
        return  # most of it is written by people, and stays as they wrote it
    assert generate.main([]) == 0
    assert (copy / name).read_text() == fresh
    assert generate.main(["--check"]) == 0


def test_a_part_that_was_edited_by_hand_is_made_anew(copy: Path) -> None:
    import generate

    text = (copy / "PROTOCOL.md").read_text()
    (copy / "PROTOCOL.md").write_text(text.replace("| paused | response.appended | paused |\n", ""))
    assert generate.main(["--check"]) == 1
    assert generate.main([]) == 0
    assert (copy / "PROTOCOL.md").read_text() == text


@pytest.mark.parametrize("edit", [("generated: errors", "generated: eror"), ("<!-- generated: errors -->", "")])
def test_a_marker_that_is_unknown_or_missing_is_an_error(copy: Path, edit: tuple[str, str]) -> None:
    import generate

    text = (copy / "PROTOCOL.md").read_text().replace(*edit)
    with pytest.raises(ValueError, match="markers"):
        generate.generate(text)


def test_the_table_and_the_text_have_every_state_and_code(protocol_text: str) -> None:
    from caesura.protocol import errors
    from caesura.protocol.state import TRANSITIONS

    for state, row in TRANSITIONS.items():
        for what, target in row.items():
            assert f"| {state.value} | {what.value} | {target.value} |" in protocol_text
    for cls in vars(errors).values():
        if isinstance(cls, type) and issubclass(cls, errors.CaesuraError) and not cls.__subclasses__():
            assert issubclass(cls, errors.ProtocolViolation) or f"| `{cls.code}` | {cls.status} |" in protocol_text
