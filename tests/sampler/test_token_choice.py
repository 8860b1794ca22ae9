"""Tokens are chosen as the parameters say, from the seed and the position alone."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from caesura.sampler.errors import GrammarFailed, InvalidGrammar, InvalidLogits
from caesura.sampler.grammar import GrammarCompiler
from caesura.sampler.model import Model
from caesura.sampler.random_draw import draw, uniform
from caesura.sampler.sampling_params import SamplingParams
from caesura.sampler.token_choice import TokenChooser, make_chooser
from caesura.sampler.truncation import top_k_ids, top_p_ids
from caesura.sampler.vocabulary import Vocabulary
from hypothesis import given
from hypothesis import strategies as st

Row = npt.NDArray[np.float32]


@pytest.fixture(scope="module")
def vocab(model: Model) -> Vocabulary:
    return model.vocab


@pytest.fixture(scope="module")
def compiler(vocab: Vocabulary) -> GrammarCompiler:
    return GrammarCompiler(vocab)


def chooser(vocab: Vocabulary, *, seed: int = 1, **params: Any) -> TokenChooser:
    return make_chooser(SamplingParams(**params), seed=seed, vocab=vocab)


def logits_of(vocab: Vocabulary, seed: int, scale: float = 2.0) -> Row:
    return np.random.default_rng(seed).standard_normal(vocab.size, dtype=np.float32) * np.float32(scale)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    """Logits with ties and tokens that can't come, of sizes on both sides of where the algorithms change."""
    size = draw(st.sampled_from([1, 2, 5, 63, 64, 700, 5000]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    row = rng.standard_normal(size, dtype=np.float32) * np.float32(draw(st.sampled_from([0.1, 2.0, 20.0])))
    if draw(st.booleans()):
        row = np.round(row)
    if draw(st.booleans()):
        row[rng.random(size) < 0.3] = -np.inf
        row[rng.integers(size)] = 0
    return row


@given(rows(), st.integers(1, 6000))
def test_top_k_keeps_the_k_largest_and_of_equal_ones_the_first(row: Row, k: int) -> None:
    ordered = np.argsort(-row, kind="stable")[:k]
    assert top_k_ids(row, min(k, row.size)).tolist() == sorted(ordered.tolist())


@given(rows(), st.floats(0, 1, exclude_max=True))
def test_top_p_keeps_the_smallest_set_of_the_likeliest(row: Row, p: float) -> None:
    weights = np.exp(row - row.max())
    kept = top_p_ids(weights, p).tolist()
    ordered = np.argsort(-weights, kind="stable").tolist()
    assert kept == sorted(ordered[: len(kept)])
    exact = weights.astype(np.float64)
    share = exact[kept].sum() / exact.sum()
    assert share >= p - 1e-9
    assert len(kept) == 1 or share - exact[ordered[len(kept) - 1]] / exact.sum() <= p + 1e-9


@given(rows(), st.floats(0, 1, exclude_max=True))
def test_a_draw_inverts_the_running_sum(row: Row, fraction: float) -> None:
    weights = np.exp(row - row.max())
    index = draw(weights, fraction)
    assert weights[index] > 0
    running = np.cumsum(weights, dtype=np.float64) / weights.sum(dtype=np.float64)
    assert running[index] >= fraction - 1e-6
    assert index == 0 or running[index - 1] <= fraction + 1e-6


def test_the_numbers_are_uniform_and_those_of_neighbouring_seeds_and_positions_unrelated() -> None:
    numbers = np.array([[uniform(seed, position) for position in range(1000)] for seed in range(20)])
    assert numbers.min() >= 0
    assert numbers.max() < 1
    counts, _ = np.histogram(numbers, bins=100, range=(0, 1))
    assert ((counts - 200) ** 2 / 200).sum() < 160  # 99 degrees of freedom: exceeded once in 10,000 times
    # A generator that ran on from the seed would give seed + 1 the same numbers one position earlier.
    for other in (numbers[1:, :-1], numbers[1:, 1:]):
        assert abs(np.corrcoef(numbers[:-1, 1:].ravel(), other.ravel())[0, 1]) < 0.03


@given(st.integers(-(2**64), 2**64), st.integers(0, 2**40))
def test_any_seed_and_position_give_a_number(seed: int, position: int) -> None:
    assert 0 <= uniform(seed, position) < 1


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"temperature": 0.7},
        {"top_k": 8, "temperature": 1.3},
        {"top_p": 0.6},
        {"min_p": 0.3},
        {"top_k": 20, "top_p": 0.9, "min_p": 0.05, "temperature": 1.5},
    ],
    ids=str,
)
def test_tokens_come_as_often_as_they_should(vocab: Vocabulary, params: dict[str, Any]) -> None:
    """Against the definition, written down with sorts in double precision."""
    row = logits_of(vocab, 3, scale=3)
    row[50:] = -np.inf
    exact = row.astype(np.float64)
    order = np.argsort(-exact, kind="stable")
    allowed = np.isfinite(exact)
    if "top_k" in params:
        allowed[order[params["top_k"] :]] = False
    weights = np.exp(exact - exact.max()) * allowed
    if "top_p" in params:
        before = np.cumsum(weights[order]) / weights.sum() - weights[order] / weights.sum()
        allowed[order[before >= params["top_p"]]] = False
    allowed &= exact >= exact.max() + math.log(params.get("min_p", 1e-300))
    expected = np.where(allowed, np.exp((exact - exact.max()) / params.get("temperature", 1.0)), 0)
    expected /= expected.sum()

    draws = 4000
    choose = chooser(vocab, seed=11, **params).choose
    counts = Counter(choose(row, position).token for position in range(draws))
    assert set(counts) <= set(np.flatnonzero(allowed).tolist())
    seen = expected * draws >= 5
    observed = np.array([counts[token] for token in np.flatnonzero(seen).tolist()])
    statistic = ((observed - expected[seen] * draws) ** 2 / (expected[seen] * draws)).sum()
    freedom = int(seen.sum())
    assert statistic < freedom + 4 * math.sqrt(2 * freedom)


OPTIONS = st.fixed_dictionaries(
    {},
    optional={
        "temperature": st.sampled_from([0.0, 1e-30, 0.5, 2.0, 100.0]),
        "top_k": st.sampled_from([1, 3, 40, 5000]),
        "top_p": st.sampled_from([0.0, 0.4, 0.95]),
        "min_p": st.sampled_from([0.1, 1.0]),
        "presence_penalty": st.sampled_from([-2.0, 0.7]),
        "frequency_penalty": st.sampled_from([0.3, 2.0]),
        "top_logprobs": st.integers(0, 20),
        "logprobs": st.booleans(),
        "stop": st.just(("an", "the")),
    },
)


@given(OPTIONS, st.integers(0, 2**63 - 1), st.lists(st.integers(1, 12), max_size=5))
def test_where_sampling_was_interrupted_makes_no_difference(
    vocab: Vocabulary, options: dict[str, Any], seed: int, cuts: list[int]
) -> None:
    params = SamplingParams(**options)
    once = make_chooser(params, seed=seed, vocab=vocab)
    whole = [once.choose(logits_of(vocab, position), position) for position in range(12)]
    again: list[Any] = []
    for end in [*sorted(cuts), 12]:
        tokens = [choice.token for choice in again]
        part = make_chooser(params, seed=seed, vocab=vocab, sampled=tokens, text=tokens)
        again += [part.choose(logits_of(vocab, position), position) for position in range(len(again), end)]
    assert again == whole


@given(OPTIONS, st.integers(0, 1000))
def test_a_recorded_token_counts_like_a_sampled_one(vocab: Vocabulary, options: dict[str, Any], seed: int) -> None:
    params = SamplingParams(**options)
    sampling, replaying = (make_chooser(params, seed=seed, vocab=vocab) for _ in range(2))
    for position in range(8):
        row = logits_of(vocab, position)
        sampled = sampling.choose(row, position)
        assert replaying.choose(row, position, sampled.token) == sampled


def test_a_greedy_choice_takes_the_first_of_equal_tokens(vocab: Vocabulary) -> None:
    row = np.zeros(vocab.size, np.float32)
    row[[7, 9]] = 1
    assert chooser(vocab, temperature=0, logprobs=True).choose(row, 0).token == 7
    assert chooser(vocab, top_k=1, temperature=3, logprobs=True).choose(row, 0).token == 7


def test_the_logits_stay_as_they_are(vocab: Vocabulary, compiler: GrammarCompiler) -> None:
    row = logits_of(vocab, 0)
    before = row.copy()
    row.flags.writeable = False
    params = SamplingParams(presence_penalty=1, top_k=5, top_p=0.9, logprobs=True, grammar="start: /[a-z]*/")
    matcher = compiler.matcher("start: /[a-z]*/")
    choose = make_chooser(params, seed=0, vocab=vocab, sampled=[1, 2], matcher=matcher).choose
    for position in range(4):
        choose(row, position)
    assert np.array_equal(row, before)


def test_logprobs_are_the_models_own_whatever_is_done_to_the_logits(
    vocab: Vocabulary, compiler: GrammarCompiler
) -> None:
    row = logits_of(vocab, 5)
    exact = row.astype(np.float64) - row.max()
    exact -= math.log(np.exp(exact).sum())
    params = SamplingParams(
        temperature=2, top_k=3, presence_penalty=2, logprobs=True, top_logprobs=20, grammar="start: /[0-9]*/"
    )
    matcher = compiler.matcher("start: /[0-9]*/")
    choice = make_chooser(params, seed=0, vocab=vocab, sampled=range(50), matcher=matcher).choose(row, 0)
    assert choice.logprob == pytest.approx(exact[choice.token], abs=1e-6)
    order = np.argsort(-exact, kind="stable")[:20].tolist()
    assert [token for token, _ in choice.top_logprobs] == order
    assert [logprob for _, logprob in choice.top_logprobs] == pytest.approx(exact[order].tolist(), abs=1e-6)


def test_impossible_tokens_are_no_top_logprobs(vocab: Vocabulary) -> None:
    row = np.full(vocab.size, -np.inf, np.float32)
    row[[3, 5]] = [1.0, 2.0]
    choice = chooser(vocab, top_logprobs=5).choose(row, 0)
    assert [token for token, _ in choice.top_logprobs] == [5, 3]


def test_penalties_are_openais(vocab: Vocabulary) -> None:
    row = np.zeros(vocab.size, np.float32)
    row[4], row[5], row[6] = 3.0, 2.6, 1.0
    params = SamplingParams(temperature=0, presence_penalty=0.5, frequency_penalty=0.25)
    choose = make_chooser(params, seed=0, vocab=vocab).choose
    # 4 loses 0.75, then 1.0; 5 the same: whichever is ahead of the other is taken.
    assert [choose(row, position).token for position in range(5)] == [4, 5, 4, 4, 5]


BROKEN = [math.nan, math.inf]


@pytest.mark.parametrize("value", BROKEN)
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"temperature": 0, "logprobs": True},
        {"temperature": 0, "stop": ("a",)},
        {"top_k": 5},
        {"top_p": 0.5},
        {"min_p": 0.1},
        {"presence_penalty": 1.0},
        {"top_logprobs": 3},
    ],
    ids=str,
)
def test_broken_logits_are_an_error_wherever_they_are(vocab: Vocabulary, options: dict[str, Any], value: float) -> None:
    for place in (0, 500, vocab.size - 1):
        row = logits_of(vocab, 1)
        row[place] = value
        with pytest.raises(InvalidLogits):
            chooser(vocab, **options).choose(row, 0)


def test_nothing_left_to_sample_is_an_error(vocab: Vocabulary, compiler: GrammarCompiler) -> None:
    with pytest.raises(InvalidLogits):
        chooser(vocab).choose(np.full(vocab.size, -np.inf, np.float32), 0)
    row = logits_of(vocab, 1)
    only = vocab.tokenize("x", parse_special=False)[0]
    row[only] = -np.inf
    params = SamplingParams(grammar='start: "x"')
    choose = make_chooser(params, seed=0, vocab=vocab, matcher=compiler.matcher('start: "x"')).choose
    with pytest.raises(InvalidLogits, match="minus infinity"):
        choose(row, 0)


def test_logits_at_the_limits_of_single_precision_still_give_a_token(vocab: Vocabulary) -> None:
    row = np.full(vocab.size, -3e38, np.float32)
    row[9] = 3e38
    for options in ({}, {"temperature": 1e-300}, {"top_p": 0.5}, {"temperature": 100, "logprobs": True}):
        assert chooser(vocab, **options).choose(row, 0).token == 9


def test_a_stop_string_across_tokens_stops(vocab: Vocabulary) -> None:
    tokens = vocab.tokenize("one two END three", parse_special=False)
    choose = chooser(vocab, stop=("o END t",)).choose
    text = ""
    for position, token in enumerate(tokens):
        choice = choose(logits_of(vocab, 0), position, token)
        text += vocab.decode([token])
        assert choice.stopped == ("o END t" in text)
        if choice.stopped:
            return
    pytest.fail("the stop string was missed")


def test_a_stop_string_that_began_in_the_turn_before_it_was_cut_off(vocab: Vocabulary) -> None:
    tokens = vocab.tokenize("abcdefgh", parse_special=False)
    params = SamplingParams(stop=("abcdefgh",))
    rest = make_chooser(params, seed=0, vocab=vocab, text=tokens[:-1])
    assert rest.choose(logits_of(vocab, 0), 0, tokens[-1]).stopped


def test_the_end_of_the_grammars_text_stops(vocab: Vocabulary, compiler: GrammarCompiler) -> None:
    grammar = 'start: "yes" | "no"'
    choose = make_chooser(
        SamplingParams(grammar=grammar), seed=3, vocab=vocab, matcher=compiler.matcher(grammar)
    ).choose
    text = b""
    for position in range(3):
        choice = choose(logits_of(vocab, position), position)
        text += vocab.piece(choice.token)
        assert choice.stopped == (text in (b"yes", b"no"))
        if choice.stopped:
            return
    pytest.fail(f"the text {text!r} has no end")


def test_a_recorded_token_must_fit_the_grammar(vocab: Vocabulary, compiler: GrammarCompiler) -> None:
    grammar = 'start: "yes"'
    wrong = vocab.tokenize("no", parse_special=False)
    params = SamplingParams(grammar=grammar)
    choose = make_chooser(params, seed=0, vocab=vocab, matcher=compiler.matcher(grammar)).choose
    with pytest.raises(GrammarFailed):
        choose(logits_of(vocab, 0), 0, wrong[0])
    with pytest.raises(InvalidGrammar, match="so far"):
        make_chooser(params, seed=0, vocab=vocab, text=wrong, matcher=compiler.matcher(grammar))


@given(
    st.sampled_from(
        [{"temperature": 0.0}, {"temperature": 1.0}, {"top_k": 3}, {"top_p": 0.4, "presence_penalty": 1.0}]
    ),
    st.integers(0, 1000),
    st.integers(1, 30),
)
def test_a_banned_token_never_comes(vocab: Vocabulary, options: dict[str, Any], seed: int, count: int) -> None:
    """Else the same tokens come as from logits without it."""
    logits = logits_of(vocab, seed)
    banned = frozenset(np.argsort(-logits)[:count].tolist())
    without = logits.copy()
    without[list(banned)] = -np.inf
    chosen = chooser(vocab, seed=seed, banned=banned, **options).choose(logits, 7).token
    assert chosen not in banned
    assert chosen == chooser(vocab, seed=seed, **options).choose(without, 7).token
