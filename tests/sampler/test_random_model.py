"""Random models of every architecture: they load, decode, and their state goes out and in without a changed bit."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from caesura.sampler.errors import DecodeFailed
from caesura.sampler.llama import LlamaModel
from caesura.sampler.llama_context import LlamaContext, State
from caesura.sampler.random_architectures import ARCHITECTURES
from caesura.sampler.random_model import SHAPES, write_random_model

TOKENS = [int(token) for token in np.random.default_rng(0).integers(0, 1000, 200)]


@pytest.fixture(scope="module", params=list(ARCHITECTURES))
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[LlamaContext]:
    path = tmp_path_factory.mktemp("random") / f"{request.param}.gguf"
    model = LlamaModel(write_random_model(path, SHAPES["tiny"], architecture=request.param))
    context = LlamaContext(model, context_length=256, sequences=2, threads=1, batch_size=256)
    yield context
    context.close()


@pytest.fixture
def context(loaded: LlamaContext) -> LlamaContext:
    loaded.clear(0)
    loaded.clear(1)
    return loaded


def decode(context: LlamaContext, slot: int, position: int, tokens: list[int]) -> bytes:
    context.decode([(slot, position, tokens, True)])
    logits = context.logits(1)
    assert np.isfinite(logits).all()
    assert logits.std() > 0.01
    return logits.tobytes()


def saved(context: LlamaContext, slot: int) -> State:
    state = np.empty(context.saved_size(slot), np.uint8)
    assert context.save(slot, state) == len(state)
    return state


def test_what_came_before_matters(context: LlamaContext) -> None:
    first = decode(context, 0, 0, TOKENS)
    assert first != decode(context, 1, 0, [*TOKENS[:5], 7, *TOKENS[6:]])


def test_a_saved_state_goes_on_bit_by_bit(context: LlamaContext) -> None:
    decode(context, 0, 0, TOKENS)
    state = saved(context, 0)
    expected = [decode(context, 0, len(TOKENS), [5]), decode(context, 0, len(TOKENS) + 1, TOKENS[:20])]
    assert context.load(1, state)
    assert [decode(context, 1, len(TOKENS), [5]), decode(context, 1, len(TOKENS) + 1, TOKENS[:20])] == expected


def test_only_attention_can_be_trimmed(context: LlamaContext) -> None:
    decode(context, 0, 0, TOKENS)
    expected = decode(context, 0, len(TOKENS), [5])
    if context.can_trim:
        context.trim(0, len(TOKENS))
        assert decode(context, 0, len(TOKENS), [5]) == expected
    else:
        with pytest.raises(DecodeFailed):
            context.trim(0, len(TOKENS))


def test_a_recurrent_state_has_one_size(tmp_path: Path) -> None:
    sizes = {}
    for architecture in ARCHITECTURES:
        model = LlamaModel(write_random_model(tmp_path / architecture, SHAPES["tiny"], architecture=architecture))
        context = LlamaContext(model, context_length=256, sequences=1, threads=1, batch_size=256)
        sizes[architecture] = []
        for length in (10, 200):
            context.clear(0)
            decode(context, 0, 0, TOKENS[:length])
            sizes[architecture].append(len(saved(context, 0)))
        context.close()
    small, large = sizes["mamba"]
    assert small == large
    for architecture in ("qwen2", "lfm2"):
        small, large = sizes[architecture]
        assert large > 10 * small
    assert sizes["lfm2"][1] < sizes["qwen2"][1]
