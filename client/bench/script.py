"""What an agent says and hears, as text: a workload that can be played."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Json = dict[str, Any]

TOOL_NAME = "look"
TOOL: Json = {
    "type": "function",
    "name": TOOL_NAME,
    "description": "Look at a place.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
}
"""The one tool that every scripted turn calls."""

NONCE = "{nonce}"
"""Where every run of a script puts digits of its own, at the very beginning of its instructions: no run may find what
another one has computed."""
NONCE_DIGITS = 8


@dataclass(frozen=True, slots=True)
class ScriptedCall:
    """``arguments`` is JSON text. ``output`` is what the tool gives after ``seconds``."""

    arguments: str
    output: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ScriptedTurn:
    """What the model says: ``text``, and calls of :data:`TOOL`. ``output_tokens`` as the workload asked for it; what it
    came to is counted by the server."""

    text: str
    calls: tuple[ScriptedCall, ...]
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Script:
    """One session. ``name`` is what a request calls it (``caesura.replay``). ``instructions`` holds :data:`NONCE`."""

    name: str
    instructions: str
    task: str
    turns: tuple[ScriptedTurn, ...]

    def replay(self) -> Json:
        """As a replay script (see ``caesura.sampler.replay``)."""
        return {
            "turns": [
                {
                    "text": turn.text,
                    "calls": [{"name": TOOL_NAME, "arguments": call.arguments} for call in turn.calls],
                }
                for turn in self.turns
            ]
        }
