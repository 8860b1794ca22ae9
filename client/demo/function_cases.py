"""Arguments that a repository's tests call its functions with. They are drawn so that the usual bugs show."""
# ruff: noqa: SIM905  (word lists read better as text)

import random

from .functions import Case

_WORDS = (
    "apple bread chair cloud dance eagle flame grape horse island jacket kettle lemon mango night ocean paper quiet "
    "river stone table uncle violet water yellow zebra amber candle desert engine forest garden hammer"
).split()
_MIXED = [word.title() for word in _WORDS]


def numbers(rng: random.Random, low: int = 3, high: int = 5) -> list[int]:
    """Distinct numbers, so that first, last, largest and smallest differ."""
    return rng.sample(range(1, 30), rng.randint(low, high))


def one_list(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    return [(numbers(rng),)]


def long_list(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    return [(numbers(rng, 5, 6),)]


def list_and_member(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    values = numbers(rng, 4, 5)
    return [(values, sorted(values)[2])]


def list_and_number(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    return [(numbers(rng), rng.randint(2, 9))]


def two_numbers(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    return [(rng.randint(11, 60), rng.randint(2, 9))]


def three_numbers(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    return [(rng.randint(20, 60), rng.randint(11, 19), rng.randint(2, 9))]


def one_number(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    return [(rng.randint(3, 20),)]


def around_limit(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    limit = int(slots["limit"])
    return [(limit + offset,) for offset in (-1, 0, 1)]


def both_sides(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    limit = rng.randint(5, 40)
    return [(limit + rng.randint(1, 9), limit), (limit - rng.randint(1, 4), limit)]


def one_word(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    return [(rng.choice(_MIXED),)]


def word_list(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    return [(rng.sample(_WORDS, rng.randint(3, 4)),)]


def padded_word(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    return [("  " + rng.choice(_WORDS) + "  ",)]


def word_and_ends(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    word = rng.choice(_WORDS)
    return [(word, word[:2]), (word, word[-2:])]


def word_and_times(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    return [(rng.choice(_WORDS), rng.randint(2, 3))]


def three_words(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    one, two, three = rng.sample(_WORDS, 3)
    return [(f"{one} {two}", two, three)]


def two_flags(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    return [(True, False), (True, True), (False, False)]


def small_dict(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    keys = rng.sample(_WORDS, 3)
    return [({key: rng.randint(2, 30) for key in keys},)]


def dict_and_missing(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    *keys, missing = rng.sample(_WORDS, 3)
    return [({key: rng.randint(12, 30) for key in keys}, missing)]


def list_with_and_without(rng: random.Random, slots: dict[str, str]) -> list[Case]:
    values = numbers(rng)
    return [(values, values[1]), (values, 99)]
