"""What is below the designs: event streams, HTTP answers, WebSockets, and what is counted of them."""

from __future__ import annotations

import asyncio
import json

import pytest
from caesura.client.bench.driver import BenchError
from caesura.client.bench.drivers.address import address_of
from caesura.client.bench.drivers.event_stream import EventSplitter
from caesura.client.bench.drivers.events import failure_of, reason_of, type_of
from caesura.client.bench.drivers.http import AnswerParser, HttpConnection
from caesura.client.bench.drivers.websocket import WebSocketConnection
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.server import ServerConnection
from wire_fakes import BOUND, event_stream, http_server, json_answer, websocket_server


class Heard:
    """A reader that keeps what it hears."""

    def __init__(self) -> None:
        self.events: list[bytes] = []
        self.answers: list[tuple[int, bytes]] = []
        self.error: BenchError | None = None
        self.over = asyncio.Event()

    def event(self, data: bytes) -> None:
        self.events.append(data)

    def answered(self, status: int, body: bytes) -> None:
        self.answers.append((status, body))
        self.over.set()

    def fail(self, error: BenchError) -> None:
        self.error = error
        self.over.set()


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted(place % (len(data) + 1) for place in places)
    return [data[begin:end] for begin, end in zip([0, *ends], [*ends, len(data)], strict=True)]


PLACES = st.lists(st.integers(0, 10_000), max_size=12)
LINES = st.lists(
    st.text(st.characters(blacklist_characters="\r\n", codec="utf-8"), max_size=12), min_size=1, max_size=3
)


@given(
    st.lists(LINES, max_size=5),
    st.sampled_from(["\n", "\r\n"]),
    st.sampled_from(["data: ", "data:"]),
    st.sampled_from(["", "event: some\n", ": a comment\n\n", "id: 3\nretry: 10\n"]),
    PLACES,
)
def test_events_are_the_same_wherever_the_stream_is_cut(
    events: list[list[str]], ending: str, field: str, before: str, places: list[int]
) -> None:
    # Without a space of its own, a field's value must not begin with one: it would be taken for it.
    texts = [[line.lstrip(" ") for line in lines] for lines in events]
    stream = "".join(before + "".join(f"{field}{line}\n" for line in lines) + "\n" for lines in texts)
    splitter = EventSplitter()
    data = stream.replace("\n", ending).encode()
    got = [event for piece in cut(data, places) for event in splitter.feed(piece)]
    assert got == ["\n".join(lines).encode() for lines in texts]


def test_an_unfinished_event_is_none() -> None:
    assert EventSplitter().feed(b"data: one\n\ndata: two\n") == [b"one"]


@given(
    st.lists(
        st.one_of(
            st.lists(st.from_regex(r"\A[a-z{}: ]{1,30}\Z"), max_size=4).map(lambda texts: event_stream(*texts)),
            st.dictionaries(st.text(max_size=5), st.integers(), max_size=3).map(json_answer),
            st.just(json_answer({"error": "no"}, "400 Bad Request")),
            st.just(b"HTTP/1.1 100 Continue\r\n\r\n" + json_answer([])),
        ),
        min_size=1,
        max_size=3,
    ),
    PLACES,
)
def test_answers_are_the_same_wherever_they_are_cut(answers: list[bytes], places: list[int]) -> None:
    def read(pieces: list[bytes]) -> list[tuple[list[bytes], list[tuple[int, bytes]]]]:
        heard: list[Heard] = []

        def ended(can_be_used_again: bool) -> None:
            assert can_be_used_again
            heard.append(Heard())
            parser.reader = heard[-1]

        parser = AnswerParser(ended)
        ended(True)
        for piece in pieces:
            parser.feed(piece)
        return [(one.events, one.answers) for one in heard]

    whole = read(answers)
    assert read(cut(b"".join(answers), places)) == whole
    assert len(whole) == len(answers) + 1


def test_what_is_no_http_is_an_error() -> None:
    with pytest.raises(BenchError, match="can't be read"):
        AnswerParser(lambda again: None).feed(b"SSH-2.0-OpenSSH_9.6\r\n")


async def exchange(http: HttpConnection, body: bytes) -> Heard:
    heard = Heard()
    await http.send("POST", "/responses", body, heard)
    await asyncio.wait_for(heard.over.wait(), BOUND)
    return heard


def test_bytes_of_http_are_those_of_the_wire() -> None:
    async def go() -> None:
        answers = [event_stream("one", "two"), json_answer({"a": 1})]
        async with http_server([[answer[:40], answer[40:]] for answer in answers]) as fake:
            http = HttpConnection(address_of(fake.url))
            await http.open()
            heard = [await exchange(http, b'{"n": 1}') for _ in answers]
            meter = http.meter
            assert [one.events for one in heard] == [[b"one", b"two", b"[DONE]"], []]
            assert heard[1].answers == [(200, b'{"a": 1}')]
            assert (meter.bytes_up, meter.bytes_down) == (fake.bytes_in, fake.bytes_out)
            assert meter.bytes_down == sum(map(len, answers))
            assert 0 < meter.sent <= meter.first_byte <= meter.arrived
            assert fake.connections == 1
            await http.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("answer", "closes"), [(json_answer({}, headers="Connection: close\r\n"), False), (json_answer({}), True)]
)
def test_a_connection_that_the_server_closes_between_requests_is_made_again(answer: bytes, closes: bool) -> None:
    async def go() -> None:
        async with http_server([[answer]], closes=closes) as fake:
            http = HttpConnection(address_of(fake.url))
            for number in range(3):
                heard = await exchange(http, b"{}")
                assert heard.answers == [(200, b"{}")]
                assert fake.connections == number + 1
                if http.link is not None:
                    await asyncio.wait_for(http.link.closed(), BOUND)
            await http.close()

    asyncio.run(go())


def test_a_message_in_fragments_is_one_message_and_pings_are_answered() -> None:
    got: list[bytes] = []
    said: list[str | bytes] = []

    async def play(socket: ServerConnection) -> None:
        await (await socket.ping())
        await socket.send(["{", '"a": ', "1}"])
        await socket.send("{}")
        said.append(await socket.recv())

    async def go() -> None:
        all_there, lost = asyncio.Event(), asyncio.Event()

        def take(message: bytes) -> None:
            got.append(message)
            if len(got) == 2:
                all_there.set()

        async with websocket_server(play) as url:
            socket = WebSocketConnection(address_of(url), take, lambda error: lost.set())
            await socket.open()
            await asyncio.wait_for(all_there.wait(), BOUND)
            socket.send("bye \u00e9".encode())
            await asyncio.wait_for(lost.wait(), BOUND)
            with pytest.raises(BenchError, match="closed"):
                socket.send(b"more")
            await socket.close()

    asyncio.run(go())
    assert got == [b'{"a": 1}', b"{}"]
    assert said == ["bye \u00e9"]


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (json_answer({}, "404 Not Found"), "is no WebSocket, it answered: HTTP 404"),
        (b"HTTP/1.1 101 Switching Protocols\r\n\r\n", "is no WebSocket, it answered: missing Connection header"),
        (b"SSH-2.0-OpenSSH_9.6\r\n", "is no WebSocket, it answered: did not receive a valid HTTP response"),
    ],
)
def test_a_server_without_websockets_is_named(answer: bytes, reason: str) -> None:
    async def go() -> None:
        async with http_server([[answer]]) as fake:
            socket = WebSocketConnection(address_of(fake.url), print, lambda error: None)
            with pytest.raises(BenchError, match=reason):
                await asyncio.wait_for(socket.open(), BOUND)
            await socket.close()

    asyncio.run(go())


@pytest.mark.parametrize(("sent", "reason"), [(b"\x83\x00", "can't be read"), (b"\x88\x02\x03\xf0", "1008")])
def test_why_a_websocket_was_lost(sent: bytes, reason: str) -> None:
    async def play(socket: ServerConnection) -> None:
        socket.transport.write(sent)
        await socket.wait_closed()

    async def go() -> None:
        async with websocket_server(play) as url:
            lost: asyncio.Future[BenchError] = asyncio.get_running_loop().create_future()
            socket = WebSocketConnection(address_of(url), print, lost.set_result)
            await socket.open()
            assert reason in str(await asyncio.wait_for(lost, BOUND))
            await socket.close()

    asyncio.run(go())


@pytest.mark.parametrize(
    ("url", "http", "websocket"),
    [
        ("http://127.0.0.1:8080", "http://127.0.0.1:8080/v1", "ws://127.0.0.1:8080/v1/responses"),
        ("http://h:8080/v1/", "http://h:8080/v1", "ws://h:8080/v1/responses"),
        ("ws://h/v1/responses", "http://h/v1", "ws://h/v1/responses"),
        ("https://h/api", "https://h/api", "wss://h/api/responses"),
        ("http://[::1]:1", "http://[::1]:1/v1", "ws://[::1]:1/v1/responses"),
    ],
)
def test_addresses(url: str, http: str, websocket: str) -> None:
    address = address_of(url)
    assert (address.http_url, address.websocket_url) == (http, websocket)


@pytest.mark.parametrize("url", ["", "127.0.0.1:80", "ftp://h", "http://", "http://h:x", "http://[", "http://h:99999"])
def test_what_is_no_address(url: str) -> None:
    with pytest.raises(BenchError, match="no address"):
        address_of(url)


@pytest.mark.parametrize(
    ("data", "kind"),
    [(b'{"type":"a.b","x":1}', b"a.b"), (b'{"x": 1, "type": "a.b"}', b"a.b"), (b"{}", b""), (b"[DONE]", b"[DONE]")],
)
def test_types_of_events(data: bytes, kind: bytes) -> None:
    assert type_of(data) == kind


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        ({"error": {"message": "too long", "code": 400}}, "too long"),
        ({"error": "too long"}, "too long"),
        ({"message": "too long"}, "too long"),
        ({"detail": ["x"]}, '{"detail": ["x"]}'),
        ({}, "{}"),
    ],
)
def test_reasons(body: object, reason: str) -> None:
    assert reason_of(json.dumps(body).encode()) == reason


def test_reasons_that_are_no_json() -> None:
    assert reason_of(b"<html>\n  no </html>\xff") == "<html> no </html>\ufffd"
    assert reason_of(b"") == "nothing"


def test_failures() -> None:
    event = {"type": "response.failed", "response": {"error": {"message": "broke", "code": "server_error"}}}
    assert failure_of(json.dumps(event).encode()) == "broke"
    cut_short = {"type": "response.incomplete", "response": {"incomplete_details": {"reason": "max_output_tokens"}}}
    assert failure_of(json.dumps(cut_short).encode()) == "max_output_tokens"
    assert failure_of(b'{"type":"error","error":{"message":"no"}}') == "no"
