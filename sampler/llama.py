"""llama.cpp through ctypes: the library, its log, and a loaded model.

This module and `llama_context` are the only ones that touch ctypes. llama.cpp aborts the whole process on
many wrong arguments, so every value is checked here or by the caller before it crosses over.

Two settings are made here because they must come before the first call:

- `OMP_WAIT_POLICY=PASSIVE`, unless the user set it: OpenMP threads otherwise spin between two steps and take
  the core from the event loop (measured: 1,600 -> 30 tokens/s with two threads on busy cores).
- llama.cpp's log is silent unless `CAESURA_LLAMA_LOG=1`. Its last warnings are kept for error messages.
"""

from __future__ import annotations

import collections
import ctypes
import os
import sys
import threading
import weakref
from functools import cache
from pathlib import Path
from typing import Any

from .errors import ModelLoadFailed, ModelNotFound

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import llama_cpp.llama_cpp as bindings

library: Any = bindings  # it has no type stubs

MAX_SEQUENCES = 256  # LLAMA_MAX_SEQ: one more gives a NULL context
MAX_TEXT_BYTES = 2**31 - 1
READ_BYTES = 64 * 2**20

ATTRIBUTE_UNKNOWN = 1 << 0
ATTRIBUTE_UNUSED = 1 << 1
ATTRIBUTE_CONTROL = 1 << 3
ATTRIBUTE_USER_DEFINED = 1 << 4

_LOG_WARNING = 3
_recent_log: collections.deque[str] = collections.deque(maxlen=4)
_log_to_stderr = os.environ.get("CAESURA_LLAMA_LOG", "") not in ("", "0")


@library.llama_log_callback  # type: ignore[untyped-decorator]
def _on_log(level: int, text: bytes, user_data: object) -> None:
    if _log_to_stderr:
        sys.stderr.write(text.decode("utf-8", "replace"))
    if level >= _LOG_WARNING and text.strip(b".\n "):
        _recent_log.append(text.decode("utf-8", "replace").strip())


_initialised = threading.Lock()


@cache
def initialise() -> None:
    """Start llama.cpp's backend once. Its log goes to `_on_log`, which this module keeps alive."""
    with _initialised:
        library.llama_log_set(_on_log, None)
        library.llama_backend_init()


def recent_log() -> str:
    """llama.cpp's latest warnings, for the message of an error that it caused; empty if none."""
    return "; ".join(_recent_log)


def cpu_has_amx() -> bool:
    """True when the CPU has Intel's AMX units, as far as the system tells."""
    try:
        with open("/proc/cpuinfo", encoding="ascii", errors="replace") as cpuinfo:
            return any(line.startswith("flags") and " amx_" in line for line in cpuinfo)
    except OSError:
        return False


def available_memory(meminfo: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Bytes that can be allocated without swapping, as far as the system and the container's limit tell."""
    found = []
    try:
        fields = dict(line.split(":", 1) for line in meminfo.read_text(errors="replace").splitlines())
        found.append(int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        limit = int((cgroup / "memory.max").read_text())  # "max" where there is none
        found.append(max(0, limit - int((cgroup / "memory.current").read_text())))
    except (OSError, ValueError):
        pass
    return min(found, default=None)


def check_gguf(path: Path) -> None:
    """Raise ModelNotFound unless `path` is a readable file that begins like a GGUF."""
    try:
        with open(path, "rb") as file:
            head = file.read(24)
    except FileNotFoundError:
        raise ModelNotFound(f"no model file at {path}: give the path of a GGUF file, or `demo`") from None
    except (OSError, ValueError) as error:
        raise ModelNotFound(f"can't read the model file {path}: {getattr(error, 'strerror', None) or error}") from None
    if len(head) < 24 or head[:4] != b"GGUF":
        raise ModelNotFound(f"{path} is not a GGUF file (it doesn't begin with the bytes `GGUF`)")


class LlamaModel:
    """A model loaded by llama.cpp: weights (unless `vocab_only`), vocabulary, metadata.

    Immutable and safe to use from several threads. Freed when the last reference is gone, so a context must hold
    one. Raises ModelNotFound, ModelLoadFailed.
    """

    def __init__(self, path: Path, *, vocab_only: bool = False) -> None:
        check_gguf(path)
        initialise()
        params = library.llama_model_default_params()
        params.vocab_only = vocab_only
        # ggml's AMX kernels fault on quantised weights with more than one token in a batch. They live behind the
        # "extra" buffer types; switching those off also gives up weight repacking, so it is done only where needed.
        params.use_extra_bufts = not cpu_has_amx()
        # A mapped file that is rewritten or truncated meanwhile (a new export of the model, say) kills the process
        # with SIGBUS. Small files are read into memory instead; for large ones mapping is worth that risk.
        if path.stat().st_size <= READ_BYTES:
            params.load_mode = library.LLAMA_LOAD_MODE_NONE
        _recent_log.clear()
        self.pointer: Any = library.llama_model_load_from_file(os.fsencode(path), params)
        if not self.pointer:
            raise ModelLoadFailed(f"llama.cpp can't load {path}: {recent_log() or 'no reason given'}")
        self._finalizer = weakref.finalize(self, library.llama_model_free, self.pointer)
        self._finalizer.atexit = False  # the process is going anyway, and the engine's thread may still use it
        self.vocab_only = vocab_only
        self.path = path
        self._vocab: Any = library.llama_model_get_vocab(self.pointer)
        self.vocab_size = int(library.llama_vocab_n_tokens(self._vocab))
        if self.vocab_size <= 0 or int(library.llama_vocab_type(self._vocab)) == 0:
            raise ModelLoadFailed(f"{path} holds no vocabulary, so it can't be talked to")

    @property
    def context_train(self) -> int:
        return int(library.llama_model_n_ctx_train(self.pointer))

    @property
    def parameters(self) -> int:
        return int(library.llama_model_n_params(self.pointer))

    def kv_bytes_per_token(self) -> int:
        """Bytes of an f16 KV cache a token; 0 where it can't be told (recurrent layers keep a fixed state)."""
        if library.llama_model_is_recurrent(self.pointer) or library.llama_model_is_hybrid(self.pointer):
            return 0
        if self.vocab_only:
            # There are no hyperparameters then, and to ask for the number of heads would end the process.
            heads = self._hyperparameter("attention.head_count")
            kv_heads = self._hyperparameter("attention.head_count_kv") or heads
            layers, embedding = self._hyperparameter("block_count"), self._hyperparameter("embedding_length")
        else:
            heads, kv_heads = (library.llama_model_n_head(self.pointer), library.llama_model_n_head_kv(self.pointer))
            layers, embedding = library.llama_model_n_layer(self.pointer), library.llama_model_n_embd(self.pointer)
        width = int(embedding) // max(1, int(heads))
        key = self._hyperparameter("attention.key_length") or width
        value = self._hyperparameter("attention.value_length") or width
        return int(layers) * int(kv_heads) * (key + value) * 2

    def _hyperparameter(self, key: str) -> int:
        """A number of this architecture's metadata; 0 if it isn't there or not the same for all layers."""
        value = self.metadata(f"{self.metadata('general.architecture')}.{key}") or ""
        return int(value) if value.isdecimal() else 0

    def metadata(self, key: str) -> str | None:
        """A value of the GGUF's metadata as text, None if it has no such key."""
        name = key.encode()
        size = 256
        while True:
            buffer = ctypes.create_string_buffer(size)
            needed = int(library.llama_model_meta_val_str(self.pointer, name, buffer, size))
            if needed < 0:
                return None
            if needed < size:
                return buffer.raw[:needed].decode("utf-8", "replace")
            size = needed + 1

    def tokenize(self, text: bytes, parse_special: bool) -> list[int]:
        """Tokens of UTF-8 text, without BOS or EOS added."""
        if len(text) > MAX_TEXT_BYTES:
            raise ValueError("text of 2 GiB or more")
        if not text:
            return []
        size = len(text) + 16
        while True:
            tokens = (ctypes.c_int32 * size)()
            count = int(library.llama_tokenize(self._vocab, text, len(text), tokens, size, False, parse_special))
            if count >= 0:
                return tokens[:count]
            if -count <= size:
                raise ValueError("text too long to tokenise")
            size = -count

    def piece(self, token: int) -> bytes:
        """The bytes of a token, special tokens included. llama.cpp aborts on an id out of range: checked here."""
        if not 0 <= token < self.vocab_size:
            raise IndexError(token)
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            count = int(library.llama_token_to_piece(self._vocab, token, buffer, size, 0, True))
            if count >= 0:
                return buffer.raw[:count]
            size = -count

    def attributes(self) -> list[int]:
        """The attribute bits of every token, by id."""
        get, vocab = library.llama_vocab_get_attr, self._vocab
        return [get(vocab, token) for token in range(self.vocab_size)]

    def end_of_generation(self) -> frozenset[int]:
        """Tokens after which the model says no more."""
        is_eog, vocab = library.llama_vocab_is_eog, self._vocab
        return frozenset(token for token in range(self.vocab_size) if is_eog(vocab, token))

    def bos(self) -> int | None:
        token = int(library.llama_vocab_bos(self._vocab))
        return token if 0 <= token < self.vocab_size else None

    def eos(self) -> int | None:
        token = int(library.llama_vocab_eos(self._vocab))
        return token if 0 <= token < self.vocab_size else None

    def adds_bos(self) -> bool:
        return bool(library.llama_vocab_get_add_bos(self._vocab))
