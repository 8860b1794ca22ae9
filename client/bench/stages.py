"""Where the time of a turn went: its wall time, cut into stages that tile it.

What the server says lies between the client's ``sent`` and ``last_event``: a stamp that another process took a moment
too early or too late is moved to the nearest place inside, and never before the stamp that it follows. So the stages of
a turn add up to its wall time exactly, whatever the stamps are; what a run's turns leave out shows as its residual.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import pairwise

from .records import RunRecord, ServerTurn, TurnRecord

CLIENT = "client"
UP = "network up"
API = "api: "
API_OTHER = "api: other"
QUEUE = "queue"
PREFILL = "prefill"
DECODE = "decode"
EMIT = "emit"
POST = "post"
DOWN = "network down"
TOOLS = "tools"
SERVER_FIRST = "server, first token"
SERVER_STREAMING = "server, streaming"

GROUPS = (CLIENT, "network", "api", QUEUE, PREFILL, DECODE, EMIT, POST, TOOLS, SERVER_FIRST, SERVER_STREAMING)
"""The same stages, coarser, in the order in which a turn goes through them; the last two are a peer's."""

MEANING = {
    CLIENT: "the client builds, serialises and sends the turn's request",
    UP: "from the client's kernel to the server's handler",
    API: "validate, resolve, guards, render, tokenise, and what lies between them",
    QUEUE: "from the request to the engine until the engine works on it",
    PREFILL: "engine time until the turn's first token is sampled",
    DECODE: "from the first token sampled to the last",
    EMIT: "from the last token sampled until the event that ends the turn is with the transport",
    POST: "postinference, where the turn ends a Response",
    DOWN: "from there until the client has read that event",
    TOOLS: "from there until the last tool of the turn is done",
    SERVER_FIRST: "all that a server without spans does between the request and its first token, network included",
    SERVER_STREAMING: "from there until the client has read the end of the turn",
}


def stages_of_turn(turn: TurnRecord) -> dict[str, int]:
    """Nanoseconds by stage, in order. They add up to ``ended - began`` (to 0 if it ended before it began)."""
    if turn.server is None:
        marks = ((CLIENT, turn.sent), (SERVER_FIRST, turn.first_token), (SERVER_STREAMING, turn.last_event))
        return _tiles(turn, marks)
    server = turn.server
    tiles = _tiles(
        turn,
        (
            (CLIENT, turn.sent),
            (UP, server.received),
            (API_OTHER, server.sampling),
            (QUEUE, server.first_token - server.prefill_ns),
            (PREFILL, server.first_token),
            (DECODE, server.last_token),
            (EMIT, server.told),
            (DOWN, turn.last_event),
        ),
    )
    return _with_parts(tiles, server)


def group_of(stage: str) -> str:
    """Which of :data:`GROUPS` a stage belongs to."""
    if stage.startswith(API):
        return "api"
    return "network" if stage in (UP, DOWN) else stage


def grouped(stages: dict[str, float]) -> dict[str, float]:
    """Sums by group, in the order of :data:`GROUPS`."""
    sums: dict[str, float] = {}
    for stage, value in stages.items():
        sums[group_of(stage)] = sums.get(group_of(stage), 0) + value
    return {group: sums[group] for group in GROUPS if group in sums}


def stages_of_run(run: RunRecord) -> dict[str, int]:
    """Sums over its turns."""
    sums: dict[str, int] = {}
    for turn in run.turns:
        for stage, ns in stages_of_turn(turn).items():
            sums[stage] = sums.get(stage, 0) + ns
    return sums


def residual(run: RunRecord) -> int:
    """Nanoseconds of a run that belong to none of its turns, from the turns' ends alone; the stages have no part in it.
    Negative if turns overlap."""
    return run.ended - run.began - sum(max(turn.ended - turn.began, 0) for turn in run.turns)


def _tiles(turn: TurnRecord, marks: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Each stage ends at its mark, the last one of all, the tools, with the turn."""
    ended = max(turn.ended, turn.began)
    latest = min(turn.last_event, ended)
    borders, names = [turn.began], []
    for name, mark in marks:
        # A server's stamp that is later than the client's last one (it was taken after the write, which the client had
        # read by then) may not eat into the time of the tools.
        borders.append(max(borders[-1], min(mark, latest)))
        names.append(name)
    borders.append(ended)
    names.append(TOOLS)
    return {name: after - before for name, (before, after) in zip(names, pairwise(borders), strict=True)}


def _with_parts(tiles: dict[str, int], server: ServerTurn) -> dict[str, int]:
    """What the server has timed inside of its api stage, and of its last one, comes out of them."""
    whole: dict[str, int] = {}
    for name, ns in tiles.items():
        if name == API_OTHER:
            for part, length in server.stages_ns.items():
                whole[API + part] = taken = min(max(length, 0), ns)
                ns -= taken
        elif name == EMIT:
            whole[POST] = taken = min(max(server.post_ns, 0), ns)
            ns -= taken
        whole[name] = ns
    return whole
