"""Results of an experiment that never was, with times that are known.

In milliseconds, and the same for every turn unless a test says otherwise: what one design takes for each stage.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from caesura.client.bench.records import (
    DesignInfo,
    LimitRecord,
    LimitTurn,
    LoadRecord,
    Noise,
    Results,
    RunRecord,
    ServerTurn,
    ToolRecord,
    TurnRecord,
)

MS = 1_000_000


@dataclass
class Pace:
    """Milliseconds of each stage of a turn; ``grows``: ms that its API takes more with every turn."""

    client: float = 0.1
    up: float = 0.05
    api: float = 0.2
    queue: float = 0.05
    prefill: float = 4.0
    decode: float = 20.0
    emit: float = 0.05
    down: float = 0.05
    tools: float = 10.0
    grows: float = 0.0
    gap: float = 0.0
    post: float = 0.0
    pre: dict[str, float] = field(default_factory=dict)


PREFILL, DECODE = 4.0, 20.0
"""On the engine alone."""
APPENDED, SAMPLED = 100, 50

PACES = {
    "a": Pace(prefill=30, api=3, grows=0.5, client=1),
    "b": Pace(api=3, grows=0.4, client=1),
    "d": Pace(api=0.5, grows=0.05),
    "e": Pace(pre={"validate": 0.02, "render": 0.06}, post=0.04),
}
TITLES = {
    "a": "HTTP, full history",
    "b": "HTTP, prefix reuse",
    "d": "WebSocket, previous_response_id",
    "e": "done/append",
}


def turn_at(began: int, pace: Pace, number: int, *, peer: bool = False, last: bool = False) -> TurnRecord:
    at = began
    stamps: dict[str, int] = {}
    for name in ("client", "up", "api", "queue", "prefill", "decode", "emit", "down"):
        length = getattr(pace, name) + (pace.grows * number if name == "api" else 0)
        at += round(length * MS)
        stamps[name] = at
    ended = at + (0 if last else round(pace.tools * MS))
    server = ServerTurn(
        received=stamps["up"],
        sampling=stamps["api"],
        prefill_ns=round(pace.prefill * MS),
        first_token=stamps["prefill"],
        last_token=stamps["decode"],
        told=stamps["emit"],
        inference_ns=round((pace.prefill + pace.decode) * MS),
        stages_ns={name: round(ms * MS) for name, ms in pace.pre.items()} if number == 0 else {},
        post_ns=round(pace.post * MS) if last else 0,
        given=1000 + 150 * number,
        decoded=APPENDED,
        reused=900 + 150 * number,
        sampled=SAMPLED,
    )
    return TurnRecord(
        began=began,
        sent=stamps["client"],
        first_byte=stamps["prefill"],
        first_token=stamps["prefill"],
        last_event=at,
        ended=ended,
        bytes_up=1000,
        bytes_down=5000,
        events=60,
        tools=[] if last else [ToolRecord(at, ended)],
        usage={"input_tokens": 1000 + 150 * number, "output_tokens": SAMPLED},
        server=None if peer else server,
    )


def run_of(
    design: str, pace: Pace, *, repeat: int = 0, script: str = "s0", turns: int = 5, order: int = 0, peer: bool = False
) -> RunRecord:
    began = at = 1_000_000_000 * (order + 1)
    records = []
    for number in range(turns):
        turn = turn_at(at, pace, number, peer=peer, last=number == turns - 1)
        records.append(turn)
        at = turn.ended + round(pace.gap * MS)
    cpu = {"client": 2 * MS * turns, "server": MS * turns, "engine": 24 * MS * turns}
    return RunRecord(design, script, repeat, order, began, at, records, cpu_ns=cpu)


def limit_of(*, repeat: int = 0, script: str = "s0", turns: int = 5) -> LimitRecord:
    alone = [
        LimitTurn(900 + 150 * number, APPENDED, SAMPLED, round(PREFILL * MS), round(DECODE * MS))
        for number in range(turns)
    ]
    return LimitRecord(script, repeat, 0, alone)


def results_of(
    paces: dict[str, Pace] | None = None,
    *,
    repeats: int = 3,
    turns: int = 5,
    peers: dict[str, Pace] | None = None,
    slower: float = 0.1,
    **fields: Any,
) -> Results:
    """``slower``: ms that the client takes more in each repeat than in the one before, in every design."""
    paces, peers = PACES if paces is None else paces, peers or {}
    runs = []
    for repeat in range(repeats):
        for key, pace in (*paces.items(), *peers.items()):
            shifted = Pace(**{**vars(pace), "client": pace.client + slower * repeat})
            runs.append(run_of(key, shifted, repeat=repeat, turns=turns, order=len(runs), peer=key in peers))
    kinds = {"a": "http", "b": "http", "c": "http", "d": "websocket"}
    whole: dict[str, Any] = {
        "command": ["caesura", "bench", "--tool-calls", "4"],
        "began_at": "2026-01-01T00:00:00Z",
        "arm": "a model that never was",
        "simulated": False,
        "engine": {},
        "settings": {"repeats": repeats, "seed": 0, "rtt_ms": 0},
        "environment": {"cpu": "a processor", "cores": 2},
        "workload": {"name": "synthetic", "description": "all turns are alike", "sessions": []},
        "designs": [
            *(DesignInfo(key, TITLES.get(key, key), kinds.get(key, "append")) for key in paces),
            *(DesignInfo(key, key, "peer") for key in peers),
        ],
        "runs": runs,
        "limits": [limit_of(repeat=repeat, turns=turns) for repeat in range(repeats)],
        "noise": Noise([100, 101, 102]),
    }
    return Results(**{**whole, **fields})


def load_of(design: str, agents: int, *, meets: bool | None = None, turns: int = 5) -> LoadRecord:
    runs = [run_of(design, PACES["e"], turns=turns, order=agent) for agent in range(agents)]
    return LoadRecord(design, agents, 0, 2_000 * MS, runs, {"server": 500 * MS, "engine": 1_500 * MS}, meets)
