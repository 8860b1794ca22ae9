"""Tools that run on the client's machine: plain functions, and what happens to a call of one.

Whatever goes wrong with a call becomes its output, one line that begins with ``Error:``, because the
model is the one who can do something about it. Only what ends the program or the run itself
(KeyboardInterrupt, SystemExit, cancellation) is let through.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import json
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, overload

import jsonschema
import msgspec

from ..protocol.items import FunctionCall
from .errors import ToolDefinitionError
from .function_schema import FunctionSchema, describe

DEFAULT_TIMEOUT = 60.0
"""Seconds that a tool may take if nothing else is said."""

MAX_ERROR_LENGTH = 500
"""Characters of an error's output: it has to fit the context, whatever it quotes."""


class LocalTool:
    """A function that the model may call. Calling the LocalTool calls the function.

    A coroutine function runs as a task, any other in a thread of its own. After ``timeout`` seconds (None: never)
    a task is cancelled; a thread can't be stopped, so it is left behind. It is a daemon thread: a
    function that never returns doesn't keep the program alive at exit, and it may be cut off in mid-work then.
    """

    def __init__(self, function: Callable[..., Any], schema: FunctionSchema, timeout: float | None) -> None:
        if timeout is not None and not timeout > 0:
            raise ToolDefinitionError(f"the timeout of {schema.name}() must be positive, not {timeout!r}")
        self.function = function
        self.schema = schema
        self.timeout = timeout
        self._validator = jsonschema.Draft202012Validator(schema.parameters)
        self._is_async = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(type(function).__call__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.function(*args, **kwargs)

    def __repr__(self) -> str:
        return f"LocalTool({self.schema.name}, timeout={self.timeout})"

    async def run(self, arguments: str) -> ToolOutput:
        """Run the function on the arguments of a call (JSON text, as it was sampled)."""
        name = self.schema.name
        try:
            keywords = self._keywords(arguments)
        except (ValueError, msgspec.ValidationError) as error:
            return _error(f"invalid arguments for {name}: {error}")
        running = self.function(**keywords) if self._is_async else _in_thread(self.function, keywords)
        work = asyncio.ensure_future(running)
        work.add_done_callback(_forget)
        try:
            await asyncio.wait({work}, timeout=self.timeout)
        finally:
            # Not asyncio.wait_for: it waits for the cancelled task, and a tool may ignore its cancellation.
            work.cancel()  # does nothing to one that is done
        if not work.done():
            return _error(f"{name} did not finish within {self.timeout:g} s")
        try:
            return ToolOutput(_as_text(work.result()))
        except Exception as error:
            return _error(_explained(error))

    def _keywords(self, arguments: str) -> dict[str, Any]:
        """Decoded, validated against the schema, and converted to the hinted types; ValueError says what is wrong."""
        try:
            decoded = json.loads(arguments)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"not valid JSON ({error})") from error
        failure = jsonschema.exceptions.best_match(self._validator.iter_errors(decoded))
        if failure is not None:
            where = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in failure.absolute_path)
            raise ValueError(f"{where.lstrip('.')}: {failure.message}" if where else failure.message)
        return self.schema.convert(decoded)


@overload
def tool(
    function: Callable[..., Any],
    /,
    *,
    timeout: float | None = DEFAULT_TIMEOUT,
    name: str | None = None,
    description: str | None = None,
) -> LocalTool: ...
@overload
def tool(
    *, timeout: float | None = DEFAULT_TIMEOUT, name: str | None = None, description: str | None = None
) -> Callable[[Callable[..., Any]], LocalTool]: ...
def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    timeout: float | None = DEFAULT_TIMEOUT,
    name: str | None = None,
    description: str | None = None,
) -> LocalTool | Callable[[Callable[..., Any]], LocalTool]:
    """``tool(f, timeout=5)``, or ``@tool(timeout=5)`` above a function. A plain function among tools means ``tool(f)``.

    :param timeout: seconds that a call may take; None for no limit.
    :param name, description: in place of the function's own.
    :raises ToolDefinitionError: where ``function_schema.describe`` does.
    """
    if function is None:
        return lambda decorated: tool(decorated, timeout=timeout, name=name, description=description)
    return LocalTool(function, describe(function, name=name, description=description), timeout)


@dataclass(frozen=True)
class ToolOutput:
    """What goes back to the model. ``is_error``: the text says why there is no result."""

    text: str
    is_error: bool = False


@dataclass(frozen=True)
class ToolCall:
    """A call that has been answered. It began at ``started_at`` (``time.perf_counter``) and took ``seconds``."""

    call: FunctionCall
    output: ToolOutput
    started_at: float
    seconds: float


class ToolBox:
    """The tools of one run: local ones, which it runs, and definitions of others, which it only passes on.

    :param tools: functions, LocalTools, or dicts (a hosted tool such as ``{"type": "caesura:calculate"}``).
    :raises ToolDefinitionError: a function can't be a tool, or two local tools have the same name.
    """

    def __init__(self, tools: Iterable[Callable[..., Any] | LocalTool | Mapping[str, Any]]) -> None:
        self.definitions: list[dict[str, Any]] = []
        self._local: dict[str, LocalTool] = {}
        for each in tools:
            if isinstance(each, Mapping):
                self.definitions.append(dict(each))
                continue
            local = each if isinstance(each, LocalTool) else tool(each)
            name = local.schema.name
            if name in self._local:
                raise ToolDefinitionError(f"two tools are called {name!r}; pass name= to one of them")
            self._local[name] = local
            self.definitions.append(local.schema.as_tool())

    async def answer(self, call: FunctionCall) -> ToolCall:
        """Run the tool that is called. Cancelling this cancels it."""
        started_at = time.perf_counter()
        local = self._local.get(call.name)
        if local is None:
            known = ", ".join(self._local) or "none"
            output = _error(f"there is no tool named {call.name!r}; available: {known}")
        else:
            output = await local.run(call.arguments)
        return ToolCall(call, output, started_at, time.perf_counter() - started_at)


async def _in_thread(function: Callable[..., Any], keywords: Mapping[str, Any]) -> Any:
    """Like asyncio.to_thread, but in a daemon thread of its own.

    A pool's threads are joined at interpreter exit, so one function that never returns would hang the program, and a
    few of them would fill the pool.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[tuple[Any, BaseException | None]] = loop.create_future()

    def settle(outcome: tuple[Any, BaseException | None]) -> None:
        if not done.done():
            done.set_result(outcome)

    def work() -> None:
        try:
            outcome: tuple[Any, BaseException | None] = function(**keywords), None
        except BaseException as error:
            outcome = None, error
        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            loop.call_soon_threadsafe(settle, outcome)

    context = contextvars.copy_context()
    threading.Thread(target=context.run, args=(work,), name=f"tool {function!r}", daemon=True).start()
    result, error = await done
    if error is not None:
        raise error
    if inspect.isawaitable(result):  # a plain function that hands back a coroutine (a wrapper, a partial)
        return await result
    return result


def _as_text(result: Any) -> str:
    if isinstance(result, str):
        return _encodable(result)
    try:
        return msgspec.json.encode(result).decode()
    except (TypeError, ValueError, RecursionError) as error:
        raise ValueError(f"the tool's {type(result).__name__} can't be written as JSON: {error}") from error


def _explained(error: Exception) -> str:
    """The message alone where it is a sentence by custom; ``KeyError: 'x'`` says nothing without its type."""
    if isinstance(error, ValueError | OSError | RuntimeError) and str(error):
        return str(error)
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


def _error(message: str) -> ToolOutput:
    line = "Error: " + " ".join(message.split())
    if len(line) > MAX_ERROR_LENGTH:  # jsonschema quotes the whole instance, which the model has just written
        line = line[: MAX_ERROR_LENGTH - 3] + "..."
    return ToolOutput(_encodable(line), is_error=True)


def _encodable(text: str) -> str:
    """Without lone surrogates (a file name that isn't UTF-8 holds some), which no WebSocket text frame can carry."""
    return text.encode("utf-8", "backslashreplace").decode()


def _forget(work: asyncio.Future[Any]) -> None:
    """Look at the exception of a call, which may have been left behind: asyncio would log one never looked at."""
    if not work.cancelled():
        work.exception()
