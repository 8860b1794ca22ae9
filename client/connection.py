"""The public calls: ``connect``, ``Client.run``, ``Client.stream``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from ipaddress import ip_address
from typing import Any, TypedDict, Unpack
from urllib.parse import urlsplit, urlunsplit

import msgspec
import websockets
from websockets.asyncio.client import connect as open_websocket

from ..protocol.messages import ResponseCreate
from .errors import ConnectionFailed
from .link import Link
from .local_tools import LocalTool, ToolBox
from .results import RunResult
from .rollout import RunStream

MAX_FRAME_BYTES = 64 << 20
"""The largest event that is accepted; the final one repeats a whole rollout's output."""

Tool = Callable[..., Any] | LocalTool | Mapping[str, Any]
"""A function; one wrapped by ``tool(...)``; or a definition that is only passed on (a hosted tool)."""


class RunOptions(TypedDict, total=False):
    """What a run may say besides its input and tools.

    Names and meanings are the Responses API's; None leaves the choice to the server.
    """

    model: str | None
    instructions: str | None
    tool_choice: Any
    parallel_tool_calls: bool | None
    temperature: float | None
    top_p: float | None
    top_k: int | None
    min_p: float | None
    presence_penalty: float | None
    frequency_penalty: float | None
    seed: int | None
    stop: str | list[str] | None
    max_output_tokens: int | None
    max_tool_calls: int | None
    text: dict[str, Any] | None
    reasoning: dict[str, Any] | None
    include: list[Any] | None
    top_logprobs: int | None
    metadata: dict[str, str] | None


class Client:
    """Runs on one connection; any number of them at once, each on a lane of its own. Made by ``connect``.

    The limit is the protocol's: 33 lanes. A run beyond that waits until another has ended.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def run(
        self, *, input: str | Sequence[Any], tools: Sequence[Tool] = (), **options: Unpack[RunOptions]
    ) -> RunResult:
        """One rollout from its input to its end, local tools included.

        Returns it with status ``completed``, or ``incomplete`` if it was cut short (``max_output_tokens``).

        :raises RunFailed: the server refused the request, an append, or failed.
        :raises ConnectionLost: the connection closed on the way.
        :raises ToolDefinitionError: a function can't be offered as a tool.
        :raises TypeError, ValueError: ``input`` or an option can't be written as JSON.
        """
        async with self.stream(input=input, tools=tools, **options) as stream:
            async for _ in stream:
                pass
            return stream.result

    def stream(
        self, *, input: str | Sequence[Any], tools: Sequence[Tool] = (), **options: Unpack[RunOptions]
    ) -> RunStream:
        """The same, to watch: ``async for event in client.stream(...)``, then ``.result``.

        Yields the events of the Response as they come, and ``ToolStarted`` and ``ToolFinished`` in its pauses.
        Raises as ``run`` does; the errors of the server and the connection while it is iterated.
        """
        toolbox = ToolBox(tools)
        request = ResponseCreate(input=input, tools=toolbox.definitions or None, **options)
        msgspec.json.encode(request)  # what can't be written is the caller's error, so it is raised here
        return RunStream(self._link, request, toolbox)


@asynccontextmanager
async def connect(
    url: str,
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    open_timeout: float = 10.0,
) -> AsyncIterator[Client]:
    """Connect to a server: ``async with connect(url) as client``.

    :param url: ``ws``, ``wss``, ``http`` or ``https``, with or without ``/v1/responses`` (see ``responses_url``).
    :param api_key: sent as ``Authorization: Bearer``.
    :param headers: more headers for the handshake.
    :param open_timeout: seconds for the handshake.
    :raises ConnectionFailed: there is no such server, or it refuses; the message says which.
    """
    address = responses_url(url)
    sent = dict(headers or {})
    if api_key is not None:
        sent["Authorization"] = f"Bearer {api_key}"
    try:
        socket = await open_websocket(
            address,
            additional_headers=sent,
            compression=None,  # costs more time than it saves on a stream of small frames
            max_size=MAX_FRAME_BYTES,
            open_timeout=open_timeout,
            proxy=None if _is_local(address) else True,
        )
    except (OSError, websockets.WebSocketException) as error:
        raise ConnectionFailed(_reason(address, error)) from error
    link = Link(socket)
    link.start()
    try:
        yield Client(link)
    finally:
        await link.close()


def responses_url(url: str) -> str:
    """The WebSocket address that a user means by ``url``: scheme ``ws`` or ``wss``, path ending in ``/v1/responses``.

    :raises ConnectionFailed: it is no such address.
    """
    try:
        parts = urlsplit(url if "://" in url else f"ws://{url}")
        scheme = {"ws": "ws", "http": "ws", "wss": "wss", "https": "wss"}.get(parts.scheme)
        usable = scheme is not None and bool(parts.hostname) and parts.port != 0
    except ValueError:
        usable = False
    if not usable:
        raise ConnectionFailed(f"{url!r} is not an address of a server; give one such as http://127.0.0.1:8000")
    path = parts.path.rstrip("/")
    if not path.endswith("/responses"):
        path += "/responses" if path.endswith("/v1") else "/v1/responses"
    return urlunsplit((scheme or "", parts.netloc, path, parts.query, ""))


def _is_local(address: str) -> bool:
    """A proxy from the environment can't reach this machine's own servers, and ``no_proxy`` often forgets them."""
    host = urlsplit(address).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def _reason(address: str, error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return f"no server listens at {address}"
        case TimeoutError():
            return f"the server at {address} did not answer in time"
        case websockets.InvalidStatus():
            return f"{address} answered HTTP {error.response.status_code}, not a WebSocket"
    return f"can't connect to {address}: {error or type(error).__name__}"
