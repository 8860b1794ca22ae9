"""Hosted tools: run by the server, asked for by ``type`` in a request's ``tools``.

A hosted tool and a client's local tool are answered through the same pending call (:mod:`..pending`); the rollout
can't tell them apart.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from .calculate import CALCULATE, calculate


@dataclass(frozen=True, slots=True)
class HostedTool:
    """``function`` is the definition that the model sees; ``run`` takes its decoded arguments and gives the output.
    An exception that ``run`` raises becomes an output that says so."""

    function: Mapping[str, Any]
    run: Callable[[Mapping[str, Any]], Awaitable[str]]


HOSTED_TOOLS: Mapping[str, HostedTool] = {"caesura:calculate": HostedTool(CALCULATE, calculate)}
"""By the ``type`` that asks for it. The prefix is Open Responses' rule for an implementor's own tools."""
