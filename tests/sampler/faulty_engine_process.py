"""The engine's process with faults: a token in a batch makes it die, in the middle of decoding, in one of many ways.

CAESURA_TEST_FAULTS names a file: if it is there, each fault takes one line away, and without lines none happens.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

from caesura.sampler import engine_process
from caesura.sampler.llama_context import LlamaContext


def exit_cleanly() -> NoReturn:
    os._exit(0)


def fault_in_python() -> NoReturn:
    raise ZeroDivisionError("a bug")


FAULTS: dict[int, Callable[[], object]] = {
    901: os.abort,
    902: lambda: ctypes.string_at(0),  # SIGSEGV
    903: exit_cleanly,
    904: fault_in_python,
}


def due() -> bool:
    left = Path(os.environ["CAESURA_TEST_FAULTS"])
    if not left.exists():
        return True
    lines = left.read_text().splitlines()
    left.write_text("\n".join(lines[1:]))
    return bool(lines)


def with_faults(decode: Callable[..., Any]) -> Callable[..., Any]:
    def faulty(context: LlamaContext, rows: Any) -> Any:
        for row in rows:
            for token in row[2]:
                if token in FAULTS and due():
                    FAULTS[token]()
        return decode(context, rows)

    return faulty


if __name__ == "__main__":
    LlamaContext.decode = with_faults(LlamaContext.decode)  # type: ignore[method-assign]
    engine_process.main()
