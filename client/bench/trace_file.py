"""Recorded sessions as a file: one session a line, JSON. The format is described in ``spec/TRACE_FORMAT.md``.

A session is either numbers or text. Numbers become a workload, for which text is made; text is played as it is.
One session a line, not one event a line: a session is a unit of work, and half of one can't be played.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec

from .driver import BenchError
from .script import NONCE, TOOL_NAME, Script, ScriptedCall, ScriptedTurn
from .workload import Session, ToolUse, Turn, Workload

VERSION = 1
MAX_BYTES = 1 << 30
MAX_TOKENS = 1_000_000
MAX_SECONDS = 1e6

_Count = Annotated[int, msgspec.Meta(ge=0, le=MAX_TOKENS)]
_Some = Annotated[int, msgspec.Meta(ge=1, le=MAX_TOKENS)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=MAX_SECONDS)]

Recorded = Session | Script

_Struct = TypeVar("_Struct", bound=msgspec.Struct)


@dataclass(frozen=True, slots=True)
class Trace:
    """``sessions`` in the file's order; those with text as scripts, whose turns have 0 ``output_tokens``: that many are
    not known until a tokeniser has counted them. A script is called by its place: ``s0``, ``s1``..."""

    name: str
    description: str
    sessions: tuple[Recorded, ...]

    def workload(self) -> Workload:
        """All of it as numbers.

        :raises BenchError: there is text in it, which only a tokeniser can count.
        """
        numbers = tuple(session for session in self.sessions if isinstance(session, Session))
        if len(numbers) < len(self.sessions):
            raise BenchError(f"the trace {self.name} has sessions with text")
        return Workload(self.name, self.description, numbers)


class _Header(msgspec.Struct, forbid_unknown_fields=True):
    caesura_trace: int
    name: str | None = None
    description: str = ""


class _Tool(msgspec.Struct, forbid_unknown_fields=True):
    seconds: _Seconds
    tokens: _Count


class _Turn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    output_tokens: _Some
    tools: list[_Tool] = []


class _Session(msgspec.Struct, forbid_unknown_fields=True):
    prompt_tokens: _Some
    turns: Annotated[list[_Turn], msgspec.Meta(min_length=1)]


class _Call(msgspec.Struct, forbid_unknown_fields=True):
    arguments: dict[str, Any] | str
    output: str
    seconds: _Seconds = 0.0
    name: str = TOOL_NAME


class _SaidTurn(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True):
    text: str = ""
    calls: list[_Call] = []


class _SaidSession(msgspec.Struct, forbid_unknown_fields=True):
    task: Annotated[str, msgspec.Meta(min_length=1)]
    turns: Annotated[list[_SaidTurn], msgspec.Meta(min_length=1)]
    instructions: str = ""


class _Bad(Exception):
    """What is wrong with a line."""


def load(path: Path) -> Trace:
    """:raises BenchError: it can't be read, or is no trace; the message names the line."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise BenchError(f"{path.name} has more than {MAX_BYTES >> 20} MiB: split it")
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise BenchError(f"can't read the trace {path.name}: {error.strerror}") from None
    name, description = path.stem, ""
    sessions: list[Recorded] = []
    first = True
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            data = _decode(line)
            if first and "caesura_trace" in data:
                header = _header(data)
                name, description = header.name or name, header.description
            else:
                sessions.append(_session(data, f"s{len(sessions)}"))
        except _Bad as error:
            raise BenchError(f"{path.name}, line {number}: {error}") from None
        first = False
    if not sessions:
        raise BenchError(f"{path.name} has no session: it needs one JSON object a line")
    return Trace(name, description or f"recorded, {path.name}", tuple(sessions))


def save(path: Path, trace: Trace) -> None:
    """:raises BenchError: it can't be written."""
    header = {"caesura_trace": VERSION, "name": trace.name, "description": trace.description}
    lines = [msgspec.json.encode(header), *(msgspec.json.encode(_line(session)) for session in trace.sessions)]
    try:
        path.write_bytes(b"\n".join(lines) + b"\n")
    except OSError as error:
        raise BenchError(f"can't write the trace {path.name}: {error.strerror}") from None


def _decode(line: bytes) -> dict[str, Any]:
    try:
        data = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise _Bad(f"no JSON ({error})") from None
    if not isinstance(data, dict):
        raise _Bad("a line is a JSON object")
    return data


def _convert(data: dict[str, Any], kind: type[_Struct]) -> _Struct:
    try:
        return msgspec.convert(data, kind)
    except msgspec.ValidationError as error:
        raise _Bad(str(error)) from None


def _header(data: dict[str, Any]) -> _Header:
    header = _convert(data, _Header)
    if header.caesura_trace != VERSION:
        raise _Bad(f"version {header.caesura_trace} of the format; this reads version {VERSION}")
    return header


def _session(data: dict[str, Any], name: str) -> Recorded:
    if "prompt_tokens" in data:
        numbers = _convert(data, _Session)
        _check_calls([len(turn.tools) for turn in numbers.turns], "tools")
        turns = (
            Turn(turn.output_tokens, tuple(ToolUse(tool.seconds, tool.tokens) for tool in turn.tools))
            for turn in numbers.turns
        )
        return Session(numbers.prompt_tokens, tuple(turns))
    if "task" not in data:
        raise _Bad('a session has "prompt_tokens" (numbers) or "task" (text)')
    said = _convert(data, _SaidSession)
    _check_calls([len(turn.calls) for turn in said.turns], "calls")
    if not said.turns[-1].text:
        raise _Bad("the last turn needs text")
    scripted = (ScriptedTurn(turn.text, tuple(map(_call, turn.calls)), 0) for turn in said.turns)
    return Script(name, f"{NONCE}\n{said.instructions}", said.task, tuple(scripted))


def _check_calls(counts: Sequence[int], what: str) -> None:
    """Where a turn has no call the session is over: nothing would bring the next turn about."""
    for number, count in enumerate(counts, 1):
        if bool(count) == (number == len(counts)):
            needs = f"the last turn, {number}, can't have {what}" if count else f"turn {number} needs {what}"
            raise _Bad(f"{needs}: every turn but the last has some")


def _call(call: _Call) -> ScriptedCall:
    arguments = call.arguments
    if isinstance(arguments, str):
        try:
            msgspec.json.decode(arguments.encode(), type=dict)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise _Bad(f"arguments {arguments[:60]!r} are no JSON object") from None
    else:
        arguments = msgspec.json.encode(arguments).decode()
    return ScriptedCall(arguments, call.output, call.seconds)


def _line(session: Recorded) -> _Session | _SaidSession:
    if isinstance(session, Session):
        turns = [
            _Turn(turn.output_tokens, [_Tool(tool.seconds, tool.tokens) for tool in turn.tools])
            for turn in session.turns
        ]
        return _Session(session.prompt_tokens, turns)
    said = [
        _SaidTurn(turn.text, [_Call(call.arguments, call.output, call.seconds) for call in turn.calls])
        for turn in session.turns
    ]
    instructions = session.instructions.removeprefix(NONCE).removeprefix("\n")
    return _SaidSession(session.task, said, instructions)
