"""The yardstick: what a benchmark has to know of a model and its engine without being a part of it.

    python -m caesura.sampler.yardstick --model MODEL [--ctx N] [--sequences N] [--threads N] [--simulate SPEC]

One JSON object a line on standard input, one answer a line on standard output, in their order. The first line says what
there is; a model that can't be had is an `error` there, and exit status 2.

    {"ready": true, "model": NAME, "path": FILE, "context": N, "sequences": N, "stop_tokens": [N, ...],
     "parameters": N or null, "size_bytes": N}

    {"op": "texts", "tokens": [N, ...]}   {"texts": [...]}: plain words, each of so many tokens; the same for the same N
    {"op": "count", "texts": [...]}       {"tokens": [N, ...]}, nothing in them being special
    {"op": "turn", "turns": [{...}, ...]} {"tokens": [N, ...]}: of turns of a replay script, stop token included
    {"op": "limit", "turns": [[CONTEXT, APPENDED, SAMPLED], ...]}
                                          {"turns": [[PREFILL_NS, DECODE_NS], ...]}: see `limit.measure_limit`
    {"op": "quit"}                        the end, as the end of the input is

What can't be done is answered by {"error": MESSAGE}, and the process lives on.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import sys
from collections.abc import Callable
from typing import Any

from .cost_model import CostModel
from .engine_context import EngineContext, batch_size, make_context
from .errors import InvalidMeasurement, SamplerError
from .filler import Filler, ordinary_tokens
from .limit import LimitTurn, measure_limit
from .memory_plan import DEFAULT_SEQUENCES, sequences_for
from .model import Model, load_model
from .replay import ReplayScript

USAGE_ERROR = 2

Json = dict[str, Any]


class Yardstick:
    """sequences, threads: of the engine that is measured, whose context has to be of the same size."""

    def __init__(self, model: Model, *, sequences: int, threads: int = 1, cost_model: CostModel | None = None) -> None:
        self._model = model
        self._sequences = sequences
        self._threads = threads
        self._cost_model = cost_model
        self._filler = Filler(model.vocab)
        self._context: EngineContext | None = None
        self._tokens: list[int] = []
        self._operations: dict[str, Callable[[Json], Json]] = {
            "texts": self._write_texts,
            "count": self._count,
            "turn": self._count_turns,
            "limit": self._measure_limit,
        }

    def ready(self) -> Json:
        model = self._model
        return {
            "ready": True,
            "model": model.name,
            "path": str(model.path),
            "context": model.context_length,
            "sequences": self._sequences,
            "stop_tokens": sorted(model.stop_tokens),
            "parameters": None if model.llama.vocab_only else model.llama.parameters,
            "size_bytes": model.path.stat().st_size,
        }

    def answer(self, line: str) -> Json | None:
        """None for the end. Never raises."""
        try:
            request = json.loads(line)
            operation = request.get("op") if isinstance(request, dict) else None
            if operation == "quit":
                return None
            if not isinstance(operation, str) or operation not in self._operations:
                raise InvalidMeasurement(f'a request is an object whose "op" is {", ".join(self._operations)} or quit')
            return self._operations[operation](request)
        except SamplerError as error:
            return {"error": str(error)}
        except json.JSONDecodeError as error:
            return {"error": f"a request must be one line of JSON: {error}"}
        # One bad request must not cost the benchmark all that it has measured.
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"}

    def close(self) -> None:
        if self._context is not None:
            self._context.close()

    def _write_texts(self, request: Json) -> Json:
        return {"texts": [self._filler.text(tokens) for tokens in _list_of(request, "tokens", int)]}

    def _count(self, request: Json) -> Json:
        return {"tokens": [self._filler.count(text) for text in _list_of(request, "texts", str)]}

    def _count_turns(self, request: Json) -> Json:
        script = ReplayScript.parse({"turns": _list_of(request, "turns", dict)})
        return {"tokens": [len(script.tokens(turn, self._model.chat_template)) for turn in range(len(script))]}

    def _measure_limit(self, request: Json) -> Json:
        turns = []
        for turn in _list_of(request, "turns", list):
            if len(turn) != 3 or any(type(number) is not int for number in turn):
                raise InvalidMeasurement(f"a turn is three numbers of tokens: context, appended, sampled; not {turn}")
            turns.append(LimitTurn(*turn))
        length = self._model.context_length
        if self._context is None:
            self._context = self._make_context()
            draw = random.Random(0)
            self._tokens = draw.choices(ordinary_tokens(self._model.vocab), k=length)
        return {"turns": measure_limit(self._context, turns, self._tokens, length)}

    def _make_context(self) -> EngineContext:
        context = make_context(
            self._model,
            context_length=self._model.context_length,
            sequences=self._sequences,
            batch_size=batch_size(self._sequences),
            threads=self._threads,
            cost_model=self._cost_model,
        )
        context.batch_invariant()  # as an engine does: the first steps of a context are slower than the others
        return context


def _list_of(request: Json, key: str, kind: type) -> list[Any]:
    values = request.get(key)
    if not isinstance(values, list) or any(type(value) is not kind for value in values):
        raise InvalidMeasurement(f'{request["op"]} needs "{key}", a list of {kind.__name__}')
    return values


def _say(answer: Json) -> None:
    print(json.dumps(answer), flush=True)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m caesura.sampler.yardstick")
    parser.add_argument("--model", default="demo")
    parser.add_argument("--ctx", type=int)
    parser.add_argument("--sequences", type=int)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--simulate", metavar="SPEC")
    arguments = parser.parse_args(argv)
    try:
        for option in ("ctx", "sequences", "threads"):
            if (value := getattr(arguments, option)) is not None and value < 1:
                raise InvalidMeasurement(f"--{option} must be at least 1, not {value}")
        cost_model = None if arguments.simulate is None else CostModel.parse(arguments.simulate)
        model = load_model(arguments.model, context_length=arguments.ctx, vocab_only=cost_model is not None)
        if cost_model is None:
            sequences = sequences_for(model.llama, model.context_length, None, arguments.sequences)
        else:
            sequences = arguments.sequences or DEFAULT_SEQUENCES
        yardstick = Yardstick(model, sequences=sequences, threads=arguments.threads, cost_model=cost_model)
        _say(yardstick.ready())
    except SamplerError as error:
        _say({"error": str(error)})
        return USAGE_ERROR
    try:
        for line in sys.stdin:
            if not line.strip():
                continue
            answer = yardstick.answer(line)
            if answer is None:
                break
            _say(answer)
    except (BrokenPipeError, KeyboardInterrupt):
        # Nobody listens any more, and Python would complain of what is left to be written.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    yardstick.close()
    return 0


if __name__ == "__main__":
    sys.stdin.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(main())
