"""Input items to the chat messages that a template renders (the chat-completions form that GGUF templates expect)."""

from __future__ import annotations

from collections.abc import Sequence

from ..protocol.errors import InvalidValue, ItemNotFound, ToolCallNotFound
from ..protocol.items import (
    Compaction,
    FunctionCall,
    FunctionCallOutput,
    HostedCall,
    InputItem,
    InputMessage,
    ItemReference,
    OtherItem,
    Reasoning,
)
from ..sampler.chat_template import Message, ToolCall, assistant_message, tool_message
from .compaction import as_message, decode_summary

_CALLS = (FunctionCall, HostedCall)

INTERRUPTED = "(no output: the call was interrupted)"
"""Stands in for the output of a call that the history leaves unanswered. Refusing such a history would make every
later turn of that client fail, since it can only grow."""


def chat_messages(instructions: str | None, items: Sequence[InputItem], *, num_earlier: int = 0) -> list[Message]:
    """The conversation as chat messages.

    ``instructions`` and the system or developer messages at the beginning become one system message: many templates
    accept only one, and only there. Text and calls that the assistant made between two outputs become one turn.
    Reasoning goes with what the assistant said or called next; what is shown of it is the template's business. A
    summary speaks as the user: a model made it of whatever tools returned, and it is to have no more say than that.

    The time is linear in the items.

    :param num_earlier: how many of the items are not of this request, for errors: they name those that are.
    :raises ToolCallNotFound: an output answers no call of this input.
    :raises InvalidValue: two calls of one turn have the same id, or a summary can't be read.
    :raises ItemNotFound: an item is referred to that nobody has looked up.
    """
    system = [instructions] if instructions else []
    messages: list[Message] = []
    hosted_outputs: list[Message] = []
    unanswered: dict[str, str] = {}
    thoughts: list[str] = []
    reasoning: dict[int, list[str]] = {}  # by the message's place; joined at the end, or a turn of many would be copied
    for at, item in enumerate(items, -num_earlier):
        if isinstance(item, Reasoning):
            thoughts.append(item.text)
            continue
        if isinstance(item, OtherItem):
            continue
        in_turn = bool(messages) and messages[-1]["role"] == "assistant"
        same_turn = in_turn and isinstance(item, _CALLS)
        if hosted_outputs and not same_turn:
            messages += hosted_outputs
            hosted_outputs.clear()
        if unanswered and not same_turn and not isinstance(item, FunctionCallOutput):
            messages += [tool_message(INTERRUPTED, call_id=call, name=name) for call, name in unanswered.items()]
            unanswered.clear()
        if isinstance(item, _CALLS):
            if item.call_id in unanswered:
                at_call = f"input[{at}].call_id"
                raise InvalidValue(f"Two calls of one turn have call_id {item.call_id!r}.", param=at_call)
            if not same_turn:
                messages.append(assistant_message(""))
            messages[-1]["tool_calls"].append(ToolCall(item.name, item.arguments, item.call_id))
            reasoning.setdefault(len(messages) - 1, []).extend(thoughts)
        match item:
            case FunctionCallOutput(call_id=call_id):
                if call_id not in unanswered:
                    raise ToolCallNotFound(
                        f"No function_call with call_id {call_id!r} comes before its output in 'input'.",
                        param=f"input[{at}].call_id",
                    )
                messages.append(tool_message(shown(item), call_id=call_id, name=unanswered.pop(call_id)))
            case FunctionCall(call_id=call_id, name=name):
                unanswered[call_id] = name
            case InputMessage(role="assistant", text=text):
                reasoning[len(messages)] = thoughts
                messages.append(assistant_message(text))
            case InputMessage(role="user", text=text):
                messages.append({"role": "user", "content": text})
            case Compaction(encrypted_content=content):
                summary = decode_summary(content, param=f"input[{at}].encrypted_content")
                messages.append({"role": "user", "content": as_message(summary)})
            case ItemReference(id=item_id):
                raise ItemNotFound(f"Item with id {item_id[:80]!r} not found.", param=f"input[{at}].id")
            case InputMessage(text=text) if messages:
                messages.append({"role": "system", "content": text})
            case InputMessage(text=text):
                system.append(text)
            case HostedCall(call_id=call_id, name=name, output=output):
                hosted_outputs.append(tool_message(output or "", call_id=call_id, name=name))
        if thoughts:
            thoughts = []
    for place, parts in reasoning.items():
        if parts:
            messages[place] = {**messages[place], "reasoning": "".join(parts)}
    messages += hosted_outputs
    messages += [tool_message(INTERRUPTED, call_id=call, name=name) for call, name in unanswered.items()]
    return [{"role": "system", "content": "\n\n".join(system)}, *messages] if system else messages


def num_assistant_turns(messages: Sequence[Message]) -> int:
    """How many turns the assistant has had."""
    return sum(message["role"] == "assistant" for message in messages)


def shown(output: FunctionCallOutput) -> str:
    """What the model reads of an output. A chat template has no place for its status."""
    failed = output.status == "failed" and not output.output.startswith("Error")
    return f"Error: {output.output}" if failed else output.output
