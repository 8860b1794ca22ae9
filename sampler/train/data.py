"""The training data: which families in which shares, and their conversations as token ids with a loss mask.

Conversation `index` of a split depends on nothing but that number, so data can be made in any order, in pieces, and
again.
"""

import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from . import calculator, chat, common, unseen
from .conversation import Conversation, Words
from .template import render
from .tokenizer import Tokenizer, load_tokenizer

SHARES = {
    "code": 0.46,  # lines of the client's episodes file, in its order
    "calculator": 0.11,
    "parallel calculator": 0.04,
    "unseen": 0.17,
    "common": 0.06,
    "parallel": 0.04,
    "parallel common": 0.03,
    "chain": 0.03,
    "chat": 0.07,
    "copy": 0.05,
}
LATE_SHARES = {
    "code": 0.49,
    "calculator": 0.13,
    "parallel calculator": 0.04,
    "unseen": 0.16,
    "common": 0.04,
    "parallel": 0.015,
    "parallel common": 0.015,
    "chain": 0.01,
    "chat": 0.08,
    "copy": 0.02,
}
LATE_FROM = 28_000
"""Shares of conversations, and those from conversation `LATE_FROM` on: first everything, then more of what the demo is
measured by. Code conversations are the longest, so their share of tokens is higher still."""

MAX_LENGTH = 4096
"""Tokens; the context that the model is trained for. Longer conversations are left out."""

HELD_OUT_FAMILIES = (
    "calculator",
    "parallel calculator",
    "unseen by name",
    "unseen",
    "common",
    "parallel",
    "parallel common",
    "chain",
    "chat",
)


def make_conversation(kind: str, rng: random.Random, held_out: bool) -> Conversation:
    """A conversation of several user turns on one list of tools; some are long."""
    words = Words(rng, held_out)
    turns = rng.choice([3, 4, 5, 6]) if held_out or rng.random() > 0.01 else rng.randint(20, 40)

    def extra() -> list[dict[str, Any]]:
        return [tool.definition for tool in unseen.new_tools(words, rng.choice([0, 0, 1, 2]))]

    match kind:
        case "calculator":
            return calculator.make_calculator(rng, words, extra(), turns)
        case "parallel calculator":
            return calculator.make_parallel_calculator(rng, words, extra(), turns)
        case "unseen" | "unseen by name":
            return unseen.make_unseen(rng, words, turns, by_name=kind == "unseen by name")
        case "common":
            return common.make_common(rng, words, turns, extra())
        case "parallel":
            return unseen.make_parallel(rng, words, turns)
        case "parallel common":
            return common.make_parallel_common(rng, words, turns)
        case "chain":
            return unseen.make_chain(rng, words, turns)
        case "chat":
            tools = extra() + ([calculator.calculator(rng)] if rng.random() < 0.3 else [])
            return chat.make_chat(rng, words, tools if rng.random() < 0.6 else [], turns)
        case _:
            return chat.make_copy(rng, words, turns)


def conversations(episodes: Path, count: int) -> Iterator[dict[str, Any]]:
    """The first `count` training conversations. Those of the demo's task are the lines of `episodes`, in order.

    Raises:
        ValueError: the episodes file has too few lines.
    """
    with episodes.open(encoding="utf-8") as file:
        for index in range(count):
            rng = random.Random(f"training {index}")
            shares = SHARES if index < LATE_FROM else LATE_SHARES
            (kind,) = rng.choices(list(shares), list(shares.values()))
            if kind != "code":
                yield make_conversation(kind, rng, held_out=False).as_dict()
                continue
            line = file.readline()
            if not line:
                raise ValueError(f"{episodes} has too few episodes for conversation {index}")
            yield json.loads(line)


Sample = tuple[npt.NDArray[np.uint16], npt.NDArray[np.bool_]]


def encode(tokenizer: Tokenizer, conversation: dict[str, Any]) -> Sample:
    """Token ids, and which of them the model is trained to sample: assistant turns with their `<|im_end|>`."""
    messages = conversation["messages"]
    ids = tokenizer.encode(render(messages, conversation["tools"]))
    header = tokenizer.encode("<|im_start|>assistant\n")
    end = tokenizer.ids["<|im_end|>"]
    turns = [message.get("train", True) for message in messages if message["role"] == "assistant"]
    mask = np.zeros(len(ids), dtype=np.bool_)
    index, turn = 0, 0
    while index < len(ids):
        if ids[index : index + len(header)] != header:
            index += 1
            continue
        start = index + len(header)
        stop = ids.index(end, start) + 1
        mask[start:stop] = turns[turn]
        turn += 1
        index = stop
    if turn != len(turns):
        raise ValueError(f"{turn} assistant turns in the text, {len(turns)} in the messages")
    return np.array(ids, dtype=np.uint16), mask


def write_shards(episodes: Path, folder: Path, count: int, size: int = 2000) -> None:
    """Encode `count` conversations into files `0000.npz`, ...: `ids` and `mask` end to end, and `lengths`."""
    tokenizer = load_tokenizer()
    folder.mkdir(parents=True, exist_ok=True)
    samples: list[Sample] = []
    shard = 0
    for index, conversation in enumerate(conversations(episodes, count), 1):
        sample = encode(tokenizer, conversation)
        if len(sample[0]) <= MAX_LENGTH:
            samples.append(sample)
        if index % size == 0 or index == count:
            path = folder / f"{shard:04}.npz"
            lengths = np.array([len(ids) for ids, _ in samples], dtype=np.int32)
            ids, mask = np.concatenate([ids for ids, _ in samples]), np.concatenate([mask for _, mask in samples])
            temporary = folder / "unfinished.npz"
            np.savez(temporary, ids=ids, mask=mask, lengths=lengths)
            temporary.rename(path)
            print(
                f"{path.name}: {len(samples)} conversations, {len(ids):,} tokens, {mask.mean():.0%} trained", flush=True
            )
            samples, shard = [], shard + 1


def read_shard(path: Path) -> list[Sample]:
    with np.load(path) as file:
        ends = np.cumsum(file["lengths"])[:-1]
        return list(zip(np.split(file["ids"], ends), np.split(file["mask"], ends), strict=True))
