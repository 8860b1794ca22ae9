"""What the protocol core costs an append: decode, transition, encode. No engine, no transport, no event loop.

The server's share is `ServerConnection.receive` of the frame, `next_request` and `accept`, with the acknowledgement
encoded where there is one. The client's share is `ClientProtocol.append` with the frame encoded, and `receive` of the
acknowledgement. Medians over appends of `OUTPUT` characters; the clock's own cost is taken off.
"""

from __future__ import annotations

import itertools
import statistics
import time
from collections.abc import Callable
from typing import Any

from caesura.protocol.client import ClientProtocol
from caesura.protocol.events import OutputItemDone, ResponseCreated
from caesura.protocol.items import FunctionCall, FunctionCallOutput
from caesura.protocol.limits import Limits
from caesura.protocol.messages import ResponseCreate
from caesura.protocol.resource import Response
from caesura.protocol.server import AppendRequested, CreateRequested, ServerProtocol

OUTPUT = 200
TURNS = 500
BOUND = 25.0
"""Microseconds that an append may cost the server."""


class Rollout:
    """A client and a server core, joined in memory, and one Response that pauses again and again."""

    def __init__(self) -> None:
        self.server = ServerProtocol(Limits(pause_timeout=1e9))
        self.connection = self.server.connect(0.0)
        self.client = ClientProtocol()
        self.client.connected()
        self.mine = self.client.create(ResponseCreate(model="m", input="hi"))
        self._up()
        request = self.server.next_request()
        assert isinstance(request, CreateRequested)
        self.server.accept(request, 0.0)
        self.theirs = request.response
        started = Response(id="resp_1", created_at=0.0, status="in_progress", model="m")
        self.server.emit(self.theirs, ResponseCreated(response=started), 0.0)
        self._down()

    def pause(self, num_calls: int) -> list[FunctionCallOutput]:
        """Sample so many calls and pause; their outputs."""
        outputs = []
        for _ in range(num_calls):
            index = len(self.theirs.items)
            call = FunctionCall(
                id=f"fc_{index}", call_id=f"call_{index}", name="read_file", arguments='{"path":"a.py"}'
            )
            self.server.emit(self.theirs, OutputItemDone(output_index=index, item=call), 0.0)
            outputs.append(FunctionCallOutput(call_id=call.call_id, output="x = 1\n" * (OUTPUT // 6)))
        self.server.emit(self.theirs, self.theirs.pause(), 0.0)
        self._down()
        return outputs

    def append(self, output: FunctionCallOutput) -> tuple[float, float]:
        """Append it: microseconds of the server, and of the client."""
        began = time.perf_counter_ns()
        self.client.append(self.mine, [output])
        frame = self.client.next_frame()
        middle = time.perf_counter_ns()
        assert frame is not None
        served = time.perf_counter_ns()
        self.connection.receive(frame, 0.0)
        request = self.server.next_request()
        assert type(request) is AppendRequested
        self.server.accept(request, 0.0)
        ended = time.perf_counter_ns()
        acknowledgement = self.connection.next_frame()
        heard = time.perf_counter_ns()
        if acknowledgement is not None:
            self.client.receive(acknowledgement)
        last = time.perf_counter_ns()
        return (ended - served) / 1e3, (middle - began + (last - heard if acknowledgement is not None else 0)) / 1e3

    def _up(self) -> None:
        while (frame := self.client.next_frame()) is not None:
            self.connection.receive(frame, 0.0)

    def _down(self) -> None:
        while (frame := self.connection.next_frame()) is not None:
            self.client.receive(frame)


def clock_cost() -> float:
    """Microseconds between two looks at the clock."""
    looks = [time.perf_counter_ns() for _ in range(2001)]
    return statistics.median(b - a for a, b in itertools.pairwise(looks)) / 1e3


def last_call(rollout: Rollout, turns: int) -> list[tuple[float, float]]:
    """The append that ends a pause of one call."""
    return [rollout.append(*rollout.pause(1)) for _ in range(turns)]


def one_of_two(rollout: Rollout, turns: int) -> list[tuple[float, float]]:
    """The first append in a pause of two calls; it is acknowledged."""
    samples = []
    for _ in range(turns):
        first, second = rollout.pause(2)
        samples.append(rollout.append(first))
        rollout.append(second)
    return samples


def measure(*, repeats: int = 7, turns: int = TURNS) -> dict[str, Any]:
    """Medians over `repeats` rollouts of `turns` pauses each."""
    overhead = clock_cost()
    cases: dict[str, Callable[[Rollout, int], list[tuple[float, float]]]] = {
        "last call": last_call,
        "one of two, acknowledged": one_of_two,
    }
    rows = []
    for name, run in cases.items():
        rounds = [run(Rollout(), turns) for _ in range(repeats)]
        few = min(40, turns)
        rows.append(
            {
                "case": name,
                "server_us": _median(rounds, 0, slice(None)) - overhead,
                "client_us": _median(rounds, 1, slice(None)) - overhead,
                "first_us": _median(rounds, 0, slice(0, few)) - overhead,
                "late_us": _median(rounds, 0, slice(-few, None)) - overhead,
            }
        )
    return {"output_characters": OUTPUT, "turns": turns, "bound_us": BOUND, "rows": rows}


def _median(rounds: list[list[tuple[float, float]]], share: int, turns: slice) -> float:
    return statistics.median(statistics.median(sample[share] for sample in one[turns]) for one in rounds)


def table(result: dict[str, Any]) -> str:
    few = min(40, result["turns"])
    lines = [
        f"An append with an output of {result['output_characters']} characters: microseconds in the protocol core, "
        f"median of {result['turns']} turns ({result['bound_us']:g} allowed)",
        "",
        f"{'':>26}{'server':>10}{'client':>10}{'server, first ' + str(few):>18}{'last ' + str(few):>10}",
    ]
    for row in result["rows"]:
        lines.append(
            f"{row['case']:>26}{row['server_us']:>10.1f}{row['client_us']:>10.1f}{row['first_us']:>18.1f}"
            f"{row['late_us']:>10.1f}"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(measure()))
