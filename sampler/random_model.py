"""A model of any shape with random weights, as a GGUF file made on the spot.

It says nothing sensible, but it costs what a trained model of its shape costs, so an engine can be measured and
tested at sizes for which there are no weights at hand. Tokenizer and chat template are the demo model's; a larger
vocabulary is filled up with tokens that no text contains.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt

from .model import model_path
from .random_architectures import ARCHITECTURES, Shape, tensors

__all__ = ["QUANTIZATIONS", "SHAPES", "Chat", "Shape", "write_random_model"]

_COPIED = ("tokenizer.",)
_SINGLE_PRECISION = ("conv1d.weight", "ssm_a", "conv.weight")  # llama.cpp computes these in f32 only
_FILLED = ("tokenizer.ggml.tokens", "tokenizer.ggml.token_type")
_BLOCK = 32  # numbers that q8_0 quantises together

QUANTIZATIONS = ("f16", "f32", "q8_0")


SHAPES = {
    "tiny": Shape(),
    "3m": Shape(layers=4, width=256, heads=4, kv_heads=4, hidden=512),
    "135m": Shape(layers=30, width=576, heads=9, kv_heads=3, hidden=1536, vocabulary=49152),
    "500m": Shape(layers=24, width=896, heads=14, kv_heads=2, hidden=4864, vocabulary=151936),
}


@dataclass(frozen=True, slots=True)
class Chat:
    """What makes a model one of another family: its chat template and special tokens.

    special_tokens: texts of control tokens to add to the tokenizer.
    bos, eos:       which of them begin a text and end a turn; None for the tokenizer's own.
    """

    template: str
    special_tokens: tuple[str, ...] = ()
    bos: str | None = None
    eos: str | None = None


def write_random_model(
    path: Path,
    shape: Shape,
    *,
    quantization: str = "f16",
    seed: int = 0,
    tokenizer: Path | None = None,
    chat: Chat | None = None,
    architecture: str = "qwen2",
) -> Path:
    """Write a model to `path` and return it.

    quantization: of the matrices, one of `QUANTIZATIONS`; what q8_0 has no whole blocks of stays f16.
    tokenizer:    a GGUF to take the tokenizer from; the demo model if None.
    chat:         takes the place of the tokenizer's chat template.
    architecture: "qwen2" (attention), "mamba" (recurrent: one state of fixed size a sequence) or "lfm2" (a short
                  convolution in the even layers, attention in the odd ones).
    """
    source = gguf.GGUFReader(tokenizer or model_path("demo"))
    writer = gguf.GGUFWriter(path, architecture)
    writer.add_name(f"random-{path.stem}")
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.width)
    writer.add_block_count(shape.layers)
    writer.add_layer_norm_rms_eps(1e-6)
    ARCHITECTURES[architecture].describe(writer, shape)
    vocabulary = _add_tokenizer(writer, source, shape.vocabulary, chat)
    writer.add_vocab_size(vocabulary)
    for name, tensor in tensors(ARCHITECTURES[architecture], shape, vocabulary, np.random.default_rng(seed)):
        _add_tensor(writer, name, tensor, quantization)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_tensor(writer: gguf.GGUFWriter, name: str, tensor: npt.NDArray[np.float32], quantization: str) -> None:
    if tensor.ndim < 2 or quantization == "f32" or name.endswith(_SINGLE_PRECISION):
        writer.add_tensor(name, tensor)
    elif quantization == "f16" or (quantization == "q8_0" and tensor.shape[-1] % _BLOCK):
        writer.add_tensor(name, tensor.astype(np.float16))
    elif quantization == "q8_0":
        kind = gguf.GGMLQuantizationType.Q8_0
        writer.add_tensor(name, gguf.quants.quantize(tensor, kind), raw_dtype=kind)
    else:
        raise ValueError(f"quantization must be f32, f16 or q8_0, not {quantization!r}")


def _add_tokenizer(writer: gguf.GGUFWriter, source: gguf.GGUFReader, vocabulary: int | None, chat: Chat | None) -> int:
    """Copy the tokenizer, fill it up to `vocabulary` tokens, and return how many it has."""
    tokens: list[str] = source.fields["tokenizer.ggml.tokens"].contents()
    kinds: list[int] = source.fields["tokenizer.ggml.token_type"].contents()
    replaced: set[str] = set()
    if chat is not None:
        added = [text for text in chat.special_tokens if text not in tokens]
        tokens, kinds = [*tokens, *added], [*kinds, *(gguf.TokenType.CONTROL for _ in added)]
        for text, key in ((chat.bos, "tokenizer.ggml.bos_token_id"), (chat.eos, "tokenizer.ggml.eos_token_id")):
            if text is not None:
                writer.add_uint32(key, tokens.index(text))
                replaced.add(key)
        writer.add_chat_template(chat.template)
        replaced.add("tokenizer.chat_template")
    size = vocabulary or len(tokens)
    if size < len(tokens):
        raise ValueError(f"a vocabulary of {size} tokens is smaller than the tokenizer's {len(tokens)}")
    filling = range(len(tokens), size)
    writer.add_token_list([*tokens, *(f"[unused{token}]" for token in filling)])
    writer.add_token_types([*kinds, *(gguf.TokenType.UNUSED for _ in filling)])
    for name, field in source.fields.items():
        if name.startswith(_COPIED) and name not in _FILLED and name not in replaced:
            _copy(writer, name, field)
    return size


def _copy(writer: gguf.GGUFWriter, name: str, field: Any) -> None:
    kinds = field.types
    if kinds[0] is gguf.GGUFValueType.ARRAY:
        writer.add_array(name, field.contents())
    else:
        writer.add_key_value(name, field.contents(), kinds[0])
