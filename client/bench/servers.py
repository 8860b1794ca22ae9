"""The server under test: started with the options of a run, stopped whatever happens; and what its spans say."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

import msgspec

from ..demo.server import COMMAND, Server, ServerNotStarted, serving
from .agent import Played
from .driver import BenchError
from .records import ServerTurn

__all__ = ["Server", "add_spans", "fetch_spans", "started"]

SPANS_TIMEOUT_S = 10.0
SPANS_WAIT_S = 2.0
"""How long spans of a Response that has ended are waited for: its end is told before they are kept."""


@contextmanager
def started(model: str, options: Sequence[str] = ()) -> Iterator[Server]:
    """``caesura serve`` on a free port, with these options besides; it keeps spans, and stores nothing unless the
    options say where.

    :raises BenchError: it did not start; the message ends with what it said on its stderr.
    """
    try:
        with serving(model, command=[*COMMAND, "--spans", *options]) as server:
            yield server
    except ServerNotStarted as error:
        raise BenchError(str(error)) from None


class _ResponseSpans(msgspec.Struct):
    response_id: str
    turns: list[ServerTurn]


def fetch_spans(url: str, wanted: Collection[str] = ()) -> dict[str, list[ServerTurn]]:
    """The turns of all Responses that have ended since the last time, by the Response's id. The server forgets them.

    Blocks, for a short time: it belongs between runs.

    :param wanted: ids that are waited for a little; those that don't come are not in the result.
    :raises BenchError: the server keeps no spans, or gives something else.
    """
    found: dict[str, list[ServerTurn]] = {}
    deadline = time.monotonic() + SPANS_WAIT_S
    while True:
        found |= {spans.response_id: spans.turns for spans in _get(f"{url}/spans")}
        if found.keys() >= set(wanted) or time.monotonic() > deadline:
            return found
        time.sleep(0.01)


def _get(url: str) -> list[_ResponseSpans]:
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # no proxy reaches loopback
    try:
        with opener.open(url, timeout=SPANS_TIMEOUT_S) as answer:
            return msgspec.json.decode(answer.read(), type=list[_ResponseSpans])
    except urllib.error.HTTPError as error:
        with error:
            hint = ": start the server with --spans" if error.code == 404 else ""
            raise BenchError(f"{url} answered with {error.code}{hint}") from None
    except (OSError, msgspec.MsgspecError) as error:
        raise BenchError(f"no spans from {url}: {error}") from None


def add_spans(played: Played, spans: Mapping[str, Sequence[ServerTurn]]) -> None:
    """Put the server's side into the turns of a run.

    A Response's turns belong to its ids in ``played`` in order. Turns without an id, or whose Response has no spans,
    are left as they are.

    :raises BenchError: server and client don't agree on how many turns a Response had; nothing was put in then. In a
        run that broke off the client may have seen fewer.
    """
    turns: dict[str, int] = {}
    for response_id in played.response_ids:
        if response_id is not None:
            turns[response_id] = turns.get(response_id, 0) + 1
    for response_id, count in turns.items():
        served = len(spans.get(response_id, ()))
        if served and (served < count or (served > count and played.run.error is None)):
            raise BenchError(f"{response_id} had {count} turns for the client and {served} for the server")
    rest = {response_id: iter(spans.get(response_id, ())) for response_id in turns}
    for record, response_id in zip(played.run.turns, played.response_ids, strict=True):
        if response_id is not None:
            record.server = next(rest[response_id], None)
