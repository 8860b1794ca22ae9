"""The shapes that random models have, and their tensors by architecture: attention, recurrent, and both.

Names and shapes are those that llama.cpp loads (rows and columns as numpy counts them). The values are scaled so that
activations neither vanish nor grow, and a recurrent state forgets slowly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import gguf
import numpy as np
import numpy.typing as npt

Tensor = npt.NDArray[np.float32]

CONVOLUTION = 4  # tokens that Mamba's convolution sees
SHORT_CONVOLUTION = 3  # and LFM2's
STATE = 16  # numbers of recurrent state a channel


@dataclass(frozen=True, slots=True)
class Shape:
    """Layers, widths and vocabulary of a decoder with grouped-query attention. `vocabulary` None: the demo model's."""

    layers: int = 2
    width: int = 64
    heads: int = 4
    kv_heads: int = 4
    hidden: int = 128
    vocabulary: int | None = None
    context: int = 32768

    @property
    def head_width(self) -> int:
        return self.width // self.heads


@dataclass(frozen=True, slots=True)
class Architecture:
    """describe: writes the metadata beyond what all have; layer: the tensors of one layer, by name within it."""

    describe: Callable[[gguf.GGUFWriter, Shape], None]
    layer: Callable[[Shape, int, np.random.Generator], Iterator[tuple[str, Tensor]]]
    output_norm: str = "output_norm.weight"


def tensors(
    architecture: Architecture, shape: Shape, vocabulary: int, random: np.random.Generator
) -> Iterator[tuple[str, Tensor]]:
    """All tensors of a model, by name."""
    yield "token_embd.weight", random.standard_normal((vocabulary, shape.width), np.float32) * np.float32(0.1)
    yield architecture.output_norm, np.ones(shape.width, np.float32)
    for layer in range(shape.layers):
        for name, tensor in architecture.layer(shape, layer, random):
            yield f"blk.{layer}.{name}", tensor


def _matrix(random: np.random.Generator, rows: int, columns: int) -> Tensor:
    return random.standard_normal((rows, columns), np.float32) / np.float32(columns**0.5)


def _feed_forward(shape: Shape, random: np.random.Generator) -> Iterator[tuple[str, Tensor]]:
    yield "ffn_norm.weight", np.ones(shape.width, np.float32)
    yield "ffn_gate.weight", _matrix(random, shape.hidden, shape.width)
    yield "ffn_up.weight", _matrix(random, shape.hidden, shape.width)
    yield "ffn_down.weight", _matrix(random, shape.width, shape.hidden)


# qwen2: attention in every layer.


def _describe_attention(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_feed_forward_length(shape.hidden)
    writer.add_head_count(shape.heads)
    writer.add_rope_freq_base(1e5)


def _describe_qwen2(writer: gguf.GGUFWriter, shape: Shape) -> None:
    _describe_attention(writer, shape)
    writer.add_head_count_kv(shape.kv_heads)


def _attention(shape: Shape, random: np.random.Generator, *, biases: bool) -> Iterator[tuple[str, Tensor]]:
    kv_width = shape.kv_heads * shape.head_width
    for name, rows in (("q", shape.width), ("k", kv_width), ("v", kv_width)):
        yield f"attn_{name}.weight", _matrix(random, rows, shape.width)
        if biases:
            yield f"attn_{name}.bias", np.zeros(rows, np.float32)
    yield "attn_output.weight", _matrix(random, shape.width, shape.width)


def _qwen2_layer(shape: Shape, layer: int, random: np.random.Generator) -> Iterator[tuple[str, Tensor]]:
    yield "attn_norm.weight", np.ones(shape.width, np.float32)
    yield from _attention(shape, random, biases=True)
    yield from _feed_forward(shape, random)


# mamba: a recurrent state in every layer and nothing else.


def _describe_mamba(writer: gguf.GGUFWriter, shape: Shape) -> None:
    writer.add_feed_forward_length(0)
    writer.add_head_count(0)
    writer.add_ssm_conv_kernel(CONVOLUTION)
    writer.add_ssm_inner_size(2 * shape.width)
    writer.add_ssm_state_size(STATE)
    writer.add_ssm_time_step_rank(max(1, shape.width // 16))


def _mamba_layer(shape: Shape, layer: int, random: np.random.Generator) -> Iterator[tuple[str, Tensor]]:
    inner, rank = 2 * shape.width, max(1, shape.width // 16)
    yield "attn_norm.weight", np.ones(shape.width, np.float32)
    yield "ssm_in.weight", _matrix(random, 2 * inner, shape.width)
    yield "ssm_conv1d.weight", _matrix(random, inner, CONVOLUTION)
    yield "ssm_conv1d.bias", np.zeros(inner, np.float32)
    yield "ssm_x.weight", _matrix(random, rank + 2 * STATE, inner)
    yield "ssm_dt.weight", _matrix(random, inner, rank)
    yield "ssm_dt.bias", np.full(inner, -3, np.float32)
    yield "ssm_a", -np.tile(np.arange(1, STATE + 1, dtype=np.float32), (inner, 1))
    yield "ssm_d", np.ones(inner, np.float32)
    yield "ssm_out.weight", _matrix(random, shape.width, inner)


# lfm2: attention in every other layer, a short convolution, with its last inputs as state, in the others.


def _has_attention(layer: int) -> bool:
    return layer % 2 == 1


def _describe_lfm2(writer: gguf.GGUFWriter, shape: Shape) -> None:
    _describe_attention(writer, shape)
    writer.add_head_count_kv([shape.kv_heads if _has_attention(layer) else 0 for layer in range(shape.layers)])
    writer.add_shortconv_l_cache(SHORT_CONVOLUTION)


def _lfm2_layer(shape: Shape, layer: int, random: np.random.Generator) -> Iterator[tuple[str, Tensor]]:
    yield "attn_norm.weight", np.ones(shape.width, np.float32)
    if _has_attention(layer):
        yield from _attention(shape, random, biases=False)
        yield "attn_q_norm.weight", np.ones(shape.head_width, np.float32)
        yield "attn_k_norm.weight", np.ones(shape.head_width, np.float32)
    else:
        yield "shortconv.conv.weight", _matrix(random, shape.width, SHORT_CONVOLUTION)
        yield "shortconv.in_proj.weight", _matrix(random, 3 * shape.width, shape.width)
        yield "shortconv.out_proj.weight", _matrix(random, shape.width, shape.width)
    yield from _feed_forward(shape, random)


ARCHITECTURES = {
    "qwen2": Architecture(_describe_qwen2, _qwen2_layer),
    "mamba": Architecture(_describe_mamba, _mamba_layer),
    "lfm2": Architecture(_describe_lfm2, _lfm2_layer, output_norm="token_embd_norm.weight"),
}
