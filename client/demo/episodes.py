"""Training conversations of the demo's task: `python -m caesura.client.demo.episodes --first-seed N --count K`.

Each line it writes is `{"family": "code_fix", "tools": [...], "messages": [...]}`, in OpenAI chat-completions form.
The tool outputs come from the real tools' code (see `simulation`). A message with `"train": false` is a mistake put
there so that the recovery from it can be learned; the mistake itself must not be.
"""

import argparse
import inspect
import json
import random
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .repository import FIRST_TRAINING_SEED, INSTRUCTIONS, TASK, Bug, Repository, make_repository
from .simulation import SimulatedWorkspace
from .workspace import Tools

Message = dict[str, Any]

TASKS = (
    "Fix the failing test.",
    "One test fails. Fix the code.",
    "The tests of this project fail. Find out why and repair the code.",
    "Something is broken here: make the tests pass again.",
    "Please fix the bug in this repository.",
    "There is a bug in this project. Find it and fix it.",
    "Make all tests pass.",
    "Can you find the bug and fix it?",
    "The test suite is red. Please turn it green.",
    "Please repair this repository, then check it with the tests.",
)

INSTRUCTION_VARIANTS = (
    "You are a helpful assistant.",
    "You fix bugs in small repositories. Use the tools.",
    "You are a careful programmer. Look first, then edit, then test.",
    "You are a coding agent with tools.",
)


def describe(method: Callable[..., str]) -> dict[str, Any]:
    """The chat-completions definition of a tool whose parameters are all strings, from its hints and docstring."""
    lines = inspect.cleandoc(method.__doc__ or "").splitlines()
    texts = dict(line.strip().split(": ", 1) for line in lines if line.startswith("    "))
    names = [name for name in inspect.signature(method).parameters if name != "self"]
    return _definition(method.__name__, lines[0], {name: texts[name] for name in names})


def _definition(name: str, description: str, parameters: dict[str, str]) -> dict[str, Any]:
    properties = {name: {"type": "string", "description": text} for name, text in parameters.items()}
    schema = {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}
    return {"type": "function", "function": {"name": name, "description": description, "parameters": schema}}


DEFINITIONS = [describe(method) for method in (Tools.list_files, Tools.read_file, Tools.edit_file, Tools.run_tests)]

DISTRACTORS = (
    _definition(
        "calculate",
        "Evaluate an arithmetic expression exactly.",
        {"expression": "The expression, such as (3 + 4) * 5 or sqrt(2)."},
    ),
    _definition("delete_file", "Delete a file.", {"path": "Path of the file."}),
    _definition("create_file", "Create a new file.", {"path": "Path of the file.", "text": "The text of the file."}),
    _definition("search_text", "Search all files for a text.", {"query": "The text to look for."}),
    _definition("git_status", "Show the changed files.", {}),
    _definition("git_diff", "Show what was changed.", {}),
    _definition("git_commit", "Commit all changes.", {"message": "The commit message."}),
    _definition("web_search", "Search the web.", {"query": "What to search for."}),
)

MISTAKES = ("two bugs", "edit not found", "wrong file", "wrong fix")


def make_episode(seed: int) -> dict[str, Any]:
    """The conversation of `seed`. About one in five has a mistake or a second bug to recover from."""
    rng = random.Random(f"episode {seed}")
    kind = rng.choice(MISTAKES) if rng.random() < 0.22 else "plain"
    repository = make_repository(seed, 2 if kind == "two bugs" else 1)
    tools = list(DEFINITIONS)
    if rng.random() < 0.25:
        rng.shuffle(tools)
    for definition in rng.sample(DISTRACTORS, rng.choice([0, 0, 0, 1, 2])):
        tools.insert(rng.randint(0, len(tools)), definition)
    episode = _Episode(repository)
    if rng.random() < 0.9:
        usual = rng.random() < 0.75
        episode.messages.append(
            {"role": "system", "content": INSTRUCTIONS if usual else rng.choice(INSTRUCTION_VARIANTS)}
        )
    episode.messages.append({"role": "user", "content": TASK if rng.random() < 0.6 else rng.choice(TASKS)})
    episode.play(rng, kind)
    return {"family": "code_fix", "tools": tools, "messages": episode.messages}


class _Episode:
    """Plays the agent's part by the book, over simulated tools."""

    def __init__(self, repository: Repository) -> None:
        self.repository = repository
        self.workspace = SimulatedWorkspace(repository.files)
        self.messages: list[Message] = []
        self.num_calls = 0

    def play(self, rng: random.Random, kind: str) -> None:
        outputs = self.turn("I look at the files and run the tests.", [("list_files", {}), ("run_tests", {})])
        open_bugs = {bug.test: bug for bug in self.repository.bugs}
        others = sorted({path for path in self.repository.files if path.endswith(".py")} - {self.repository.bug.path})
        verdict, fixed = outputs[-1], []
        mistake = kind
        while "FAIL" in verdict or "ERROR" in verdict:
            bug = open_bugs[_first_failure(verdict)]
            reason = f"{bug.test} fails, so I read"
            if mistake == "wrong file":
                wrong = rng.choice(others)
                self.turn(f"{reason} {wrong}.", [("read_file", {"path": wrong})], train=False)
                reason, mistake = f"{bug.function} is not there, so I read", "none"
            self.turn(f"{reason} {bug.path}.", [("read_file", {"path": bug.path})])
            if mistake == "edit not found":
                self.edit(bug, _garbled(rng, bug.old, self.workspace.files[bug.path]), bug.new, train=False)
                self.turn(f"The edit failed, so I read {bug.path} again.", [("read_file", {"path": bug.path})])
                mistake = "none"
            if mistake == "wrong fix":
                wrong_line = _wrong_fix(rng, bug, self.workspace.files)
                mistake = "none"
                if wrong_line is not None:
                    self.edit(bug, bug.old, wrong_line, train=False)
                    open_bugs[bug.test] = Bug(bug.path, bug.function, wrong_line, bug.new, bug.test, bug.docstring)
                    (verdict,) = self.turn("Now I run the tests.", [("run_tests", {})])
                    continue
            self.edit(bug, bug.old, bug.new)
            fixed.append(bug)
            (verdict,) = self.turn("Now I run the tests.", [("run_tests", {})])
        what = " and ".join(f"{bug.function} in {bug.path}" for bug in fixed)
        num_tests = verdict.split()[1]
        self.messages.append({"role": "assistant", "content": f"Fixed {what}: all {num_tests} tests pass."})

    def edit(self, bug: Bug, old: str, new: str, train: bool = True) -> None:
        text = f"{bug.function}: {bug.docstring}"
        self.turn(text, [("edit_file", {"path": bug.path, "old": old, "new": new})], train)

    def turn(self, text: str, calls: list[tuple[str, dict[str, str]]], train: bool = True) -> list[str]:
        message: Message = {"role": "assistant", "content": text, "tool_calls": []}
        if not train:
            message["train"] = False
        self.messages.append(message)
        outputs = []
        for name, arguments in calls:
            self.num_calls += 1
            call_id = f"call_{self.num_calls}"
            function = {"name": name, "arguments": json.dumps(arguments, ensure_ascii=False)}
            message["tool_calls"].append({"id": call_id, "type": "function", "function": function})
            output = self.workspace.call(name, arguments)
            outputs.append(output)
            self.messages.append({"role": "tool", "tool_call_id": call_id, "content": output})
        return outputs


def _first_failure(verdict: str) -> str:
    first = next(line for line in verdict.splitlines() if line.startswith(("FAIL: ", "ERROR: ")))
    return first.split()[1]


def _garbled(rng: random.Random, line: str, text: str) -> str:
    """A line that is nearly `line`, as a careless copy would be, and not in the file."""
    garbles = [
        line.replace("return ", "return  ", 1),
        line + ")",
        line.replace(" ", "", 1),
        "result = " + line,
        line[:-1] + "_",
    ]
    return rng.choice([garbled for garbled in garbles if garbled not in text])


def _wrong_fix(rng: random.Random, bug: Bug, files: Mapping[str, str]) -> str | None:
    """Another wrong line in place of the wrong one, or None where no simple swap leaves the test failing."""
    swaps = [
        ("sum(", "len("),
        ("max(", "sum("),
        ("min(", "len("),
        (" + ", " * "),
        (" - ", " * "),
        (" * ", " + "),
        (" > ", " == "),
    ]
    swaps += [
        (" < ", " == "),
        (" >= ", " == "),
        ("[0]", "[2]"),
        ("[1]", "[2]"),
        ("[-1]", "[2]"),
        ("1:]", "3:]"),
        (":-1]", ":3]"),
    ]
    swaps += [
        (" += ", " -= "),
        (" -= ", " += "),
        (" == 1", " == 3"),
        (" == 0", " == 3"),
        ("lower", "title"),
        ("lstrip", "rstrip"),
    ]
    lines = [bug.old.replace(old, new, 1) for old, new in swaps if old in bug.old]
    for line in rng.sample(lines, len(lines)):
        changed = files[bug.path].replace(bug.old, line)
        still_failing = f"FAIL: {bug.test} " in SimulatedWorkspace({**files, bug.path: changed}).run_tests()
        if line != bug.new and changed.count(line) == 1 and still_failing:
            return line
    return None


def make_drill(seed: int) -> dict[str, Any]:
    """Several functions of one module fixed by name, one after the other: many edits in few tokens."""
    rng = random.Random(f"drill {seed}")
    repository = make_repository(seed, rng.randint(2, 4))
    episode = _Episode(repository)
    if rng.random() < 0.5:
        episode.messages.append({"role": "system", "content": INSTRUCTIONS})
    read: set[str] = set()
    for bug in rng.sample(repository.bugs, len(repository.bugs)):
        request = rng.choice(
            ["Fix {} in {}.", "{} in {} is wrong. Fix it.", "Please repair {} in {}.", "There is a bug in {} in {}."]
        )
        episode.messages.append({"role": "user", "content": request.format(bug.function, bug.path)})
        if bug.path not in read:
            episode.turn(f"I read {bug.path}.", [("read_file", {"path": bug.path})])
            read.add(bug.path)
        episode.edit(bug, bug.old, bug.new)
        episode.messages.append({"role": "assistant", "content": f"Fixed {bug.function} in {bug.path}."})
    tools = [definition for definition in DEFINITIONS if definition["function"]["name"] in ("read_file", "edit_file")]
    return {"family": "code_drill", "tools": tools, "messages": episode.messages}


MORE_DRILLS_FROM = 15_000
"""Seed. A model that has come so far knows the way; what is left to learn is the edits."""


def _is_drill(seed: int) -> bool:
    if seed < MORE_DRILLS_FROM:
        return seed >= FIRST_TRAINING_SEED and seed % 4 == 3
    return seed % 2 == 1


def make_episodes(first_seed: int, count: int) -> Iterator[dict[str, Any]]:
    for seed in range(first_seed, first_seed + count):
        yield make_drill(seed) if _is_drill(seed) else make_episode(seed)


def main() -> None:
    parser = argparse.ArgumentParser(description="Write training conversations of the demo's task as JSON lines.")
    parser.add_argument(
        "--first-seed", type=int, default=FIRST_TRAINING_SEED, help="seeds below 1000 are for evaluation"
    )
    parser.add_argument("--count", type=int, default=10)
    options = parser.parse_args()
    for episode in make_episodes(options.first_seed, options.count):
        sys.stdout.write(json.dumps(episode, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
