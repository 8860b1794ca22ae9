"""Conversations as text: the chat template that is shipped in the model file, rendered as chat servers do."""

import json
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2.sandbox


def chat_template() -> str:
    """The template's source."""
    return (files(__package__) / "chat_template.jinja").read_text(encoding="utf-8")


@cache
def _compiled() -> jinja2.Template:
    environment = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    environment.filters["tojson"] = lambda value: json.dumps(value, ensure_ascii=False)
    return environment.from_string(chat_template())


def render(
    messages: Sequence[dict[str, Any]], tools: Sequence[dict[str, Any]] = (), generation_prompt: bool = False
) -> str:
    """The text of a conversation in OpenAI chat-completions form."""
    return _compiled().render(messages=messages, tools=tools, add_generation_prompt=generation_prompt)
