"""``caesura serve --simulate``: an engine that only takes its time."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from pathlib import Path

import pytest
from test_serve_command import SECONDS, command, server


@pytest.mark.parametrize("engine", ["thread", "process"])
def test_it_answers_and_says_that_it_is_simulated(demo_model_path: Path, engine: str) -> None:
    options = ("--model", demo_model_path, "--engine", engine, "--store", "none")
    with server(*options, "--simulate", "decode=1000000,batch=0.5") as (process, url):
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line.startswith("caesura: simulated: decode 1000000 tokens/s, prefill 10000000 tokens/s, ")
        assert "each further sequence 0.5 of a step" in line
        assert process.stdout.readline() == "caesura: 8 sequences of 4096 tokens sample at once\n"
        body = json.dumps({"model": "caesura-demo", "input": "Hello.", "max_output_tokens": 20}).encode()
        request = urllib.request.Request(f"{url}/v1/responses", body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=SECONDS) as answer:
            response = json.load(answer)
        assert response["status"] == "incomplete"
        assert response["usage"]["output_tokens"] == 20


@pytest.mark.parametrize(
    ("spec", "named"), [("fast", "'fast'"), ("decode=0", "decode"), ("decode=10,prefill=1", "prefill")]
)
def test_what_cant_be_simulated(spec: str, named: str) -> None:
    done = subprocess.run(command("--simulate", spec), capture_output=True, text=True, timeout=SECONDS)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("caesura serve: error: argument --simulate: ")
    assert named in done.stderr
