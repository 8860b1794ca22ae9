"""What a design says to the server, but for how: every design's requests render to the same prompt."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from ..driver import Output
from ..script import NONCE, TOOL, Json, Script

encode = msgspec.json.Encoder().encode


def user_message(text: str) -> Json:
    return {"type": "message", "role": "user", "content": text}


def output_items(outputs: Sequence[Output]) -> list[Json]:
    return [{"type": "function_call_output", "call_id": output.call_id, "output": output.text} for output in outputs]


class ScriptedSession:
    """A session of ours that is being played: what each of its requests has to say.

    Instructions and tools are in every create: with ``previous_response_id`` neither is carried over by the API's own
    rule, and the prompt must be the same in all designs.
    """

    def __init__(self, script: Script, nonce: str, model: str) -> None:
        self.script = script
        self._fields: Json = {
            "model": model,
            "instructions": script.instructions.replace(NONCE, nonce),
            "tools": [TOOL],
        }

    @property
    def task(self) -> Json:
        return user_message(self.script.task)

    def create(self, items: Sequence[Any], *, prefix_reuse: bool, **fields: Any) -> Json:
        """A create's body. ``prefix_reuse``: computed KV state of another Response may be copied; the first request of
        a session says no, so that nothing is found which another run has left."""
        replay: Json = {"replay": self.script.name}
        if not prefix_reuse:
            replay["prefix_reuse"] = False
        return {**self._fields, **fields, "input": items, "caesura": replay}
