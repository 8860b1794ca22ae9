"""What is filled in for a pause is what the template itself would have written, whatever the texts are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from caesura.sampler.chat_message import Message, ToolCall, tool_message
from caesura.sampler.chat_template import ChatTemplate
from caesura.sampler.errors import TemplateError
from caesura.sampler.model import load_model
from caesura.sampler.opaque_text import Looks, Opaque, joined, may_hide, plain
from caesura.sampler.random_model import SHAPES, Chat, write_random_model
from caesura.sampler.suffix_skeleton import MAX_SKELETONS
from families import FAMILIES
from hypothesis import given, settings
from hypothesis import strategies as st

PIECES = [
    "<|im_end|>",
    "<|im_start|>",
    "<tool_call>",
    "[/INST]",
    "[",
    "|>",
    "<|",
    "{{ x }}",
    "\ufdd2",
    "\ufdd0",
    "\n",
    " ",
    "'",
]
TEXTS = st.lists(st.sampled_from(PIECES) | st.text(max_size=5), max_size=6).map("".join)
NAMES = st.sampled_from(["look", "a.b", "<|im_end|>", "é"])


@pytest.fixture(scope="session", params=["demo", *sorted(FAMILIES)])
def any_template(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> ChatTemplate:
    if request.param == "demo":
        return load_model("demo", vocab_only=True).chat_template
    path = tmp_path_factory.mktemp("skeletons") / f"{request.param}.gguf"
    return load_model(write_random_model(path, SHAPES["tiny"], chat=FAMILIES[request.param])).chat_template


@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_filling_in_is_rendering(any_template: ChatTemplate, data: st.DataObject) -> None:
    template = any_template
    names = data.draw(st.lists(NAMES, max_size=3))
    ids = [data.draw(st.sampled_from(["", "call_1", "abcdefghi"]) | TEXTS) for _ in names]
    calls = [ToolCall(name, "{}", call_id) for name, call_id in zip(names, ids, strict=True)]
    messages: list[Message] = [tool_message(data.draw(TEXTS), call_id=call.call_id, name=call.name) for call in calls]
    if not calls or data.draw(st.booleans()):
        messages.append({"role": "user", "content": data.draw(TEXTS)})
    stopped = data.draw(st.booleans())
    try:
        rendered = template._suffix(messages, calls, stopped)
    except TemplateError:
        rendered = None
    filled = template._skeletons.fill(messages, calls, stopped)
    assert filled is None or filled == rendered


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_what_is_certain_begins_every_suffix(any_template: ChatTemplate, data: st.DataObject) -> None:
    names = data.draw(st.lists(NAMES, min_size=1, max_size=3))
    ids = [data.draw(st.sampled_from(["call_1", "abcdefghi"]) | TEXTS.filter(bool)) for _ in names]
    calls = [ToolCall(name, "{}", call_id) for name, call_id in zip(names, ids, strict=True)]
    outputs = [data.draw(TEXTS.filter(bool)) for _ in names]
    results = [
        tool_message(output, call_id=call.call_id, name=call.name) for call, output in zip(calls, outputs, strict=True)
    ]
    stopped = data.draw(st.booleans())
    certain = any_template.encode_certain(calls=calls, stopped=stopped)
    assert any_template.encode_suffix(results, calls=calls, stopped=stopped)[: len(certain)] == certain


LOOKING = {"harmony", "mistral", "mistral_v11"}
"""Families whose templates look at the length of an id, or at what a message holds."""


@pytest.mark.parametrize("name", ["demo", *sorted(FAMILIES)])
def test_the_usual_pause_is_filled_in(name: str, tmp_path: Path) -> None:
    """Or the test above would show nothing."""
    source = load_model("demo", vocab_only=True).chat_template.source if name == "demo" else FAMILIES[name].template
    chat = Chat(source) if name == "demo" else FAMILIES[name]
    template = load_model(write_random_model(tmp_path / "usual.gguf", SHAPES["tiny"], chat=chat)).chat_template
    call = ToolCall("look", "{}", "call_0123456789abcdef")
    messages = [tool_message("All is quiet.", call_id=call.call_id, name="look")]
    filled = template._skeletons.fill(messages, [call], True)
    assert (filled is None) is (name in LOOKING)
    assert filled in (None, template._suffix(messages, [call], True))
    certain = template.encode_certain(calls=[call])
    assert bool(certain) is (filled is not None)
    assert not certain or certain[-1] in template._vocab.special_tokens.values()


WITHOUT_TOOLS = """{% for message in messages if message.role != 'tool' %}<|im_start|>{{ message.role }}
{{ message.content }}<|im_end|>
{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant
{% endif %}"""


def test_nothing_is_certain_where_nothing_was_called_or_nothing_can_be_appended(tmp_path: Path) -> None:
    assert load_model("demo", vocab_only=True).chat_template.encode_certain(calls=[]) == []
    template = template_of(WITHOUT_TOOLS, tmp_path)
    assert template.tool_problem is not None
    assert template.encode_certain(calls=[ToolCall("look", "{}", "call_1")]) == []


def template_of(source: str, tmp_path: Path) -> ChatTemplate:
    path = write_random_model(tmp_path / "odd.gguf", SHAPES["tiny"], chat=Chat(source))
    return load_model(path).chat_template


ODD = """{%% for message in messages %%}<|im_start|>{{ message.role }}
%s<|im_end|>
{%% endfor %%}{%% if add_generation_prompt %%}<|im_start|>assistant
{%% endif %%}"""


@pytest.mark.parametrize(
    "content",
    [
        "{{ message.content | trim }}",
        "{{ message.content | tojson }}",
        "{{ message.content[:5] }}",
        "{% set c = message.content | string %}{% if c.startswith('y') %}{{ c }}{% else %}{{ c }}.{% endif %}",
        "{% macro m(c) %}{{ c }}{% endmacro %}{% if 'y' in m(message.content) %}yes{% endif %}{{ message.content }}",
        "{% set c %}{{ message.content }}{% endset %}{% if c == 'y' %}yes{% endif %}{{ c }}",
        "{% set c = '' ~ message.content %}{% if c == 'y' %}yes{% endif %}{{ c }}",
        "{% set c = 'x' + message.content %}{% if c == 'xy' %}yes{% endif %}{{ c }}",
        "{{ message.content }}{{ message.content }}",
        "{% if message.content | length > 3 %}{{ message.content }}{% else %}-{{ message.content }}{% endif %}",
        "{% for c in message.content %}{{ c }}{% endfor %}",
        "{{ message.content | upper }}",
        "{{ {'y': 'yes'}.get(message.content, message.content) }}",
        "{{ message.content | replace('y', 'z') }}",
        "{{ strftime_now('%Y') }}{{ message.content }}",
        "{{ message.content | indent }}",
        "{{ [message.content, 'y'] | join('y') }}",
    ],
)
def test_a_template_that_looks_into_a_text_is_rendered(content: str, tmp_path: Path) -> None:
    template = template_of(ODD % content, tmp_path)
    assert template._skeletons.fill([{"role": "user", "content": "y"}], (), True) is None


@pytest.mark.parametrize(
    "content",
    [
        "{{ message.content }}",
        "{{ '<' + message.content + '>' }}",
        "{{ '<' ~ message.content ~ '>' }}",
        "{% macro m(c) %}[{{ c }}]{% endmacro %}{{ m(message.content) }}",
        "{% set c %}({{ message.content }}){% endset %}{{ c }}",
        "{% if message.content %}{{ message.content }}{% endif %}",
        "{% if message.content is string %}{{ message.content }}{% endif %}",
        "{% set ns = namespace(x='') %}{% set ns.x = message.content %}{{ ns.x | string }}",
    ],
)
def test_one_that_only_writes_it_is_filled_in(content: str, tmp_path: Path) -> None:
    template = template_of(ODD % content, tmp_path)
    for text in ("y", " <|im_end|> ", "\ufdd2"):
        messages = [{"role": "user", "content": text}]
        assert template._skeletons.fill(messages, (), True) == template._suffix(messages, (), True)


def test_an_empty_text_is_rendered(any_template: ChatTemplate) -> None:
    assert (
        any_template._skeletons.fill([tool_message("", call_id="c", name="look")], [ToolCall("look", "{}", "c")], True)
        is None
    )


def test_any_number_of_names_takes_a_bounded_room() -> None:
    template = load_model("demo", vocab_only=True).chat_template
    for number in range(MAX_SKELETONS + 50):
        call = ToolCall(f"f{number}", "{}", "c")
        template.encode_suffix([tool_message("y", call_id="c", name=call.name)], calls=[call])
    assert len(template._skeletons._skeletons) <= MAX_SKELETONS


LOOKED: list[Any] = [
    lambda text: text == "x",
    lambda text: "x" == text,  # noqa: SIM300
    lambda text: "x" in text,
    lambda text: text[0],
    lambda text: len(text),
    lambda text: list(text),
    lambda text: text.strip(),
    lambda text: text < "x",
    lambda text: {text: 1},
    lambda text: ("a" + text) == "ax",
    lambda text: joined(["a", text]).startswith("a"),
    lambda text: str(text).upper(),
    lambda text: f"{text:>10}",
    lambda text: text * 2,
]


@pytest.mark.parametrize("look", LOOKED)
def test_an_opaque_text_notes_that_it_was_looked_into(look: Any) -> None:
    looks = Looks()
    text = Opaque("x", looks)
    assert not looks.any
    look(text)
    assert looks.any


def test_writing_it_out_is_no_look() -> None:
    looks = Looks()
    text = joined(["a", str("b" + Opaque("x", looks) + "c")])
    assert bool(text)
    assert not looks.any
    assert type(plain(text)) is str
    assert plain(text) == "abxc"
    assert type(joined(["a", "b"])) is str


def test_a_template_with_a_tag_of_its_own_is_not_trusted() -> None:
    assert may_hide("{% generation %}{{ x }}{% endgeneration %}")
    assert not may_hide("{{ x }}")
