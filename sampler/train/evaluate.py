"""Held-out accuracy of a GGUF, greedy, through llama.cpp: `python -m caesura.sampler.train.evaluate MODEL ...`.

A turn of a held-out conversation is asked for with the true history before it. A turn of calls is right when all its
calls are equal to the expected ones (names and arguments as JSON, in order) and there is no other call; an answer is
right when its text is equal. Besides, whole episodes of the demo's task are run freely against the client's tools.
"""

import argparse
import json
import random
import re
import shlex
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from . import data
from .engine import Greedy
from .template import render
from .tokenizer import load_tokenizer

Score = dict[str, int]
_CALL = re.compile(r"<tool_call>\n(.*?)\n</tool_call>", re.DOTALL)
MAX_DEMO_TURNS = 16


def held_out(episodes: Path, count: int) -> Iterator[dict[str, Any]]:
    """`count` conversations a family, of seeds, words and tool names that training never saw."""
    with episodes.open(encoding="utf-8") as file:
        for line, _ in zip(file, range(count), strict=False):
            yield json.loads(line)
    for kind in data.HELD_OUT_FAMILIES:
        for index in range(count):
            rng = random.Random(f"held out {kind} {index}")
            yield data.make_conversation(kind, rng, held_out=True).as_dict() | {"family": kind}


def parse_calls(text: str) -> list[Any] | None:
    """The calls in an assistant's text as [name, arguments]; None if one is malformed."""
    try:
        calls = [json.loads(part) for part in _CALL.findall(text)]
        if len(calls) != text.count("<tool_call>"):
            return None
        return [[call["name"], call["arguments"]] for call in calls]
    except (ValueError, KeyError, TypeError):
        return None


def score(engine: Greedy, conversation: dict[str, Any], failures: list[dict[str, str]]) -> Score:
    tokenizer = load_tokenizer()
    messages, tools = conversation["messages"], conversation["tools"]
    result = {"calls": 0, "right calls": 0, "answers": 0, "right answers": 0}
    engine.reset()
    for index, message in enumerate(messages):
        if message["role"] != "assistant" or not message.get("train", True):
            continue
        prompt = tokenizer.encode(render(messages[:index], tools, generation_prompt=True))
        text = tokenizer.decode(engine.generate(prompt))
        expected_calls = message.get("tool_calls", [])
        if expected_calls:
            functions = [call["function"] for call in expected_calls]
            expected = [[function["name"], json.loads(function["arguments"])] for function in functions]
            right = parse_calls(text) == expected
            kind = "calls"
        else:
            expected = message["content"]
            right = text == expected
            kind = "answers"
        result[kind] += 1
        result["right " + kind] += right
        if not right:
            before = messages[index - 1]["content"]
            failures.append(
                {
                    "family": conversation["family"],
                    "before": before[-300:],
                    "expected": json.dumps(expected),
                    "sampled": text,
                }
            )
    return result


def evaluate(engine: Greedy, episodes: Path, count: int) -> tuple[dict[str, Score], list[dict[str, str]]]:
    """Scores by family, and what went wrong."""
    scores: dict[str, Score] = {}
    failures: list[dict[str, str]] = []
    for conversation in held_out(episodes, count):
        total = scores.setdefault(conversation["family"], {"conversations": 0})
        total["conversations"] += 1
        for key, value in score(engine, conversation, failures).items():
            total[key] = total.get(key, 0) + value
    return scores, failures


def run_demo(
    engine: Greedy, simulator: list[str], seed: int, opening: list[dict[str, Any]], tools: list[dict[str, Any]]
) -> bool:
    """One whole episode with the client's simulated tools; whether the repository's tests pass at the end."""
    tokenizer = load_tokenizer()
    fixed = False
    engine.reset()
    with subprocess.Popen(
        [*simulator, "--seed", str(seed)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin
        assert process.stdout
        process.stdout.readline()  # the files
        prompt = tokenizer.encode(render(opening, tools, generation_prompt=True))
        for _ in range(MAX_DEMO_TURNS):
            try:
                made = engine.generate(prompt)
            except ValueError:  # the context is full
                break
            calls = parse_calls(tokenizer.decode(made))
            if not calls:
                break
            outputs = []
            for name, arguments in calls:
                process.stdin.write(json.dumps({"name": name, "arguments": arguments}) + "\n")
                process.stdin.flush()
                answer = json.loads(process.stdout.readline())
                outputs.append({"role": "tool", "content": answer["output"]})
                fixed = answer["fixed"]
            rest = render([{"role": "user", "content": ""}, *outputs], generation_prompt=True).split("<|im_end|>", 1)[1]
            prompt = prompt + made + tokenizer.encode("<|im_end|>" + rest)
        process.stdin.close()
    return fixed


def demo_seeds(engine: Greedy, episodes: Path, simulator: list[str], count: int) -> list[int]:
    """The seeds below `count` that the model fixes, with the demo's own instructions and tools."""
    with episodes.open(encoding="utf-8") as file:
        plain = next(
            episode
            for episode in map(json.loads, file)
            if episode["messages"][0]["role"] == "system" and len(episode["tools"]) == 4
        )
    opening = plain["messages"][:2]
    return [seed for seed in range(count) if run_demo(engine, simulator, seed, opening, plain["tools"])]


def table(scores: dict[str, Score]) -> str:
    """Markdown."""
    rows = ["| family | conversations | exact calls | exact answers |", "|---|---|---|---|"]
    for family, s in scores.items():
        calls, answers = (
            f"{100 * s['right ' + k] / s[k]:.1f}% of {s[k]}" if s[k] else "-" for k in ("calls", "answers")
        )
        rows.append(f"| {family} | {s['conversations']} | {calls} | {answers} |")
    return "\n".join(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a GGUF's held-out accuracy.")
    parser.add_argument("model", type=Path)
    parser.add_argument("--episodes", type=Path, required=True, help="episodes of reserved seeds")
    parser.add_argument("--count", type=int, default=50, help="conversations a family")
    parser.add_argument("--demo-seeds", type=int, default=20)
    parser.add_argument("--simulator", help="command that plays the demo's client")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--failures", type=Path)
    options = parser.parse_args()
    started = time.monotonic()
    engine = Greedy(options.model)
    scores, failures = evaluate(engine, options.episodes, options.count)
    print(table(scores))
    report: dict[str, Any] = {"families": scores}
    if options.simulator:
        fixed = demo_seeds(engine, options.episodes, shlex.split(options.simulator), options.demo_seeds)
        report |= {"demo_seeds": options.demo_seeds, "demo_fixed": fixed}
        print(f"demo: {len(fixed)} of {options.demo_seeds} repositories fixed")
    report["seconds"] = round(time.monotonic() - started, 1)
    if options.json:
        options.json.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    if options.failures:
        options.failures.write_text(
            "".join(json.dumps(failure, ensure_ascii=False) + "\n" for failure in failures), encoding="utf-8"
        )


if __name__ == "__main__":
    main()
