"""The reference client with one thing done wrong: what it sends, and what it does in a pause."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from client_reference import Broken, Event, GivenUp, ReferenceClient


@dataclass(frozen=True)
class Mutant:
    """``breaks`` are the requirements that have to fail, and no others may."""

    client: type[ReferenceClient]
    breaks: frozenset[str]


MUTANTS: list[Mutant] = []


def breaks(*requirements: str) -> Callable[[type[ReferenceClient]], type[ReferenceClient]]:
    def register(client: type[ReferenceClient]) -> type[ReferenceClient]:
        MUTANTS.append(Mutant(client, frozenset(requirements)))
        return client

    return register


# --- messages ---------------------------------------------------------------------------------------------------------


@breaks("text-frames")
class SendsBinaryFrames(ReferenceClient):
    async def send(self, message: Event) -> None:
        assert self.socket is not None
        await self.socket.send(json.dumps(message).encode())


@breaks("text-frames")
class SendsWhatHasNoType(ReferenceClient):
    async def begin(self) -> None:
        await self.send({"hello": "server"})
        await super().begin()


@breaks("text-frames")
class SendsAList(ReferenceClient):
    async def append(self, items: list[Event]) -> None:
        assert self.socket is not None
        await self.socket.send(json.dumps([]))
        await super().append(items)


def is_unknown(event: Event) -> bool:
    return "conformance" in event["type"]


@breaks("client-unknown-events")
class DiesOfUnknownEvents(ReferenceClient):
    def decode(self, frame: str | bytes) -> Event | None:
        event = super().decode(frame)
        if event is not None and is_unknown(event):
            raise GivenUp(f"what is {event['type']}?")
        return event


@breaks("client-unknown-events")
class DiesOfUnknownEventsWithoutANumber(ReferenceClient):
    def decode(self, frame: str | bytes) -> Event | None:
        event = super().decode(frame)
        return event if event is None or "sequence_number" in event or not is_unknown(event) else {}


@breaks("client-unknown-events")
class DoesNotCountUnknownEvents(ReferenceClient):
    async def count(self, event: Event) -> None:
        if not is_unknown(event):
            await super().count(event)


@breaks("client-binary")
class TakesBinaryForText(ReferenceClient):
    def decode(self, frame: str | bytes) -> Event | None:
        return super().decode(frame if isinstance(frame, str) else frame.decode())


@breaks("client-binary")
class PassesOverBinary(ReferenceClient):
    def decode(self, frame: str | bytes) -> Event | None:
        if isinstance(frame, str):
            return super().decode(frame)
        self.last += 1
        return None


@breaks("client-binary")
class PassesOverNoJson(ReferenceClient):
    def decode(self, frame: str | bytes) -> Event | None:
        try:
            return super().decode(frame)
        except Broken:
            if isinstance(frame, bytes):
                raise
            self.last += 1
            return None


@breaks("client-binary")
class HangsAtABadFrame(ReferenceClient):
    hangs = False

    def decode(self, frame: str | bytes) -> Event | None:
        try:
            return None if self.hangs else super().decode(frame)
        except Broken:
            self.hangs = True
            return None


@breaks("client-binary")
class ResumesAfterABadFrameWithoutClosing(ReferenceClient):
    async def receive(self, frame: str | bytes) -> None:
        try:
            await super().receive(frame)
        except Broken as error:
            if "frame" not in str(error):
                raise
            await self.resume()

    async def count(self, event: Event) -> None:
        if not self.is_resuming or self.replay_until >= 0:
            await super().count(event)


# --- pauses -----------------------------------------------------------------------------------------------------------


@breaks("client-done")
class TakesDoneForTheEnd(ReferenceClient):
    answers_early = False

    async def paused(self, response: Event) -> None:
        await self.ended({**response, "status": "completed"})


@breaks("client-done")
class LeavesAtASecondPause(ReferenceClient):
    num_pauses = 0
    answers_early = False

    async def paused(self, response: Event) -> None:
        self.num_pauses += 1
        if self.num_pauses == 2:
            await self.ended({**response, "status": "completed"})
        else:
            await super().paused(response)


@breaks("client-own-calls")
class AnswersBeforeTheCallIsDone(ReferenceClient):
    item: Event

    async def handle(self, event: Event) -> None:
        match event["type"]:
            case "response.output_item.added":
                self.item = event["item"]
            case "response.function_call_arguments.done":
                self.start({**self.item, "arguments": event["arguments"], "status": "completed"})
        await super().handle(event)


@breaks("client-own-calls")
class AnswersWhatIsIncomplete(ReferenceClient):
    def start(self, item: Event) -> None:
        super().start({**item, "status": "completed"})


@breaks("client-own-calls")
class AnswersForTheServer(ReferenceClient):
    def start(self, item: Event) -> None:
        super().start({**item, "type": "function_call"} if "call_id" in item else item)


@breaks("client-answers-all")
class AnswersTheFirstCall(ReferenceClient):
    answers_early = False

    def start_required(self, response: Event) -> None:
        super().start_required({**response, "required_input": response["required_input"][:1]})


@breaks("client-answers-all")
class DiesOfAnUnknownTool(ReferenceClient):
    def start(self, item: Event) -> None:
        if item.get("name") not in ("echo", "nonce", "sleep", None) and item["type"] == "function_call":
            raise GivenUp(f"no tool {item['name']}")
        super().start(item)


@breaks("client-answers-all")
class IgnoresBadArguments(ReferenceClient):
    async def output_of(self, item: Event) -> Event:
        output = await super().output_of(item)
        if output["status"] == "failed" and item["name"] == "echo":
            await asyncio.Event().wait()
        return output


@breaks("client-answers-all")
class MixesOutputsUp(ReferenceClient):
    first: Event | None = None

    async def output_of(self, item: Event) -> Event:
        output = await super().output_of(item)
        self.first = self.first or output
        return {**output, "output": self.first["output"]}


class _WithHistory(ReferenceClient):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.history: list[Event] = []


@breaks("client-no-history")
class SendsOutputsOfBefore(_WithHistory):
    async def append(self, items: list[Event]) -> None:
        self.history += items
        await super().append(list(self.history))


@breaks("client-no-history")
class SendsCallsBack(ReferenceClient):
    async def answer(self, item: Event) -> None:
        output = await self.output_of(item)
        await self.append([{key: value for key, value in item.items() if key != "id"}, output])


@breaks("client-no-history")
class SendsTheInputAgain(ReferenceClient):
    async def append(self, items: list[Event]) -> None:
        await super().append([*items, {"role": "user", "content": "Run the script."}])


@breaks("client-no-history")
class GrowsWithEachPause(_WithHistory):
    async def append(self, items: list[Event]) -> None:
        self.history += items
        await super().append([{**items[0], "seen": [each["output"] for each in self.history]}, *items[1:]])


@breaks("client-cancel-tools")
class WaitsForItsTools(ReferenceClient):
    async def ended(self, response: Event) -> None:
        await asyncio.gather(*self.tasks)
        await super().ended(response)


@breaks("client-cancel-tools")
class AnswersWhatIsCancelled(ReferenceClient):
    async def ended(self, response: Event) -> None:
        for append in [{"type": "response.append", "input": []}] if self.tasks else []:
            await self.send(append)
        await super().ended(response)
