"""What a check of a server is given: connections, Responses that do what the check needs, and fences."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from .drivers import Call, Driver, Turn
from .events import Event, error_code
from .outcome import CheckFailed, Failure
from .peer import Frame
from .registry import Registry
from .response_log import ResponseLog
from .rollout import Rollout
from .server_peer import APPEND_MODE, ServerPeer, connect_to_server, laid_to
from .settings import Settings
from .transcript import Transcript

SILENCE_SECONDS = 0.2
CLEANING_SECONDS = 3.0


class ServerCase:
    """One check's world: what it opens here is closed after it, and what it leaves open on the server is cancelled.

    ``failures`` are the violations that did not end the check.
    """

    def __init__(self, settings: Settings, driver: Driver, transcript: Transcript) -> None:
        self.settings = settings
        self.driver = driver
        self.transcript = transcript
        self.failures: list[Failure] = []
        self.logs: dict[str, ResponseLog] = {}
        self._peers: list[ServerPeer] = []
        self._num_fences = 0

    def complain(self, requirement: str, text: str) -> None:
        """Note a violation, and let the check go on. Only the first one of a requirement is kept."""
        if all(requirement not in failure.requirements for failure in self.failures):
            self.failures.append(Failure((requirement,), text, len(self.transcript.entries)))

    def log(self, response_id: str) -> ResponseLog:
        if response_id not in self.logs:
            self.logs[response_id] = ResponseLog(response_id, self.complain)
        return self.logs[response_id]

    # --- connections ----------------------------------------------------------------------------------------------

    async def connect(
        self,
        *,
        header: str | None = APPEND_MODE,
        query: str = "",
        api_key: str | None = None,
        receive_buffer: int | None = None,
    ) -> ServerPeer:
        """A connection of its own; with the credential of the settings, unless another is given."""
        joint = "&" if "?" in self.settings.url else "?"
        peer = await connect_to_server(
            self.settings.url + (joint + query if query else ""),
            self.transcript,
            _letters(len(self._peers)),
            find_log=self.log,
            complain=self.complain,
            wait_seconds=self.settings.timeout,
            api_key=self.settings.api_key if api_key is None else api_key,
            header=header,
            receive_buffer=receive_buffer,
        )
        self._peers.append(peer)
        return peer

    async def fence(self, peer: ServerPeer) -> list[Frame]:
        """Send what is answered with an error, and wait for that: what came meanwhile, besides it. Whatever the server
        had to say because of what was sent before has come then."""
        self._num_fences += 1
        start = len(peer.frames)
        await peer.send({"type": f"conformance.fence.{self._num_fences}"})
        error = await peer.error("the error for a message of an unknown type")
        if error_code(error) != "unknown_message_type":
            raise CheckFailed(f"the error {error_code(error)} came for a message of an unknown type")
        return [frame for frame in peer.frames[start:] if frame.type != "error"]

    async def silence(self, peer: ServerPeer) -> list[Frame]:
        """What comes although nothing should: up to a fence, and for a short while after it."""
        start = len(peer.frames)
        await self.fence(peer)
        await asyncio.sleep(SILENCE_SECONDS)
        return [frame for frame in peer.frames[start:] if frame.type != "error"]

    # --- Responses ------------------------------------------------------------------------------------------------

    def create(self, turns: Sequence[Turn], **fields: Any) -> Event:
        """The message."""
        return {"type": "response.create", "model": self.settings.model, **self.driver.request(turns), **fields}

    async def begin(self, peer: ServerPeer, *turns: Turn, requirement: str | None = None, **fields: Any) -> Rollout:
        """Send a create and wait for ``response.created``."""
        start = len(peer.frames)
        await peer.send(self.create(turns, **fields))
        return await self.created(peer, fields.get("stream_id"), after=start, requirement=requirement)

    async def created(
        self, peer: ServerPeer, lane: str | None = None, *, after: int = 0, requirement: str | None = None
    ) -> Rollout:
        """The next Response that begins on a lane."""

        def test(frame: Frame) -> Rollout | None:
            peer.raise_unexpected(frame, "response.created")
            if frame.type != "response.created" or frame.event.get("stream_id") != lane:
                return None
            return Rollout(peer, self.log(str(peer.response_id(frame))), lane, frame.index + 1)

        return await laid_to(requirement, peer.wait(test, "response.created", after=after))

    async def paused(self, peer: ServerPeer, *turns: Turn, requirement: str | None = None, **fields: Any) -> Rollout:
        """A Response at the pause after the calls of its first turn, with just these calls open.

        :raises CheckFailed: the model can't be brought to make so many calls at once.
        """
        wanted = len(turns[0].calls)
        for _ in range(self.driver.attempts):
            rollout = await self.begin(peer, *turns, requirement=requirement, **fields)
            event = await rollout.until("response.done", "response.completed", requirement=requirement)
            if event["type"] == "response.done":
                if len(rollout.log.open_calls) >= wanted:
                    await self._leave_open(rollout, wanted)
                    return rollout
                await rollout.cancel()
                await rollout.end()
        raise CheckFailed(f"the model could not be made to make {wanted} calls in one turn")

    async def lost_while_sampling(self, *turns: Turn) -> Rollout:
        """A Response whose connection broke while its first turn was sampled."""
        for _ in range(self.driver.attempts):
            peer = await self.connect()
            rollout = await self.begin(peer, *turns)
            await rollout.until("response.output_text.delta", "response.output_item.added")
            await peer.abort()
            if not rollout.log.is_paused and rollout.log.terminal is None:
                return rollout
        raise CheckFailed("the model was done each time before the connection broke")

    async def _leave_open(self, rollout: Rollout, wanted: int) -> None:
        """Answer the calls that a model made beyond what was asked of it."""
        superfluous = rollout.log.open_calls[wanted:]
        if superfluous:
            await rollout.answer(*superfluous)
            await rollout.until("response.appended", requirement="append-ack")

    async def resume(
        self, peer: ServerPeer, response_id: str, starting_after: int | None = None, *, requirement: str | None = None
    ) -> tuple[Event, Rollout]:
        """Send a resume and wait for ``response.resumed``: that, and the Response as it comes here."""
        start = len(peer.frames)
        await self.ask_for_resume(peer, response_id, starting_after)

        def test(frame: Frame) -> Frame | None:
            peer.raise_unexpected(frame, "response.resumed")
            return frame if frame.type == "response.resumed" else None

        frame = await laid_to(requirement, peer.wait(test, "response.resumed", after=start))
        return frame.event, Rollout(peer, self.log(response_id), frame.event.get("stream_id"), frame.index + 1)

    async def ask_for_resume(self, peer: ServerPeer, response_id: str, starting_after: int | None = None) -> None:
        position = {} if starting_after is None else {"starting_after": starting_after}
        await peer.send({"type": "response.resume", "response_id": response_id, **position})

    # --- after the check ------------------------------------------------------------------------------------------

    async def clean(self) -> None:
        """Cancel what is still open on the server, so that it does not count against the checks that follow, and close
        the connections. Never raises."""
        with suppress(Exception):
            await asyncio.wait_for(self._cancel_open(), CLEANING_SECONDS)
        for peer in self._peers:
            with suppress(Exception):
                await peer.close()

    async def _cancel_open(self) -> None:
        for log in [log for log in self.logs.values() if log.terminal is None and log.frames]:
            carriers = [
                peer
                for peer in self._peers
                if peer.closed is None and any(each.log is log for each in peer.observer.attached.values())
            ]
            with suppress(CheckFailed):
                if not carriers:
                    peer = await self.connect()
                    await self.resume(peer, log.id)
                    carriers.append(peer)
                await carriers[-1].send({"type": "response.cancel", "response_id": log.id})


def _letters(number: int) -> str:
    """A to Z, then AA and on."""
    return (_letters(number // 26 - 1) if number >= 26 else "") + chr(ord("A") + number % 26)


checks: Registry[ServerCase] = Registry()
check = checks.check


def open_call(rollout: Rollout, at: int = 0) -> Event:
    """The open call at that place, in the order of sampling."""
    return rollout.log.open_calls[at]


def two_calls(*following: Turn) -> tuple[Turn, ...]:
    """Turns of which the first makes two calls at once."""
    return (Turn("", (Call("a"), Call("b"))), *following)
