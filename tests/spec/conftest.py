"""The spec's files, as the tests of this folder read them."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

SPEC = Path(__file__).parents[2] / "spec"

_BLOCK = re.compile(r"^```(\w*)([^\n]*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@dataclass(frozen=True)
class Example:
    """One message of the text. ``direction`` is who sends it."""

    direction: str
    message: dict[str, Any]

    @property
    def frame(self) -> str:
        return json.dumps(self.message)


def examples_in(text: str) -> list[Example]:
    """The JSON blocks of the text: one message each, or one a line."""
    found: list[Example] = []
    for language, info, body in _BLOCK.findall(text):
        if language == "json":
            direction = info.strip()
            assert direction in ("client", "server"), f"who sends this? ```json{info}\n{body}"
            try:
                messages = [json.loads(body)]
            except json.JSONDecodeError:
                messages = [json.loads(line) for line in body.splitlines()]
            found += [Example(direction, message) for message in messages]
    return found


@pytest.fixture(scope="session")
def protocol_text() -> str:
    return (SPEC / "PROTOCOL.md").read_text(encoding="utf-8")


@pytest.fixture(scope="session")
def examples(protocol_text: str) -> list[Example]:
    return examples_in(protocol_text)


@pytest.fixture(scope="session")
def transcript(protocol_text: str) -> list[Example]:
    """The messages of the worked transcript, in order."""
    return examples_in(protocol_text.partition("\n## A worked transcript\n")[2].partition("\n## ")[0])


@pytest.fixture(scope="session")
def schema() -> dict[str, Any]:
    return dict(json.loads((SPEC / "schema.json").read_text(encoding="utf-8")))


class Validators:
    """The definitions of the schema, each by its name."""

    def __init__(self, definitions: dict[str, Any]) -> None:
        self._validators = {
            name: Draft202012Validator({"$ref": f"#/$defs/{name}", "$defs": definitions}) for name in definitions
        }

    def validate(self, name: str, value: Any) -> None:
        """Fail with what is wrong."""
        self._validators[name].validate(value)

    def is_valid(self, name: str, value: Any) -> bool:
        return self._validators[name].is_valid(value)


@pytest.fixture(scope="session")
def validators(schema: dict[str, Any]) -> Validators:
    return Validators(schema["$defs"])
