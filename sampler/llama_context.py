"""A llama.cpp context: batches in, logits out, and the sampler chain. To be used from one thread only.

With `llama`, the only module that touches ctypes. The engine guarantees what is assumed here: token ids inside the
vocabulary, slots inside the range, positions that continue the sequence. The rest that aborts the process is checked.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .engine import SamplingParams
from .errors import DecodeFailed, EngineStartFailed
from .llama import MAX_SEQUENCES, LlamaModel, available_memory, library, recent_log

Logits = npt.NDArray[np.float32]
Row = tuple[int, int, Sequence[int], bool]
"""Slot, position of the first token, tokens, and whether to compute logits for the last one."""

FLASH_ATTENTION_DISABLED = 0  # enum llama_flash_attn_type
"""On a CPU, ggml takes flash attention row by row: appending 16 tokens lasts 2 to 3 times as long as with plain
attention. Only several sequences decoding together are faster with it (decision 0009)."""

COMPUTE_BATCH = 128
"""Tokens that are computed in one pass. Plain attention holds that many rows of scores; 512 need four times the memory
and are no faster."""

# Through PyDLL this call keeps the GIL. It takes less than a microsecond, and handing the GIL over for it
# would let the event loop hold up the engine for a whole switch interval.
_get_logits: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int32)(
    ("llama_get_logits_ith", ctypes.PyDLL(library._lib._name))
)


class LlamaContext:
    """Computed state of `sequences` sequences with `context_length` tokens each.

    KV caches are separate (kv_unified=False): 1.1-1.7 times faster in batches. What other sequences did while one was
    paused leaves no trace in its logits. Sharing a batch may change their last bits (f16 weights, AVX-512: up to 7e-3):
    ggml computes a lone token with another kernel than two or more, which agree among themselves.

    Raises EngineStartFailed.
    """

    def __init__(
        self, model: LlamaModel, *, context_length: int, sequences: int, threads: int, batch_size: int
    ) -> None:
        if model.vocab_only:
            raise EngineStartFailed("the model was loaded without its weights (vocab_only)")
        if not 1 <= sequences <= MAX_SEQUENCES:
            raise EngineStartFailed(f"sequences must be between 1 and {MAX_SEQUENCES}, not {sequences}")
        if not 1 <= threads <= 512:
            raise EngineStartFailed(f"threads must be between 1 and 512, not {threads}")
        # llama.cpp rounds each sequence's part up to 256 tokens, counts all in 32 bits, and makes no batch larger
        # than the whole.
        per_sequence = -(-max(context_length, -(-batch_size // sequences)) // 256) * 256
        if context_length < 1 or per_sequence * sequences >= 2**31:
            raise EngineStartFailed(f"a context of {context_length} tokens for {sequences} sequences is out of range")
        # An allocation that the system promises and can't keep ends in the out-of-memory killer, not in an error.
        needed, available = model.kv_bytes_per_token() * per_sequence * sequences, available_memory()
        if available is not None and needed > available:
            raise EngineStartFailed(
                f"the KV cache of {sequences} sequences of {context_length} tokens takes {needed / 2**30:.1f} GiB, "
                f"and {available / 2**30:.1f} GiB are free: try fewer or shorter sequences"
            )
        params = library.llama_context_default_params()
        params.n_ctx = per_sequence * sequences
        params.n_seq_max = sequences
        params.n_batch = batch_size
        params.n_ubatch = min(batch_size, max(COMPUTE_BATCH, sequences))
        params.flash_attn_type = FLASH_ATTENTION_DISABLED
        params.n_outputs_max = max(sequences, 1)
        params.n_threads = params.n_threads_batch = threads
        params.kv_unified = False
        params.no_perf = True
        self._model = model  # a context must not outlive its model
        self._pointer: Any = library.llama_init_from_model(model.pointer, params)
        if not self._pointer:
            raise EngineStartFailed(
                f"llama.cpp gave no context for {sequences} sequences of {context_length} tokens: "
                f"{recent_log() or 'no reason given'}. Try fewer or shorter sequences."
            )
        self._memory: Any = library.llama_get_memory(self._pointer)
        if (
            int(library.llama_n_ctx_seq(self._pointer)) < context_length
            or int(library.llama_n_batch(self._pointer)) < batch_size
        ):
            self.close()
            raise EngineStartFailed(f"llama.cpp gave less than the {context_length} tokens per sequence asked for")
        self._batch_size = batch_size
        self._address = ctypes.cast(self._pointer, ctypes.c_void_p).value
        self._views: dict[int, Logits] = {}
        self._make_batch(batch_size)

    def _make_batch(self, size: int) -> None:
        self._tokens = np.zeros(size, np.int32)
        self._positions = np.zeros(size, np.int32)
        self._slots = np.zeros(size, np.int32)
        self._counts = np.ones(size, np.int32)
        self._outputs = np.zeros(size, np.int8)
        # llama.cpp wants a pointer to a list of ids for each token: all point into self._slots.
        self._slot_pointers = self._slots.ctypes.data + np.arange(size, dtype=np.uintp) * self._slots.itemsize
        batch = library.llama_batch()
        batch.token = _pointer(self._tokens, ctypes.c_int32)
        batch.embd = None
        batch.pos = _pointer(self._positions, ctypes.c_int32)
        batch.n_seq_id = _pointer(self._counts, ctypes.c_int32)
        batch.seq_id = _pointer(self._slot_pointers, ctypes.POINTER(ctypes.c_int32))
        batch.logits = _pointer(self._outputs, ctypes.c_int8)
        self._batch = batch

    def decode(self, rows: Sequence[Row]) -> list[int]:
        """Compute the rows in one call; returns each row's output index, for `logits`.

        Raises DecodeFailed: llama.cpp refused the batch, and the state of its sequences is unknown.
        """
        tokens, positions, slots, outputs = self._tokens, self._positions, self._slots, self._outputs
        size = 0
        indices = []
        for slot, position, row, wanted in rows:
            count = len(row)
            end = size + count
            if not count or end > self._batch_size:
                raise DecodeFailed(f"a batch of {end} tokens where {self._batch_size} fit")
            if count == 1:
                tokens[size] = row[0]
                positions[size] = position
                slots[size] = slot
            else:
                tokens[size:end] = row
                positions[size:end] = range(position, position + count)
                slots[size:end] = slot
                outputs[size:end] = 0
            outputs[end - 1] = wanted
            indices.append(end - 1)
            size = end
        self._batch.n_tokens = size
        status = library.llama_decode(self._pointer, self._batch)
        if status != 0:
            raise DecodeFailed(f"llama_decode failed with status {status}: {recent_log() or 'no reason given'}")
        return indices

    def logits(self, index: int) -> Logits:
        """The logits of one output of the latest `decode`: a view, valid until the next."""
        address = _get_logits(self._address, index)
        if not address:
            raise DecodeFailed(f"llama.cpp computed no logits at index {index}")
        view = self._views.get(address)
        if view is None:
            size = self._model.vocab_size
            view = self._views[address] = np.ctypeslib.as_array((ctypes.c_float * size).from_address(address))
        return view

    def sample(self, chain: SamplerChain, index: int) -> int:
        """Choose a token from finite logits of the latest `decode`; llama.cpp aborts without logits."""
        return int(library.llama_sampler_sample(chain.pointer, self._pointer, index))

    def clear(self, slot: int) -> None:
        """Forget the sequence in `slot`."""
        library.llama_memory_seq_rm(self._memory, slot, -1, -1)

    def close(self) -> None:
        """Free the context. Idempotent."""
        if self._pointer:
            library.llama_free(self._pointer)
            self._pointer = None


class SamplerChain:
    """llama.cpp's samplers for one `sample` call that isn't greedy: top_k, top_p, min_p, temperature, draw.

    top_k comes first because it is the cheap one: what follows then sorts k tokens, not the vocabulary.
    """

    def __init__(self, params: SamplingParams, seed: int) -> None:
        assert not params.greedy
        chain_params = library.llama_sampler_chain_default_params()
        chain_params.no_perf = True
        self.pointer: Any = library.llama_sampler_chain_init(chain_params)
        if params.top_k > 0:
            self._add(library.llama_sampler_init_top_k(params.top_k))
        if params.top_p < 1.0:
            self._add(library.llama_sampler_init_top_p(params.top_p, 1))
        if params.min_p > 0.0:
            self._add(library.llama_sampler_init_min_p(params.min_p, 1))
        self._add(library.llama_sampler_init_temp(params.temperature))
        self._add(library.llama_sampler_init_dist(seed & 0x7FFFFFFF))  # 0xFFFFFFFF would mean "random"

    def _add(self, sampler: Any) -> None:
        if not sampler:  # adding a NULL sampler aborts
            self.close()
            raise MemoryError("llama.cpp gave no sampler")
        library.llama_sampler_chain_add(self.pointer, sampler)

    def close(self) -> None:
        """Free the chain and its samplers. Idempotent."""
        if self.pointer:
            library.llama_sampler_free(self.pointer)
            self.pointer = None


def log_probability(logits: Logits, token: int) -> float:
    """Natural log of the softmax at `token`, in double precision."""
    exact = logits.astype(np.float64)
    peak = exact.max()
    return float(exact[token] - peak - math.log(np.exp(exact - peak).sum()))


def _pointer(array: npt.NDArray[Any], item: Any) -> Any:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(item))
