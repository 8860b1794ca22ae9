"""Tools by their ``type``: which are served, which are passed over, which are refused.

=====================================================  =================================================================
``function``                                           served: the client runs them
``caesura:...``                                        served if :mod:`.hosted` has it, else refused
``custom``, ``local_shell``, ``shell``,                passed over
``apply_patch``, ``web_search*``, ``tool_search``,
``namespace``, ``programmatic_tool_calling``
``file_search``, ``code_interpreter``, ``mcp``,        refused
``image_generation``, ``computer*``
any other                                              passed over
=====================================================  =================================================================

Passed over is what coding agents attach to every request unasked (Codex CLI: ``local_shell``, ``custom``,
``web_search``, ``namespace``, ``tool_search``), and what their work goes on without, by the functions beside it. The
Response says so in ``caesura.ignored_tools``. Refused is what somebody configured because the task is about it: a
vector store, a server to call, a screen. An answer made without it would look like one made with it.
"""

from __future__ import annotations

IGNORED = frozenset(
    {
        "apply_patch",
        "custom",
        "local_shell",
        "namespace",
        "programmatic_tool_calling",
        "shell",
        "tool_search",
        "web_search",
        "web_search_2025_08_26",
        "web_search_preview",
        "web_search_preview_2025_03_11",
    }
)
"""The known types that are passed over. The unknown ones are too."""

REFUSED = frozenset(
    {
        "code_interpreter",
        "computer",
        "computer_use",
        "computer_use_preview",
        "file_search",
        "image_generation",
        "mcp",
    }
)

HOSTED_PREFIX = "caesura:"
"""Begins the type of a tool that only this project's server could run."""
