"""The raw data of a run, as it is written to JSON: what was seen, nothing that was derived from it.

All times are integers, nanoseconds of the machine's monotonic clock (``time.perf_counter_ns``, which on Linux is the
same in all processes), durations nanoseconds too.
"""

from __future__ import annotations

from typing import Any

import msgspec

VERSION = 1


class ToolRecord(msgspec.Struct, array_like=True):
    """One tool that ran: begin and end."""

    began: int
    ended: int


class ServerTurn(msgspec.Struct):
    """The server's side of a turn, from its spans.

    received:     the request, or the append that answered the last call, was there.
    sampling:     preinference, or rendering of the outputs, was done: the engine was asked to sample.
    prefill_ns:   engine time until the first token; it ends at ``first_token``.
    first_token, last_token: sampled, in the engine's thread.
    told:         the event that hands the turn to the client was with the transport.
    inference_ns: all engine time of the turn.
    stages_ns:    of what lies between ``received`` and ``sampling``: validate, resolve, guards, render, tokenise.
    post_ns:      postinference, where the turn ended the Response.
    given:        tokens of input in the context when the turn was sampled, appended ones included.
    decoded:      tokens that were computed for the turn; reused: tokens in the context that were not.
    sampled:      tokens sampled.
    """

    received: int
    sampling: int
    prefill_ns: int
    first_token: int
    last_token: int
    told: int
    inference_ns: int
    stages_ns: dict[str, int]
    post_ns: int
    given: int
    decoded: int
    reused: int
    sampled: int


class TurnRecord(msgspec.Struct):
    """The client's side of a turn.

    began:       the client had all that it needs for the turn's request.
    sent:        the request was with the kernel.
    first_byte:  of the answer. first_token: the first event that carries output. last_event: the event that ends the
                 turn was read, its calls in hand.
    ended:       the last tool was done; equal to ``last_event`` where no tool ran later.
    bytes_up, bytes_down: on the wire, headers and framing included.
    usage:       what the answer itself says of tokens, if it says anything.
    """

    began: int
    sent: int
    first_byte: int
    first_token: int
    last_event: int
    ended: int
    bytes_up: int
    bytes_down: int
    events: int
    tools: list[ToolRecord] = []
    usage: dict[str, Any] | None = None
    server: ServerTurn | None = None


class RunRecord(msgspec.Struct):
    """One session, played once by one design.

    order:   its place among all runs of the experiment.
    agent:   0, or which of several that ran at once.
    cpu_ns:  processor time of the run by process: ``client``, ``engine`` (the engine's thread or process), ``server``
             (all else of it). Absent where it can't be told.
    error:   why it is no run; its turns are those until then.
    """

    design: str
    script: str
    repeat: int
    order: int
    began: int
    ended: int
    turns: list[TurnRecord]
    agent: int = 0
    connect_ns: int = 0
    cpu_ns: dict[str, int] = {}
    error: str | None = None


class LimitTurn(msgspec.Struct, array_like=True):
    """A turn on the engine alone: ``context`` tokens were there, ``appended`` were computed (prefill, up to the first
    token), and of ``sampled`` tokens the others (decode)."""

    context: int
    appended: int
    sampled: int
    prefill_ns: int
    decode_ns: int


class LimitRecord(msgspec.Struct):
    """One script on the engine alone, in the same order as the runs."""

    script: str
    repeat: int
    order: int
    turns: list[LimitTurn]


class LoadRecord(msgspec.Struct):
    """Many agents at once, in a closed loop: each begins its next session when it has ended one.

    runs:    all of them; turns hold the times.
    meets:   whether the objective was met; None without one.
    """

    design: str
    agents: int
    began: int
    ended: int
    runs: list[RunRecord]
    cpu_ns: dict[str, int] = {}
    meets: bool | None = None


class DesignInfo(msgspec.Struct):
    """``key`` is what records call it: a letter of our designs, or a peer's name. ``kind``: ``http``, ``websocket``,
    ``append``, ``peer``."""

    key: str
    title: str
    kind: str
    detail: str = ""


class Noise(msgspec.Struct):
    """Nanoseconds that the same piece of work took, spread over the experiment; ``steal``: part of the machine's time
    that its host gave to others; ``load``: load average before."""

    probes: list[int] = []
    steal: float = 0.0
    load: float = 0.0


class Results(msgspec.Struct):
    """One experiment.

    arm:        what answered, in words; ``simulated`` if no model computed anything, with ``engine`` its parameters.
    settings:   of the run: repeats, seed, rtt_ms, agents, context, threads, ...
    workload:   name, description, and the sessions' numbers.
    """

    command: list[str]
    began_at: str
    arm: str
    simulated: bool
    engine: dict[str, Any]
    settings: dict[str, Any]
    environment: dict[str, Any]
    workload: dict[str, Any]
    designs: list[DesignInfo]
    runs: list[RunRecord] = []
    limits: list[LimitRecord] = []
    loads: list[LoadRecord] = []
    noise: Noise = msgspec.field(default_factory=Noise)
    version: int = VERSION
