"""Scripts for :mod:`.scene`: lines of the corpus in any order, whole, spliced and spoiled."""

from __future__ import annotations

import corpus
from hypothesis import strategies as st
from scene import ACTS

LINES = [line.encode("utf-8", "surrogatepass") for line in corpus.LINES]
ACT_LINES = [b"!" + name for name in ACTS]


def spoil(line: bytes, at: int, length: int, junk: bytes) -> bytes:
    at %= len(line) + 1
    return line[:at] + junk + line[at + length :]


SPOILED = st.builds(
    spoil,
    st.sampled_from(LINES),
    st.integers(0, 200),
    st.integers(0, 12),
    st.sampled_from([b"", b'"', b"{", b"[[", b"null", b"-1", b"c2", b"resp_1", b"one", b"\\ud800", b"\xff", b"1e999"]),
)
LINE = st.sampled_from(LINES) | st.sampled_from(ACT_LINES) | SPOILED | st.binary(max_size=20)
SCRIPTS = st.builds(
    lambda seed, lines: b"\n".join([*seed, *lines]),
    st.sampled_from([[line.encode("utf-8", "surrogatepass") for line in lines] for lines in corpus.SEEDS.values()]),
    st.lists(LINE, max_size=12),
)
