"""Write what the spec takes from the code: ``python spec/generate.py`` (``--check`` only compares, exit status 1)."""

from __future__ import annotations

import sys
from pathlib import Path

from caesura.protocol import errors
from caesura.protocol.state import ENDED, TRANSITIONS, State, Stimulus

HERE = Path(__file__).parent
NOTICE = "<!-- Generated from the code by spec/generate.py; edit that instead. -->\n"


def states() -> str:
    """The state table, and the same as a diagram."""
    used = [stimulus for stimulus in Stimulus if any(stimulus in row for row in TRANSITIONS.values())]
    lines = [
        NOTICE,
        "# States of a Response",
        "",
        "Both ends run this table over the same messages. What is not in it is invalid; the essay is in",
        "`protocol/state.py`.",
        "",
        "| state | message | next state |",
        "|---|---|---|",
    ]
    for state, row in TRANSITIONS.items():
        lines += [f"| {state.value} | {used_.value} | {row[used_].value} |" for used_ in used if used_ in row]
    lines += ["", f"Ended for good: {', '.join(state.value for state in State if state in ENDED)}.", ""]
    lines += ["```mermaid", "stateDiagram-v2", f"    [*] --> {State.NEW.value}"]
    for state, row in TRANSITIONS.items():
        for target in State:
            names = [stimulus.name.lower() for stimulus in Stimulus if row.get(stimulus) is target]
            if names and target is not state:
                lines.append(f"    {state.value} --> {target.value}: {', '.join(names)}")
    lines += [f"    {state.value} --> [*]" for state in State if state in ENDED]
    return "\n".join([*lines, "```", ""])


def error_codes() -> str:
    """Every error that a peer can see."""
    lines = [
        NOTICE,
        "# Error codes",
        "",
        "An `error` event carries `status`, `sequence_number` and `error{type, code, message, param}`. The connection",
        "and the Responses on it live on. The tree is in `protocol/errors.py`.",
        "",
        "| code | status | type | meaning |",
        "|---|---|---|---|",
    ]
    seen: list[type[errors.CaesuraError]] = []
    stack: list[type[errors.CaesuraError]] = [errors.CaesuraError]
    while stack:
        found = stack.pop()
        stack += sorted(found.__subclasses__(), key=lambda cls: cls.__name__, reverse=True)
        local = issubclass(found, errors.ProtocolViolation)  # raised on this side, never sent
        if found.__module__ == errors.__name__ and not found.__subclasses__() and not local:
            seen.append(found)
    for error in sorted(seen, key=lambda cls: (cls.status, cls.code)):
        meaning = " ".join((error.__doc__ or "").split()).replace("``", "`")
        lines.append(f"| `{error.code}` | {error.status} | `{error.type}` | {meaning} |")
    return "\n".join([*lines, ""])


FILES = {"states.md": states, "errors.md": error_codes}


def main(arguments: list[str]) -> int:
    stale = [name for name, write in FILES.items() if _read(HERE / name) != write()]
    if "--check" in arguments:
        for name in stale:
            print(f"spec/{name} is not what the code says: run `make generate`", file=sys.stderr)
        return 1 if stale else 0
    for name, write in FILES.items():
        (HERE / name).write_text(write())
    return 0


def _read(file: Path) -> str:
    return file.read_text() if file.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
