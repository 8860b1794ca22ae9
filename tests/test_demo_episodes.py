import json
import os
import subprocess
import sys
from typing import Any

import pytest
from caesura.client.demo.episodes import DEFINITIONS, make_drill, make_episode
from caesura.client.demo.repository import make_repository
from caesura.client.demo.simulation import SimulatedWorkspace
from caesura.client.demo.workspace import Tools
from caesura.client.function_schema import describe


@pytest.mark.parametrize("seed", range(60))
def test_an_episode_ends_with_passing_tests(seed: int) -> None:
    messages = make_episode(seed)["messages"]
    assert messages[-2]["content"].endswith("OK")
    assert messages[-1]["content"].startswith("Fixed ")
    assert "tool_calls" not in messages[-1]


def test_every_call_has_its_output_in_order() -> None:
    for seed in range(60):
        messages = make_episode(seed)["messages"]
        made = [call["id"] for message in messages for call in message.get("tool_calls", [])]
        answered = [message["tool_call_id"] for message in messages if message["role"] == "tool"]
        assert made == answered == [f"call_{number}" for number in range(1, len(made) + 1)]


def test_the_first_turn_calls_two_tools_at_once() -> None:
    first = next(message for message in make_episode(5)["messages"] if message["role"] == "assistant")
    assert [call["function"]["name"] for call in first["tool_calls"]] == ["list_files", "run_tests"]


def test_mistakes_are_not_trained_and_some_outputs_are_errors() -> None:
    episodes = [make_episode(seed) for seed in range(200)]
    untrained = [message for episode in episodes for message in episode["messages"] if message.get("train") is False]
    errors = [
        m
        for episode in episodes
        for m in episode["messages"]
        if m["role"] == "tool" and m["content"].startswith("Error: ")
    ]
    assert untrained
    assert errors
    assert 0.05 < sum(any("train" in m for m in episode["messages"]) for episode in episodes) / len(episodes) < 0.25


def test_the_definitions_are_those_of_the_tools() -> None:
    assert [definition["function"]["name"] for definition in DEFINITIONS] == [
        "list_files",
        "read_file",
        "edit_file",
        "run_tests",
    ]
    assert DEFINITIONS[1]["function"]["parameters"] == {
        "type": "object",
        "properties": {"path": {"type": "string", "description": "Path of the file."}},
        "required": ["path"],
        "additionalProperties": False,
    }


def test_the_client_library_makes_the_same_definitions_of_the_tools() -> None:
    tools = SimulatedWorkspace({})
    for definition in DEFINITIONS:
        expected = definition["function"]
        schema = describe(getattr(tools, expected["name"]))
        assert (schema.name, schema.description, schema.parameters) == tuple(expected.values())


@pytest.mark.parametrize("seed", [3, 7, 11])
def test_a_drill_fixes_what_it_is_asked_to(seed: int) -> None:
    drill = make_drill(seed)
    edits = [
        call["function"]
        for m in drill["messages"]
        for call in m.get("tool_calls", [])
        if call["function"]["name"] == "edit_file"
    ]
    outputs = [m["content"] for m in drill["messages"] if m["role"] == "tool" and m["content"].startswith("Edited ")]
    assert len(edits) == len(outputs) >= 2


def _module(name: str, *arguments: str, text: str = "", hash_seed: str = "0") -> str:
    command = [sys.executable, "-m", f"caesura.client.demo.{name}", *arguments]
    environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
    return subprocess.run(command, input=text, capture_output=True, text=True, check=True, env=environment).stdout


def test_the_program_writes_the_same_lines_with_any_hash_seed() -> None:
    lines = _module("episodes", "--first-seed", "2000", "--count", "8", hash_seed="1")
    assert lines == _module("episodes", "--first-seed", "2000", "--count", "8", hash_seed="2")
    episodes: list[dict[str, Any]] = [json.loads(line) for line in lines.splitlines()]
    assert {episode["family"] for episode in episodes} == {"code_fix", "code_drill"}


def test_the_simulator_program_answers_calls() -> None:
    repository = make_repository(4)
    bug = repository.bug
    calls = [
        {"name": "run_tests", "arguments": {}},
        {"name": "edit_file", "arguments": {"path": bug.path, "old": bug.old, "new": bug.new}},
        {"name": "fly", "arguments": {}},
    ]
    output = _module("simulation", "--seed", "4", text="".join(json.dumps(call) + "\n" for call in calls))
    files, first, second, third = [json.loads(line) for line in output.splitlines()]
    assert files == {"files": dict(repository.files)}
    assert first == {"output": SimulatedWorkspace(repository.files).run_tests(), "fixed": False}
    assert second == {"output": f"Edited {bug.path}.", "fixed": True}
    assert third["output"] == "Error: unknown tool fly"


def test_every_tool_is_a_documented_method() -> None:
    for definition in DEFINITIONS:
        assert getattr(Tools, definition["function"]["name"]).__doc__
