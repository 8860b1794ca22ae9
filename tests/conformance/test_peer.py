"""The raw peer: everything is bounded, and everything is in the transcript."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from typing import Any

import pytest
from caesura.client.conformance.outcome import CheckFailed
from caesura.client.conformance.peer import Frame, Peer
from caesura.client.conformance.transcript import Entry, Transcript, collapsed
from websockets.asyncio.client import connect

SECONDS = 20.0
"""After which a test that waits for something has failed."""

WithPeer = Callable[..., Transcript]
"""``with_peer(handler, use)``: the transcript of what ``use(peer)`` did with a server that the handler is."""


@pytest.fixture
def with_peer(serving: Any) -> WithPeer:
    def run(handler: Any, use: Any, **options: Any) -> Transcript:
        transcript = Transcript()

        async def main() -> None:
            async with serving(handler) as url:
                peer = Peer(await connect(url, ping_interval=None), transcript, "A", **{"timeout": SECONDS, **options})
                try:
                    await use(peer)
                finally:
                    await peer.close()

        asyncio.run(asyncio.wait_for(main(), SECONDS))
        return transcript

    return run


def is_error(frame: Frame) -> Frame | None:
    return frame if frame.type == "error" else None


def test_frames_are_kept_and_written_down(with_peer: WithPeer) -> None:
    async def use(peer: Peer) -> None:
        await peer.send({"type": "one"})
        first = await peer.wait(is_error, "an error")
        await peer.send_text("two")
        second = await peer.wait(is_error, "an error", after=first.index + 1)
        assert [first.index, second.index] == [0, 1]
        assert peer.frames == [first, second]

    async def handler(raw: Any) -> None:
        await raw.receive()
        await raw.refuse("first")
        await raw.socket.recv()
        await raw.refuse("second")
        await raw.socket.wait_closed()

    entries = with_peer(handler, use).entries
    assert [(entry.direction, json.loads(entry.text)) for entry in entries[:1]] == [(">", {"type": "one"})]
    assert [entry.direction for entry in entries] == [">", "<", ">", "<", "-"]
    assert all(a.milliseconds <= b.milliseconds for a, b in pairwise(entries))


def test_silence_ends_a_wait(with_peer: WithPeer) -> None:
    async def use(peer: Peer) -> None:
        with pytest.raises(CheckFailed, match="an error did not come within"):
            await peer.wait(is_error, "an error")

    with_peer(lambda raw: raw.refuse_all(), use, timeout=0.05)


def test_the_end_of_the_connection_ends_a_wait(with_peer: WithPeer) -> None:
    async def handler(raw: Any) -> None:
        await raw.socket.close(1001, "too old")

    async def use(peer: Peer) -> None:
        with pytest.raises(CheckFailed, match="1001 too old"):
            await peer.wait(is_error, "an error")
        assert await peer.wait_closed() == (1001, "too old")
        with pytest.raises(CheckFailed, match="closed"):
            await peer.send({"type": "late"})

    with_peer(handler, use)


def test_an_abort_is_no_handshake(with_peer: WithPeer) -> None:
    closed = asyncio.Event()
    codes: list[int | None] = []

    async def handler(raw: Any) -> None:
        await raw.socket.wait_closed()
        codes.append(raw.socket.close_code)
        closed.set()

    async def use(peer: Peer) -> None:
        await peer.abort()
        assert peer.closed is not None
        await closed.wait()

    with_peer(handler, use)
    assert codes == [1006]


def test_pings_are_answered(with_peer: WithPeer) -> None:
    async def use(peer: Peer) -> None:
        await peer.ping(b"data")

    texts = [entry.text for entry in with_peer(lambda raw: raw.refuse_all(), use).entries]
    assert texts[:2] == ["ping b'data'", "pong b'data'"]


def test_what_is_not_read_waits(with_peer: WithPeer) -> None:
    async def use(peer: Peer) -> None:
        peer.hold_reading()
        await peer.send_many('{"type": "flood"}', 100)
        held = len(peer.frames)
        peer.go_on_reading()
        await peer.wait(lambda frame: frame if frame.index == 99 else None, "the last error")
        assert held < 5

    with_peer(lambda raw: raw.refuse_all(), use)


@pytest.mark.parametrize("frame", [b"\x00\xff", "no json", "[]", "[" * 5000, '"\\ud800"'])
def test_anything_may_come(with_peer: WithPeer, frame: str | bytes) -> None:
    async def handler(raw: Any) -> None:
        await raw.socket.send(frame)
        await raw.refuse_all()

    async def use(peer: Peer) -> None:
        await peer.send({"type": "x"})
        await peer.wait(is_error, "an error")
        assert peer.frames[0].event == {}

    with_peer(handler, use)


def test_a_transcript_stays_short() -> None:
    transcript = Transcript()
    transcript.add("A", ">", "x" * 1_000_000)
    assert len(transcript.entries[0].text) < 1000
    deltas = [Entry("A", "<", float(at), '{"type": "response.output_text.delta", "n": 1}') for at in range(50)]
    end = Entry("A", "<", 50.0, '{"type": "response.completed", "note": ".delta"}')
    assert [entry.text for entry in collapsed([*deltas, end])] == [deltas[0].text, "(49 more deltas)", end.text]
    assert collapsed(deltas[:2]) == deltas[:2]
