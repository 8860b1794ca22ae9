"""A real model, engine and templates for the sampler's tests."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest
from caesura.sampler import engine_child
from caesura.sampler.chat_template import ChatTemplate
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import Model, load_model
from caesura.sampler.process_engine import ProcessEngine
from families import FAMILIES, load_family
from hypothesis import settings
from process_support import FAULTY, SETTINGS

QWEN_TEMPLATE = Path(__file__).parent / "qwen_like.jinja"


settings.register_profile("sampler", deadline=None)  # a busy machine is no failure
settings.load_profile("sampler")


@pytest.fixture(scope="session")
def model(demo_model_path: Path) -> Model:
    return load_model(demo_model_path)


@pytest.fixture(scope="session", params=["packaged", "qwen_like"])
def template(request: pytest.FixtureRequest, model: Model) -> ChatTemplate:
    """The model's own chat template, and one of another house style over the same vocabulary."""
    if request.param == "packaged":
        return model.chat_template
    return ChatTemplate(QWEN_TEMPLATE.read_text(), model.vocab)


@pytest.fixture(scope="session", params=list(FAMILIES))
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Model:
    """A model of each family, without its weights; its name is the family's."""
    return load_family(request.param, tmp_path_factory.getbasetemp())


@pytest.fixture(scope="session")
def engine_of_four(model: Model) -> Iterator[LlamaEngine]:
    """Four sequences of 512 tokens, shared by the tests of a session. Whoever opens a sequence closes it."""
    engine = LlamaEngine(model, context_length=512, sequences=4)
    yield engine
    asyncio.run(engine.close())


@pytest.fixture(scope="session")
def vocab_model(demo_model_path: Path) -> Model:
    """The same without its weights: what the server has of a model whose engine is another process."""
    return load_model(demo_model_path, vocab_only=True)


@pytest.fixture
def faulty(vocab_model: Model, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[ProcessEngine]:
    """An engine whose child fails on certain tokens, see `faulty_engine_process`."""
    monkeypatch.setenv("CAESURA_TEST_FAULTS", str(tmp_path / "faults"))
    monkeypatch.setattr(engine_child, "COMMAND", FAULTY)
    engine = ProcessEngine(vocab_model, restart_delay=0, end_timeout=0.2, **SETTINGS)
    yield engine
    asyncio.run(engine.close())
