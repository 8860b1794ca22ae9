"""Outside servers: a model in the forms that they need, and how they are started and stopped."""

from __future__ import annotations

import json
import socket
import struct
import sys
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
from caesura.sampler.model import load_model, model_path
from experiments import peers
from experiments.peer_builds import BuildFailed
from experiments.peer_model import UnsuitableModel, hf_folder, plain_word, without_end
from experiments.peer_servers import Request, Server

DEMO = model_path("demo")


def fields_of(path: Path) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(path).fields.items()}


def test_a_model_without_an_end_has_the_same_weights(tmp_path: Path) -> None:
    copy = without_end(DEMO, tmp_path / "copy.gguf")
    at = gguf.GGUFReader(DEMO).data_offset
    assert copy.read_bytes()[at:] == DEMO.read_bytes()[at:]
    before, after = fields_of(DEMO), fields_of(copy)
    assert {name for name in before if before[name] != after[name]} == {
        "tokenizer.ggml.tokens",
        "tokenizer.ggml.eos_token_id",
        "tokenizer.ggml.eot_token_id",
        "tokenizer.chat_template",
    }


def test_a_model_without_an_end_renders_to_the_same_tokens(tmp_path: Path) -> None:
    demo = load_model(DEMO, vocab_only=True)
    copy = load_model(without_end(DEMO, tmp_path / "copy.gguf"), vocab_only=True)
    (end,) = demo.stop_tokens - copy.stop_tokens
    assert end == demo.vocab.eos
    text = "<|im_start|>user\nIs it so?<|im_end|>\n"
    renamed = text.replace("<|im_end|>", copy.vocab.piece(end).decode())
    assert renamed != text
    assert demo.vocab.tokenize(text, parse_special=True) == copy.vocab.tokenize(renamed, parse_special=True)


def test_a_plain_word_stays_what_it_is() -> None:
    vocab = load_model(DEMO, vocab_only=True).vocab
    word = plain_word(DEMO)
    for count in (1, 2, 30, 64):
        text = (vocab.piece(word) * count).decode()
        assert vocab.tokenize(text, parse_special=False) == [word] * count


def test_weights_in_a_folder_are_those_of_the_file(tmp_path: Path) -> None:
    folder = hf_folder(DEMO, tmp_path)
    data = (folder / "model.safetensors").read_bytes()
    (length,) = struct.unpack_from("<Q", data)
    header = json.loads(data[8 : 8 + length])
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(DEMO).tensors}
    assert len(header) - 1 == len(tensors)
    entry = header["model.layers.2.mlp.down_proj.weight"]
    begin, end = (8 + length + at for at in entry["data_offsets"])
    wanted = np.array(tensors["blk.2.ffn_down.weight"].data, dtype=np.float32)
    assert entry["shape"] == list(wanted.shape)
    assert np.array_equal(np.frombuffer(data[begin:end], dtype=np.float32).reshape(entry["shape"]), wanted)
    assert max(each["data_offsets"][1] for each in header.values() if "dtype" in each) == len(data) - 8 - length


def test_a_tokenizer_in_a_folder_is_that_of_the_file(tmp_path: Path) -> None:
    tokenizer = json.loads((hf_folder(DEMO, tmp_path) / "tokenizer.json").read_text())
    fields = fields_of(DEMO)
    assert list(tokenizer["model"]["vocab"]) == fields["tokenizer.ggml.tokens"]
    assert [" ".join(merge) for merge in tokenizer["model"]["merges"]] == fields["tokenizer.ggml.merges"]
    special = {token["content"] for token in tokenizer["added_tokens"] if token["special"]}
    assert "<|im_end|>" in special


def test_other_families_are_not_converted(tmp_path: Path) -> None:
    with pytest.raises(UnsuitableModel, match="mamba"):
        hf_folder(model_path("random:tiny:f16:mamba"), tmp_path)


def test_peers_run_while_they_are_wanted_and_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def good(ask: Request) -> Server:
        command = [sys.executable, "-m", "http.server", str(ask.port), "--bind", "127.0.0.1"]
        return Server([*command, "--directory", str(tmp_path)], {}, "/", {"good": 'chat+http://h:{port}#{"a":1}'})

    def dying(ask: Request) -> Server:
        return Server([sys.executable, "-c", "raise SystemExit(3)"], {}, "/", {"dying": "http://h"})

    def missing(ask: Request) -> Server:
        raise BuildFailed("no compiler")

    monkeypatch.setattr(peers, "SERVERS", {"good": good, "dying": dying, "missing": missing})
    said: list[str] = []
    with peers.running(["missing", "dying", "good"], "demo", 1024, into=tmp_path, say=said.append) as arguments:
        (argument,) = arguments
        port = int(argument.removeprefix("good=chat+http://h:").removesuffix('#{"a":1}'))
        socket.create_connection(("127.0.0.1", port), timeout=10).close()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=10)
    left_out = [line.partition("; the log is")[0] for line in said if "left out" in line]
    assert left_out == ["missing: left out: no compiler", "dying: left out: it ended with status 3"]
