"""Every run beside the same session on the engine alone: the limit, and what each turn cost over it.

The limit of a session (all on the same machine, in the same repeat):

    T* = T_pre + sum over its turns (prefill + decode + longest tool + round trip) + T_post

Prefill and decode are the engine's alone, of the tokens that are new in a turn. Tools count as they really ran in the
run that is compared: a tool that oversleeps is not the design's fault. T_pre and T_post are the server's stages before
and after the rollout as done/append (:data:`REFERENCE`) had them, which does them once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .records import LimitTurn, Results, RunRecord, TurnRecord

REFERENCE = "e"
"""The design whose first turn gives T_pre, and whose last one T_post."""

Key = tuple[int, str, int]
"""Repeat, script, agent: what is compared with each other."""


@dataclass(frozen=True, slots=True)
class TurnCost:
    """Nanoseconds of a turn. None where the other side of a difference is not known.

    wall:     began to ended. tools: the longest of its tools. work: began to the last event, tools left out.
    ttft:     began to the first event that carries output; 0 if that was there before, as early tools can make it.
    prefill, decode: of the same turn on the engine alone; limit: both.
    overhead: what the turn took over limit, tools and a round trip. Negative where tools ran while it was sampled.
    boundary: from the last token of the turn before to this turn's first one, both in the engine, less that turn's
              tools, a round trip, and this turn's prefill on the engine alone.
    context:  tokens in the context when the turn's first token was sampled.
    sampled:  tokens, by the server's or the answer's own count.
    stream:   from the first token, as the engine sampled it, to the turn's last event. Without the server's spans from
              the first event that carries output, which may come many tokens later: a call's begins with its name.
    """

    wall: int
    tools: int
    work: int
    ttft: int
    prefill: int | None
    decode: int | None
    overhead: float | None
    boundary: float | None
    context: int | None
    sampled: int | None
    stream: int

    @property
    def limit(self) -> int | None:
        return None if self.prefill is None or self.decode is None else self.prefill + self.decode


@dataclass(frozen=True, slots=True)
class RunCost:
    """A run that ended well. ``limit``: its T*, nanoseconds."""

    run: RunRecord
    wall: int
    limit: float | None
    turns: tuple[TurnCost, ...]

    @property
    def key(self) -> Key:
        return self.run.repeat, self.run.script, self.run.agent


def costs_of(results: Results) -> list[RunCost]:
    """Of all runs without an error, in the order in which they were played."""
    rtt = round_trip(results)
    limits = {(limit.repeat, limit.script): limit.turns for limit in results.limits}
    once = _once(results)
    runs = sorted((run for run in results.runs if run.error is None), key=lambda run: run.order)
    return [
        _cost(run, limits.get((run.repeat, run.script)), once.get((run.repeat, run.script), 0), rtt) for run in runs
    ]


def round_trip(results: Results) -> float:
    """Nanoseconds that a round trip takes on the network of the experiment: what it added. Loopback counts as 0."""
    return added_rtt_ms(results) * 1e6


def added_rtt_ms(results: Results) -> float:
    """:raises ValueError: the settings say something that is no time."""
    rtt = results.settings.get("rtt_ms")
    if rtt is None:
        return 0.0
    if isinstance(rtt, bool) or not isinstance(rtt, int | float) or not 0 <= rtt < math.inf:
        raise ValueError(f"the setting rtt_ms is no number of milliseconds: {rtt!r}")
    return float(rtt)


def cost_of_turn(turn: TurnRecord) -> TurnCost:
    """Of a turn that no limit stands beside."""
    return _turn(turn, None, None, 0)


def usage_of(turn: TurnRecord) -> tuple[int | None, int | None, int | None]:
    """(input, cached input, output) tokens as the answer says, in the words of either API; None where it doesn't."""
    usage: dict[str, Any] = turn.usage or {}
    given = _first(usage, "input_tokens", "prompt_tokens")
    details = usage.get("input_tokens_details") or usage.get("prompt_tokens_details") or {}
    cached = _first(details, "cached_tokens") if isinstance(details, dict) else None
    return given, cached, _first(usage, "output_tokens", "completion_tokens")


def _cost(run: RunRecord, limits: list[LimitTurn] | None, once: int, rtt: float) -> RunCost:
    # A peer that ended its session before or after the script did has no turns that could be compared.
    known = limits is not None and len(limits) == len(run.turns)
    alone: Sequence[LimitTurn | None] = limits if limits is not None and known else [None] * len(run.turns)
    before: Sequence[TurnRecord | None] = [None, *run.turns[:-1]]
    turns = tuple(_turn(*each, rtt) for each in zip(run.turns, before, alone, strict=True))
    whole = sum(turn.limit + turn.tools + rtt for turn in turns if turn.limit is not None)
    return RunCost(run, run.ended - run.began, once + whole if known else None, turns)


def _turn(turn: TurnRecord, before: TurnRecord | None, limit: LimitTurn | None, rtt: float) -> TurnCost:
    wall, tools = turn.ended - turn.began, longest_tool(turn)
    alone = None if limit is None else limit.prefill_ns + limit.decode_ns
    boundary = None
    if before is not None and before.server is not None and turn.server is not None and limit is not None:
        pause = turn.server.first_token - before.server.last_token
        boundary = pause - longest_tool(before) - rtt - limit.prefill_ns
    return TurnCost(
        wall=wall,
        tools=tools,
        work=turn.last_event - turn.began,
        ttft=max(turn.first_token - turn.began, 0),
        prefill=None if limit is None else limit.prefill_ns,
        decode=None if limit is None else limit.decode_ns,
        overhead=None if alone is None else wall - alone - tools - rtt,
        boundary=boundary,
        context=_context(turn, limit),
        sampled=turn.server.sampled if turn.server is not None else usage_of(turn)[2],
        stream=turn.last_event - (turn.first_token if turn.server is None else turn.server.first_token),
    )


def longest_tool(turn: TurnRecord) -> int:
    """Parallel tools count by their maximum."""
    return max((tool.ended - tool.began for tool in turn.tools), default=0)


def _context(turn: TurnRecord, limit: LimitTurn | None) -> int | None:
    """The limit's count where there is one: then all designs of a plot share their x."""
    if limit is not None:
        return limit.context + limit.appended
    return None if turn.server is None else turn.server.decoded + turn.server.reused


def _once(results: Results) -> dict[tuple[int, str], int]:
    """T_pre + T_post by repeat and script."""
    found: dict[tuple[int, str], list[int]] = {}
    for run in results.runs:
        if run.design == REFERENCE and run.error is None and run.turns and run.turns[0].server is not None:
            before = sum(run.turns[0].server.stages_ns.values())
            after = sum(turn.server.post_ns for turn in run.turns if turn.server is not None)
            found.setdefault((run.repeat, run.script), []).append(before + after)
    return {key: sum(sums) // len(sums) for key, sums in found.items()}


def _first(fields: dict[str, Any], *names: str) -> int | None:
    return next((value for name in names if isinstance(value := fields.get(name), int)), None)
