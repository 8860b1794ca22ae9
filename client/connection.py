"""The public calls: ``connect``, ``Client.run``, ``Client.stream``."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from typing import Any, TypedDict, Unpack

import msgspec

from ..protocol.messages import ResponseCreate
from .handshake import open_websocket, responses_url
from .link import Link
from .local_tools import LocalTool, ToolBox
from .reconnect import Backoff
from .results import RunResult
from .rollout import Rollout
from .run_stream import RunStream

__all__ = ["Client", "RunOptions", "Tool", "connect", "responses_url"]

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

    The limit is the protocol's: 33 lanes. A run beyond that waits until another has ended. When the connection is lost
    while a run goes on, another one is made and every Response goes on there; without a run the next one does it.
    """

    def __init__(self, link: Link) -> None:
        self._link = link

    async def run(
        self,
        *,
        input: str | Sequence[Any],
        tools: Sequence[Tool] = (),
        deadline: float | None = None,
        early_tools: bool = True,
        **options: Unpack[RunOptions],
    ) -> RunResult:
        """One rollout from its input to its end, local tools included.

        Returns it with status ``completed``, or ``incomplete`` if it was cut short (``max_output_tokens``).

        :param deadline: seconds that all of it may take; None for no limit.
        :param early_tools: start a tool as soon as its call has been sampled, while the model goes on with the next
            one. If all are answered when it stops, it doesn't pause. Else tools start at the pause, when nothing can
            be cut off any more.
        :raises RunFailed: the server refused the request or an append, failed, or cancelled the Response.
        :raises ConnectionLost: the connection was lost, and so was the way back to the Response.
        :raises DeadlineExceeded: the deadline has passed; the Response is cancelled.
        :raises ToolDefinitionError: a function can't be offered as a tool.
        :raises TypeError, ValueError: ``input`` or an option can't be written as JSON.
        """
        async with self.stream(
            input=input, tools=tools, deadline=deadline, early_tools=early_tools, **options
        ) as stream:
            async for _ in stream:
                pass
            return stream.result

    def stream(
        self,
        *,
        input: str | Sequence[Any],
        tools: Sequence[Tool] = (),
        deadline: float | None = None,
        early_tools: bool = True,
        **options: Unpack[RunOptions],
    ) -> RunStream:
        """The same, to watch: ``async for event in client.stream(...)``, then ``.result``.

        Yields the events of the Response as they come, each once and in order whatever happens to the connection, and
        between them what the client does: ``ToolStarted``, ``ToolFinished``, ``Reconnecting``, ``Resumed``,
        ``EventsLost``. Raises as ``run`` does; the errors of the server and the connection while it is iterated.
        """
        toolbox = ToolBox(tools)
        request = ResponseCreate(input=input, tools=toolbox.definitions or None, **options)
        msgspec.json.encode(request)  # what can't be written is the caller's error, so it is raised here
        return RunStream(Rollout(self._link, request, toolbox, deadline=deadline, early_tools=early_tools))


@asynccontextmanager
async def connect(
    url: str,
    *,
    api_key: str | None = None,
    headers: Mapping[str, str] | None = None,
    open_timeout: float = 10.0,
    max_reconnects: int = 8,
) -> AsyncIterator[Client]:
    """Connect to a server: ``async with connect(url) as client``.

    :param url: ``ws``, ``wss``, ``http`` or ``https``, with or without ``/v1/responses`` (see ``responses_url``).
    :param api_key: sent as ``Authorization: Bearer``.
    :param headers: more headers for the handshake.
    :param open_timeout: seconds for the handshake.
    :param max_reconnects: attempts in a row to connect again after a loss, without getting any further, before runs
        fail with ``ConnectionLost``. The waits between them double from 0.1 to 10 s, times a random number below 1.
    :raises ConnectionFailed: there is no such server, or it refuses; the message says which.
    :raises ValueError: ``max_reconnects`` is negative.
    """
    sent = dict(headers or {})
    if api_key is not None:
        sent["Authorization"] = f"Bearer {api_key}"
    link = Link(partial(open_websocket, responses_url(url), sent, open_timeout), Backoff(max_reconnects))
    await link.open()
    try:
        yield Client(link)
    finally:
        await link.close()
