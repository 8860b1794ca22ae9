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


@given(tokens.filter(bool), operations, st.data())
def test_a_fork_is_the_beginning(
    prompt: list[int], operations: list[list[int] | tuple[int, float | None]], data: st.DataObject
) -> None:
    ledger = Ledger(prompt)
    for operation in operations:
        if isinstance(operation, list):
            ledger.append(operation)
            ledger.note_rebuild(len(ledger))
        else:
            ledger.sample(*operation, ((operation[0], -0.5),) if operation[1] else ())
    length = data.draw(st.integers(1, len(ledger)))
    fork = ledger.fork(length)
    assert list(fork) == list(ledger)[:length]
    assert [fork.top_logprobs(at) for at in range(length)] == [ledger.top_logprobs(at) for at in range(length)]
    assert fork.rebuilds == [position for position in ledger.rebuilds if position <= length]
    assert fork.sampled_tokens() == [entry.token for entry in fork if entry.source is Source.SAMPLED]
    assert (fork.sampled, fork.prefilled + fork.sampled) == (len(fork.sampled_tokens()), length)
    assert (fork.decoded, fork.copied, fork.recomputed, fork.appended) == (0, 0, 0, 0)


def test_several_at_once_are_as_one_by_one() -> None:
    one, other = Ledger([1]), Ledger([1])
    for ledger in (one, other):
        ledger.sample(2, -0.5)
    one.sample_all([3, 4])
    other.sample(3)
    other.sample(4)
    assert list(one) == list(other)
    assert (one.sampled, len(one)) == (other.sampled, len(other))
