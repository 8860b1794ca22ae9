"""What makes llama.cpp abort the process, tried through the public interface. `test_cannot_be_killed` runs it.

    python tests/sampler/killer_cases.py MODEL CASE    runs one case where a debugger can see it

After each case the engine must still sample what it sampled before.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import math
import random
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import gguf
import pytest
from caesura.sampler.engine import SamplingParams, TokenSequence
from caesura.sampler.errors import (
    ContextLengthExceeded,
    EngineStartFailed,
    EngineStopped,
    InvalidLogits,
    InvalidToken,
    RequestError,
    SamplerError,
)
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import load_model

SECONDS = 60
CONTEXT_LENGTH = 512
GREEDY = SamplingParams(temperature=0, max_tokens=8)
DEPTH = 100_000


class World:
    """What the cases share."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.model = load_model(path)
        self.engine = LlamaEngine(self.model, context_length=CONTEXT_LENGTH, sequences=4)
        self.expected: list[int] | None = None

    async def check_alive(self) -> None:
        tokens = await rollout(self.engine, list(range(100, 120)))
        self.expected = self.expected or tokens
        assert tokens == self.expected


Case = Callable[[World], Awaitable[None]]
CASES: dict[str, Case] = {}


def case(function: Case) -> Case:
    CASES[function.__name__] = function
    return function


async def sample(
    sequence: TokenSequence, params: SamplingParams = GREEDY, forced: Sequence[int] | None = None
) -> list[int]:
    return [token.token async for tokens in sequence.sample(params, forced=forced) for token in tokens]


async def rollout(engine: LlamaEngine, tokens: Sequence[int], params: SamplingParams = GREEDY) -> list[int]:
    sequence = await engine.open(tokens)
    try:
        return await sample(sequence, params)
    finally:
        await sequence.close()


def refused(kind: type[SamplerError] | tuple[type[SamplerError], ...], call: Callable[[], Any]) -> None:
    with pytest.raises(kind):
        call()


# Batches.


@case
async def prompts_and_appends_of_any_size(world: World) -> None:
    for chunks in ({}, {"prefill_chunk": 1, "idle_prefill_chunk": 1}, {"prefill_chunk": 700, "idle_prefill_chunk": 3}):
        engine = LlamaEngine(world.model, context_length=CONTEXT_LENGTH, sequences=2, **chunks)
        other = await engine.open([1])
        beside = asyncio.create_task(sample(other, SamplingParams(temperature=0)))
        for size in (1, 2, 63, 64, 65, 127, 128, 129, 255, 256, 257, CONTEXT_LENGTH - 1):
            sequence = await engine.open([1] * size)
            await sample(sequence, SamplingParams(temperature=0, max_tokens=1))
            with suppress(ContextLengthExceeded):
                sequence.extend([2] * size)
            await sample(sequence, SamplingParams(temperature=0, max_tokens=1))
            await sequence.close()
        await beside
        await engine.close()


@case
async def everybody_prefills_at_once(world: World) -> None:
    sequences = [await world.engine.open([number + 1] * (CONTEXT_LENGTH - 20)) for number in range(4)]
    await asyncio.gather(*map(sample, sequences))
    for sequence in sequences:
        await sequence.close()


@case
async def growing_until_it_is_full(world: World) -> None:
    sequence = await world.engine.open([1] * (CONTEXT_LENGTH - 3))
    assert len(await sample(sequence)) == 3
    assert (await sample(sequence), sequence.room()) == ([], 0)
    refused(ContextLengthExceeded, lambda: sequence.extend([1]))
    refused(ContextLengthExceeded, lambda: sequence.extend([1] * 10**6))
    await sequence.close()
    with pytest.raises(ContextLengthExceeded):
        await world.engine.open([1] * (CONTEXT_LENGTH + 1))
    full = await world.engine.open([1] * CONTEXT_LENGTH)
    assert await sample(full) == []
    assert await sample(full, forced=[1, 2]) == []
    await full.close()
    almost = await world.engine.open([1] * (CONTEXT_LENGTH - 1))
    assert len(await sample(almost, forced=[1, 2, 3])) == 1
    await almost.close()


@case
async def nothing_to_compute(world: World) -> None:
    with pytest.raises(InvalidToken):
        await world.engine.open([])
    sequence = await world.engine.open([1])
    sequence.extend([])
    assert await sample(sequence, forced=[]) == []
    await sample(sequence)
    sequence.extend([])
    await sample(sequence)
    await sequence.close()


# Token ids.

BAD_TOKENS: list[Any] = [
    -1,
    -(2**31),
    2**31 - 1,
    2**31,
    2**32,
    2**63,
    2**64,
    10**30,
    True,
    1.0,
    math.nan,
    "1",
    None,
    [1],
]


@case
async def bad_tokens_everywhere(world: World) -> None:
    size = world.model.vocab.size
    sequence = await world.engine.open([0, size - 1])
    for bad in [size, *BAD_TOKENS]:
        with pytest.raises(InvalidToken):
            await world.engine.open([1, bad])
        refused(InvalidToken, lambda bad=bad: sequence.extend([bad]))
        refused(InvalidToken, lambda bad=bad: sequence.sample(GREEDY, forced=[1, bad]))
        with suppress(TypeError):  # some can't be in a set
            stop = frozenset({bad})
            refused(RequestError, lambda stop=stop: sequence.sample(SamplingParams(stop_tokens=stop)))
    assert list(sequence.ledger.tokens) == [0, size - 1]
    await sample(sequence)
    await sequence.close()


@case
async def pieces_of_bad_tokens(world: World) -> None:
    vocab = world.model.vocab
    for bad in (vocab.size, -1, 2**31 - 1, 2**31, 2**63, 10**30):
        refused(InvalidToken, lambda bad=bad: vocab.piece(bad))
        refused(InvalidToken, lambda bad=bad: vocab.visible_piece(bad))
        refused(InvalidToken, lambda bad=bad: vocab.decode([1, bad]))
    assert all(isinstance(vocab.piece(token), bytes) for token in range(vocab.size))


# Sequences.


@case
async def more_sequences_than_slots(world: World) -> None:
    sequences = [await world.engine.open([number % 900 + 1, 5]) for number in range(300)]
    await asyncio.gather(*map(sample, sequences))
    for sequence in sequences[::2]:
        sequence.extend([7])
    await asyncio.gather(*map(sample, sequences))
    assert [len(sequence.ledger) for sequence in sequences[:2]] == [19, 18]
    await asyncio.gather(*(sequence.close() for sequence in sequences))


async def start_and_open(world: World, settings: dict[str, int]) -> None:
    engine = LlamaEngine(world.model, **settings)
    try:
        await engine.open([1])
    finally:
        await engine.close()


@case
async def settings_out_of_range(world: World) -> None:
    for settings in (
        {"sequences": 257},
        {"sequences": 0},
        {"sequences": -1},
        {"context_length": -1},
        {"context_length": 2**31},
        {"context_length": 2**62, "sequences": 256},
        {"threads": 0},
        {"threads": 2**31},
    ):
        refused(EngineStartFailed, lambda settings=settings: LlamaEngine(world.model, **settings))
    for settings in ({"prefill_chunk": 0}, {"idle_prefill_chunk": -1}, {"max_sequences": 0}):
        with pytest.raises((SamplerError, ValueError)):
            await start_and_open(world, settings)
    refused(EngineStartFailed, lambda: LlamaEngine(load_model(world.path, vocab_only=True)))


@case
async def forks_at_odd_places(world: World) -> None:
    sequence = await world.engine.open([1] * 30)
    await sample(sequence)
    for length in (1, 2, 29, 30, 31, 37, 38, None):
        fork = sequence.fork(length)
        again = fork.fork(1)
        fork.extend([3])
        await asyncio.gather(sample(fork), sample(again), sample(sequence.fork(length)))
        await fork.close()
        await sample(again)
        await again.close()
    for bad in (0, -1, 10**6, -(10**30)):
        with pytest.raises((ValueError, RequestError)):
            sequence.fork(bad)
    orphan = sequence.fork(20)
    await sequence.close()
    await sample(orphan)
    await orphan.close()


@case
async def closing_at_any_moment(world: World) -> None:
    dice = random.Random(0)
    for _ in range(60):
        sequence = await world.engine.open([1] * dice.randrange(1, 300))
        stream = sequence.sample(SamplingParams(temperature=dice.choice([0.0, 1.0])))
        match dice.randrange(4):
            case 0:
                await sequence.close()
            case 1:
                await anext(stream)
                await asyncio.gather(sequence.close(), sequence.close())
            case 2:
                await stream.aclose()
                await sequence.close()
            case 3:
                del stream
                await asyncio.sleep(0)
                await sequence.close()


@case
async def closing_the_engine_while_it_decodes(world: World) -> None:
    for waiting in (True, False):
        engine = LlamaEngine(world.model, context_length=CONTEXT_LENGTH, sequences=2)
        sequences = [await engine.open([1] * 300), await engine.open([2])]
        streams = [sequence.sample(SamplingParams(temperature=0)) for sequence in sequences]
        if waiting:
            await anext(streams[1])
        await asyncio.gather(engine.close(), engine.close())
        for stream in streams:
            with pytest.raises(EngineStopped):
                async for _ in stream:
                    pass
        for sequence in sequences:
            with pytest.raises((RequestError, EngineStopped)):
                sequence.sample(GREEDY)
            await sequence.close()
        with pytest.raises(EngineStopped):
            await engine.open([1])


# Sampling.

BAD_NUMBERS: list[Any] = [
    math.nan,
    math.inf,
    -math.inf,
    -1,
    -1e308,
    1e308,
    2**63,
    2**64,
    10**400,
    True,
    "1",
    None,
    [],
    1j,
]
OPTIONAL = {"seed", "max_tokens", "grammar"}


@case
async def parameters_that_cant_be(world: World) -> None:
    fields = ("temperature", "top_k", "top_p", "min_p", "presence_penalty", "frequency_penalty", "top_logprobs")
    for field, bad in itertools.product(
        (*fields, "seed", "max_tokens", "logprobs", "stop_tokens", "stop"), BAD_NUMBERS
    ):
        allowed = (
            (bad is None and field in OPTIONAL)
            or (bad is True and field == "logprobs")
            or (bad == -1 and field.endswith("penalty") and bad is not True)
        )
        if not allowed:
            refused(RequestError, lambda field=field, bad=bad: SamplingParams(**{field: bad}))
    refused(RequestError, lambda: SamplingParams(stop=("x" * 10**6,) * 2))
    refused(RequestError, lambda: SamplingParams(stop=("\ud800",)))


@case
async def every_corner_of_the_parameters(world: World) -> None:
    corners: dict[str, list[Any]] = {
        "temperature": [0.0, 5e-324, 1e-9, 1.0, 100.0],
        "top_k": [0, 1, 2, 2**31 - 1],
        "top_p": [0.0, 5e-324, 1.0],
        "min_p": [0.0, 1.0],
    }
    sequence = await world.engine.open([1] * 4)
    for values in itertools.product(*corners.values()):
        params = SamplingParams(**dict(zip(corners, values, strict=True)), max_tokens=1, logprobs=True, seed=2**63 - 1)
        assert len(await sample(sequence, params)) == 1
    extremes = {"presence_penalty": -2.0, "frequency_penalty": 2.0, "top_logprobs": 20, "stop": ("\x00", "é" * 100)}
    await sample(sequence, SamplingParams(max_tokens=20, **extremes))
    await sequence.close()


@case
async def weights_that_are_no_numbers(world: World) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        shutil.copyfile(world.path, path)
        (norm,) = (tensor for tensor in gguf.GGUFReader(path, "r+").tensors if tensor.name == "output_norm.weight")
        norm.data[:] = math.nan
        engine = LlamaEngine(load_model(path), context_length=CONTEXT_LENGTH, sequences=1)
        for params in (GREEDY, SamplingParams(top_k=5), SamplingParams(top_p=0.5, logprobs=True)):
            with pytest.raises(InvalidLogits):
                await rollout(engine, [1, 2], params)
        await engine.close()


async def _run_case(world: World, name: str) -> None:
    async with asyncio.timeout(SECONDS):
        await CASES[name](world)
        await world.check_alive()


def serve_cases(model: str) -> None:
    """Read names of cases, run each, answer with one line of JSON: nothing or what went wrong."""
    import traceback

    world = World(Path(model))
    with asyncio.Runner() as runner:
        runner.run(world.check_alive())
        for line in sys.stdin:
            try:
                runner.run(_run_case(world, json.loads(line)))
            except BaseException:
                answer = traceback.format_exc()
            else:
                answer = ""
            print(json.dumps(answer), flush=True)
        runner.run(world.engine.close())


if __name__ == "__main__":
    sys.modules["killer_cases"] = sys.modules["__main__"]  # the other file adds to these CASES
    import killer_inputs  # noqa: F401

    if len(sys.argv) > 2:
        asyncio.run(_run_case(World(Path(sys.argv[1])), sys.argv[2]))
    else:
        serve_cases(sys.argv[1])
