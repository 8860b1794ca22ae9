"""The client: run a whole rollout as one Response, with plain functions as its tools.

    async with caesura.client.connect("http://127.0.0.1:8000") as client:
        result = await client.run(model="demo", input="What is in notes.txt?", tools=[read_file])
    print(result.output_text)

A connection that is lost is made anew, and the Response goes on where it was.

Start reading at ``connection`` (the public calls), then ``rollout`` (one run), ``link`` (what carries it), and for the
tools ``local_tools`` and ``function_schema``.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .connection import Client as Client
    from .connection import connect as connect
    from .errors import ClientError as ClientError
    from .errors import ConnectionFailed as ConnectionFailed
    from .errors import ConnectionLost as ConnectionLost
    from .errors import DeadlineExceeded as DeadlineExceeded
    from .errors import RunFailed as RunFailed
    from .errors import ToolDefinitionError as ToolDefinitionError
    from .local_tools import LocalTool as LocalTool
    from .local_tools import ToolCall as ToolCall
    from .local_tools import tool as tool
    from .results import EventsLost as EventsLost
    from .results import Reconnecting as Reconnecting
    from .results import Resumed as Resumed
    from .results import RunResult as RunResult
    from .results import ToolFinished as ToolFinished
    from .results import ToolStarted as ToolStarted
    from .run_stream import RunStream as RunStream

# Imported on first use: ``caesura --help`` lives in this package too, and needs none of them.
_HOMES = {
    "connection": ("Client", "connect"),
    "errors": (
        "ClientError",
        "ConnectionFailed",
        "ConnectionLost",
        "DeadlineExceeded",
        "RunFailed",
        "ToolDefinitionError",
    ),
    "local_tools": ("LocalTool", "ToolCall", "tool"),
    "results": ("EventsLost", "Reconnecting", "Resumed", "RunResult", "ToolFinished", "ToolStarted"),
    "run_stream": ("RunStream",),
}
_HOME_OF = {name: module for module, names in _HOMES.items() for name in names}

__all__ = sorted(_HOME_OF)


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
