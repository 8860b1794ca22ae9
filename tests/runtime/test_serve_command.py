"""``caesura serve`` as a process: what operators see."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

SECONDS = 60


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "caesura.runtime", "serve", "--port", "0", *map(str, arguments)]


@contextmanager
def server(*arguments: str | Path) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A server that is ready, and its URL."""
    with subprocess.Popen(command(*arguments), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("caesura: serving "), line
            yield process, line.split()[-1]
        finally:
            process.kill()


def refusal(*arguments: str | Path) -> str:
    """The one line with which it refuses to start."""
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 2
    assert done.stdout == ""
    (line,) = done.stderr.splitlines()
    assert line.startswith("caesura: ")
    return line


@pytest.mark.parametrize("engine", ["thread", "process"])
@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGINT])
def test_it_answers_and_stops_cleanly(demo_model_path: Path, signum: signal.Signals, engine: str) -> None:
    with server("--model", demo_model_path, "--engine", engine) as (process, url):
        assert process.stdout is not None
        assert "in a KV cache of " in process.stdout.readline()
        with urllib.request.urlopen(f"{url}/health", timeout=SECONDS) as answer:
            assert answer.status == 200
            assert json.load(answer)["status"] == "ok"
        with urllib.request.urlopen(f"{url}/v1/models", timeout=SECONDS) as answer:
            assert json.load(answer)["data"]
        process.send_signal(signum)
        _, stderr = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        assert stderr == ""


@pytest.mark.parametrize(("option", "answer"), [((), "yes"), (("--flash-attention",), "no")])
def test_it_says_whether_it_is_exact(demo_model_path: Path, option: tuple[str, ...], answer: str) -> None:
    with server("--model", demo_model_path, *option) as (process, _):
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        assert lines[-1] == f"caesura: bit-exact whatever else is sampled: {answer}, as measured now\n"


def test_a_paused_response_does_not_hold_the_shutdown_up(demo_model_path: Path, tmp_path: Path) -> None:
    from websockets.sync.client import connect

    script = tmp_path / "script.json"
    script.write_text('{"turns": [{"calls": [{"name": "f", "arguments": {}}]}]}')
    with server("--model", demo_model_path, "--replay", script) as (process, url):
        with urllib.request.urlopen(f"{url}/v1/models", timeout=SECONDS) as answer:
            model = json.load(answer)["data"][0]["id"]
        with connect(url.replace("http", "ws") + "/v1/responses?responses_websockets=2026-02-04") as client:
            client.send(json.dumps({"type": "response.create", "model": model, "input": "go"}))
            while json.loads(client.recv(timeout=SECONDS))["type"] != "response.done":
                pass
            process.send_signal(signal.SIGTERM)
            _, stderr = process.communicate(timeout=SECONDS)
        assert process.returncode == 0
        assert "Traceback" not in stderr


def test_the_context_beyond_training_is_a_warning(demo_model_path: Path) -> None:
    with server("--model", demo_model_path, "--ctx", "6000") as (process, _):
        process.send_signal(signal.SIGTERM)
        _, stderr = process.communicate(timeout=SECONDS)
    assert "warning" in stderr
    assert "4096" in stderr


def test_the_port_in_use(demo_model_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f":{port}" in refusal("--model", demo_model_path, "--port", str(port))


def test_a_missing_model_file(tmp_path: Path) -> None:
    assert "missing.gguf" in refusal("--model", tmp_path / "missing.gguf")


def test_an_unknown_tool_format(demo_model_path: Path) -> None:
    line = refusal("--model", demo_model_path, "--tool-format", "morse")
    assert "morse" in line
    assert "hermes" in line


def test_a_tool_format_that_is_not_the_models_own(demo_model_path: Path) -> None:
    with server("--model", demo_model_path, "--tool-format", "llama3") as (process, _):
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)
    assert process.returncode == 0


def test_a_repository_that_has_no_name() -> None:
    assert "hf:OWNER/REPO" in refusal("--model", "hf:nothing")


def test_a_file_that_is_no_gguf(tmp_path: Path) -> None:
    file = tmp_path / "text.gguf"
    file.write_text("not a model, but long enough to hold a header")
    assert "GGUF" in refusal("--model", file)


def test_a_gguf_without_a_chat_template(demo_model_path: Path, tmp_path: Path) -> None:
    key = b"tokenizer.chat_template"
    content = demo_model_path.read_bytes()
    assert content.count(key) == 1
    file = tmp_path / "mute.gguf"
    file.write_bytes(content.replace(key, b"tokenizer.chat_templatX"))
    assert "chat template" in refusal("--model", file)


@pytest.mark.parametrize(("content", "reason"), [(None, "script.json"), ("{", "JSON"), ('{"turns": [{}]}', "turn")])
def test_a_replay_script_that_can_not_be_played(
    demo_model_path: Path, tmp_path: Path, content: str | None, reason: str
) -> None:
    script = tmp_path / "script.json"
    if content is not None:
        script.write_text(content)
    assert reason in refusal("--model", demo_model_path, "--replay", script)


def test_a_context_that_no_machine_has(demo_model_path: Path) -> None:
    arguments = ("--model", demo_model_path, "--ctx", "2000000000", "--sequences", "200")
    done = subprocess.run(command(*arguments), capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 2
    warning, reason = done.stderr.splitlines()
    assert "warning" in warning
    assert "KV cache" in reason


def test_what_runs_in_the_background_is_stored_when_the_server_stops(demo_model_path: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.json"
    script.write_text(json.dumps({"turns": [{"text": "word " * 3000}]}))
    options = ("--model", demo_model_path, "--replay", script, "--store", tmp_path / "responses.sqlite3")
    with server(*options, "--ctx", "8192") as (process, url):
        body = {"model": "caesura-demo", "input": "hi", "background": True}
        request = urllib.request.Request(
            f"{url}/v1/responses", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            begun = json.load(answer)
        assert begun["status"] == "in_progress"
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=SECONDS)
        assert process.returncode == 0
    with (
        server(*options) as (_, url),
        urllib.request.urlopen(f"{url}/v1/responses/{begun['id']}", timeout=SECONDS) as answer,
    ):
        assert json.load(answer)["status"] == "cancelled"
