"""What makes llama.cpp abort the process, continued: grammars, text, files."""

from __future__ import annotations

import json
import random
import shutil
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from caesura.sampler.chat_template import ToolCall, assistant_message, tool_message
from caesura.sampler.engine import SamplingParams
from caesura.sampler.errors import EngineError, ModelError, RequestError, SamplerError
from caesura.sampler.llama_engine import LlamaEngine
from caesura.sampler.model import load_model
from killer_cases import CONTEXT_LENGTH, DEPTH, World, case, refused, rollout, sample


@case
async def grammars_that_are_none(world: World) -> None:
    texts = ["x", "{", '{"grammars": []}', "root ::= ", 'start: "' + "a" * 10**5, "start: start", "start: /(/", "\x00"]
    texts += ["start: /a{1000000}/", "start: " + "(" * DEPTH + '"a"' + ")" * DEPTH, "\ud800"]
    texts += [
        '%llguidance {}\nstart: %json {"type": "nonsense"}',
        "start: %json " + '{"not":' * DEPTH + "{}" + "}" * DEPTH,
    ]
    sequence = await world.engine.open([1, 2])
    for text in texts:
        try:
            await sample(sequence, SamplingParams(grammar=text, max_tokens=4))
        except (RequestError, EngineError):
            await sequence.close()
            sequence = await world.engine.open([1, 2])
        await world.check_alive()
    await sequence.close()


@case
async def forced_tokens_outside_of_the_grammar(world: World) -> None:
    sequence = await world.engine.open([1, 2])
    params = SamplingParams(grammar='start: "yes" | "no"', max_tokens=4)
    with suppress(RequestError, EngineError):
        await sample(sequence, params, forced=world.model.vocab.tokenize("maybe", parse_special=False))
    with suppress(RequestError, EngineError):
        async for _ in sequence.sample(params, continued=2):
            pass
    await sequence.close()


# Text.

NASTY = ["\ud800", "\udfff\ud800", "\x00", "\x00" * 1000, "\uffff", "<|im_end|>" * 1000, "a" * 10**6, "\U0010ffff", ""]


@case
async def nasty_text_in_every_place(world: World) -> None:
    template = world.model.chat_template
    for text in NASTY:
        tools = [{"type": "function", "function": {"name": text, "description": text, "parameters": {text: text}}}]
        calls = [ToolCall("f", json.dumps({"a": text}), text), ToolCall(text, text, text)]
        for call in calls:
            attempts: list[Callable[[], Any]] = [
                lambda text=text, tools=tools: template.encode_prompt([{"role": "user", "content": text}], tools),
                lambda call=call: template.encode_prompt(
                    [{"role": "user", "content": "-"}, assistant_message("", [call]), tool_message("-")]
                ),
                lambda text=text, call=call: template.encode_turn(text, [call]),
                lambda text=text, call=call: template.encode_suffix(
                    [tool_message(text, call_id=text, name=text)], calls=[call]
                ),
            ]
            for attempt in attempts:
                with suppress(SamplerError):
                    world.model.vocab.check(attempt())
        world.model.vocab.check(world.model.vocab.tokenize(text, parse_special=True))


@case
async def deep_arguments_and_schemas(world: World) -> None:
    template = world.model.chat_template
    deep: Any = {}
    for _ in range(DEPTH):
        deep = {"properties": deep, "items": [deep]} if not deep else {"properties": deep}
    texts = [
        '{"a":' * DEPTH + "1" + "}" * DEPTH,
        '{"a":' + "[" * DEPTH + "]" * DEPTH + "}",
        "[" * DEPTH,
        '{"a":' * DEPTH,
    ]
    user = {"role": "user", "content": "-"}
    attempts: list[Callable[[], Any]] = [
        lambda: template.encode_prompt([user], [{"type": "function", "function": {"name": "f", "parameters": deep}}]),
        lambda: template.encode_prompt([user], [deep]),
        lambda: template.encode_prompt([{"role": "user", "content": deep}]),
    ]
    for text in texts:
        call = ToolCall("f", text, "id")
        attempts += [
            lambda call=call: template.encode_prompt([user, assistant_message("", [call]), tool_message("-")]),
            lambda call=call: template.encode_turn("", [call]),
            lambda call=call: template.encode_suffix([tool_message("-", call_id="id", name="f")], calls=[call]),
            lambda text=text: template.encode_suffix([tool_message(text, call_id="id", name="f")]),
        ]
    for attempt in attempts:
        with suppress(SamplerError):
            world.model.vocab.check(attempt())


# Files.


@case
async def files_that_are_no_models(world: World) -> None:
    whole = world.path.read_bytes()
    dice = random.Random(0)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        refused(ModelError, lambda: load_model(folder))
        refused(ModelError, lambda: load_model(path))
        refused(ModelError, lambda: load_model("\x00"))
        cuts = [0, 3, 4, 8, 24, 25, 100, 1000, len(whole) // 2, len(whole) - 1]
        for data in [*(whole[:cut] for cut in cuts), b"GGUF" + b"\xff" * 100, b"GGUF" + dice.randbytes(10**5)]:
            path.write_bytes(data)  # noqa: ASYNC240 - nothing else runs
            refused(ModelError, lambda: load_model(path))
            with suppress(SamplerError):
                load_model(path, vocab_only=True)


@case
async def a_file_that_is_cut_off_while_in_use(world: World) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.gguf")
        shutil.copyfile(world.path, path)
        engine = LlamaEngine(load_model(path), context_length=CONTEXT_LENGTH, sequences=1)
        path.write_bytes(b"")  # noqa: ASYNC240 - nothing else runs
        assert len(await rollout(engine, [1] * 200)) == 8
        await engine.close()
