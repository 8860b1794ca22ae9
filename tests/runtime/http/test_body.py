"""The body of a create."""

from __future__ import annotations

import json
from typing import Any

import pytest
from caesura.protocol.codec import decode_client_message, decode_create
from caesura.protocol.errors import CaesuraError, InvalidJson, InvalidValue, MessageTooDeep, MessageTooLarge
from caesura.protocol.limits import Limits
from hypothesis import given, settings
from hypothesis import strategies as st

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
FIELDS = st.sampled_from(
    ["model", "input", "store", "temperature", "tools", "metadata", "stop", "idempotency_key", "x"]
)
BODIES = st.dictionaries(FIELDS, VALUES, max_size=4)


def outcome(decode: Any, data: Any, limits: Limits) -> Any:
    try:
        return decode(data, limits)
    except CaesuraError as error:
        return type(error), error.param


@settings(max_examples=300, deadline=None)
@given(BODIES, st.booleans(), st.integers(1, 5), st.integers(20, 200))
def test_it_is_read_as_a_frame_with_a_type_is(body: dict[str, Any], ascii_only: bool, depth: int, size: int) -> None:
    typed = json.dumps({"type": "response.create", **body}, ensure_ascii=ascii_only)
    limits = Limits(max_depth=depth, max_message_bytes=size)
    assert outcome(decode_create, typed.encode(), limits) == outcome(decode_client_message, typed, limits)
    bare = json.dumps(body, ensure_ascii=ascii_only)
    unbounded = Limits()
    assert outcome(decode_create, bare.encode(), unbounded) == outcome(decode_client_message, typed, unbounded)


@given(st.binary(max_size=60))
def test_no_bytes_do_worse_than_an_error(data: bytes) -> None:
    outcome(decode_create, data, Limits())


@pytest.mark.parametrize(
    ("body", "error", "param"),
    [
        (b"", InvalidJson, None),
        (b"[]", InvalidJson, None),
        (b"null", InvalidJson, None),
        (b'"text"', InvalidJson, None),
        (b"\xef\xbb\xbf{}", InvalidJson, None),
        (b'{"input": "\xff"}', InvalidJson, None),
        (b'{"input": "\\ud800"}', InvalidJson, None),
        (b'{"input": "' + b"x" * 400 + b'"}', MessageTooLarge, None),
        (b'{"input": ' + b"[" * 9 + b"]" * 9 + b"}", MessageTooDeep, None),
        (b'{"input": ' + b"[" * 200, MessageTooDeep, None),
        (b'{"type": "response.append"}', InvalidValue, "type"),
        (b'{"stream": "yes"}', InvalidValue, "stream"),
        (b'{"metadata": {"a": 1}}', InvalidValue, "metadata[...]"),
    ],
)
def test_what_is_wrong_with_it_is_said(body: bytes, error: type[CaesuraError], param: str | None) -> None:
    with pytest.raises(error) as caught:
        decode_create(body, Limits(max_message_bytes=300, max_depth=8))
    assert caught.value.param == param


def test_half_of_a_pair_gets_a_hint() -> None:
    with pytest.raises(InvalidJson, match="half of a pair"):
        decode_create(rb'{"input": "\ud800"}')
