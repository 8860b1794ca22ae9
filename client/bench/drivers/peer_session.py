"""A session with a server that can't be made to say what the script says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..driver import Call, Output
from ..script import NONCE, TOOL_NAME, Json, Script
from .link import Meter
from .turn import PendingTurn


@dataclass(frozen=True, slots=True)
class Sampling:
    """How a peer is made to sample as many tokens as it is asked for.

    stop_tokens: banned, by ``logit_bias``; ``ignore_eos`` is asked for as well.
    extra:       merged into each request, last: a value of None takes a field out that the peer refuses.
    """

    stop_tokens: Sequence[int] = ()
    extra: Mapping[str, object] = field(default_factory=dict)

    def request(self, fields: Json) -> Json:
        bias: Json = {"logit_bias": {str(token): -100 for token in self.stop_tokens}} if self.stop_tokens else {}
        body = {**fields, "temperature": 0, "ignore_eos": True, **bias, **self.extra}
        return {name: value for name, value in body.items() if value is not None}


class PeerSession:
    """The script's side of a session.

    Each turn asks for as many tokens as the workload says. What the peer says is not the script's text, so it has no
    calls: the agent is given the script's, under ids made up here, and their outputs follow as one user message each.
    (A tool message that answers no call is refused by chat templates.) No tools are offered either, or a peer might
    parse what it says for calls; its prompt is shorter by them.
    """

    def __init__(self, script: Script, nonce: str) -> None:
        self.instructions = script.instructions.replace(NONCE, nonce)
        self._script = script
        self._number = -1

    def next_turn(self, outputs: Sequence[Output] | None) -> list[str]:
        """Go on to the next turn; the user messages that it begins with."""
        self._number += 1
        return [self._script.task] if outputs is None else [output.text for output in outputs]

    @property
    def output_tokens(self) -> int:
        return self._script.turns[self._number].output_tokens

    @property
    def calls(self) -> list[Call]:
        calls = self._script.turns[self._number].calls
        return [Call(f"call_{self._number}_{place}", TOOL_NAME, call.arguments) for place, call in enumerate(calls)]


class PeerTurn(PendingTurn):
    """Keeps the text that the peer says. Where it counts as output: with the first text, since some servers announce
    an item before they have sampled anything."""

    def __init__(self, meter: Meter) -> None:
        super().__init__(meter)
        self._said: list[str] = []

    @property
    def text(self) -> str:
        return "".join(self._said)

    def _say(self, text: str) -> None:
        self._output()
        self._said.append(text)
