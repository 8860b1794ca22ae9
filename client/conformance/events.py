"""Reading JSON that may be anything: the peer under test is not trusted to send what it should."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Event = dict[str, Any]
"""A decoded message, either way."""

TERMINAL = ("response.completed", "response.failed", "response.incomplete", "response.cancelled")

ACKNOWLEDGEMENT = "response.appended"


def mapping(value: object) -> Mapping[str, Any]:
    """It, if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def objects(value: object) -> list[Event]:
    """The objects of a list; none if it is no list."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def response_of(event: Event) -> Mapping[str, Any]:
    return mapping(event.get("response"))


def item_of(event: Event) -> Mapping[str, Any]:
    return mapping(event.get("item"))


def error_code(event: Event) -> str:
    return str(mapping(event.get("error")).get("code"))


def error_message(event: Event) -> str:
    return str(mapping(event.get("error")).get("message"))


def call_ids(items: object) -> list[str]:
    """Of the outputs in the input of an append."""
    return [str(item.get("call_id")) for item in objects(items) if item.get("type") == "function_call_output"]


def usage_of(event: Event) -> dict[str, int]:
    """The counts of a pause or an end."""
    usage = mapping(response_of(event).get("usage"))
    return {name: value for name, value in usage.items() if is_count(value)}
