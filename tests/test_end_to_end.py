"""The main job as a user runs it: two processes, a real socket, the demo model, real tools."""

from __future__ import annotations

import asyncio
import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import caesura.client
import pytest
import websockets.sync.client
from caesura.protocol.events import ResponseDone
from caesura.protocol.items import HostedCall
from caesura.protocol.opening import APPEND_MODE

SECONDS = 240
COMMAND = [sys.executable, "-c", "import sys; from caesura.client.command_line import main; sys.exit(main())"]


def test_the_demo_model_repairs_repositories(demo_model_path: Path, tmp_path: Path) -> None:
    """A few of the demo's seeds, end to end. One may fail: the model is small and processors differ in last bits."""
    file = tmp_path / "report.json"
    done = subprocess.run(
        [*COMMAND, "demo", "--model", str(demo_model_path), "--seeds", "0-4", "--json", str(file)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
    )
    assert done.returncode in (0, 1), done.stderr
    report = json.loads(file.read_text())
    assert report["total"] == len(report["runs"]) == 5
    assert report["fixed"] >= 4, done.stdout
    for run in (run for run in report["runs"] if run["fixed"]):
        assert run["preinference_runs"] == run["postinference_runs"] == 1
        assert run["tokens"]["recomputed"] == 0
        assert run["pauses"] >= 3
        assert run["tool_calls"] >= run["pauses"]
        assert run["tokens"]["appended"] > 0
        assert run["response_id"].startswith("resp_")
        assert set(run["stages_ms"]) == {"inference", "api", "client_tools", "post"}
        assert run["wall_ms"] >= run["stages_ms"]["inference"] > 0


@pytest.fixture(scope="module")
def server(demo_model_path: Path) -> Iterator[tuple[str, str]]:
    """The URL of a server of the demo model, and the model's name there."""
    command = [sys.executable, "-m", "caesura.runtime", "serve", "--port", "0", "--model", str(demo_model_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            words = process.stdout.readline().split()
            yield words[-1], words[2]
        finally:
            process.send_signal(signal.SIGTERM)
    assert process.returncode == 0


def test_functions_as_tools(server: tuple[str, str]) -> None:
    url, model = server
    seen: list[str] = []

    async def get_weather(city: str) -> str:
        """Get the weather of a city.

        Args:
            city: The city's name.
        """
        seen.append(city)
        return "sunny, 21 degrees"

    async def main() -> None:
        async with caesura.client.connect(url) as client:
            stream = client.stream(
                model=model, input="Call get_weather with city = Oslo.", tools=[get_weather], early_tools=False
            )
            pauses = [event async for event in stream if isinstance(event, ResponseDone)]
            result = stream.result
            assert result.status == "completed"
            assert len(pauses) == result.pauses == len(result.tool_calls) == len(seen)
            assert result.stats["preinference_runs"] == 1
            assert result.stats["tokens"]["recomputed"] == 0
            assert seen == ["Oslo"]

    asyncio.run(asyncio.wait_for(main(), SECONDS))


def test_the_hosted_calculator(server: tuple[str, str]) -> None:
    url, model = server

    async def main() -> None:
        async with caesura.client.connect(url) as client:
            result = await client.run(model=model, input="What is 1234 * 5678?", tools=[{"type": "caesura:calculate"}])
            (hosted,) = [item for item in result.output if isinstance(item, HostedCall)]
            assert hosted.output == str(1234 * 5678)
            assert result.pauses == 0

    asyncio.run(asyncio.wait_for(main(), SECONDS))


def test_bad_frames_on_a_real_socket(server: tuple[str, str]) -> None:
    """Every one gets an error with all its fields, and the socket lives on."""
    url, model = server
    frames: list[tuple[str | bytes, str]] = [
        ("", "invalid_json"),
        ("{", "invalid_json"),
        ("[" * 50_000, "message_too_deep"),
        (b"\x00binary", "binary_frame"),
        ('{"type": "response.destroy"}', "unknown_message_type"),
        ('{"type": "response.cancel"}', "response_not_found"),
        ('{"type": "response.resume", "response_id": "resp_nobody"}', "response_not_found"),
        (json.dumps({"type": "response.create", "model": model}), "missing_required_parameter"),
        (json.dumps({"type": "response.create", "model": "gpt-17", "input": "hi"}), "model_not_found"),
        (json.dumps({"type": "response.create", "model": model, "input": "x " * 20_000}), "context_length_exceeded"),
        (
            json.dumps({"type": "response.create", "model": model, "input": "x", "tools": [{"type": "function"}]}),
            "invalid_tool_schema",
        ),
        (
            '{"type":"response.append","input":[{"type":"function_call_output","call_id":"x","output":"y"}]}',
            "response_not_found",
        ),
    ]
    with websockets.sync.client.connect(url.replace("http", "ws") + f"/v1/responses?{APPEND_MODE}") as socket:
        for number, (frame, code) in enumerate(frames):
            socket.send(frame)
            event = json.loads(socket.recv(timeout=SECONDS))
            assert event["type"] == "error"
            assert event["error"]["code"] == code
            assert event["sequence_number"] == number
            assert 400 <= event["status"] < 500
            assert set(event["error"]) == {"type", "code", "message", "param"}
        socket.send(json.dumps({"type": "response.create", "model": model, "input": "hi", "max_output_tokens": 5}))
        types = []
        while not types or types[-1] not in ("response.completed", "response.incomplete"):
            types.append(json.loads(socket.recv(timeout=SECONDS))["type"])
        assert types[:2] == ["response.created", "response.in_progress"]


def test_many_runs_share_one_connection(server: tuple[str, str]) -> None:
    url, model = server

    async def main() -> None:
        async with caesura.client.connect(url) as client:
            runs = [
                client.run(model=model, input=f"Say hello, {name}.", max_output_tokens=40)
                for name in ("Ann", "Bob", "Cy")
            ]
            results = await asyncio.gather(*runs)
        assert all(result.status in ("completed", "incomplete") for result in results)
        assert all(0 < result.stats["tokens"]["sampled"] <= 40 for result in results)
        assert len({result.response_id for result in results}) == 3

    asyncio.run(asyncio.wait_for(main(), SECONDS))


def test_an_error_of_the_server_is_an_exception_with_its_code(server: tuple[str, str]) -> None:
    url, _ = server

    async def main() -> None:
        async with caesura.client.connect(url) as client:
            with pytest.raises(caesura.client.RunFailed) as caught:
                await client.run(model="gpt-17", input="hi")
            assert caught.value.code == "model_not_found"
            with pytest.raises(caesura.client.RunFailed) as caught:
                await client.run(model="gpt-17", input="hi again")
            assert caught.value.param == "model"

    asyncio.run(asyncio.wait_for(main(), SECONDS))
