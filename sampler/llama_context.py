"""A llama.cpp context: batches in, logits out, states of sequences out and in. To be used from one thread only.

With `llama`, the only module that touches ctypes. The engine guarantees what is assumed here: token ids inside the
vocabulary, slots inside the range, positions that continue the sequence. The rest that aborts the process is checked.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .errors import DecodeFailed, EngineStartFailed
from .llama import MAX_SEQUENCES, LlamaModel, available_memory, library, recent_log

Logits = npt.NDArray[np.float32]
State = npt.NDArray[np.uint8]
Row = tuple[int, int, Sequence[int], bool]
"""Slot, position of the first token, tokens, and whether to compute logits for the last one."""

FLASH_ATTENTION = {False: 0, True: 1}  # enum llama_flash_attn_type
"""On a CPU, ggml takes flash attention row by row below 64 rows, and by another sum above: short appends last up to
twice as long as with plain attention, and bits depend on how a prefill is cut. It skips what is masked, though, so
eight sequences that decode together are up to twice as fast with it (decision 0009)."""

COMPUTE_BATCH = 128
"""Tokens that are computed in one pass. Plain attention holds that many rows of scores; 512 need four times the memory
and are no faster."""

# Through PyDLL this call keeps the GIL. It takes less than a microsecond, and handing the GIL over for it
# would let the event loop hold up the engine for a whole switch interval.
_get_logits: Any = ctypes.PYFUNCTYPE(ctypes.c_void_p, ctypes.c_void_p)(
    ("llama_get_logits", ctypes.PyDLL(library._lib._name))
)

PROBE = (1, 2, 5, 8)
"""Sizes of the batches that `batch_invariant` compares with one batch of all."""


class LlamaContext:
    """Computed state of `sequences` sequences with `context_length` tokens each.

    KV caches are separate (kv_unified=False): 1.1-1.7 times faster in batches, and what other sequences did while one
    was paused leaves no trace in its logits. Whether sharing a batch does, `batch_invariant` measures.

    can_trim: whether a sequence can go back to an earlier length; recurrent models keep one state and can't.

    Raises EngineStartFailed.
    """

    def __init__(
        self,
        model: LlamaModel,
        *,
        context_length: int,
        sequences: int,
        threads: int,
        batch_size: int,
        flash_attention: bool = False,
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
                f"the KV cache of {sequences} x {context_length} tokens takes {needed / 2**30:.1f} GiB, "
                f"and {available / 2**30:.1f} GiB are free: try fewer or shorter sequences"
            )
        params = library.llama_context_default_params()
        params.n_ctx = per_sequence * sequences
        params.n_seq_max = sequences
        params.n_batch = batch_size
        params.n_ubatch = min(batch_size, max(COMPUTE_BATCH, sequences))
        params.flash_attn_type = FLASH_ATTENTION[flash_attention]
        params.n_outputs_max = sequences
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
        self._flash_attention = flash_attention
        self._address = ctypes.cast(self._pointer, ctypes.c_void_p).value
        self._views: dict[tuple[int, int], Logits] = {}
        self._kv_bytes = model.kv_bytes_per_token()
        self.can_trim = self._kv_bytes > 0
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

    def decode(self, rows: Sequence[Row]) -> None:
        """Compute the rows in one call. Those that want logits are its outputs, in their order.

        Raises DecodeFailed: llama.cpp refused the batch, and the state of its sequences is unknown.
        """
        tokens, positions, slots, outputs = self._tokens, self._positions, self._slots, self._outputs
        size = 0
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
            size = end
        self._batch.n_tokens = size
        self._decode()

    def decode_next(self, tokens: Sequence[int]) -> None:
        """The same rows as in the latest call, each with its next token; all were of one token and wanted logits.

        Half of a step's work outside of llama.cpp is to fill the batch, and from step to step little of it changes.
        """
        size = self._batch.n_tokens
        self._tokens[:size] = tokens
        self._positions[:size] += 1
        self._decode()

    def _decode(self) -> None:
        status = library.llama_decode(self._pointer, self._batch)
        if status != 0:
            raise DecodeFailed(f"llama_decode failed with status {status}: {recent_log() or 'no reason given'}")

    def logits(self, outputs: int) -> Logits:
        """The logits of the latest decode, a row for each output: a view, valid until the next decode."""
        address = _get_logits(self._address)
        if not address:
            raise DecodeFailed("llama.cpp computed no logits")
        view = self._views.get((address, outputs))
        if view is None:
            size = self._model.vocab_size
            array = (ctypes.c_float * (outputs * size)).from_address(address)
            view = self._views[address, outputs] = np.ctypeslib.as_array(array).reshape(outputs, size)
        return view

    def batch_invariant(self) -> bool:
        """Whether a token's logits are the same bits however the tokens before it were cut into batches, measured on
        a few tokens in an empty slot 0. It holds if ggml computes one row of a product by the kernel that it takes for
        several (decision 0013). Not with flash attention, which has a kernel of its own for 64 rows and more."""
        sizes = [size for size in PROBE if 2 * size <= self._batch_size]
        tokens = [token % self._model.vocab_size for token in range(sum(sizes))]
        self.decode([(0, 0, tokens, True)])
        together = self.logits(1).copy()
        self.clear(0)
        position = 0
        for size in reversed(sizes):
            self.decode([(0, position, tokens[position : position + size], True)])
            position += size
        apart = self.logits(1).copy()
        self.clear(0)
        return not self._flash_attention and together.tobytes() == apart.tobytes()

    def clear(self, slot: int) -> None:
        """Forget the sequence in `slot`."""
        library.llama_memory_seq_rm(self._memory, slot, -1, -1)

    def trim(self, slot: int, tokens: int) -> None:
        """Forget all but the first `tokens` of the sequence in `slot`. Only where `can_trim`."""
        if not library.llama_memory_seq_rm(self._memory, slot, tokens, -1):
            raise DecodeFailed("llama.cpp can't shorten a sequence of this model")

    def state_size(self, slot: int, tokens: int) -> int:
        """Bytes that `save` gives for so many tokens, about."""
        return tokens * self._kv_bytes or int(library.llama_state_seq_get_size(self._pointer, slot))

    def saved_size(self, slot: int) -> int:
        """Bytes that `save` needs."""
        return int(library.llama_state_seq_get_size(self._pointer, slot))

    def save(self, slot: int, buffer: State) -> int:
        """Copy the state of the sequence in `slot` into a buffer of at least `saved_size` bytes; how many it took."""
        return int(library.llama_state_seq_get_data(self._pointer, _bytes(buffer), len(buffer), slot))

    def load(self, slot: int, state: State) -> bool:
        """Put a saved state into an empty slot. False if llama.cpp finds it unusable; the slot is empty then."""
        if len(state) and library.llama_state_seq_set_data(self._pointer, _bytes(state), len(state), slot) == len(
            state
        ):
            return True
        self.clear(slot)
        return False

    def close(self) -> None:
        """Free the context. Idempotent."""
        if self._pointer:
            library.llama_free(self._pointer)
            self._pointer = None


def _bytes(array: State) -> Any:
    return _pointer(array, ctypes.c_uint8)


def _pointer(array: npt.NDArray[Any], item: Any) -> Any:
    return ctypes.cast(array.ctypes.data, ctypes.POINTER(item))
