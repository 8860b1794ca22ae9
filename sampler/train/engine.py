"""Greedy decoding of one sequence through llama.cpp's low-level API: what evaluation measures is the shipped file."""

import ctypes
from collections.abc import Sequence
from pathlib import Path

import llama_cpp
import numpy as np
import numpy.typing as npt

BATCH = 512


class Greedy:
    """One sequence. Its token list is kept: a prompt that begins like what was decoded goes on from there."""

    def __init__(self, path: Path, context: int = 4096) -> None:
        llama_cpp.llama_backend_init()
        _silence()
        model_params = llama_cpp.llama_model_default_params()
        model_params.use_extra_bufts = False
        self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), model_params)
        if not self.model:
            raise ValueError(f"not a model file: {path}")
        params = llama_cpp.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = context, BATCH, BATCH
        params.n_threads = params.n_threads_batch = params.n_seq_max = 1
        params.kv_unified = False
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        self.vocab = llama_cpp.llama_model_get_vocab(self.model)
        self.num_vocab = llama_cpp.llama_vocab_n_tokens(self.vocab)
        self.end = llama_cpp.llama_vocab_eot(self.vocab)
        self.limit = context
        self.ids: list[int] = []

    def tokenize(self, text: str) -> list[int]:
        data = text.encode()
        size = len(data) + 8
        buffer = (llama_cpp.llama_token * size)()
        count = llama_cpp.llama_tokenize(self.vocab, data, len(data), buffer, size, False, True)
        return list(buffer[:count])

    def generate(self, prompt: Sequence[int], limit: int = 400) -> list[int]:
        """The most likely continuation of `prompt`, without its end-of-turn token; at most `limit` tokens."""
        if len(prompt) + limit > self.limit:
            raise ValueError(f"{len(prompt)} tokens don't fit in the context")
        common = 0
        while common < min(len(self.ids), len(prompt) - 1) and self.ids[common] == prompt[common]:
            common += 1
        memory = llama_cpp.llama_get_memory(self.context)
        llama_cpp.llama_memory_seq_rm(memory, 0, common, -1)
        self.ids = self.ids[:common]
        pending = list(prompt[common:])
        made: list[int] = []
        while True:
            token = int(self.logits(pending).argmax())
            if token == self.end or len(made) == limit:
                return made
            made.append(token)
            pending = [token]

    def logits(self, ids: Sequence[int]) -> npt.NDArray[np.float32]:
        """Decode `ids` after what is there; the last one's logits."""
        for start in range(0, len(ids), BATCH):
            part = list(ids[start : start + BATCH])
            array = (llama_cpp.llama_token * len(part))(*part)
            batch = llama_cpp.llama_batch_get_one(array, len(part))
            if llama_cpp.llama_decode(self.context, batch) != 0:
                raise RuntimeError("llama_decode failed")
            self.ids += part
        return np.ctypeslib.as_array(llama_cpp.llama_get_logits_ith(self.context, -1), shape=(self.num_vocab,)).copy()

    def reset(self) -> None:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), True)
        self.ids = []


@llama_cpp.llama_log_callback  # type: ignore[untyped-decorator]
def _no_log(level: int, text: bytes, data: ctypes.c_void_p) -> None:
    return None


def _silence() -> None:
    llama_cpp.llama_log_set(_no_log, ctypes.c_void_p(0))
