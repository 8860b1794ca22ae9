"""All checks of a client, and how they are run. What a client has to do for it is in ``client_contract``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from . import (  # noqa: F401  each registers its checks
    client_checks_gaps,
    client_checks_losses,
    client_checks_messages,
    client_checks_pauses,
    client_checks_reconnecting,
    client_checks_retries,
)
from .client_case import ClientCase, ClientSettings, checks, offered_tools
from .client_contract import ECHO
from .client_process import ClientNotStarted, Launch
from .client_rollout import ScriptedRollout
from .outcome import CheckFailed, CheckOutcome
from .registry import Check
from .runner import run_checks
from .transcript import Transcript

CHECK_SECONDS = 6
"""A check may take so many times the timeout of a single wait, and no less than SHORTEST_CHECK."""

SHORTEST_CHECK = 30.0


class ClientNotReached(Exception):
    """The command can't be run, or is no client that could be checked; the message is for the user."""


async def probe(settings: ClientSettings, launch: Launch) -> frozenset[str]:
    """Run the client once, to see that it is one; the tools that it offers.

    :raises ClientNotReached: it is none, or does not keep to the contract.
    """
    case = ClientCase(settings, launch, Transcript())
    try:
        await case.start()
        peer = await case.connection()
        create = await peer.message("response.create")
        if create["type"] != "response.create":
            raise CheckFailed(f"its first message is {create['type']}, not response.create")
        tools = offered_tools(create)
        if ECHO not in tools:
            raise CheckFailed(f"its create offers no function tool {ECHO!r}")
        with suppress(CheckFailed):
            rollout = ScriptedRollout(case, peer, create)
            await rollout.send(rollout.created())
            await rollout.finish()
        return tools
    except ClientNotStarted as error:
        raise ClientNotReached(str(error)) from error
    except CheckFailed as failed:
        await case.note_last_words()
        why = "; its handshake does not ask for append mode" if case.listener.lacks_append_mode else ""
        said = "".join(f"\n  {line}" for line in case.output.errors)
        raise ClientNotReached(f"{failed}{why}{said}") from failed
    finally:
        await case.clean()


async def check_client(
    settings: ClientSettings,
    launch: Launch,
    selected: Sequence[Check],
    *,
    jobs: int = 4,
    on_outcome: Callable[[CheckOutcome], None] = lambda outcome: None,
) -> list[CheckOutcome]:
    """Run these checks of ``checks``, each with a run of the client of its own."""

    async def open_case(check: Check, transcript: Transcript) -> ClientCase:
        return ClientCase(settings, launch, transcript)

    return await run_checks(
        selected,
        open_case,
        jobs=jobs,
        check_seconds=max(SHORTEST_CHECK, CHECK_SECONDS * settings.timeout),
        on_outcome=on_outcome,
    )


__all__ = ["ClientNotReached", "check_client", "checks", "probe"]
