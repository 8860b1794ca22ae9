"""Choosing a token: what `token_choice` costs, against llama.cpp's own sampler chain.

    python tests/bench/sampling.py [--repeats N] [--json FILE]

Processor time a token, median over `repeats` rows of logits like a trained model's: some tokens far ahead of the rest.
"chain" is llama.cpp's top_k, top_p, min_p, temperature and draw over the same row, with its candidates filled in
by numpy. Then the same chooser with logprobs, with 20 top_logprobs, and with a grammar.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llama_cpp
import numpy as np
from caesura.sampler.grammar import GrammarCompiler
from caesura.sampler.sampling_params import SamplingParams
from caesura.sampler.token_choice import make_chooser

VOCABULARIES = (1024, 151_936)
SETTINGS: dict[str, dict[str, Any]] = {
    "greedy": {"temperature": 0.0},
    "top_k 40, top_p, min_p, temp": {"top_k": 40, "top_p": 0.95, "min_p": 0.05, "temperature": 0.8},
    "temp": {"temperature": 0.8},
    "top_p": {"top_p": 0.95},
}
GRAMMAR = 'start: %json {"type": "object"}'
CANDIDATE = np.dtype([("id", np.int32), ("logit", np.float32), ("p", np.float32)])


class Words:
    """A vocabulary of `size` tokens: the single bytes, then words of one to eight letters."""

    def __init__(self, size: int) -> None:
        rng = np.random.default_rng(0)
        letters = np.frombuffer(b'etaoinshrdlucmfw{}[]":, 0123456789', np.uint8)
        self.size, self.bos, self.eos = size, None, size - 1
        self.stop_tokens = frozenset({size - 1})
        self.special_tokens = {"<stop>": size - 1}
        self._pieces = [bytes([byte]) for byte in range(256)]
        self._pieces += [rng.choice(letters, rng.integers(1, 9)).tobytes() for _ in range(size - 257)] + [b"<stop>"]

    def piece(self, token: int) -> bytes:
        return self._pieces[token]

    def visible_piece(self, token: int) -> bytes:
        return b"" if token in self.stop_tokens else self._pieces[token]

    def tokenize(self, text: str, *, parse_special: bool) -> list[int]:
        return list(text.encode())


def rows_of(size: int, count: int) -> list[Any]:
    rng = np.random.default_rng(1)
    rows = []
    for _ in range(count):
        row = rng.standard_normal(size, dtype=np.float32) * np.float32(2)
        row[rng.integers(size, size=50)] += np.linspace(6, 16, 50, dtype=np.float32)
        rows.append(row)
    return rows


def chain_of(options: dict[str, Any]) -> Callable[[Any], int]:
    """llama.cpp's samplers as a function of a row of logits."""
    params = llama_cpp.llama_sampler_chain_default_params()
    chain = llama_cpp.llama_sampler_chain_init(params)
    temperature = options.get("temperature", 1.0)
    if temperature == 0:
        llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_greedy())
    else:
        if options.get("top_k"):
            llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_top_k(options["top_k"]))
        if options.get("top_p"):
            llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_top_p(options["top_p"], 1))
        if options.get("min_p"):
            llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_min_p(options["min_p"], 1))
        llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_temp(temperature))
        llama_cpp.llama_sampler_chain_add(chain, llama_cpp.llama_sampler_init_dist(1))
    candidates: Any = None

    def sample(row: Any) -> int:
        nonlocal candidates
        if candidates is None:
            candidates = np.zeros(row.size, CANDIDATE)
        candidates["id"] = np.arange(row.size, dtype=np.int32)
        candidates["logit"] = row
        data = ctypes.cast(candidates.ctypes.data, llama_cpp.llama_token_data_p)
        array = llama_cpp.llama_token_data_array(data=data, size=row.size, selected=-1, sorted=False)
        llama_cpp.llama_sampler_apply(chain, ctypes.byref(array))
        return int(array.data[array.selected].id)

    return sample


def chooser_of(words: Words, compiler: GrammarCompiler, options: dict[str, Any], **more: Any) -> Callable[[Any], int]:
    params = SamplingParams(**options, **more)
    vocab: Any = words

    def fresh() -> Any:
        matcher = compiler.matcher(params.grammar) if params.grammar else None
        return make_chooser(params, seed=1, vocab=vocab, matcher=matcher)

    chooser, position = fresh(), 0

    def sample(row: Any) -> int:
        nonlocal chooser, position
        choice = chooser.choose(row, position)
        position += 1
        if choice.stopped or choice.token in words.stop_tokens:
            chooser = fresh()
        return int(choice.token)

    return sample


def microseconds(sample: Callable[[Any], int], rows: list[Any]) -> float:
    """Median processor time of one call."""
    times = []
    for row in rows:
        began = time.process_time_ns()
        sample(row)
        times.append((time.process_time_ns() - began) / 1e3)
    return statistics.median(times[len(times) // 10 :])


def measure(*, repeats: int = 200) -> dict[str, Any]:
    """Microseconds a token for each vocabulary and setting, and what grammars cost to build."""
    result: dict[str, Any] = {"choice": [], "grammar": []}
    for size in VOCABULARIES:
        words: Any = Words(size)
        compiler = GrammarCompiler(words)
        began = time.perf_counter()
        compiler.compile('start: "a"')
        built = time.perf_counter()
        compiler.compile(GRAMMAR)
        compiled = time.perf_counter()
        compiler.matcher(GRAMMAR)
        copied = time.perf_counter()
        result["grammar"].append(
            {
                "vocabulary": size,
                "tokenizer_ms": (built - began) * 1e3,
                "compile_ms": (compiled - built) * 1e3,
                "matcher_us": (copied - compiled) * 1e6,
            }
        )
        rows = rows_of(size, repeats)
        for name, options in SETTINGS.items():
            arms = {
                "chain": chain_of(options),
                "chooser": chooser_of(words, compiler, options),
                "logprobs": chooser_of(words, compiler, options, logprobs=True),
                "top_logprobs": chooser_of(words, compiler, options, top_logprobs=20),
                "grammar": chooser_of(words, compiler, options, grammar=GRAMMAR),
            }
            figures = {arm: microseconds(sample, rows) for arm, sample in arms.items()}
            result["choice"].append({"vocabulary": size, "setting": name, **figures})
    return result


def table(result: dict[str, Any]) -> str:
    arms = ("chain", "chooser", "logprobs", "top_logprobs", "grammar")
    lines = ["choosing a token, us of processor time", ""]
    lines.append(f"{'vocabulary':>10}  {'setting':<30}" + "".join(f"{arm:>14}" for arm in arms))
    for row in result["choice"]:
        figures = "".join(f"{row[arm]:>14.0f}" for arm in arms)
        lines.append(f"{row['vocabulary']:>10}  {row['setting']:<30}{figures}")
    lines.append("")
    lines.append(f"{'vocabulary':>10}{'tokenizer ms':>16}{'compile ms':>14}{'matcher us':>14}")
    for row in result["grammar"]:
        lines.append(
            f"{row['vocabulary']:>10}{row['tokenizer_ms']:>16.0f}{row['compile_ms']:>14.1f}{row['matcher_us']:>14.0f}"
        )
    return "\n".join(lines)


def main(arguments: list[str] | None = None) -> dict[str, Any]:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200, help="rows of each setting (default 200)")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    options = parser.parse_args(arguments)
    result = measure(repeats=options.repeats)
    print(table(result))
    if options.json:
        options.json.write_text(json.dumps(result, indent=2) + "\n")
    return result


if __name__ == "__main__":
    main()
