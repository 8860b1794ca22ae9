"""The yardstick as a process, and the bare loop that it times."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from caesura.sampler.cost_model import CostModel
from caesura.sampler.engine_context import IDLE_PREFILL_CHUNK, batch_size
from caesura.sampler.errors import ContextLengthExceeded, InvalidMeasurement
from caesura.sampler.limit import LimitTurn, measure_limit
from caesura.sampler.llama_context import LlamaContext, Row
from caesura.sampler.model import Model
from caesura.sampler.simulated_context import SimulatedContext
from caesura.sampler.yardstick import Yardstick
from hypothesis import given
from hypothesis import strategies as st

Json = dict[str, Any]

SECONDS = 60
FAST = CostModel(1e9, 1e9)
LENGTH = 600


class Dialogue:
    """A yardstick's process. `ask` sends a line as it is, or an object as one."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def read(self) -> Json:
        assert self.process.stdout is not None
        answer: Json = json.loads(self.process.stdout.readline())
        return answer

    def ask(self, request: Json | str) -> Json:
        assert self.process.stdin is not None
        self.process.stdin.write((request if isinstance(request, str) else json.dumps(request)) + "\n")
        self.process.stdin.flush()
        return self.read()


@contextmanager
def yardstick(*arguments: str | Path) -> Iterator[Dialogue]:
    command = [sys.executable, "-m", "caesura.sampler.yardstick", *map(str, arguments)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Dialogue(process)
        finally:
            process.kill()


TURNS = [[0, 200, 5], [204, 21, 3], [227, 1, 1]]
REPLAYED: list[Json] = [
    {"text": "Done."},
    {"text": "", "calls": [{"name": "look", "arguments": '{"at": "here"}'}, {"name": "look", "arguments": "{}"}]},
]


@pytest.mark.parametrize("simulate", [(), ("--simulate", "decode=1e6")], ids=["llama.cpp", "simulated"])
def test_a_whole_dialogue(demo_model_path: Path, model: Model, simulate: tuple[str, ...]) -> None:
    with yardstick("--model", demo_model_path, "--ctx", 512, "--sequences", 2, *simulate) as dialogue:
        ready = dialogue.read()
        assert ready["ready"] is True
        assert (ready["model"], ready["path"]) == (model.name, str(demo_model_path))
        assert (ready["context"], ready["sequences"]) == (512, 2)
        assert ready["stop_tokens"] == sorted(model.stop_tokens)
        assert ready["parameters"] == (None if simulate else model.llama.parameters)
        assert ready["size_bytes"] == demo_model_path.stat().st_size
        texts = dialogue.ask({"op": "texts", "tokens": [1, 40, 7]})["texts"]
        assert dialogue.ask({"op": "count", "texts": texts}) == {"tokens": [1, 40, 7]}
        (tokens,) = dialogue.ask({"op": "count", "texts": ["<|im_end|>"]})["tokens"]
        assert tokens > 1, "nothing is special in it"
        turns = dialogue.ask({"op": "turn", "turns": REPLAYED})["tokens"]
        assert turns[0] == len(model.chat_template.encode_turn("Done."))
        assert turns[1] > turns[0]
        times = dialogue.ask({"op": "limit", "turns": TURNS})["turns"]
        assert [len(turn) for turn in times] == [2, 2, 2]
        assert all(type(time) is int and time >= 0 for turn in times for time in turn)
        assert all(prefill > 0 for prefill, _ in times)
        assert dialogue.process.stdin is not None
        dialogue.process.stdin.write('{"op": "quit"}\n')
        dialogue.process.stdin.flush()
        assert dialogue.process.wait(SECONDS) == 0


BAD = [
    "nonsense",
    "[]",
    "5",
    "{}",
    '{"op": 5}',
    '{"op": ["limit"]}',
    '{"op": "dance"}',
    '{"op": "texts"}',
    '{"op": "texts", "tokens": 5}',
    '{"op": "texts", "tokens": [0]}',
    '{"op": "texts", "tokens": [99999999999999999999]}',
    '{"op": "texts", "tokens": [true]}',
    '{"op": "count", "texts": [5]}',
    '{"op": "turn", "turns": [{}]}',
    '{"op": "turn", "turns": [{"text": 5}]}',
    '{"op": "limit", "turns": [[0, 5]]}',
    '{"op": "limit", "turns": [[0, 5, 0]]}',
    '{"op": "limit", "turns": [[0, 0, 5]]}',
    '{"op": "limit", "turns": [[-1, 5, 5]]}',
    '{"op": "limit", "turns": [[0, 5, 1.5]]}',
    '{"op": "limit", "turns": [[0, 500, 13]]}',
    "[" * 100_000,
    "9" * 5000,
]


def test_nothing_ends_it_but_its_end(demo_model_path: Path) -> None:
    with yardstick("--model", demo_model_path, "--ctx", 512, "--simulate", "1000") as dialogue:
        assert dialogue.read()["ready"]
        for line in BAD:
            answer = dialogue.ask(line)
            assert list(answer) == ["error"]
            assert answer["error"]
        assert dialogue.ask({"op": "count", "texts": ["\udcff"]})["tokens"][0] > 0
        assert dialogue.ask({"op": "texts", "tokens": []}) == {"texts": []}
        assert dialogue.process.stdin is not None
        dialogue.process.stdin.close()
        assert dialogue.process.wait(SECONDS) == 0


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("--model", "none.gguf"), "none.gguf"),
        (("--model", "random:huge"), "135m"),
        (("--simulate", "decode=0"), "decode"),
        (("--ctx", "0"), "--ctx"),
        (("--sequences", "-1"), "--sequences"),
    ],
)
def test_what_it_cant_start_with(arguments: tuple[str, str], named: str) -> None:
    with yardstick(*arguments) as dialogue:
        assert named in dialogue.read()["error"]
        assert dialogue.process.wait(SECONDS) == 2


@pytest.fixture(scope="module")
def in_process(vocab_model: Model) -> Yardstick:
    return Yardstick(vocab_model, sequences=1, cost_model=FAST)


values = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@given(values)
def test_any_json_is_answered(in_process: Yardstick, value: object) -> None:
    operations = (("texts", "tokens"), ("count", "texts"), ("turn", "turns"), ("limit", "turns"))
    for request in (value, *({"op": operation, key: value} for operation, key in operations)):
        answer = in_process.answer(json.dumps(request))
        assert answer is not None
        assert len(answer) == 1


class Recording(SimulatedContext):
    """Keeps what it is asked to compute."""

    def __init__(self, sequences: int = 3) -> None:
        self.batches: list[tuple[int, int, bool]] = []
        super().__init__(
            FAST,
            vocab_size=100,
            token=5,
            stop_tokens=(),
            context_length=LENGTH,
            sequences=sequences,
            batch_size=batch_size(sequences),
        )

    def decode(self, rows: Sequence[Row]) -> None:
        ((_, position, tokens, wanted),) = rows
        self.batches.append((position, len(tokens), wanted))
        super().decode(rows)

    def decode_next(self, tokens: Sequence[int]) -> None:
        position, _, _ = self.batches[-1]
        self.batches.append((position + 1, 1, True))
        super().decode_next(tokens)


turns = st.lists(st.builds(LimitTurn, st.integers(0, 100), st.integers(1, 300), st.integers(1, 40)), max_size=5)


@given(turns, st.booleans())
def test_each_turn_computes_what_it_says(turns: list[LimitTurn], can_trim: bool) -> None:
    context = Recording()
    context.can_trim = can_trim
    times = measure_limit(context, turns, [1] * LENGTH, LENGTH)
    assert len(times) == len(turns)
    batches = iter(context.batches)
    for before, appended, sampled in turns:
        position = before
        while (batch := next(batches))[0] != before:
            assert batch[0] + batch[1] <= before, "only what the turn stands on comes before it"
        while True:
            assert batch[0] == position
            assert batch[1] <= IDLE_PREFILL_CHUNK
            position += batch[1]
            assert batch[2] == (position == before + appended)
            if position == before + appended:
                break
            batch = next(batches)
        for _ in range(sampled - 1):
            assert next(batches) == (position, 1, True)
            position += 1
    assert not list(batches)


def test_turns_that_follow_one_another_compute_nothing_twice() -> None:
    context = Recording()
    measure_limit(context, [LimitTurn(0, 100, 10), LimitTurn(109, 50, 5), LimitTurn(163, 1, 1)], [1] * LENGTH, LENGTH)
    assert sum(size for _, size, _ in context.batches) == 164


@pytest.mark.parametrize("turn", [(-1, 1, 1), (0, 0, 1), (0, 1, 0)])
def test_turns_that_there_are_not(turn: tuple[int, int, int]) -> None:
    with pytest.raises(InvalidMeasurement):
        measure_limit(Recording(), [LimitTurn(*turn)], [1] * LENGTH, LENGTH)


def test_a_turn_that_does_not_fit() -> None:
    context = Recording()
    with pytest.raises(ContextLengthExceeded):
        measure_limit(context, [LimitTurn(0, 10, 1), LimitTurn(500, 100, 1)], [1] * LENGTH, LENGTH)
    assert not context.batches
    assert len(measure_limit(context, [LimitTurn(500, 99, 1)], [1] * LENGTH, LENGTH)) == 1


def test_it_runs_again_and_again_on_llama_cpp(model: Model) -> None:
    context = LlamaContext(model.llama, context_length=256, sequences=2, threads=1, batch_size=batch_size(2))
    for _ in range(2):
        times = measure_limit(context, [LimitTurn(0, 200, 3), LimitTurn(10, 5, 1)], [7] * 256, 256)
        assert all(turn.prefill_ns > 0 for turn in times)
    context.close()
