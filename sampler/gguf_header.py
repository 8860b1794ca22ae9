"""What of a GGUF's metadata makes llama.cpp abort the process, checked before it sees the file.

Found by changing single values and random bytes of a file's header, each loaded in a process of its own: nearly all
ends in llama.cpp's own errors, truncated tensors and absurd counts too. Two things don't: a number of layers out of
range, and a vocabulary in which two tokens have the same text. What can't be read here is left to those errors.
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from .errors import ModelLoadFailed

MAX_LAYERS = 512  # LLAMA_MAX_LAYERS

_STRING, _ARRAY = 8, 9
_FORMATS = {0: "<B", 1: "<b", 2: "<H", 3: "<h", 4: "<I", 5: "<i", 6: "<f", 7: "<?", 10: "<Q", 11: "<q", 12: "<d"}
_SIZES = {kind: struct.calcsize(format) for kind, format in _FORMATS.items()}


def check_header(path: Path) -> None:
    """Raises ModelLoadFailed."""
    with open(path, "rb") as file:
        _Header(file, path).check()


class _Unreadable(Exception):
    pass


class _Header:
    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._path = path
        self._size = path.stat().st_size

    def check(self) -> None:
        missing = 2
        try:
            self._file.seek(16)
            for _ in range(self._number("<Q")):
                key = self._string()
                kind = self._number("<I")
                if key == b"tokenizer.ggml.tokens" and kind == _ARRAY:
                    self._check_tokens()
                elif key.endswith(b".block_count") and kind in _FORMATS:
                    self._check_layers(self._number(_FORMATS[kind]))
                else:
                    self._skip(kind)
                    continue
                missing -= 1
                if not missing:
                    return  # the merges, as long as the vocabulary, come after it
        except _Unreadable:
            return

    def _check_layers(self, layers: int) -> None:
        if not 1 <= layers <= MAX_LAYERS:
            raise ModelLoadFailed(f"{self._path} is corrupt: it says that the model has {layers} layers")

    def _check_tokens(self) -> None:
        if self._number("<I") != _STRING:
            raise _Unreadable
        seen: set[bytes] = set()
        for token in range(self._number("<Q")):
            text = self._string()
            # llama.cpp reads them as strings that end at a NUL.
            text = text.partition(b"\0")[0]
            if text in seen:
                raise ModelLoadFailed(
                    f"{self._path} can't be used: its vocabulary has {text.decode('utf-8', 'replace')!r} twice, "
                    f"the second time as token {token}"
                )
            seen.add(text)

    def _skip(self, kind: int) -> None:
        if kind == _STRING:
            self._string()
        elif kind == _ARRAY:
            item, count = self._number("<I"), self._number("<Q")
            if item in _SIZES:
                self._read(count * _SIZES[item])
            elif item == _STRING:
                for _ in range(count):
                    self._string()
            else:
                raise _Unreadable
        elif kind in _SIZES:
            self._read(_SIZES[kind])
        else:
            raise _Unreadable

    def _string(self) -> bytes:
        return self._read(self._number("<Q"))

    def _number(self, format: str) -> int:
        (number,) = struct.unpack(format, self._read(struct.calcsize(format)))
        return int(number) if number == number and abs(number) != float("inf") else -1

    def _read(self, size: int) -> bytes:
        if size > self._size:
            raise _Unreadable
        data = self._file.read(size)
        if len(data) != size:
            raise _Unreadable
        return data
