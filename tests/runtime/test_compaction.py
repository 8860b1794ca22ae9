"""What stands for a conversation that was summarised."""

from __future__ import annotations

import re

import pytest
from caesura.protocol.errors import InvalidValue
from caesura.protocol.items import Compaction, InputMessage
from caesura.runtime.compaction import decode_summary, encode_summary
from caesura.runtime.conversation import chat_messages
from hypothesis import given
from hypothesis import strategies as st


@given(st.text())
def test_a_summary_comes_back(text: str) -> None:
    encoded = encode_summary(text)
    assert re.fullmatch(r"[\w.-]+", encoded, re.ASCII)
    assert decode_summary(encoded) == text


@given(st.text(max_size=30), st.data())
def test_what_was_changed_is_refused(text: str, data: st.DataObject) -> None:
    encoded = encode_summary(text)
    at = data.draw(st.integers(0, len(encoded) - 1))
    changed = data.draw(
        st.sampled_from([encoded[:at], encoded[:at] + "A" + encoded[at + 1 :], encoded + "=", "A" + encoded])
    )
    if changed != encoded:
        with pytest.raises(InvalidValue):
            decode_summary(changed)


@given(st.text(max_size=30) | st.sampled_from(["gAAAAABpM0Yj-", "caesura1.", "caesura1.AAAA", "caesura1.ä"]))
def test_what_another_server_made_is_refused(value: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        decode_summary(value, param="input[0].encrypted_content")
    assert caught.value.param == "input[0].encrypted_content"


def test_the_model_reads_it_as_the_user_s_word() -> None:
    items = [Compaction(encrypted_content=encode_summary("They fixed it.")), InputMessage(role="user", text="go on")]
    system, summary, user = chat_messages("Be brief.", items)
    assert (system["role"], summary["role"], user["content"]) == ("system", "user", "go on")
    assert summary["content"].endswith("They fixed it.")


def test_one_that_can_not_be_read_is_named() -> None:
    items = [
        InputMessage(role="user", text="a"),
        InputMessage(role="user", text="b"),
        Compaction(encrypted_content="x"),
    ]
    with pytest.raises(InvalidValue) as caught:
        chat_messages(None, items, num_earlier=1)
    assert caught.value.param == "input[1].encrypted_content"
