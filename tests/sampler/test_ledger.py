"""The ledger keeps every token with its source."""

from __future__ import annotations

from caesura.sampler.ledger import Ledger, Source
from hypothesis import given
from hypothesis import strategies as st

tokens = st.lists(st.integers(0, 999), max_size=5)
operations = st.lists(st.one_of(tokens, st.tuples(st.integers(0, 999), st.none() | st.floats(-50, 0))), max_size=30)


@given(tokens, operations)
def test_matches_a_plain_list(prompt: list[int], operations: list[list[int] | tuple[int, float | None]]) -> None:
    ledger = Ledger(prompt)
    expected: list[tuple[int, Source, float | None]] = [(token, Source.APPENDED, None) for token in prompt]
    for operation in operations:
        if isinstance(operation, list):
            ledger.append(operation)
            expected += [(token, Source.APPENDED, None) for token in operation]
        else:
            ledger.sample(*operation)
            expected.append((operation[0], Source.SAMPLED, operation[1]))
    assert [(entry.token, entry.source, entry.logprob) for entry in ledger] == (expected)
    assert ledger.tokens == [token for token, _, _ in expected]
    assert ledger.prefilled == len(prompt)
    assert ledger.sampled == sum(source is Source.SAMPLED for _, source, _ in expected)
    assert ledger.prefilled + ledger.appended + ledger.sampled == len(ledger)


def test_an_entry_knows_its_position() -> None:
    ledger = Ledger([5, 6])
    assert ledger[-1].position == 1
    assert [entry.token for entry in ledger] == [5, 6]
