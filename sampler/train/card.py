"""The model card, from measured figures only."""

import json
from pathlib import Path
from typing import Any

from .data import LATE_FROM, LATE_SHARES, MAX_LENGTH, SHARES
from .evaluate import table
from .model import Model, Shape
from .train import DECAY_WEIGHTS_FROM

COMMAND = "make model"

_NOTES = {
    "code_fix": "The demo's task: list the files, read, edit, run the tests. Repositories of reserved seeds.",
    "calculator": "The hosted tool `calculate`: arithmetic in words, symbols and one-sentence stories.",
    "parallel calculator": "Two or three results asked for at once.",
    "unseen by name": "Tools with made-up names, parameters and descriptions, of words that training never used: call "
    "NAME with x = ..",
    "unseen": "The same, half of the requests naming neither tool nor parameters, only what their descriptions say.",
    "common": "Everyday tools (weather, timers, notes, files) in everyday language.",
    "parallel": "Two or three calls of unseen tools in one turn.",
    "parallel common": "The same with everyday tools.",
    "chain": "The output of one unseen tool is an argument of the next.",
    "chat": "Greetings, small talk, what it can do, a few facts.",
}

_TEXT = """# caesura-demo

{size:.1f} MB, {parameters:,} parameters, trained from scratch by this project for its demo. It samples tool calls and
uses what the tools return. It is no general assistant: outside the families below it says little that is useful.

- File: `demo.gguf`, architecture `qwen2` ({layers} layers, width {width}, {heads} heads, context {context}), float16.
- Licence: Apache-2.0, like the rest of the project. All training text is made by programs in this repository.
- Chat template: ChatML, calls in `<tool_call>`, results in `<tool_response>`. Default temperature 0.
- Vocabulary: 1,024 byte-level tokens, frozen in `sampler/train/tokenizer.json`.

## Accuracy

Held-out conversations, greedy, one turn at a time with the true history before it, through llama.cpp on this file.
A turn of calls counts as right only if all its calls are exactly the expected ones; an answer only if its text is
equal.

{table}

{notes}

The demo's task run freely, the model alone with the demo's tools: {fixed} of {seeds} repositories (seeds 0 to {last})
end with all tests passing, {first} of the first 20{missed}.

## Training

{tokens:,} tokens in {steps:,} steps, {minutes:.0f} minutes of one CPU core ({rate:,.0f} tokens/s); training loss at
the end {loss:.4f}, on assistant tokens only. Muon for matrices, Adam for the rest, the rate falling from a fifth of the
run on; weight decay only from step {decay_from:,} on (without it the matrices grew and learning slowed; a run that has
it from the start should get further with the same time).

Shares of conversations: {shares}.
From conversation {late_from:,} on: {late_shares}.

Reproduce it with `{command}`. The schedule is in steps and every random choice is seeded. Expect figures like these,
not the same bytes: matrix kernels round differently from machine to machine, and the shipped run was planned for 6,600
steps until step 3,500 and for 7,300 from there, which moved its learning rate by up to a tenth.

## Known weaknesses

{weaknesses}
"""

TARGETS = {
    "code_fix": 0.95,
    "calculator": 0.95,
    "parallel calculator": 0.95,
    "chat": 0.95,
    "unseen by name": 0.9,
    "unseen": 0.9,
}
"""Of exact calls and exact answers."""

WEAKNESSES = (
    "Answers follow fixed wordings, such as `NAME returned OUTPUT`; it explains nothing.",
    "The bugs it can fix are those of the demo: one wrong line that contradicts its function's docstring.",
    f"It was trained on conversations of up to {MAX_LENGTH:,} tokens, most of 300 to 1,500.",
    "English only. Long strings with quotes or escapes, and nested or array arguments, are beyond it.",
    "Temperatures above 0 are not measured.",
    "Parallel calls and chains of unseen tools are its weakest families; see the table.",
    "Held-out requests come from the same sentence templates as in training; only words, names and values are new. "
    "Freely worded requests will do worse.",
)


def write_card(path: Path, model: Path, run: dict[str, Any], report: dict[str, Any]) -> None:
    """`run`: the checkpoint's counters; `report`: the output of `evaluate`."""
    shape = Shape(layers=run["layers"])
    fixed, seeds = report["demo_fixed"], report["demo_seeds"]
    missing = [seed for seed in range(seeds) if seed not in fixed]
    text = _TEXT.format(
        size=model.stat().st_size / 1e6,
        parameters=sum(parameter.numel() for parameter in Model(shape).parameters()),
        layers=shape.layers, width=shape.width, heads=shape.heads, context=shape.context,
        table=table(report["families"]),
        notes="\n".join(f"- {family}: {_NOTES[family]}" for family in report["families"]),
        fixed=len(fixed), seeds=seeds, last=seeds - 1, first=sum(seed < 20 for seed in fixed),
        missed=f"; not fixed: {', '.join(map(str, missing))}" if missing else "",
        tokens=run["num_tokens"], steps=run["step"], minutes=run["trained_s"] / 60,
        rate=run["num_tokens"] / run["trained_s"], loss=run["loss"],
        shares=_listed(SHARES),
        late_shares=_listed(LATE_SHARES),
        late_from=LATE_FROM,
        decay_from=DECAY_WEIGHTS_FROM,
        command=COMMAND,
        weaknesses="\n".join(f"- {weakness}" for weakness in [*_below_target(report["families"]), *WEAKNESSES]),
    )  # fmt: skip
    path.write_text(text, encoding="utf-8")


def _below_target(families: dict[str, dict[str, int]]) -> list[str]:
    short = []
    for family, target in TARGETS.items():
        scores = families[family]
        shares = [scores["right " + kind] / scores[kind] for kind in ("calls", "answers") if scores[kind]]
        if min(shares) < target:
            short.append(f"{family} (target {target:.0%})")
    return [f"Below the project's own target: {', '.join(short)}."] if short else []


def _listed(shares: dict[str, float]) -> str:
    return ", ".join(f"{kind} {share:.3g}" for kind, share in shares.items())


def read_report(path: Path) -> dict[str, Any]:
    report: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return report
