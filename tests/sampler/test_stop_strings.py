"""Stop strings are found wherever tokens are cut, and nothing of them is shown."""

from __future__ import annotations

from caesura.sampler.sampling_params import MAX_STOP_BYTES
from caesura.sampler.stop_strings import StopStringFilter, StopStringReader, StopStrings
from hypothesis import given
from hypothesis import strategies as st

# Few letters, so that strings overlap, contain and repeat each other.
LETTERS = st.text("abé", max_size=24)
STRINGS = st.lists(st.text("abé", min_size=1, max_size=5), min_size=1, max_size=5)


def first_match(text: bytes, strings: list[str]) -> tuple[int, int] | None:
    """Begin and end of the match that ends first; of several, the one that begins first."""
    ends = [(found + len(string), found) for string in map(str.encode, strings) if (found := text.find(string)) >= 0]
    if not ends:
        return None
    end = min(end for end, _ in ends)
    return min(begin for last, begin in ends if last == end), end


@st.composite
def chunked(draw: st.DrawFn) -> tuple[bytes, list[bytes]]:
    text = draw(LETTERS).encode()
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=8)))
    return text, [text[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


@given(chunked(), STRINGS)
def test_the_first_match_is_found_in_the_piece_that_completes_it(
    texts: tuple[bytes, list[bytes]], strings: list[str]
) -> None:
    text, pieces = texts
    reader = StopStringReader(StopStrings(strings))
    read = 0
    match = first_match(text, strings)
    for piece in pieces:
        completed = reader.completes(piece)
        assert completed == (match is not None and read < match[1] <= read + len(piece))
        read += len(piece)
        if completed:
            return
    assert match is None


@given(chunked(), STRINGS)
def test_what_is_shown_is_the_text_up_to_the_first_match(texts: tuple[bytes, list[bytes]], strings: list[str]) -> None:
    text, pieces = texts
    match = first_match(text, strings)
    expected = text if match is None else text[: match[0]]
    shown = StopStringFilter(StopStrings(strings))
    result = b""
    for piece in pieces:
        result += shown.feed(piece)
        assert expected.startswith(result)
    result += shown.finish()
    assert result == expected
    assert shown.stopped == (match is not None)
    if match:
        assert shown.feed(b"more") + shown.finish() == b""


@given(chunked(), STRINGS)
def test_only_what_may_begin_a_stop_string_is_held_back(texts: tuple[bytes, list[bytes]], strings: list[str]) -> None:
    _, pieces = texts
    shown = StopStringFilter(StopStrings(strings))
    given_in, given_out = b"", b""
    for piece in pieces:
        given_in += piece
        given_out += shown.feed(piece)
        if shown.stopped:
            return
        held = given_in[len(given_out) :]
        beginnings = {string[:size] for string in map(str.encode, strings) for size in range(len(string))}
        assert held in beginnings
        longest = max(size for size in range(len(given_in) + 1) if given_in[len(given_in) - size :] in beginnings)
        assert len(held) == longest


def test_a_long_text_that_always_nearly_matches_is_shown_but_for_its_end() -> None:
    strings = StopStrings(["a" * (MAX_STOP_BYTES - 1) + "b"])
    shown = StopStringFilter(strings)
    pieces = [b"aaaaaaa"] * 20_000
    assert sum(len(shown.feed(piece)) for piece in pieces) == 7 * len(pieces) - (MAX_STOP_BYTES - 1)
    assert shown.finish() == b"a" * (MAX_STOP_BYTES - 1)
