"""The client of ``caesura.sampler.yardstick``: tokenizer, chat template and bare engine of the model under test.

They are in a subprocess since the client package never imports the sampler, and since llama.cpp beside the client's
event loop would take its processor. One JSON object a line each way, answered in order. Calls block: they belong before
or between runs.
"""

from __future__ import annotations

import contextlib
import json
import queue
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import msgspec

from ..processes import last_words, reap
from .driver import BenchError
from .records import LimitTurn

COMMAND = (sys.executable, "-P", "-m", "caesura.sampler.yardstick")
START_TIMEOUT_S = 300.0
"""A big model takes a while to load, or to be made."""
ANSWER_TIMEOUT_S = 300.0
LIMIT_TIMEOUT_S = 3600.0
"""A whole session on the engine alone can take as long as it takes."""
STOP_TIMEOUT_S = 10.0

Json = dict[str, Any]


class YardstickInfo(msgspec.Struct):
    """What it says of itself. ``parameters`` is None if the model's file doesn't tell. ``path`` is that of the GGUF:
    the server is given the same file."""

    model: str
    path: str
    context: int
    stop_tokens: list[int]
    parameters: int | None
    size_bytes: int


class Yardstick:
    """A running one. Use it with ``with``, or call ``close``: the process never outlives it.

    After a timeout or a broken answer it is of no more use: question and answer would not belong together.
    """

    def __init__(
        self,
        model: str,
        *,
        context: int | None = None,
        sequences: int | None = None,
        threads: int | None = None,
        simulate: str | None = None,
        command: Sequence[str] = COMMAND,
    ) -> None:
        """Start it and wait until the model is loaded.

        The options are those of ``caesura serve`` with the same names; None leaves them out.

        :raises BenchError: it did not start; the message ends with what it said on its stderr.
        """
        options = {"ctx": context, "sequences": sequences, "threads": threads, "simulate": simulate}
        arguments = [*command, "--model", model]
        for name, value in options.items():
            if value is not None:
                arguments += [f"--{name}", str(value)]
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._questions: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._stderr = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115
        try:
            self._process = subprocess.Popen(
                arguments,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._stderr,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            self._stderr.close()
            raise BenchError(f"the yardstick can't be started: {error}") from None
        try:
            assert self._process.stdout is not None
            assert self._process.stdin is not None
            # Threads of their own, so that a process that neither reads nor writes is waited for a bounded time.
            threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()
            threading.Thread(target=self._write, args=(self._process.stdin,), daemon=True).start()
            self.info = self._convert(self._answer(START_TIMEOUT_S, "loading the model"), YardstickInfo)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def file_name(self) -> str:
        """The GGUF's name, without its folder."""
        return Path(self.info.path).name

    def texts(self, tokens: Sequence[int]) -> list[str]:
        """For each number a text of exactly so many tokens; the empty one for 0.

        :raises BenchError: as all of these methods: it refused, broke, or took too long.
        """
        some = sorted({number for number in tokens if number})
        answer = self._ask({"op": "texts", "tokens": some}) if some else {"texts": []}
        made = dict(zip(some, self._list(answer, "texts", len(some), str), strict=True))
        return [made.get(number, "") for number in tokens]

    def count(self, texts: Sequence[str]) -> list[int]:
        """Tokens of each text alone."""
        return self._list(self._ask({"op": "count", "texts": list(texts)}), "tokens", len(texts), int)

    def turn_tokens(self, turns: Sequence[Mapping[str, Any]]) -> list[int]:
        """Tokens that the replay of each turn comes to, its stop token included. A turn: as in ``Script.replay()``."""
        return self._list(self._ask({"op": "turn", "turns": list(turns)}), "tokens", len(turns), int)

    def limit(self, turns: Sequence[tuple[int, int, int]]) -> list[LimitTurn]:
        """Play a session on the engine alone. A turn: tokens computed before, tokens to compute, tokens to sample."""
        answer = self._ask({"op": "limit", "turns": [list(turn) for turn in turns]}, LIMIT_TIMEOUT_S)
        times = self._list(answer, "turns", len(turns), tuple[int, int])
        return [LimitTurn(*turn, *time) for turn, time in zip(turns, times, strict=True)]

    def close(self) -> None:
        """End the process: by asking, then by force."""
        self._questions.put(None)
        try:
            reap(self._process, STOP_TIMEOUT_S)
        finally:
            self._stderr.close()

    def _read(self, stream: IO[str]) -> None:
        with stream:
            for line in stream:
                self._lines.put(line)
        self._lines.put(None)

    def _write(self, stream: IO[str]) -> None:
        with contextlib.suppress(OSError), stream:  # whoever waits for an answer learns of the end
            while (line := self._questions.get()) is not None:
                stream.write(line)
                stream.flush()

    def _ask(self, question: Json, timeout: float = ANSWER_TIMEOUT_S) -> Json:
        self._questions.put(json.dumps(question) + "\n")
        return self._answer(timeout, str(question["op"]))

    def _answer(self, timeout: float, what: str) -> Json:
        try:
            line = self._lines.get(timeout=timeout)
        except queue.Empty:
            raise BenchError(
                f"the yardstick did not answer in {timeout:g} s ({what}){last_words(self._stderr)}"
            ) from None
        if line is None:
            raise BenchError(self._ended())
        answer: Json = self._convert(line, Json)
        if "error" in answer:
            raise BenchError(f"the yardstick refused {what!r}: {answer['error']}")
        return answer

    def _convert(self, data: object, kind: Any) -> Any:
        try:
            if isinstance(data, str):
                return msgspec.json.decode(data.encode(), type=kind)
            return msgspec.convert(data, kind)
        except msgspec.MsgspecError as error:
            raise BenchError(f"the yardstick's answer makes no sense ({error}): {str(data)[:200]!r}") from None

    def _list(self, answer: Json, key: str, length: int, kind: Any) -> list[Any]:
        values: list[Any] = self._convert(answer.get(key), list[kind])
        if len(values) != length:
            raise BenchError(f"the yardstick gave {len(values)} {key} for {length}")
        return values

    def _ended(self) -> str:
        try:
            code: object = self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            code = "none yet"
        return f"the yardstick ended, exit code {code}{last_words(self._stderr)}"
