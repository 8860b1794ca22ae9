"""What a check of a client is given: the client, started for it alone, and the server that it talks to."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

from .client_contract import MODEL, URL
from .client_listener import Listener
from .client_output import ClientOutput
from .client_peer import ClientPeer
from .client_process import ClientRun, Launch
from .client_rollout import ScriptedRollout
from .events import Event, mapping, objects
from .outcome import CheckFailed, Failure, NotTestable
from .registry import CheckFunction, Registry
from .transcript import Transcript

SILENCE_SECONDS = 0.3
SETTLING_STEPS = 30
CLEANING_SECONDS = 3.0
LAST_WORDS_SECONDS = 0.5
"""How long a client that has lost its connection may take to say why."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class ClientSettings:
    """``model`` is the name that the client is told to ask for; ``timeout`` bounds each wait, in seconds."""

    model: str = "conformance"
    timeout: float = 10.0


class ClientEnded(CheckFailed):
    """The client ended where it should have gone on."""

    def __init__(self, status: int, before: str) -> None:
        super().__init__(f"the client ended with exit status {status} before {before}")
        self.status = status


class ClientCase:
    """One check's world: a listener and a run of the client. ``failures`` are the violations that did not end the
    check, ``output`` is what the client has printed so far."""

    def __init__(self, settings: ClientSettings, launch: Launch, transcript: Transcript) -> None:
        self.settings = settings
        self.transcript = transcript
        self.failures: list[Failure] = []
        self.output = ClientOutput()
        self.listener = Listener(transcript)
        self._launch = launch
        self._run: ClientRun | None = None
        self._is_end_noted = False
        self._peers: list[ClientPeer] = []

    def complain(self, requirement: str, text: str) -> None:
        """Note a violation, and let the check go on. Only the first one of a requirement is kept."""
        if all(requirement not in failure.requirements for failure in self.failures):
            self.failures.append(Failure((requirement,), text, len(self.transcript.entries)))

    # --- the client -----------------------------------------------------------------------------------------------

    async def start(self, environment: Mapping[str, str] | None = None) -> None:
        """Start the client.

        :raises ClientNotStarted: it can't be.
        """
        url = await self.listener.open()
        known = {URL: url, MODEL: self.settings.model}
        self._run = await self._launch(url, {**known, **(environment or {})}, self._take_line)

    async def begin(
        self, *tools: str, environment: Mapping[str, str] | None = None, first: Sequence[Event] = ()
    ) -> ScriptedRollout:
        """Start the client and answer its create with ``response.created``.

        :param tools: what it has to offer besides ``echo``.
        :param first: messages that come before ``response.created``.
        :raises NotTestable: it does not offer such a tool.
        """
        await self.start(environment)
        peer = await self.connection()
        create = await peer.message("response.create")
        if create["type"] != "response.create":
            raise CheckFailed(f"its first message is {create['type']}, not response.create")
        missing = [name for name in tools if name not in offered_tools(create)]
        if missing:
            raise NotTestable(f"its create offers no tool {missing[0]!r}")
        for message in first:
            await peer.send(message)
        rollout = ScriptedRollout(self, peer, create)
        await rollout.send(rollout.created())
        return rollout

    async def connection(self, *, seconds: float | None = None) -> ClientPeer:
        """The next connection that the client opens.

        :raises ClientEnded: it ended instead.
        :raises CheckFailed: none came in time.
        """
        opened = await self.unless_it_ends(self.listener.connections.get(), "it connected", seconds)
        name = chr(ord("A") + len(self._peers) % 26)
        self.transcript.add(name, "-", "the client connects")
        peer = ClientPeer(opened, self.transcript, name, timeout=self.settings.timeout, complain=self.complain)
        self._peers.append(peer)
        return peer

    async def unless_it_ends(self, awaitable: Awaitable[T], what: str, seconds: float | None = None) -> T:
        """What is awaited; ``what`` says it in the past tense.

        :raises ClientEnded: the client ended before.
        :raises CheckFailed: it takes too long.
        """
        bound = self.settings.timeout if seconds is None else seconds
        wanted, end = asyncio.ensure_future(awaitable), asyncio.ensure_future(self.run.wait())
        try:
            await asyncio.wait({wanted, end}, timeout=bound, return_when=asyncio.FIRST_COMPLETED)
            if wanted.done():
                return wanted.result()
            if end.done():
                raise ClientEnded(end.result(), what)
        finally:
            wanted.cancel()
            end.cancel()
        raise CheckFailed(f"the client did nothing for {bound:g} s before {what}")

    async def exit_status(self, *, seconds: float | None = None) -> int:
        """Wait for the client's end.

        :raises CheckFailed: it does not end in time.
        """
        bound = self.settings.timeout if seconds is None else seconds
        try:
            status = await asyncio.wait_for(self.run.wait(), bound)
        except TimeoutError:
            raise CheckFailed(f"the client did not end within {bound:g} s") from None
        if not self._is_end_noted:
            self._is_end_noted = True
            self._note(f"the client has ended with exit status {status}")
        return status

    async def ends_well(self, text: str) -> None:
        """Wait for the client's end after a completed Response whose last message is ``text``.

        :raises CheckFailed: it does not end, or tells its user something else.
        """
        status = await self.exit_status()
        if status != 0:
            raise CheckFailed(f"the Response completed, and the client ended with exit status {status}")
        if self.output.result is None:
            raise CheckFailed('the client has printed no line {"status": ..., "text": ...}')
        told = self.output.result
        if (told.get("status"), told.get("text")) != ("completed", text):
            raise CheckFailed(f"the Response completed with the text {text!r}, and the client printed {told}")

    def has_failed(self, status: int) -> bool:
        """Whether a client that ended with this exit status told its user that something went wrong."""
        return status != 0 or mapping(self.output.result).get("status") != "completed"

    # --- waiting --------------------------------------------------------------------------------------------------

    async def hold(self, peer: ClientPeer) -> None:
        """Give the client time to do what it should not."""
        await peer.ping(b"conformance")
        await asyncio.sleep(SILENCE_SECONDS)

    async def settle(self, peer: ClientPeer, number: int) -> None:
        """Let the client take in what it was sent. One that prints events has printed ``number`` then."""
        await peer.ping(b"conformance")
        for _ in range(SETTLING_STEPS if self.output.events else 0):
            if self.output.last_number >= number:
                break
            await asyncio.sleep(SILENCE_SECONDS / SETTLING_STEPS)

    # --- after the check ------------------------------------------------------------------------------------------

    def conclude(self) -> None:
        """What holds in every check of the events that the client gave to its user."""
        wrong = self.output.out_of_order()
        if wrong is not None:
            self.complain("client-events-once", wrong)

    async def note_last_words(self) -> None:
        """Put the end of the client's stderr into the transcript."""
        with suppress(CheckFailed):
            await self.exit_status(seconds=LAST_WORDS_SECONDS)
        for line in self.output.errors:
            self._note(f"stderr: {line}")

    async def clean(self) -> None:
        """End the client and close everything. Never raises."""
        if self._run is not None:
            with suppress(Exception):
                await asyncio.wait_for(self._run.kill(), CLEANING_SECONDS)
        for peer in self._peers:
            with suppress(Exception):
                await peer.abort()
        with suppress(Exception):
            await asyncio.wait_for(self.listener.close(), CLEANING_SECONDS)

    @property
    def run(self) -> ClientRun:
        assert self._run is not None, "the client was not started"
        return self._run

    def _take_line(self, stream: str, line: str) -> None:
        self.output.take(stream, line)
        if stream == "stdout":
            self._note(f"prints {line}")

    def _note(self, text: str) -> None:
        self.transcript.add(" ", "-", text)


def offered_tools(create: Event) -> frozenset[str]:
    """The names of the function tools of a create."""
    tools = objects(create.get("tools"))
    return frozenset(str(tool.get("name")) for tool in tools if tool.get("type") == "function")


checks: Registry[ClientCase] = Registry()


def check(*requirements: str) -> Callable[[CheckFunction[ClientCase]], CheckFunction[ClientCase]]:
    """Register a check of a client. After it comes what holds in every check, and if it failed, the client's stderr."""

    def register(function: CheckFunction[ClientCase]) -> CheckFunction[ClientCase]:
        @functools.wraps(function)
        async def run(case: ClientCase) -> None:
            try:
                await function(case)
            except Exception as error:
                if not isinstance(error, NotTestable):
                    await case.note_last_words()
                raise
            finally:
                case.conclude()

        return checks.check(*requirements)(run)

    return register
