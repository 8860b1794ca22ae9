"""Reading what the client under test appends, and holding it against what an append may be."""

from __future__ import annotations

import json
from typing import Any

from .client_contract import ECHO
from .events import Event, item_of, mapping, objects, response_of
from .outcome import CheckFailed, Violation
from .usage_rule import Complain

_MESSAGE_ROLES = ("user", "developer", "system")


class AppendReader:
    """The appends of one Response, over all its connections.

    ``told`` are the calls that the client was sent as done or required; ``accepted`` those whose output is taken in.
    ``may_repeat`` is set once a connection was lost: from then on an output may come again.
    """

    def __init__(self, response_id: str, create: Event, complain: Complain) -> None:
        self.told: set[str] = set()
        self.accepted: set[str] = set()
        self.may_repeat = False
        self._response_id = response_id
        self._complain = complain
        self._calls: dict[str, Event] = {}
        self._heard: dict[str, tuple[str, str]] = {}
        self._begun_with = _messages_of(create.get("input"))
        self._said: set[tuple[str, str]] = set()

    def announce(self, event: Event) -> None:
        """The client is sent this event."""
        item = item_of(event)
        if "call_id" in item:
            self._calls[item["call_id"]] = dict(item)
            if event["type"] == "response.output_item.done" and _is_local(item) and item.get("status") == "completed":
                self.told.add(item["call_id"])
        self.told.update(each["call_id"] for each in objects(response_of(event).get("required_input")))

    def read(self, append: Event) -> dict[str, Event]:
        """Its outputs, by ``call_id``.

        :raises Violation, CheckFailed: the Response could not take it.
        """
        if append.get("response_id") not in (None, self._response_id):
            raise CheckFailed(f"an append is for Response {append['response_id']!r}; there is none but this one")
        items = objects(append.get("input"))
        if not items:
            raise CheckFailed("an append holds no items")
        outputs: dict[str, Event] = {}
        for item in items:
            kind = item.get("type", "message" if "role" in item else None)
            if kind == "function_call_output":
                outputs[str(item.get("call_id"))] = item
                self._check_output(item)
            elif kind == "message" and item.get("role") in _MESSAGE_ROLES:
                self._check_message(item)
            else:
                what = f"an assistant's {kind}" if item.get("role") == "assistant" else f"an item of the type {kind!r}"
                self._complain("client-no-history", f"an append brings {what}, which is not the client's to say")
        return outputs

    def _check_output(self, item: Event) -> None:
        call_id = str(item.get("call_id"))
        if call_id not in self.told:
            raise Violation("client-own-calls", f"an append answers {call_id!r}, {self._why_not(call_id)}")
        text = text_of(item.get("output"))
        heard = (text, str(item.get("status") or "completed"))
        if self._heard.setdefault(call_id, heard) != heard:
            before = self._heard[call_id]
            raise Violation("client-same-output", f"the output of {call_id!r} was {before!r}, and is {heard!r} now")
        if call_id in self.accepted and not self.may_repeat:
            self._complain("client-no-history", f"an append brings the output of {call_id!r} again, without a loss")
        wanted = _echoed(self._calls.get(call_id, {}))
        if wanted is not None and wanted not in text:
            raise Violation("client-answers-all", f"{call_id!r} is {ECHO}({wanted!r}), and is answered with {text!r}")

    def _why_not(self, call_id: str) -> str:
        call = self._calls.get(call_id)
        if call is None:
            return "a call that there is not"
        if not _is_local(call):
            return "a call of a hosted tool"
        if call.get("status") == "incomplete":
            return "a call that is incomplete and that no required_input names"
        return "whose response.output_item.done has not come yet"

    def _check_message(self, item: Event) -> None:
        said = (str(item.get("role")), text_of(item.get("content")))
        is_known = said in self._begun_with or (said in self._said and not self.may_repeat)
        if is_known:
            self._complain("client-no-history", f"an append brings the message {said[1][:60]!r} again")
        self._said.add(said)


def text_of(value: object) -> str:
    """A string, or the text of a list of parts."""
    if isinstance(value, str):
        return value
    return "".join(str(part.get("text", "")) for part in objects(value))


def _messages_of(value: Any) -> set[tuple[str, str]]:
    """Role and text of the messages of a create's input."""
    if isinstance(value, str):
        return {("user", value)}
    return {(str(item["role"]), text_of(item.get("content"))) for item in objects(value) if "role" in item}


def _is_local(item: Any) -> bool:
    return bool(item.get("type") == "function_call")


def _echoed(call: Event) -> str | None:
    """What the tool ``ECHO`` has to return; None for other calls, and for arguments that it can't take."""
    if call.get("name") != ECHO:
        return None
    try:
        text = mapping(json.loads(call["arguments"])).get("text")
    except ValueError:
        return None
    return text if isinstance(text, str) else None
