"""A small client of the protocol, made of plain dicts and websockets alone. It does everything right.

Run as a program it keeps to what ``caesura conform --client`` asks for. Each step is a method, so that a mutant can do
one of them wrong.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any
from uuid import uuid4

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, WebSocketException

APPEND_MODE = "responses_websockets=2026-02-04"
ENDS = ("response.completed", "response.failed", "response.incomplete", "response.cancelled")
TOOLS = {"echo": {"text": "string"}, "nonce": {}, "sleep": {"seconds": "number"}}

Event = dict[str, Any]


class Broken(Exception):
    """The connection is of no use any more."""


class GivenUp(Exception):
    """The Response can't be brought to its end."""


class ReferenceClient:
    """One rollout. ``tell`` is called with each line that it prints, ``complain`` with each for stderr."""

    first_wait = 0.02
    answers_early = True

    def __init__(
        self,
        url: str,
        tell: Callable[[str], None],
        complain: Callable[[str], None],
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self.url = url
        self.tell = tell
        self.complain = complain
        self.environment = environment or {}
        self.socket: ClientConnection | None = None
        self.response_id: str | None = None
        self.last = -1
        self.replay_until = -1
        self.is_resuming = False
        self.required: set[str] = set()
        self.started: set[str] = set()
        self.tasks: set[asyncio.Task[None]] = set()
        self.under_way: list[Event] = []
        self.unsent: list[Event] = []
        self.is_paused = False
        self.final: Event | None = None
        self.num_failures = 0

    # --- connections ----------------------------------------------------------------------------------------------

    async def run(self) -> int:
        """The exit status."""
        try:
            while self.final is None:
                try:
                    await self.carry()
                except (OSError, WebSocketException, Broken) as error:
                    self.complain(f"connection: {error!r}")
                    await self.before_reconnecting()
        except GivenUp as error:
            self.complain(f"given up: {error}")
        finally:
            for task in self.tasks:
                task.cancel()
        self.print_result()
        return 0 if self.final is not None and self.final["status"] == "completed" else 1

    async def carry(self) -> None:
        """One connection, to its end."""
        headers = {"OpenAI-Beta": APPEND_MODE}
        async with connect(
            self.url, additional_headers=headers, compression=None, proxy=None, close_timeout=1
        ) as self.socket:
            try:
                await self.begin()
                while self.final is None:
                    await self.receive(await self.socket.recv())
            finally:
                self.socket = None

    async def begin(self) -> None:
        """The first message on a connection."""
        if self.response_id is None:
            await self.create()
        else:
            await self.resume()

    async def before_reconnecting(self) -> None:
        most = int(self.environment.get("CAESURA_MAX_RECONNECTS", 8))
        if self.num_failures >= most:
            raise GivenUp("the server can't be reached")
        await asyncio.sleep(self.first_wait * 2**self.num_failures * random.uniform(0.5, 1))
        self.num_failures += 1

    async def create(self) -> None:
        tools = [
            {
                "type": "function",
                "name": name,
                "parameters": {"type": "object", "properties": {each: {"type": kind} for each, kind in fields.items()}},
            }
            for name, fields in TOOLS.items()
        ]
        model = self.environment.get("CAESURA_MODEL")
        await self.send({"type": "response.create", "model": model, "input": "Run the script.", "tools": tools})

    async def resume(self) -> None:
        self.is_resuming = True
        self.replay_until = -1
        await self.send(
            {"type": "response.resume", "response_id": self.response_id, "starting_after": self.resume_position()}
        )

    def resume_position(self) -> int:
        return self.last

    async def send(self, message: Event) -> None:
        assert self.socket is not None
        await self.socket.send(json.dumps(message))

    # --- what comes -----------------------------------------------------------------------------------------------

    async def receive(self, frame: str | bytes) -> None:
        event = self.decode(frame)
        if event is None:
            return
        match event["type"]:
            case "error":
                await self.refused(event)
            case "response.resumed":
                await self.resumed(event)
            case _ if "sequence_number" in event:
                await self.count(event)

    def decode(self, frame: str | bytes) -> Event | None:
        """An event; None to pass over the frame."""
        if isinstance(frame, bytes):
            raise Broken("a binary frame")
        try:
            return dict(json.loads(frame))
        except ValueError:
            raise Broken("a frame that is no JSON") from None

    async def count(self, event: Event) -> None:
        """Take in an event of the Response, at its place."""
        number = event["sequence_number"]
        if number <= self.last:
            return
        if number > self.last + 1:
            await self.missing(event)
            return
        await self.take(event)

    async def missing(self, event: Event) -> None:
        raise Broken(f"event {self.last + 1} is missing")

    async def take(self, event: Event) -> None:
        self.last = max(self.last, event["sequence_number"])
        self.num_failures = 0
        self.give(event)
        if self.is_paused and event["type"] != "response.appended":
            self.is_paused, self.under_way = False, []
        await self.handle(event)
        if self.is_resuming and -1 < self.replay_until <= self.last:
            await self.replayed()

    def give(self, event: Event) -> None:
        """To the user."""
        self.tell(json.dumps({"event": event["type"], "sequence_number": event["sequence_number"]}))

    async def handle(self, event: Event) -> None:
        match event["type"]:
            case "response.created":
                self.response_id = event["response"]["id"]
            case "response.appended":
                self.under_way = [each for each in self.under_way if calls_of(each) != set(event["answered"])]
            case "response.output_item.done" if self.answers_early:
                self.start(event["item"])
            case "response.done":
                await self.paused(event["response"])
            case kind if kind in ENDS:
                await self.ended(event["response"])

    async def paused(self, response: Event) -> None:
        self.is_paused = True
        self.start_required(response)

    def start_required(self, response: Event) -> None:
        required = {each["call_id"] for each in response["required_input"]}
        for item in response["output"]:
            if item.get("call_id") in required:
                self.start(item)

    async def ended(self, response: Event) -> None:
        self.final = response

    async def refused(self, error: Event) -> None:
        code = error["error"]["code"]
        if code == "websocket_connection_limit_reached":
            raise Broken(code)
        if code != "events_lost":
            raise GivenUp(code)
        await self.adopt(error["snapshot"])

    async def adopt(self, snapshot: Event) -> None:
        """Go on from a snapshot."""
        self.last = snapshot["sequence_number"]
        await self.resume()
        response = {"output": snapshot["response"]["output"], "required_input": snapshot["required_input"]}
        self.start_required(response)

    async def resumed(self, event: Event) -> None:
        self.replay_until = event["last_sequence_number"]
        self.required = {each["call_id"] for each in event["required_input"]}
        if self.replay_until <= self.last:
            await self.replayed()

    async def replayed(self) -> None:
        """All that was missed has come: send again what arrived nowhere."""
        self.is_resuming = False
        self.under_way = [each for each in self.under_way if self.is_wanted(each)]
        for append in self.under_way:
            await self.send_again(append)
        unsent, self.unsent = self.unsent, []
        for append in unsent:
            await self.send_append(append)

    def is_wanted(self, append: Event) -> bool:
        return bool(calls_of(append) & self.required)

    async def send_again(self, append: Event) -> None:
        await self.send(append)

    # --- tools ----------------------------------------------------------------------------------------------------

    def start(self, item: Event) -> None:
        if item["type"] != "function_call" or item["status"] != "completed" or item["call_id"] in self.started:
            return
        self.started.add(item["call_id"])
        task = asyncio.ensure_future(self.answer(item))
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)

    async def answer(self, item: Event) -> None:
        await self.append([await self.output_of(item)])

    async def output_of(self, item: Event) -> Event:
        try:
            output, status = await self.call(item["name"], json.loads(item["arguments"])), "completed"
        except (ValueError, TypeError, KeyError) as error:
            output, status = f"Error: {error!r}", "failed"
        return {"type": "function_call_output", "call_id": item["call_id"], "output": output, "status": status}

    async def call(self, name: str, arguments: Event) -> str:
        match name:
            case "echo":
                if not isinstance(arguments["text"], str):
                    raise TypeError("text")
                return str(arguments["text"])
            case "nonce":
                return uuid4().hex
            case "sleep":
                await asyncio.sleep(arguments["seconds"])
                return "slept"
        raise ValueError(f"no tool {name}")

    async def append(self, items: list[Event]) -> None:
        append = {"type": "response.append", "response_id": self.response_id, "input": items}
        if self.socket is None or self.is_resuming:
            self.unsent.append(append)
        else:
            await self.send_append(append)

    async def send_append(self, append: Event) -> None:
        self.under_way.append(append)
        with suppress(ConnectionClosed):  # the reader sees it too
            await self.send(append)

    def print_result(self) -> None:
        final = self.final or {"status": "failed", "output": []}
        texts = [item["content"][0]["text"] for item in final["output"] if item["type"] == "message"]
        self.tell(json.dumps({"status": final["status"], "text": texts[-1] if texts else ""}))


def calls_of(append: Event) -> set[str]:
    return {item["call_id"] for item in append["input"] if "call_id" in item}


def run(client: type[ReferenceClient]) -> int:
    """As a program."""

    def tell(line: str) -> None:
        print(line, flush=True)

    def complain(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    return asyncio.run(client(sys.argv[1], tell, complain, os.environ).run())


if __name__ == "__main__":
    sys.exit(run(ReferenceClient))
