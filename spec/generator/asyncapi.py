"""`spec/asyncapi.yaml`: AsyncAPI 3.0, from the server's side. Payloads are those of `schema.json`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import yaml
from caesura.protocol.opening import APPEND_MODE

from .shapes import CLIENT, CONNECTION, EVENTS, STREAM, Shape, shape

_QUERY, _, _VERSION = APPEND_MODE.partition("=")
_CHANNEL = "#/channels/responses"


def document() -> dict[str, Any]:
    """The whole document as data."""
    shapes = [shape(cls) for cls in (*CLIENT, *EVENTS, *CONNECTION)]
    return {
        "asyncapi": "3.0.0",
        "info": {
            "title": "The done/append protocol",
            "version": _VERSION,
            "description": "An agent's rollout as one long-running Response over a WebSocket. See PROTOCOL.md.",
            "license": {"name": "Apache-2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
        },
        "defaultContentType": "application/json",
        "servers": {
            "local": {"host": "127.0.0.1:8080", "protocol": "ws", "description": "`caesura serve`, or any other."}
        },
        "channels": {"responses": _channel(shapes)},
        "operations": {
            **{_operation_name(found): _operation("receive", [found]) for found in map(shape, CLIENT)},
            "sendStreamEvent": _operation("send", map(shape, STREAM)),
            "sendStateEvent": _operation("send", (shape(cls) for cls in EVENTS if cls not in STREAM)),
            "sendConnectionMessage": _operation("send", map(shape, CONNECTION)),
        },
        "components": {"messages": {str(found.tag): _message(found) for found in shapes}},
    }


def text() -> str:
    """The document as YAML."""
    made = yaml.safe_dump(document(), sort_keys=False, width=120, allow_unicode=True)
    return f"# Generated from the code by spec/generate.py; edit that instead.\n{made}"


def _channel(shapes: Iterable[Shape]) -> dict[str, Any]:
    return {
        "address": "/v1/responses",
        "description": "One connection with all its Responses. The header or the query parameter opens append mode.",
        "messages": {str(found.tag): {"$ref": f"#/components/messages/{found.tag}"} for found in shapes},
        "bindings": {
            "ws": {
                "method": "GET",
                "query": {
                    "type": "object",
                    "properties": {_QUERY: {"type": "string", "const": _VERSION}},
                },
                "headers": {
                    "type": "object",
                    "properties": {
                        "OpenAI-Beta": {
                            "type": "string",
                            "description": f"A list with commas that has `{APPEND_MODE}` in it.",
                            "examples": [APPEND_MODE],
                        },
                        "Authorization": {"type": "string", "examples": ["Bearer KEY"]},
                    },
                },
                "bindingVersion": "0.1.0",
            }
        },
    }


def _operation_name(found: Shape) -> str:
    return "receive" + str(found.tag).removeprefix("response.").capitalize()


def _operation(action: str, shapes: Iterable[Shape]) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": _CHANNEL},
        "messages": [{"$ref": f"{_CHANNEL}/messages/{found.tag}"} for found in shapes],
    }


def _message(found: Shape) -> dict[str, Any]:
    summary = {"summary": found.text.split("\n\n")[0]} if found.text else {}
    return {"name": found.tag, **summary, "payload": {"$ref": f"./schema.json#/$defs/{found.name}"}}
