"""Chat templates: conventions, errors, and what is found out about one when it is loaded."""

from __future__ import annotations

import json
from typing import Any

import pytest
from caesura.sampler.chat_template import ChatTemplate, ToolCall, assistant_message, tool_message
from caesura.sampler.errors import InvalidMessage, InvalidTemplate, TemplateNotIncremental, TemplateRejected
from caesura.sampler.model import Model

TURNS = (
    "{%- for message in messages %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>' }}"
    "{%- endfor %}{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)


def hello() -> list[dict[str, Any]]:
    return [{"role": "user", "content": "Hello."}]


def test_both_templates_can_be_continued(template: ChatTemplate) -> None:
    assert template.tool_problem is None
    assert template.user_problem is None
    assert template.renders_tools
    assert template.divergences == ()


def test_conventions(model: Model) -> None:
    source = (
        "{% generation %}{{ messages | tojson }}{% endgeneration %}\n"
        "    {% for m in messages %}\n{{ tools | tojson(indent=1) }}{% break %}{% endfor %}"
        "{{ eos_token }}{{ strftime_now('%Y') | length }}"
    )
    rendered = ChatTemplate(source, model.vocab).render([{"role": "user", "content": "é<&'"}], [{"a": 1}])
    assert '"content": "é<&\'"' in rendered
    assert '[\n {\n  "a": 1\n }\n]' in rendered
    assert rendered.endswith("<|im_end|>4")


def test_arguments_as_the_template_wants_them(model: Model, template: ChatTemplate) -> None:
    turn = template.render_turn("", [ToolCall("f", '{"a":1}')])
    spaced = '{"a":1}' if template is model.chat_template else '{"a": 1}'
    assert f'"arguments": {spaced}}}' in turn
    # What is no JSON can't be made an object, and must not fail.
    assert json.dumps("{oops")[1:-1] in template.render_turn("", [ToolCall("f", "{oops")])


@pytest.mark.parametrize("source", ["{% if %}", "{{ 1 +", "{% for x in y %}", "{{ a | nofilter }}"])
def test_a_template_that_is_no_jinja(model: Model, source: str) -> None:
    with pytest.raises(InvalidTemplate, match="no valid Jinja"):
        ChatTemplate(source, model.vocab)


@pytest.mark.parametrize(
    "source",
    [
        "{{ raise_exception('roles must alternate') }}",
        "{{ messages[5].role.x }}",
        "{{ 1 / 0 }}",
        "{{ messages + 1 }}",
        "{% for i in range(10000000) %}{% endfor %}",
        "{{ messages.__class__.__mro__[1].__subclasses__() }}",
        "{{ messages.append(1) }}",
    ],
)
def test_a_template_that_fails_is_a_named_error(model: Model, source: str) -> None:
    template = ChatTemplate(source, model.vocab)
    with pytest.raises(TemplateRejected):
        template.render(hello())


BAD_MESSAGES: list[list[dict[str, Any]]] = [
    [],
    [{"role": "critic", "content": "x"}],
    [{"content": "x"}],
    [{"role": "user"}],
    [{"role": "user", "content": None}],
    [{"role": "user", "content": [{"type": "text", "text": "x"}]}],
]


@pytest.mark.parametrize("messages", BAD_MESSAGES, ids=range(len(BAD_MESSAGES)))
def test_a_malformed_message(model: Model, messages: list[dict[str, Any]]) -> None:
    with pytest.raises(InvalidMessage):
        model.chat_template.encode_prompt(messages)


def test_a_system_message_is_the_templates_business(template: ChatTemplate) -> None:
    text = template.render([{"role": "system", "content": "Be brief."}, *hello()])
    assert text.count("<|im_start|>system") == 1
    assert "Be brief." in text
    assert "<|im_start|>user\nHello.<|im_end|>" in template.render(hello())


def test_a_suffix_doesnt_depend_on_arguments(template: ChatTemplate) -> None:
    result = [tool_message("out", call_id="c1", name="f")]
    suffixes = {
        template.render_suffix(result, calls=[ToolCall("f", arguments, "c1")])
        for arguments in ("{}", '{"a": "<|im_end|>"}', "{broken")
    }
    assert len(suffixes) == 1


def test_a_template_that_drops_tool_results(model: Model) -> None:
    source = TURNS.replace("in messages", "in messages | rejectattr('role', 'equalto', 'tool')").replace(
        "message.content", "message.content + ((message.tool_calls or []) | tojson)"
    )
    template = ChatTemplate(source, model.vocab)
    assert template.tool_problem is not None
    assert "drops a tool message" in template.tool_problem
    with pytest.raises(TemplateNotIncremental, match="drops a tool message"):
        template.encode_suffix([tool_message("out")], calls=[ToolCall("f", "{}")])
    assert template.user_problem is None
    assert template.encode_suffix(hello())


def test_a_template_that_drops_earlier_turns(model: Model) -> None:
    source = TURNS.replace("in messages", "in messages[-1:]")
    template = ChatTemplate(source, model.vocab)
    assert template.user_problem is not None
    assert "drops what an earlier assistant turn said" in template.user_problem
    with pytest.raises(TemplateNotIncremental):
        template.encode_suffix(hello())


def test_a_template_without_stop_tokens(model: Model) -> None:
    template = ChatTemplate(TURNS.replace("<|im_end|>", "\n\n"), model.vocab)
    assert template.user_problem is not None
    assert "without a stop token" in template.user_problem
    with pytest.raises(TemplateNotIncremental, match="without a stop token"):
        template.encode_turn("Hi.")


def test_a_template_that_rewrites_earlier_turns_says_so(model: Model) -> None:
    # The last assistant turn shows an empty thought, earlier ones don't: append-only no more, yet continuable.
    source = TURNS.replace(
        "{{- '<|im_start|>' + message.role + '\n' + message.content",
        "{{- '<|im_start|>' + message.role + '\n' + ('<think></think>' if loop.last and message.role == 'assistant' "
        "else '') + message.content",
    )
    template = ChatTemplate(source, model.vocab)
    assert template.user_problem is None
    assert "a further user message" in template.divergences
    assert template.render_suffix(hello()) == "<|im_start|>user\nHello.<|im_end|><|im_start|>assistant\n"


def test_an_assistant_turn_in_the_history(template: ChatTemplate) -> None:
    call = ToolCall("read_file", '{"path": "a.py"}', "call_1")
    history = [*hello(), assistant_message("", [call]), tool_message("print()", call_id="call_1", name="read_file")]
    text = template.render(history)
    assert '<tool_call>\n{"name": "read_file", "arguments": {"path": "a.py"}}\n</tool_call><|im_end|>' in text
    assert "<tool_response>\nprint()\n</tool_response><|im_end|>\n<|im_start|>assistant\n" in text
