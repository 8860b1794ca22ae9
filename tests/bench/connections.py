"""Many connections on one ``caesura serve``: most of them idle, some in the middle of an agent loop.

Active clients each carry a conversation of several turns over OpenAI's WebSocket mode, one tool call a turn, forced by
a script; first alone, then with the idle connections open. Every idle one must answer a ping afterwards.
"""

from __future__ import annotations

import asyncio
import json
import resource
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

from server_process import ServerProcess, server_process
from websockets.asyncio.client import ClientConnection, connect

Json = dict[str, Any]

TOOL = {
    "type": "function",
    "name": "look",
    "description": "Look at a place.",
    "parameters": {"type": "object", "properties": {"at": {"type": "string"}}, "required": ["at"]},
}
SPARE_FILES = 200
"""Open files besides the connections, in either process."""


async def _open(stack: AsyncExitStack, server: ServerProcess) -> ClientConnection:
    return await stack.enter_async_context(
        connect(server.websocket_url, compression=None, max_size=None, ping_interval=None, open_timeout=60)
    )


async def _converse(connection: ClientConnection, model: str, turns: int) -> list[float]:
    """Milliseconds of each turn, from the create to its last event."""
    times: list[float] = []
    request: Json = {"type": "response.create", "model": model, "tools": [TOOL], "store": False}
    more: Json = {"input": "Look at every place in turn."}
    for _ in range(turns):
        began = time.perf_counter()
        await connection.send(json.dumps({**request, **more}))
        event: Json = {"type": ""}
        while event["type"] not in ("response.completed", "response.failed", "response.incomplete", "error"):
            event = json.loads(await asyncio.wait_for(connection.recv(), 120))
        if event["type"] != "response.completed":
            raise RuntimeError(json.dumps(event))
        times.append(1e3 * (time.perf_counter() - began))
        call = event["response"]["output"][-1]
        output = {"type": "function_call_output", "call_id": call.get("call_id"), "output": "There is nothing."}
        more = {"input": [output], "previous_response_id": event["response"]["id"]}
    return times


async def _active(server: ServerProcess, clients: int, turns: int) -> Json:
    async with AsyncExitStack() as stack:
        connections = [await _open(stack, server) for _ in range(clients)]
        began = time.perf_counter()
        results = await asyncio.gather(
            *[_converse(connection, server.model, turns) for connection in connections], return_exceptions=True
        )
        seconds = time.perf_counter() - began
    errors = [str(result) for result in results if isinstance(result, BaseException)]
    times = sorted(each for result in results if isinstance(result, list) for each in result)
    return {
        "errors": errors,
        "turns_per_s": len(times) / seconds,
        "median_ms": statistics.median(times) if times else float("nan"),
        "p99_ms": times[int(0.99 * (len(times) - 1))] if times else float("nan"),
    }


async def _measure(server: ServerProcess, idle: int, active: int, turns: int) -> Json:
    await _active(server, active, turns)  # what the server allocates once, it has then
    alone = await _active(server, active, turns)
    async with AsyncExitStack() as stack:
        before = server.resident_kib()
        connections = [await _open(stack, server) for _ in range(idle)]
        after = server.resident_kib()
        beside = await _active(server, active, turns)
        pongs = await asyncio.gather(*[_answers_ping(connection) for connection in connections])
    return {
        "idle": idle,
        "active": active,
        "idle_kib": (after - before) / idle,
        "idle_lost": pongs.count(False),
        "alone": alone,
        "beside": beside,
    }


async def _answers_ping(connection: ClientConnection) -> bool:
    try:
        async with asyncio.timeout(60):
            await (await connection.ping())
    except Exception:
        return False
    return True


def measure(model: str, *, idle: int = 500, active: int = 50, turns: int = 8) -> Json:
    """``alone`` and ``beside`` the idle connections: turns a second and milliseconds a turn of the active clients;
    ``idle_kib`` is what an idle connection adds to the server's resident memory."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = idle + active + SPARE_FILES
    if soft < wanted:  # inherited by the server
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted if hard == resource.RLIM_INFINITY else hard, hard))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "script.json"
        calls = [{"calls": [{"name": "look", "arguments": {"at": f"place number {n}"}}]} for n in range(turns - 1)]
        script.write_text(json.dumps({"turns": [*calls, {"text": "That was all."}]}))
        with server_process("--model", model, "--replay", str(script), "--store", "none") as server:
            return asyncio.run(_measure(server, idle, active, turns))


def table(row: Json) -> str:
    lines = [
        f"{row['active']} active connections on one server, alone and beside {row['idle']} idle ones",
        "",
        f"{'':10}{'turns/s':>10}{'median, ms':>12}{'p99, ms':>10}{'errors':>8}",
    ]
    for name in ("alone", "beside"):
        cost = row[name]
        lines.append(
            f"{name:10}{cost['turns_per_s']:>10.0f}{cost['median_ms']:>12.1f}{cost['p99_ms']:>10.1f}"
            f"{len(cost['errors']):>8}"
        )
    lines += ["", f"An idle connection takes {row['idle_kib']:.1f} KiB; {row['idle_lost']} of them were lost."]
    lines += [error for name in ("alone", "beside") for error in row[name]["errors"][:3]]
    return "\n".join(lines)
