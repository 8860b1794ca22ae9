"""All checks of a server, and how they are run against one."""

from __future__ import annotations

import asyncio
import json
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from urllib.parse import urlsplit, urlunsplit

import websockets

from ..handshake import is_local
from . import (  # noqa: F401  each registers its checks
    checks_append,
    checks_append_refused,
    checks_cancel,
    checks_context,
    checks_lanes,
    checks_limits,
    checks_messages,
    checks_opening,
    checks_replay,
    checks_response,
    checks_resume,
    checks_resume_refused,
    checks_time,
)
from .drivers import Call, Driver, Natural, Scripted, Turn
from .events import TERMINAL
from .outcome import CheckFailed, CheckOutcome
from .registry import Check
from .runner import run_checks
from .server_case import ServerCase, checks
from .settings import Settings
from .transcript import Transcript

CHECK_SECONDS = 6
"""A check may take so many times the timeout of a single wait."""

NOT_OPEN = (401, 403, 404)
"""Statuses of a handshake that speak of a wrong address or key, not of the protocol."""

DRIVERS: dict[str, type[Driver]] = {"scripted": Scripted, "natural": Natural}


class ServerNotReached(Exception):
    """No server is there, or none of this protocol; the message is for the user."""


async def first_model(settings: Settings) -> str:
    """The name of the first model that the server lists.

    :raises ServerNotReached: it lists none.
    """
    parts = urlsplit(settings.url)
    scheme = "https" if parts.scheme == "wss" else "http"
    url = urlunsplit((scheme, parts.netloc, parts.path.removesuffix("/responses") + "/models", "", ""))
    request = urllib.request.Request(url)
    if settings.api_key is not None:
        request.add_header("Authorization", f"Bearer {settings.api_key}")
    handlers = [urllib.request.ProxyHandler({})] if is_local(settings.url) else []
    opener = urllib.request.build_opener(*handlers)

    def read() -> str:
        with opener.open(request, timeout=settings.timeout) as answer:
            return str(json.load(answer)["data"][0]["id"])

    try:
        return await asyncio.to_thread(read)
    except urllib.error.HTTPError as error:
        raise ServerNotReached(f"{url} answered HTTP {error.code}; name a model with --model") from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or error
        raise ServerNotReached(f"can't read {url}: {reason}") from error
    except (LookupError, TypeError) as error:
        raise ServerNotReached(f"{url} lists no model; name one with --model") from error


async def find_driver(settings: Settings) -> Driver:
    """The scripted one if the server follows a script, else the natural one.

    :raises ServerNotReached: it can't be connected to at all.
    """
    case = ServerCase(settings, Scripted(), Transcript())
    call = Call("conformance_probe", text="Is this a script?")
    try:
        peer = await case.connect()
        await peer.send(case.create([Turn("", (call,)), Turn("done")]))
        kinds = ("response.done", "error", *TERMINAL)
        await peer.wait(lambda frame: frame if frame.type in kinds else None, "a pause")
        said = [item for log in case.logs.values() for item in log.calls]
        exact = [(each.get("name"), json.loads(each.get("arguments", "null"))) for each in said]
        return Scripted() if exact == [(call.name, call.arguments)] else Natural()
    except CheckFailed as failed:
        if _is_open(failed):
            return Natural()
        raise ServerNotReached(f"{settings.url}: {failed}") from failed
    except ValueError:
        return Natural()
    finally:
        await case.clean()


def _is_open(failed: CheckFailed) -> bool:
    """Whether a server of this protocol may be there all the same: what it does wrong is for the checks to say."""
    cause = failed.__cause__
    if isinstance(cause, websockets.InvalidStatus):
        return cause.response.status_code not in NOT_OPEN
    return not isinstance(cause, OSError | websockets.WebSocketException)


async def check_server(
    settings: Settings,
    driver: Driver,
    selected: Sequence[Check],
    *,
    jobs: int = 4,
    on_outcome: Callable[[CheckOutcome], None] = lambda outcome: None,
) -> list[CheckOutcome]:
    """Run these checks of ``server_checks.checks``."""

    async def open_case(check: Check, transcript: Transcript) -> ServerCase:
        return ServerCase(settings, driver, transcript)

    return await run_checks(
        selected,
        open_case,
        why_not=settings.why_not,
        jobs=jobs,
        check_seconds=CHECK_SECONDS * settings.timeout,
        on_outcome=on_outcome,
    )


__all__ = ["DRIVERS", "ServerNotReached", "check_server", "checks", "find_driver", "first_model"]
