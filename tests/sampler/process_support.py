"""What the tests of the engine's process share."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TypeVar

from caesura.sampler.engine import SampledToken, SamplingParams, TokenSequence
from caesura.sampler.process_engine import ProcessEngine

GREEDY = SamplingParams(temperature=0, max_tokens=60, logprobs=True)
SECONDS = 30
SETTINGS = {"context_length": 512, "sequences": 4, "max_sequences": 8}
FAULTY = [sys.executable, "-P", str(Path(__file__).with_name("faulty_engine_process.py"))]
T = TypeVar("T")


def run(test: Callable[[], Awaitable[T]]) -> T:
    async def bounded() -> T:
        async with asyncio.timeout(SECONDS):
            return await test()

    return asyncio.run(bounded())


@asynccontextmanager
async def closing(sequence: TokenSequence) -> AsyncIterator[TokenSequence]:
    try:
        yield sequence
    finally:
        await sequence.close()


@asynccontextmanager
async def opened(engine: ProcessEngine, tokens: Sequence[int]) -> AsyncIterator[TokenSequence]:
    async with closing(await engine.open(tokens)) as sequence:
        yield sequence


async def sample(
    sequence: TokenSequence, params: SamplingParams = GREEDY, forced: Sequence[int] | None = None
) -> list[SampledToken]:
    return [token async for tokens in sequence.sample(params, forced=forced) for token in tokens]


def prompt(seed: int = 0, length: int = 20) -> list[int]:
    return [100 + (seed * 37 + at * 11) % 700 for at in range(length)]


def ids(tokens: Sequence[SampledToken]) -> list[int]:
    return [token.token for token in tokens]
