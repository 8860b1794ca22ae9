"""Write what the spec takes from the code: ``python spec/generate.py`` (``--check`` only compares, exit status 1).

The message structs, the state table, the error tree, the limits and the list of requirements are the one source. From
them come the parts of PROTOCOL.md between its markers, ``schema.json`` and ``asyncapi.yaml``.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from generator import asyncapi, reference, schema, tables, text

HERE = Path(__file__).parent


def generate(protocol: str) -> dict[str, str]:
    """What each file has to hold. ``protocol`` is the text of PROTOCOL.md as it is."""
    filled = text.fill(
        protocol,
        {
            "contents": lambda: text.contents(protocol),
            "states": tables.states,
            "diagram": tables.diagram,
            "refusals": tables.refusals,
            "errors": tables.error_codes,
            "limits": tables.limits,
            "client-messages": reference.client_messages,
            "response-events": reference.response_events,
            "stream-events": reference.stream_events,
            "connection-messages": reference.connection_messages,
            "objects": reference.inner_objects,
            "input-items": reference.input_items,
            "requirements": lambda: tables.requirements(protocol),
        },
    )
    return {
        "PROTOCOL.md": filled,
        "schema.json": json.dumps(schema.schema(), indent=1, ensure_ascii=False) + "\n",
        "asyncapi.yaml": asyncapi.text(),
    }


def main(arguments: list[str]) -> int:
    made = generate((HERE / "PROTOCOL.md").read_text(encoding="utf-8"))
    stale = [name for name, content in made.items() if _read(HERE / name) != content]
    if "--check" in arguments:
        for name in stale:
            print(f"spec/{name} is not what the code says: run `make generate`", file=sys.stderr)
        return 1 if stale else 0
    for name in stale:
        (HERE / name).write_text(made[name], encoding="utf-8")
    return 0


def _read(file: Path) -> str:
    return file.read_text(encoding="utf-8") if file.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
