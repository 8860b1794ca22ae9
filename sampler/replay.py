"""A recorded script of assistant turns, to be forced through the engine in place of sampling.

    {"turns": [{"text": "...", "calls": [{"name": "...", "arguments": {...}}]}, ...]}

Turn k is what the model "says" as its k-th turn of a conversation. A turn has text, calls, or both. `arguments` is an
object, or a string that holds one and is then passed on exactly as it is.

A script may have several conversations, each with a name:

    {"sessions": {"NAME": {"turns": [...]}, ...}}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .chat_template import ChatTemplate, ToolCall
from .errors import InvalidReplay, ReplayExhausted


@dataclass(frozen=True, slots=True)
class ReplayTurn:
    text: str
    calls: tuple[ToolCall, ...]


class ReplayScript:
    """The turns of a script, and of the conversations in it that have names. Any number of conversations may share
    one."""

    def __init__(self, turns: tuple[ReplayTurn, ...], sessions: Mapping[str, ReplayScript] | None = None) -> None:
        self.turns = turns
        self.sessions = dict(sessions or {})
        self._tokens: dict[tuple[int, ChatTemplate], list[int]] = {}

    def __len__(self) -> int:
        return len(self.turns)

    @classmethod
    def load(cls, path: str | Path) -> ReplayScript:
        """Raises InvalidReplay, which says what is wrong and in which turn."""
        try:
            text = Path(path).expanduser().read_text(encoding="utf-8")
        except FileNotFoundError:
            raise InvalidReplay(f"no replay script at {path}") from None
        except (OSError, ValueError) as error:
            raise InvalidReplay(f"can't read the replay script {path}: {error}") from None
        try:
            return cls.parse(json.loads(text))
        except RecursionError:
            raise InvalidReplay(f"{path}: nested too deeply") from None
        except json.JSONDecodeError as error:
            raise InvalidReplay(f"{path} is no JSON: {error}") from None
        except InvalidReplay as error:
            raise InvalidReplay(f"{path}: {error}") from None

    @classmethod
    def parse(cls, data: object) -> ReplayScript:
        """The same from decoded JSON."""
        sessions = data.get("sessions", {}) if isinstance(data, dict) else None
        turns = data.get("turns", [] if sessions else None) if isinstance(data, dict) else None
        if not isinstance(turns, list) or not isinstance(sessions, dict):
            raise InvalidReplay('a replay script is an object with a list "turns", or with an object "sessions"')
        return cls(
            tuple(_turn(turn, f"turn {number}") for number, turn in enumerate(turns)),
            {name: cls._session(name, session) for name, session in sessions.items()},
        )

    @classmethod
    def _session(cls, name: str, data: object) -> ReplayScript:
        try:
            script = cls.parse(data)
        except InvalidReplay as error:
            raise InvalidReplay(f"session {name!r}: {error}") from None
        if script.sessions:
            raise InvalidReplay(f"session {name!r} can't have sessions of its own")
        return script

    def tokens(self, turn: int, template: ChatTemplate) -> list[int]:
        """What the model would have sampled in that turn (from 0), stop token included.

        Raises ReplayExhausted past the end, TemplateNotIncremental.
        """
        if not 0 <= turn < len(self.turns):
            raise ReplayExhausted(
                f"the replay script has {len(self.turns)} turns, and the conversation asks for one more: "
                "lengthen the script, or end the conversation"
            )
        # Kept, since a model that samples doesn't tokenise either: a replayed turn has to cost what a sampled one does.
        tokens = self._tokens.get((turn, template))
        if tokens is None:
            recorded = self.turns[turn]
            tokens = self._tokens[turn, template] = template.encode_turn(recorded.text, recorded.calls)
        return tokens


def _turn(turn: object, where: str) -> ReplayTurn:
    if not isinstance(turn, dict):
        raise InvalidReplay(f"{where} must be an object")
    text, calls = turn.get("text"), turn.get("calls")
    if text is None and calls is None:
        raise InvalidReplay(f'{where} needs "text", "calls", or both')
    if not isinstance(text, str | None):
        raise InvalidReplay(f'{where}: "text" must be a string')
    if not isinstance(calls, list | None):
        raise InvalidReplay(f'{where}: "calls" must be a list')
    if unknown := turn.keys() - {"text", "calls"}:
        raise InvalidReplay(f"{where}: unknown key {min(unknown)!r}")
    parsed = tuple(_call(call, f"{where}, call {number}") for number, call in enumerate(calls or ()))
    return ReplayTurn(text or "", parsed)


def _call(call: object, where: str) -> ToolCall:
    if not isinstance(call, dict):
        raise InvalidReplay(f"{where} must be an object")
    name, arguments = call.get("name"), call.get("arguments", {})
    if not isinstance(name, str) or not name:
        raise InvalidReplay(f'{where}: "name" must be a string that isn\'t empty')
    if isinstance(arguments, dict):
        arguments = json.dumps(arguments, ensure_ascii=False)
    if not isinstance(arguments, str):
        raise InvalidReplay(f'{where}: "arguments" must be an object')
    return ToolCall(name, arguments)
