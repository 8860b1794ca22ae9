"""The ``tool_choice`` of a request in one form, whichever of the known ones it came in."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..protocol.errors import Unsupported
from .tool_types import IGNORED, REFUSED


def read_tool_choice(value: object) -> Any:
    """A request's ``tool_choice`` as the Responses API writes it, for :func:`.constraints.make_constraints` and for the
    Response.

    Clients that come from chat completions nest the name (``{"type": "function", "function": {"name": ...}}``) and the
    allowed tools (``{"type": "allowed_tools", "allowed_tools": {"mode": ..., "tools": [...]}}``); both are flattened.
    Null is ``auto``. Of allowed tools, those that :mod:`.tool_types` passes over are passed over here too; if no other
    is left, no tool is allowed, which is ``none``. What is no tool choice at all comes back as it is, for
    ``make_constraints`` to refuse.

    :raises Unsupported: a tool has to be called that is of a type that isn't run here.
    """
    if value is None:
        return "auto"
    if not isinstance(value, Mapping):
        return value
    if value.get("type") == "allowed_tools":
        return _allowed(value)
    _check_type(value, "tool_choice")
    return _flat(value)


def _allowed(value: Mapping[Any, Any]) -> Any:
    inner = value.get("allowed_tools", value)
    if not isinstance(inner, Mapping) or not isinstance(inner.get("tools"), list) or not inner["tools"]:
        return value
    mode = "auto" if inner.get("mode") is None else inner["mode"]
    if mode == "none":
        return "none"
    usable = [_flat(tool) for tool in inner["tools"] if _type(tool) not in IGNORED]
    if usable:
        return {"type": "allowed_tools", "mode": mode, "tools": usable}
    if mode == "auto":
        return "none"
    raise Unsupported("None of the allowed tools is of a type that is run here.", param="tool_choice.tools")


def _flat(tool: Any) -> Any:
    function = tool.get("function") if _type(tool) == "function" else None
    if isinstance(function, Mapping) and "name" not in tool:
        return {"type": "function", "name": function.get("name")}
    return dict(tool) if isinstance(tool, Mapping) else tool


def _check_type(choice: Mapping[Any, Any], at: str) -> None:
    kind = _type(choice)
    if kind in IGNORED or kind in REFUSED:
        raise Unsupported(f"Tools of type {kind!r} are not run here: none can be chosen.", param=at)


def _type(tool: Any) -> str | None:
    kind = tool.get("type") if isinstance(tool, Mapping) else None
    return kind if isinstance(kind, str) else None
