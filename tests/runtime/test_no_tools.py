"""Where no tool can be called, a model that calls one all the same would wait for an answer that nobody gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from caesura.runtime.rollouts import Rollouts
from caesura.runtime.service import Service
from sockets import Socket, calls_of

Host = Callable[..., None]
TOOL = {"type": "function", "name": "look", "parameters": {"type": "object", "properties": {}}}


@pytest.mark.parametrize("fields", [{}, {"tools": [TOOL], "tool_choice": "none"}])
@pytest.mark.parametrize("temperature", [0.0, 0.7])
def test_the_model_does_not_call(host: Host, fields: dict[str, Any], temperature: float) -> None:
    async def scenario(rollouts: Rollouts, service: Service) -> None:
        socket = Socket(rollouts)
        said = ("Count from 1 to 5.", "What is 6 * 7?", "Say hello.")
        for number, text in enumerate(said):
            response = await socket.create(
                input=text, temperature=temperature, seed=number, max_output_tokens=60, store=False, **fields
            )
            assert not calls_of(response)
        await socket.lose()

    host(scenario)


def test_a_family_whose_calls_begin_with_a_special_token(model: Any) -> None:
    (token,) = model.call_tokens
    assert model.vocab.special_tokens["<tool_call>"] == token
