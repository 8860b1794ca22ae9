"""asyncapi.yaml: every reference leads somewhere, every message is there, and is sent by one side."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from caesura.protocol.events import ServerEvent
from caesura.protocol.messages import ClientMessage

SPEC = Path(__file__).parents[2] / "spec"
CLIENT_TYPES = {cls.__struct_config__.tag for cls in get_args(ClientMessage)}
SERVER_TYPES = {cls.__struct_config__.tag for cls in get_args(ServerEvent)}


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return dict(yaml.safe_load((SPEC / "asyncapi.yaml").read_text(encoding="utf-8")))


def references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, inner in value.items():
            if key == "$ref":
                yield inner
            else:
                yield from references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from references(inner)


def resolved(reference: str, document: Any, schema: Any) -> Any:
    file, _, path = reference.partition("#/")
    found = {"": document, "./schema.json": schema}[file]
    for key in path.split("/"):
        found = found[key]
    return found


def test_it_is_of_version_3_and_has_the_parts_of_one(document: dict[str, Any]) -> None:
    assert document["asyncapi"] == "3.0.0"
    assert set(document) == {
        "asyncapi",
        "info",
        "defaultContentType",
        "servers",
        "channels",
        "operations",
        "components",
    }
    assert {"title", "version"} <= set(document["info"])
    assert all({"host", "protocol"} <= set(server) for server in document["servers"].values())


def test_every_reference_leads_somewhere(document: dict[str, Any], schema: dict[str, Any]) -> None:
    found = list(references(document))
    assert found
    for reference in found:
        assert resolved(reference, document, schema) is not None


def test_every_message_is_there_with_its_own_payload(document: dict[str, Any], schema: dict[str, Any]) -> None:
    found = document["components"]["messages"]
    assert set(found) == CLIENT_TYPES | SERVER_TYPES
    for name, message in found.items():
        payload = resolved(message["payload"]["$ref"], document, schema)
        assert payload["properties"]["type"]["const"] == message["name"] == name


def test_operations_are_the_servers(document: dict[str, Any]) -> None:
    """AsyncAPI describes one application, here the server: it receives what a client sends."""
    types: dict[str, list[str]] = {"receive": [], "send": []}
    for operation in document["operations"].values():
        assert operation["channel"] == {"$ref": "#/channels/responses"}
        for message in operation["messages"]:
            channel, _, name = message["$ref"].rpartition("/")
            assert channel == "#/channels/responses/messages"
            types[operation["action"]].append(name)
    assert sorted(types["receive"]) == sorted(CLIENT_TYPES)
    assert sorted(types["send"]) == sorted(SERVER_TYPES)
    assert set(document["channels"]["responses"]["messages"]) == CLIENT_TYPES | SERVER_TYPES
