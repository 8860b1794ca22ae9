"""Items of the Responses API that no server of this project makes, and that clients have in their histories.

=====================================================  =================================================================
``custom_tool_call``, ``local_shell_call``,            read as a function call
``shell_call``, ``apply_patch_call``
the ``..._output`` of these                            read as the call's output
``mcp_call``                                           read as a hosted call with its output
``web_search_call``, ``file_search_call``,             passed over: what another server's tool did, with nothing in it
``code_interpreter_call``, ``computer_call``,          that a model could read
``image_generation_call``, ``mcp_list_tools``,
``mcp_approval_*``, ``tool_search_*``, ``program*``,
``ghost_snapshot``
``computer_call_output``                               refused: a picture
``additional_tools``, ``configuration_update``,        refused: they ask for something
``compaction_trigger``
=====================================================  =================================================================

A call that were passed over would leave its output, which often is a plain ``function_call_output``, without a call,
and the model without what it has done. So what has a call's form is read as one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from .errors import Unsupported, UnsupportedContent

PASSED_OVER = frozenset(
    {
        "code_interpreter_call",
        "computer_call",
        "file_search_call",
        "ghost_snapshot",
        "image_generation_call",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_list_tools",
        "program",
        "program_output",
        "tool_search_call",
        "tool_search_output",
        "web_search_call",
    }
)

_CALLS: Mapping[str, tuple[str | None, str]] = {
    "custom_tool_call": (None, "input"),
    "local_shell_call": ("local_shell", "action"),
    "shell_call": ("shell", "action"),
    "apply_patch_call": ("apply_patch", "operation"),
}
"""The function that the call was of (None: its ``name`` says so), and the field that its arguments are in."""

_REFUSED = {
    "additional_tools": "Give the tools in 'tools'.",
    "configuration_update": "Say in the request's own fields what shall change.",
    "compaction_trigger": "Send the conversation to /v1/responses/compact.",
}


def own_form(raw: Mapping[str, Any], at: str) -> Mapping[str, Any]:
    """The item of ours that stands for this one; itself if it is none of those above, or one that is passed over.

    :raises Unsupported, UnsupportedContent: it is one of those that are refused.
    """
    kind = raw.get("type")
    if not isinstance(kind, str):
        return raw
    if kind in _CALLS:
        name, field = _CALLS[kind]
        given = raw.get(field)
        arguments = given if isinstance(given, dict) else {field: given}
        return {
            "type": "function_call",
            "call_id": raw.get("call_id") or raw.get("id"),
            "name": name or raw.get("name"),
            "arguments": json.dumps(arguments, ensure_ascii=False),
        }
    if kind.removesuffix("_output") in _CALLS:
        return {
            "type": "function_call_output",
            "call_id": raw.get("call_id") or raw.get("id"),
            "output": _readable(raw.get("output")),
            "status": "failed" if raw.get("status") == "failed" else "completed",
        }
    if kind == "mcp_call":
        output = raw.get("output")
        shown = output if output is not None else raw.get("error")
        return {**raw, "type": "caesura:hosted_call", "call_id": raw.get("id"), "output": _readable(shown)}
    if kind == "computer_call_output":
        raise UnsupportedContent(f"'{at}' is a picture of a screen, and this model reads text alone.", param=at)
    if kind in _REFUSED:
        raise Unsupported(f"Items of type {kind!r} are not supported. {_REFUSED[kind]}", param=f"{at}.type")
    return raw


def _readable(output: Any) -> Any:
    """What is no text and no list of content parts, as JSON: a shell's output comes as objects."""
    if output is None:
        return ""
    if isinstance(output, str) or (isinstance(output, list) and all(_is_part(part) for part in output)):
        return output
    return json.dumps(output, ensure_ascii=False)


def _is_part(part: Any) -> bool:
    return isinstance(part, Mapping) and isinstance(part.get("type"), str)
