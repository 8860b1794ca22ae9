"""The reference client with one thing done wrong: about gaps, lost connections and lost appends."""

from __future__ import annotations

import asyncio
from typing import Any

from client_mutants import breaks
from client_reference import Event, GivenUp, ReferenceClient, calls_of


@breaks("client-gap")
class IgnoresGaps(ReferenceClient):
    async def missing(self, event: Event) -> None:
        await self.take(event)


@breaks("client-gap")
class IgnoresGapsInAReplay(ReferenceClient):
    async def missing(self, event: Event) -> None:
        if not self.is_resuming:
            await super().missing(event)
        await self.take(event)


@breaks("client-gap")
class GivesWhatIsBehindAGap(ReferenceClient):
    """And only then sees to it that the missing event comes."""

    last_given = -1

    async def missing(self, event: Event) -> None:
        self.give(event)
        await super().missing(event)

    def give(self, event: Event) -> None:
        if event["sequence_number"] > self.last_given:
            self.last_given = event["sequence_number"]
            super().give(event)


@breaks("client-gap")
class ResumesBehindAGap(ReferenceClient):
    async def missing(self, event: Event) -> None:
        self.last = event["sequence_number"]
        await super().missing(event)


@breaks("client-events-once")
class GivesAllAgain(ReferenceClient):
    """After a loss, from what it has kept."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.given: list[Event] = []

    def give(self, event: Event) -> None:
        self.given.append(event)
        super().give(event)

    async def resumed(self, event: Event) -> None:
        for each in self.given:
            super().give(each)
        await super().resumed(event)


@breaks("client-events-once", "client-resume")
class ResumesFromTheStart(ReferenceClient):
    async def resume(self) -> None:
        self.last, self.is_paused = -1, False
        await super().resume()


@breaks("client-events-once", "client-gap")
class GivesTheWrongWayRound(ReferenceClient):
    """Two at a time."""

    held: Event | None = None

    def give(self, event: Event) -> None:
        if self.held is None and self.is_resuming:
            self.held = event
            return
        super().give(event)
        if self.held is not None:
            super().give(self.held)
        self.held = None


@breaks("client-gap")
class LosesAnEvent(ReferenceClient):
    """The first one of a replay."""

    is_first = True

    def give(self, event: Event) -> None:
        if not (self.is_resuming and self.is_first):
            super().give(event)
        self.is_first = not self.is_resuming


@breaks("client-resume")
class NeverConnectsAgain(ReferenceClient):
    async def before_reconnecting(self) -> None:
        raise GivenUp("the connection is lost")


@breaks("client-resume")
class BeginsAnew(ReferenceClient):
    async def before_reconnecting(self) -> None:
        self.response_id, self.last = None, -1
        await super().before_reconnecting()


@breaks("client-resume", "client-gap", "client-binary")
class ResumesOneTooFar(ReferenceClient):
    def resume_position(self) -> int:
        return self.last + 1


@breaks("client-resume")
class ResumesOneTooEarly(ReferenceClient):
    def resume_position(self) -> int:
        return max(self.last - 3, -1)


@breaks("client-resume")
class DiesOfLostEvents(ReferenceClient):
    async def adopt(self, snapshot: Event) -> None:
        raise GivenUp("events are lost")


@breaks("client-resume")
class ResumesWhereItStoodBeforeTheSnapshot(ReferenceClient):
    async def adopt(self, snapshot: Event) -> None:
        await self.resume()


@breaks("client-resume")
class DiesWhenItsConnectionIsTooOld(ReferenceClient):
    async def refused(self, error: Event) -> None:
        if error["error"]["code"] == "websocket_connection_limit_reached":
            raise GivenUp("too old")
        await super().refused(error)


@breaks("client-resume")
class TriesOnce(ReferenceClient):
    async def before_reconnecting(self) -> None:
        if self.num_failures == 1:
            raise GivenUp("tried once")
        await super().before_reconnecting()


@breaks("client-same-output")
class RunsTheToolAgain(ReferenceClient):
    async def send_again(self, append: Event) -> None:
        items = [{**item, "output": await self.call("nonce", {})} for item in append["input"]]
        await self.send({**append, "input": items})


@breaks("client-same-output")
class RunsTheToolAgainThoughNobodyAsks(ReferenceClient):
    async def resumed(self, event: Event) -> None:
        under_way = [
            each for each in self.under_way if not calls_of(each) & {c["call_id"] for c in event["required_input"]}
        ]
        await super().resumed(event)
        for append in under_way:
            await self.send({**append, "input": [{**append["input"][0], "output": await self.call("nonce", {})}]})


@breaks("client-retry")
class SendsAgainAtOnce(ReferenceClient):
    async def resume(self) -> None:
        await super().resume()
        for append in self.under_way[-1:]:
            await self.send(append)

    async def send_again(self, append: Event) -> None:
        pass


@breaks("client-retry")
class SendsAgainBeforeTheReplay(ReferenceClient):
    async def resumed(self, event: Event) -> None:
        self.replay_until = event["last_sequence_number"]
        self.required = {each["call_id"] for each in event["required_input"]}
        await self.replayed()


@breaks("client-retry")
class NeverSendsAgain(ReferenceClient):
    async def send_again(self, append: Event) -> None:
        pass


@breaks("client-backoff")
class TriesForEverAtTheSamePace(ReferenceClient):
    async def before_reconnecting(self) -> None:
        await asyncio.sleep(self.first_wait)


@breaks("client-backoff")
class TriesAtOnceWithoutWaiting(ReferenceClient):
    async def before_reconnecting(self) -> None:
        pass


@breaks("client-backoff")
class WaitsLessEachTime(ReferenceClient):
    async def before_reconnecting(self) -> None:
        most = int(self.environment.get("CAESURA_MAX_RECONNECTS", 8))
        if self.num_failures >= most:
            raise GivenUp("the server can't be reached")
        await asyncio.sleep(0.5 / 2**self.num_failures)
        self.num_failures += 1
