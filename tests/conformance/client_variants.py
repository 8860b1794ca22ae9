"""The reference client with one thing done otherwise, and just as right."""

from __future__ import annotations

import asyncio

from client_reference import Broken, Event, GivenUp, ReferenceClient

VARIANTS: list[type[ReferenceClient]] = [ReferenceClient]


def just_as_right(client: type[ReferenceClient]) -> type[ReferenceClient]:
    VARIANTS.append(client)
    return client


@just_as_right
class AnswersInThePause(ReferenceClient):
    answers_early = False


@just_as_right
class AnswersInOneAppend(ReferenceClient):
    answers_early = False

    def start_required(self, response: Event) -> None:
        required = {each["call_id"] for each in response["required_input"]}
        items = [item for item in response["output"] if item.get("call_id") in required - self.started]
        self.started |= {item["call_id"] for item in items}
        self.tasks.add(asyncio.ensure_future(self.answer_all(items)))

    async def answer_all(self, items: list[Event]) -> None:
        await self.append([await self.output_of(item) for item in items])


@just_as_right
class SendsAllAgain(ReferenceClient):
    """Also what the server no longer asks for."""

    def is_wanted(self, append: Event) -> bool:
        return True


@just_as_right
class ResumesOnTheSameConnection(ReferenceClient):
    async def missing(self, event: Event) -> None:
        if not self.is_resuming:
            await self.resume()
        elif self.replay_until >= 0:
            raise Broken("a gap in a replay")

    async def count(self, event: Event) -> None:
        if self.is_resuming and self.replay_until < 0:
            return  # sent before the resume was read
        await super().count(event)


@just_as_right
class CancelsWhatItCannotDo(ReferenceClient):
    async def call(self, name: str, arguments: Event) -> str:
        try:
            return await super().call(name, arguments)
        except (ValueError, TypeError, KeyError):
            await self.send({"type": "response.cancel", "response_id": self.response_id})
            raise asyncio.CancelledError from None


@just_as_right
class EndsWhenSomethingIsWrong(ReferenceClient):
    """No JSON, a gap: that it says so is enough."""

    async def missing(self, event: Event) -> None:
        raise GivenUp("a gap")

    def decode(self, frame: str | bytes) -> Event | None:
        try:
            return super().decode(frame)
        except Broken as error:
            raise GivenUp(str(error)) from None


@just_as_right
class GivesTextAlone(ReferenceClient):
    def give(self, event: Event) -> None:
        if event["type"] == "response.output_text.delta":
            super().give(event)


@just_as_right
class GivesNothing(ReferenceClient):
    def give(self, event: Event) -> None:
        pass


@just_as_right
class SteersTheModel(ReferenceClient):
    async def append(self, items: list[Event]) -> None:
        steer = {"type": "message", "role": "user", "content": f"Mind {items[0]['call_id']}."}
        await super().append([*items, steer])
