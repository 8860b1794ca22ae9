"""A GGUF model in the forms that outside servers need."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import gguf
import numpy as np
from caesura.sampler.filler import ordinary_tokens
from caesura.sampler.model import load_model

_END = ("tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id")
_SPARE = ("tokenizer.ggml.padding_token_id", "tokenizer.ggml.bos_token_id")
_SAID = 100
_CONTROL, _USER_DEFINED = 3, 4

_WEIGHTS = {
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_WHOLE = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "output.weight": "lm_head.weight",
}
_CLASSES = {"qwen2": "Qwen2ForCausalLM", "llama": "LlamaForCausalLM"}
_PIECES = {
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
}
"""How Qwen's tokenizer splits text before it merges."""


class UnsuitableModel(Exception):
    """Why this model can't be given to a peer, in a line."""


def _metadata(reader: gguf.GGUFReader) -> dict[str, Any]:
    return {name: field.contents() for name, field in reader.fields.items()}


def plain_word(model: Path) -> int:
    """A token that, said again and again, is text that tokenises to as many tokens as were said."""
    vocab = load_model(model, vocab_only=True).vocab
    for token in ordinary_tokens(vocab):
        said = [token] * _SAID
        text = b"".join(map(vocab.piece, said)).decode("utf-8", "replace")
        # A template may leave out a space at the beginning.
        if text.strip() == text and vocab.tokenize(text, parse_special=False) == said:
            return token
    raise UnsuitableModel("its vocabulary has no word that stays one token when it is repeated")


def without_end(model: Path, copy: Path) -> Path:
    """The same model with the same weights, whose turns don't end by themselves.

    A server whose requests can't ban a token then samples as many as it is asked for. llama.cpp takes a token for one
    that ends a turn by its id in the metadata and by its text. So the ids are turned to a token that is never
    sampled, and one letter of the text changes, in the chat template too: no size in the file does.
    """
    reader = gguf.GGUFReader(model)
    data = _metadata(reader)
    ends = {data[name] for name in _END if name in data}
    spare = next((data[name] for name in _SPARE if name in data and data[name] not in ends), None)
    if spare is None:
        raise UnsuitableModel("it has no token to end turns in place of its own")
    header = bytearray(model.read_bytes()[: reader.data_offset])
    for token in ends:
        text = data["tokenizer.ggml.tokens"][token].encode()
        other = text[:-3] + (b"z" if text[-3:-2] != b"z" else b"y") + text[-2:]
        header = bytearray(bytes(header).replace(text, other))
    for name in _END:
        key = struct.pack("<Q", len(name)) + name.encode() + struct.pack("<I", gguf.GGUFValueType.UINT32)
        if (place := header.find(key)) >= 0:
            struct.pack_into("<I", header, place + len(key), spare)
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(model, copy)
    with copy.open("r+b") as file:
        file.write(header)
    return copy


def hf_folder(model: Path, folder: Path) -> Path:
    """The same weights (as float32) and the same tokenizer as a folder of the Hugging Face kind.

    :raises UnsuitableModel: architecture or tokenizer is not one of those known here.
    """
    reader = gguf.GGUFReader(model)
    data = _metadata(reader)
    architecture = data["general.architecture"]
    if architecture not in _CLASSES or data.get("tokenizer.ggml.pre") not in _PIECES:
        raise UnsuitableModel(f"no conversion of {architecture} with tokenizer {data.get('tokenizer.ggml.pre')}")
    tensors = {
        name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        for tensor in reader.tensors
        if (name := _hf_name(tensor.name)) is not None
    }
    folder.mkdir(parents=True, exist_ok=True)
    _write_safetensors(folder / "model.safetensors", tensors)
    files = {
        "config.json": _config(data, architecture, tied="lm_head.weight" not in tensors),
        "generation_config.json": {"eos_token_id": data["tokenizer.ggml.eos_token_id"]},
        "tokenizer.json": _tokenizer(data),
        "tokenizer_config.json": _tokenizer_config(data, architecture),
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content), encoding="utf-8")
    return folder


def _hf_name(name: str) -> str | None:
    if name in _WHOLE:
        return _WHOLE[name]
    _, layer, part, kind = name.split(".")
    return f"model.layers.{layer}.{_WEIGHTS[part]}.{kind}"


def _write_safetensors(path: Path, tensors: dict[str, np.ndarray[Any, np.dtype[np.float32]]]) -> None:
    """Eight bytes of the header's length, the header as JSON, the tensors one after the other."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    at = 0
    for name, tensor in tensors.items():
        header[name] = {"dtype": "F32", "shape": tensor.shape, "data_offsets": [at, at + tensor.nbytes]}
        at += tensor.nbytes
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for tensor in tensors.values():
            file.write(np.ascontiguousarray(tensor).tobytes())


def _config(data: dict[str, Any], architecture: str, *, tied: bool) -> dict[str, Any]:
    def of(name: str, default: Any = None) -> Any:
        return data.get(f"{architecture}.{name}", default)

    return {
        "architectures": [_CLASSES[architecture]],
        "model_type": architecture,
        "hidden_size": of("embedding_length"),
        "intermediate_size": of("feed_forward_length"),
        "num_hidden_layers": of("block_count"),
        "num_attention_heads": of("attention.head_count"),
        "num_key_value_heads": of("attention.head_count_kv"),
        "head_dim": of("attention.key_length"),
        "max_position_embeddings": of("context_length"),
        "rms_norm_eps": of("attention.layer_norm_rms_epsilon"),
        "rope_theta": of("rope.freq_base", 10000.0),
        "vocab_size": len(data["tokenizer.ggml.tokens"]),
        "tie_word_embeddings": tied,
        "hidden_act": "silu",
        "torch_dtype": "float32",
        "bos_token_id": data.get("tokenizer.ggml.bos_token_id"),
        "eos_token_id": data["tokenizer.ggml.eos_token_id"],
    }


def _tokenizer(data: dict[str, Any]) -> dict[str, Any]:
    texts, types = data["tokenizer.ggml.tokens"], data["tokenizer.ggml.token_type"]
    byte_level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False, "use_regex": False}
    split = {
        "type": "Split",
        "pattern": {"Regex": _PIECES[data["tokenizer.ggml.pre"]]},
        "behavior": "Isolated",
        "invert": False,
    }
    return {
        "version": "1.0",
        "added_tokens": [
            {
                "id": token,
                "content": text,
                "special": kind == _CONTROL,
                "normalized": False,
                **dict.fromkeys(("single_word", "lstrip", "rstrip"), False),
            }
            for token, (text, kind) in enumerate(zip(texts, types, strict=True))
            if kind in (_CONTROL, _USER_DEFINED)
        ],
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [split, byte_level]},
        "post_processor": byte_level,
        "decoder": byte_level,
        "model": {
            "type": "BPE",
            "vocab": {text: token for token, text in enumerate(texts)},
            "merges": [merge.split(" ") for merge in data["tokenizer.ggml.merges"]],
        },
    }


def _tokenizer_config(data: dict[str, Any], architecture: str) -> dict[str, Any]:
    end = data["tokenizer.ggml.tokens"][data["tokenizer.ggml.eos_token_id"]]
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end,
        "pad_token": end,
        "model_max_length": data.get(f"{architecture}.context_length"),
        "chat_template": data["tokenizer.chat_template"],
        "clean_up_tokenization_spaces": False,
    }
