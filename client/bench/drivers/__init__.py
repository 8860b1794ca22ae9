"""The designs of an agent loop that are measured, and outside servers: each as a Driver."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ..driver import BenchError, Driver
from ..records import DesignInfo
from .address import address_of
from .append import AppendDriver, EarlyAppendDriver
from .http_modes import FullHistoryDriver, StoredDriver
from .link import TIMEOUT
from .peer import Peer, detect_peer, parse_peer
from .peer_chat import ChatPeerDriver
from .peer_responses import ResponsesPeerDriver, WebSocketPeerDriver
from .peer_session import Sampling
from .websocket_mode import WebSocketDriver

__all__ = ["DESIGNS", "Peer", "detect_peer", "make_driver", "make_peer_driver", "parse_peer"]

DESIGNS: tuple[DesignInfo, ...] = (
    DesignInfo("a", "HTTP, full history, no KV reuse", "http", "POST /v1/responses, all of it computed every time"),
    DesignInfo(
        "b", "HTTP, full history, prefix reuse", "http", "POST /v1/responses, what begins alike is not computed"
    ),
    DesignInfo("c", "HTTP, previous_response_id", "http", "POST /v1/responses, stored; new items only, prefix reuse"),
    DesignInfo("d", "WebSocket, previous_response_id", "websocket", "response.create a turn; new items only"),
    DesignInfo("e", "done/append", "append", "one Response; response.append after each pause"),
    DesignInfo("f", "done/append, early tools", "append", "the same; tools start and answer while the model samples"),
)

_MAKERS: dict[str, Callable[..., Driver]] = {
    "a": partial(FullHistoryDriver, prefix_reuse=False),
    "b": partial(FullHistoryDriver, prefix_reuse=True),
    "c": StoredDriver,
    "d": WebSocketDriver,
    "e": AppendDriver,
    "f": EarlyAppendDriver,
}

_PEER_MAKERS: dict[str, Callable[..., Driver]] = {
    "chat": ChatPeerDriver,
    "responses": ResponsesPeerDriver,
    "websocket": WebSocketPeerDriver,
}


def make_driver(design: DesignInfo | str, url: str, model: str, *, timeout: float = TIMEOUT) -> Driver:
    """One agent's connection to a ``caesura serve`` in one of our designs.

    :param design: one of ``DESIGNS``, or its key.
    :param url: of the server, with or without ``/v1``. Design c needs a server with a store.
    :param timeout: seconds that a turn may take.
    :raises BenchError: there is no such design, or ``url`` is no address.
    """
    key = design if isinstance(design, str) else design.key
    if key not in _MAKERS:
        raise BenchError(f"there is no design {key!r}; designs are {', '.join(_MAKERS)}")
    return _MAKERS[key](address_of(url), model, timeout=timeout)


def make_peer_driver(
    peer: Peer,
    *,
    stop_tokens: Sequence[int] = (),
    extra: Mapping[str, object] | None = None,
    timeout: float = TIMEOUT,
) -> Driver:
    """One agent's connection to an outside server. ``stop_tokens`` and ``extra`` as in ``Sampling``; the peer's own
    fields go before ``extra``."""
    return _PEER_MAKERS[peer.kind](peer, Sampling(stop_tokens, {**(extra or {}), **peer.fields}), timeout=timeout)
