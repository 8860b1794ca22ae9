"""The yardstick's client: questions and answers, every way in which it can go wrong, and that no process is left."""

from __future__ import annotations

import os
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from caesura.client.bench import yardstick as module
from caesura.client.bench.driver import BenchError
from caesura.client.bench.records import LimitTurn
from caesura.client.bench.yardstick import Yardstick

Start = Callable[..., Yardstick]

READY = '{"ready": true, "model": "m", "path": "/a/b/m.gguf", "context": 8, "stop_tokens": [1], "parameters": null, \
"size_bytes": 5}'

ANSWERING = """
    for line in sys.stdin:
        question = json.loads(line)
        match question["op"]:
            case "texts": answer = {"texts": ["w" * n for n in question["tokens"]]}
            case "count": answer = {"tokens": [len(text) for text in question["texts"]]}
            case "turn": answer = {"tokens": [len(turn["text"]) + 1 for turn in question["turns"]]}
            case "limit": answer = {"turns": [[appended, sampled] for _, appended, sampled in question["turns"]]}
        print(json.dumps(answer), flush=True)
"""


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """A yardstick of this text, which runs after the line that says it is ready. Afterwards none is left."""

    def make(text: str, ready: str = READY) -> Yardstick:
        program = f"""
import json, os, sys, threading
open({str(tmp_path / "pid")!r}, "w").write(f"{{os.getpid()}} {{sys.argv[1:]}}")
print({ready!r}, flush=True)
"""
        return Yardstick("some.gguf", command=[sys.executable, "-c", program + textwrap.dedent(text)])

    yield make
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text().split()[0]), 0)


def test_it_asks_and_is_answered(start: Start) -> None:
    with start(ANSWERING) as yardstick:
        assert (yardstick.info.model, yardstick.info.parameters, yardstick.file_name) == ("m", None, "m.gguf")
        assert yardstick.texts([3, 0, 1, 3]) == ["www", "", "w", "www"]
        assert yardstick.texts([0]) == [""]
        assert yardstick.count(["ab", "c"]) == [2, 1]
        assert yardstick.turn_tokens([{"text": "abc", "calls": []}]) == [4]
        assert yardstick.limit([(0, 9, 4), (13, 2, 1)]) == [LimitTurn(0, 9, 4, 9, 4), LimitTurn(13, 2, 1, 2, 1)]


def test_options_are_passed_on(tmp_path: Path) -> None:
    program = f"import sys; sys.stdout.write({READY!r} + chr(10)); sys.stdout.flush(); sys.exit(repr(sys.argv[1:]))"
    with (
        Yardstick("m", context=4, threads=2, simulate="decode=1", command=[sys.executable, "-c", program]) as yardstick,
        pytest.raises(BenchError, match=r"'--model', 'm', '--ctx', '4', '--threads', '2', '--simulate', 'decode=1'"),
    ):
        yardstick.count(["a"])


def test_a_refusal_does_not_end_it(start: Start) -> None:
    text = """
        sys.stdin.readline(); print('{"error": "no such text"}', flush=True)
        sys.stdin.readline(); print('{"tokens": [7]}', flush=True)
    """
    with start(text) as yardstick:
        with pytest.raises(BenchError, match="refused 'texts': no such text"):
            yardstick.texts([5])
        assert yardstick.count(["abc"]) == [7]


def test_one_that_ends_says_why(start: Start) -> None:
    with (
        start("sys.stdin.readline(); sys.exit('out of memory')") as yardstick,
        pytest.raises(BenchError, match="ended, exit code 1; on its stderr:\n  out of memory"),
    ):
        yardstick.count(["a"])


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ("gibberish", "makes no sense"),
        ("[1]", "makes no sense"),
        ('{"tokens": ["a"]}', "makes no sense"),
        ('{"texts": []}', "makes no sense"),
        ('{"tokens": [1, 2]}', "gave 2 tokens for 1"),
    ],
)
def test_an_answer_without_sense(start: Start, answer: str, message: str) -> None:
    with (
        start(f"sys.stdin.readline(); print({answer!r}, flush=True); sys.stdin.read()") as yardstick,
        pytest.raises(BenchError, match=message),
    ):
        yardstick.count(["a"])


def test_one_that_does_not_answer(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor read: the question is longer than a pipe holds."""
    monkeypatch.setattr(module, "STOP_TIMEOUT_S", 0.05)
    with start("threading.Event().wait()") as yardstick, pytest.raises(BenchError, match=r"did not answer in 0\.05 s"):
        yardstick._ask({"op": "count", "texts": ["a" * 1_000_000]}, 0.05)


@pytest.mark.parametrize(
    ("ready", "message"),
    [
        ('{"error": "no such model"}', r"refused 'loading the model': no such model"),
        ("Loading...", "makes no sense"),
    ],
)
def test_one_that_is_never_ready(start: Start, ready: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        start("sys.stdin.read()", ready)


def test_one_that_never_starts() -> None:
    with pytest.raises(BenchError, match=r"ended, exit code 3"):
        Yardstick("m", command=[sys.executable, "-c", "import sys; sys.exit(3)"])
    with pytest.raises(BenchError, match="the yardstick can't be started"):
        Yardstick("m", command=["/no/such/program"])


def test_the_real_one(demo_model_path: Path) -> None:
    with Yardstick(str(demo_model_path), context=512) as yardstick:
        texts = yardstick.texts([1, 17, 200])
        assert yardstick.count(texts) == [1, 17, 200]
        turn = {"text": texts[1], "calls": []}
        (tokens,) = yardstick.turn_tokens([turn])
        assert tokens > 17
        (limit,) = yardstick.limit([(0, 20, 3)])
        assert (limit.context, limit.appended, limit.sampled) == (0, 20, 3)
        assert limit.prefill_ns > 0 < limit.decode_ns
        with pytest.raises(BenchError, match="refused 'limit'"):
            yardstick.limit([(0, 0, 1)])
        assert Path(yardstick.info.path) == demo_model_path
