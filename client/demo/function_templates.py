"""Every kind of function that a demo repository can hold, with its docstrings, correct body and bugs."""
# ruff: noqa: SIM905  (word lists read better as text)

import random

from .function_cases import (
    around_limit,
    both_sides,
    dict_and_missing,
    list_and_member,
    list_and_number,
    list_with_and_without,
    long_list,
    numbers,
    one_list,
    one_number,
    one_word,
    padded_word,
    small_dict,
    three_numbers,
    three_words,
    two_flags,
    two_numbers,
    word_and_ends,
    word_and_times,
    word_list,
)
from .functions import Template

_SIGNS = {"dash": "-", "plus": "+", "slash": "/", "colon": ":", "comma": ",", "dot": ".", "star": "*", "hash": "#"}


_UNITS = (
    "minutes seconds 60 24|hours minutes 60 12|days hours 24 7|weeks days 7 5|years months 12 10|"
    "metres centimetres 100 10|kilometres metres 1000 100|kilograms grams 1000 100|litres millilitres 1000 10|"
    "dozens eggs 12 10|euros cents 100 10|decades years 10 12|feet inches 12 10|centuries years 100 1000|"
    "fortnights days 14 7"
)
_OUTCOMES = "pass fail|high low|open closed|ready wait|big small|hot cold|full free|adult child|late early|rich poor"


def _limit(rng: random.Random) -> dict[str, str]:
    limit = rng.choice([10, 12, 15, 16, 18, 20, 21, 25, 30, 40, 50, 60, 65, 75, 80, 90, 100])
    return {"limit": str(limit), "wrong": str(limit + rng.choice([-5, -2, -1, 1, 2, 5, 10]))}


def _pair(rng: random.Random) -> dict[str, str]:
    a, b = rng.sample(
        "left right first second base extra start end old new total part whole rest gross tax net size".split(), 2
    )
    return {"a": a, "b": b}


def _product(rng: random.Random) -> dict[str, str]:
    pairs = (
        "width height|price quantity|rate hours|rows columns|speed time|length depth|boxes weight|mass volume|"
        "days visits"
    )
    a, b = rng.choice(pairs.split("|")).split()
    return {"a": a, "b": b}


def _sign(rng: random.Random) -> dict[str, str]:
    sign, wrong = rng.sample(sorted(_SIGNS), 2)
    return {"sign": sign, "s": _SIGNS[sign], "w": _SIGNS[wrong]}


def _constant(rng: random.Random) -> dict[str, str]:
    constant, wrong = rng.sample(range(2, 40), 2)
    return {"c": str(constant), "w": str(wrong)}


def _unit(rng: random.Random) -> dict[str, str]:
    big, small, factor, wrong = rng.choice(_UNITS.split("|")).split()
    return {"big": big, "small": small, "f": factor, "w": wrong}


def _outcome(rng: random.Random) -> dict[str, str]:
    yes, no = rng.choice(_OUTCOMES.split("|")).split()
    return _limit(rng) | {"yes": yes, "no": no}


# fmt: off
T = Template
TEMPLATES: tuple[Template, ...] = (
    # aggregates of a list
    T(["total_{n}", "sum_of_{ns}", "add_{ns}"], "{ns}", ["Return the sum of {ns}.", "Return the total of all {ns}."],
      "return sum({ns})", [("sum(", "max(", "min(", "len(")], one_list),
    T(["largest_{n}", "highest_{n}", "max_{n}"], "{ns}", ["Return the largest of {ns}.", "Return the highest of {ns}."],
      "return max({ns})", [("max(", "min(", "sum(", "len(")], one_list),
    T(["smallest_{n}", "lowest_{n}", "min_{n}"], "{ns}", ["Return the smallest of {ns}.", "Return the lowest of {ns}."],
      "return min({ns})", [("min(", "max(", "sum(", "len(")], one_list),
    T(["count_{ns}", "number_of_{ns}"], "{ns}", ["Return how many {ns} there are.", "Count the {ns}."],
      "return len({ns})", [("len(", "sum(", "max(", "min(")], one_list),
    T(["average_{n}", "mean_{n}"], "{ns}", ["Return the sum of {ns} divided by their count."],
      "return sum({ns}) / len({ns})", [(" / ", " * ", " - ", " + "), ("sum(", "max(", "min(")], one_list),
    T(["{n}_range", "{n}_spread"], "{ns}", ["Return the largest of {ns} minus the smallest."],
      "return max({ns}) - min({ns})", [(" - ", " + ", " * ")], one_list),
    T(["different_{ns}", "unique_{ns}"], "{ns}", ["Return how many different {ns} there are."],
      "return len(set({ns}))", [("len(", "sum(", "max(")], one_list),
    T(["sort_{ns}", "rising_{ns}"], "{ns}", ["Return {ns} sorted, lowest first."],
      "return sorted({ns}, reverse=False)", [("False", "True")], one_list),
    T(["rank_{ns}", "falling_{ns}"], "{ns}", ["Return {ns} sorted, highest first."],
      "return sorted({ns}, reverse=True)", [("True", "False")], one_list),
    # indexes and slices
    T(["first_{n}"], "{ns}", ["Return the first of {ns}."], "return {ns}[0]", [("[0]", "[1]", "[-1]")], one_list),
    T(["last_{n}"], "{ns}", ["Return the last of {ns}."], "return {ns}[-1]", [("[-1]", "[0]", "[1]", "[-2]")],
      one_list),
    T(["second_{n}"], "{ns}", ["Return the second of {ns}."], "return {ns}[1]", [("[1]", "[0]", "[2]", "[-1]")],
      one_list),
    T(["first_{ns}", "leading_{ns}"], "{ns}", ["Return the first {j} of {ns}."], "return {ns}[:{j}]",
      [("[:{j}]", "[{j}:]", "[:1]", "[-{j}:]")], long_list, lambda rng: {"j": str(rng.randint(2, 4))}),
    T(["last_{ns}", "recent_{ns}"], "{ns}", ["Return the last {j} of {ns}."], "return {ns}[-{j}:]",
      [("[-{j}:]", "[{j}:]", "[:{j}]", "[-1:]")], long_list, lambda rng: {"j": str(rng.choice([2, 4]))}),
    T(["skip_first_{n}", "later_{ns}"], "{ns}", ["Return {ns} without the first."], "return {ns}[1:]",
      [("[1:]", "[:1]", "[2:]", "[:-1]")], long_list),
    T(["drop_last_{n}", "earlier_{ns}"], "{ns}", ["Return {ns} without the last."], "return {ns}[:-1]",
      [("[:-1]", "[-1:]", "[1:]", "[:-2]")], long_list),
    T(["reverse_{ns}", "backward_{ns}"], "{ns}", ["Return {ns} in reverse order."], "return {ns}[::-1]",
      [("[::-1]", "[::1]", "[:-1]", "[::2]")], one_list),
    T(["every_other_{n}", "alternate_{ns}"], "{ns}", ["Return every second of {ns}, from the first on."],
      "return {ns}[::2]",
      [("[::2]", "[1::2]", "[::3]", "[:2]")], long_list),
    # filters and maps
    T(["{ns}_above", "large_{ns}"], "{ns}, limit", ["Return the {ns} greater than limit."],
      "return [{n} for {n} in {ns} if {n} > limit]", [(" > ", " < ", " >= ", " == ")], list_and_member),
    T(["{ns}_below", "small_{ns}"], "{ns}, limit", ["Return the {ns} less than limit."],
      "return [{n} for {n} in {ns} if {n} < limit]", [(" < ", " > ", " <= ", " == ")], list_and_member),
    T(["{ns}_from", "good_{ns}"], "{ns}, limit", ["Return the {ns} that are at least limit."],
      "return [{n} for {n} in {ns} if {n} >= limit]", [(" >= ", " <= ", " > ", " < ")], list_and_member),
    T(["{ns}_up_to", "cheap_{ns}"], "{ns}, limit", ["Return the {ns} that are at most limit."],
      "return [{n} for {n} in {ns} if {n} <= limit]", [(" <= ", " >= ", " < ", " > ")], list_and_member),
    T(["{ns}_except", "other_{ns}"], "{ns}, value", ["Return the {ns} that are not equal to value."],
      "return [{n} for {n} in {ns} if {n} != value]", [(" != ", " == ", " > ")], list_and_member),
    T(["even_{ns}"], "{ns}", ["Return the even {ns}."], "return [{n} for {n} in {ns} if {n} % 2 == 0]",
      [(" == 0", " == 1", " != 0")], long_list),
    T(["odd_{ns}"], "{ns}", ["Return the odd {ns}."], "return [{n} for {n} in {ns} if {n} % 2 == 1]",
      [(" == 1", " == 0", " != 1")], long_list),
    T(["scale_{ns}", "multiply_{ns}"], "{ns}, factor", ["Multiply each of {ns} by factor."],
      "return [{n} * factor for {n} in {ns}]", [(" * ", " + ", " - ", " / ")], list_and_number),
    T(["raise_{ns}", "increase_{ns}"], "{ns}, step", ["Add step to each of {ns}."],
      "return [{n} + step for {n} in {ns}]", [(" + ", " - ", " * ")], list_and_number),
    T(["lower_{ns}", "decrease_{ns}"], "{ns}, step", ["Subtract step from each of {ns}."],
      "return [{n} - step for {n} in {ns}]", [(" - ", " + ", " * ")], list_and_number),
    T(["any_{n}_above", "has_high_{n}"], "{ns}, limit", ["Tell whether any of {ns} is greater than limit."],
      "return any({n} > limit for {n} in {ns})", [("any(", "all("), (" > ", " == ")], list_and_member),
    T(["all_{ns}_above", "only_high_{ns}"], "{ns}, limit", ["Tell whether all of {ns} are greater than limit."],
      "return all({n} > limit for {n} in {ns})", [("all(", "any(")], list_and_member),
    T(["has_{n}", "contains_{n}"], "{ns}, {n}", ["Tell whether {n} is in {ns}."],
      "return {n} in {ns}", [(" in ", " not in ")], list_with_and_without),
    T(["lacks_{n}", "missing_{n}"], "{ns}, {n}", ["Tell whether {n} is not in {ns}."],
      "return {n} not in {ns}", [(" not in ", " in ")], list_with_and_without),
    # arithmetic
    T(["{n}_plus", "combine_{ns}"], "{a}, {b}", ["Return {a} plus {b}."], "return {a} + {b}",
      [(" + ", " - ", " * ", " / ")], two_numbers, _pair),
    T(["{n}_minus", "{n}_difference"], "{a}, {b}", ["Return {a} minus {b}."], "return {a} - {b}",
      [(" - ", " + ", " * ", " / "), ("{a} - {b}", "{b} - {a}")], two_numbers, _pair),
    T(["{n}_product", "{n}_{a}"], "{a}, {b}", ["Return {a} times {b}."], "return {a} * {b}",
      [(" * ", " + ", " - ", " / "), ("{a} * {b}", "{a} * {a}", "{b} * {b}")], two_numbers, _product),
    T(["{n}_ratio", "{n}_share"], "{a}, {b}", ["Return {a} divided by {b}."], "return {a} / {b}",
      [(" / ", " * ", " - ", " + "), ("{a} / {b}", "{b} / {a}")], two_numbers, _pair),
    T(["{n}_remainder", "left_over_{ns}"], "{a}, {b}", ["Return the remainder of {a} divided by {b}."],
      "return {a} % {b}",
      [(" % ", " / ", " * ", " + ")], two_numbers, _pair),
    T(["{n}_power"], "base, exponent", ["Return base to the power of exponent."], "return base ** exponent",
      [(" ** ", " * ", " + ")], two_numbers),
    T(["{n}_gap", "{n}_distance"], "{a}, {b}", ["Return the absolute value of {a} minus {b}."], "return abs({a} - {b})",
      [(" - ", " + ", " * ")], two_numbers, _pair),
    T(["add_{n}_fee", "{n}_with_fee"], "{n}", ["Return {n} plus {c}."], "return {n} + {c}",
      [(" + {c}", " + {w}", " - {c}", " * {c}")], one_number, _constant),
    T(["{n}_after_cut", "reduced_{n}"], "{n}", ["Return {n} minus {c}."], "return {n} - {c}",
      [(" - {c}", " - {w}", " + {c}")], one_number, _constant),
    T(["{n}_times", "grow_{n}"], "{n}", ["Return {n} times {c}."], "return {n} * {c}",
      [(" * {c}", " * {w}", " + {c}", " - {c}")], one_number, _constant),
    T(["{big}_to_{small}"], "{big}", ["Return {big} in {small}: {big} times {f}."], "return {big} * {f}",
      [(" * {f}", " * {w}", " / {f}", " + {f}")], one_number, _unit),
    T(["{n}_perimeter", "fence_{n}"], "width, height", ["Return 2 times the sum of width and height."],
      "return 2 * (width + height)", [(" + ", " - ", " * "), ("2 *", "3 *", "4 *", "2 +")], two_numbers),
    T(["{n}_discount", "cheaper_{n}"], "{n}, percent", ["Return {n} minus percent hundredths of it."],
      "return {n} - {n} * percent / 100", [(" - ", " + "), ("100", "10", "1000")], two_numbers),
    T(["{n}_markup", "dearer_{n}"], "{n}, percent", ["Return {n} plus percent hundredths of it."],
      "return {n} + {n} * percent / 100", [(" + ", " - "), ("100", "10", "1000")], two_numbers),
    T(["{n}_balance", "remaining_{ns}"], "{n}, added, used", ["Return {n} plus added minus used."],
      "return {n} + added - used", [(" + ", " - "), (" - ", " + "), ("- used", "- added")], three_numbers),
    T(["capped_{n}", "limit_{n}"], "{n}, limit", ["Return the smaller of {n} and limit."],
      "return min({n}, limit)", [("min(", "max(")], both_sides),
    T(["{n}_floor", "keep_{n}"], "{n}, limit", ["Return the larger of {n} and limit."],
      "return max({n}, limit)", [("max(", "min(")], both_sides),
    # comparisons
    T(["is_{n}_enough", "{n}_allowed"], "{n}", ["Tell whether {n} is at least {limit}."], "return {n} >= {limit}",
      [(" >= ", " > ", " <= ", " < ", " == "), ("{limit}", "{wrong}")], around_limit, _limit),
    T(["is_{n}_high", "{n}_too_big"], "{n}", ["Tell whether {n} is greater than {limit}."], "return {n} > {limit}",
      [(" > ", " >= ", " < ", " == "), ("{limit}", "{wrong}")], around_limit, _limit),
    T(["is_{n}_low", "{n}_too_small"], "{n}", ["Tell whether {n} is less than {limit}."], "return {n} < {limit}",
      [(" < ", " <= ", " > ", " == "), ("{limit}", "{wrong}")], around_limit, _limit),
    T(["is_{n}_ok", "{n}_fits"], "{n}", ["Tell whether {n} is at most {limit}."], "return {n} <= {limit}",
      [(" <= ", " < ", " >= ", " > "), ("{limit}", "{wrong}")], around_limit, _limit),
    T(["is_{n}_even"], "{n}", ["Tell whether {n} is even."], "return {n} % 2 == 0", [(" == 0", " == 1", " != 0")],
      one_number),
    T(["is_{n}_odd"], "{n}", ["Tell whether {n} is odd."], "return {n} % 2 == 1", [(" == 1", " == 0", " != 1")],
      one_number),
    T(["can_use_{n}", "{n}_valid"], "{a}, {b}", ["Tell whether both {a} and {b} are true."], "return {a} and {b}",
      [(" and ", " or ")], two_flags, _pair),
    T(["may_use_{n}", "{n}_present"], "{a}, {b}", ["Tell whether {a} or {b} is true."], "return {a} or {b}",
      [(" or ", " and ")], two_flags, _pair),
    # text
    T(["upper_{n}", "shout_{n}"], "text", ["Return text in upper case."], "return text.upper()", [("upper", "lower",
      "title")], one_word),
    T(["lower_{n}", "quiet_{n}"], "text", ["Return text in lower case."], "return text.lower()", [("lower", "upper",
      "title")], one_word),
    T(["clean_{n}", "trim_{n}"], "text", ["Return text without spaces at both ends."], "return text.strip()",
      [("strip", "lstrip", "rstrip")], padded_word),
    T(["{n}_starts_with"], "text, part", ["Tell whether text starts with part."], "return text.startswith(part)",
      [("startswith", "endswith")], word_and_ends),
    T(["{n}_ends_with"], "text, part", ["Tell whether text ends with part."], "return text.endswith(part)",
      [("endswith", "startswith")], word_and_ends),
    T(["repeat_{n}"], "text, times", ["Return text repeated times times."], "return text * times", [(" * times",
      " * 1", " * 4")], word_and_times),
    T(["replace_{n}", "swap_{n}"], "text, old, new", ["Replace old by new in text."], "return text.replace(old, new)",
      [("old, new", "new, old", "old, old")], three_words),
    T(["{n}_initial"], "text", ["Return the first letter of text."], "return text[0]", [("[0]", "[1]", "[-1]")],
      one_word),
    T(["{n}_ending"], "text", ["Return the last letter of text."], "return text[-1]", [("[-1]", "[0]", "[1]",
      "[-2]")], one_word),
    T(["mirror_{n}"], "text", ["Return text in reverse order."], "return text[::-1]", [("[::-1]", "[::1]", "[:-1]")],
      one_word),
    T(["join_{ns}", "list_{ns}"], "{ns}", ["Join {ns} with a {sign}."], "return '{s}'.join({ns})", [("'{s}'",
      "'{w}'")], word_list, _sign),
    T(["longest_{n}"], "{ns}", ["Return the longest of {ns}."], "return max({ns}, key=len)", [("max(", "min(")],
      lambda rng, slots: [(["fig", "banana", "melon"],)]),
    # dictionaries and ranges
    T(["total_in_{n}", "{n}_value"], "table", ["Return the sum of the values of table."], "return sum(table.values())",
      [("sum(", "max(", "min(", "len(")], small_dict),
    T(["best_in_{n}", "top_{n}"], "table", ["Return the largest of the values of table."], "return max(table.values())",
      [("max(", "min(", "sum(", "len(")], small_dict),
    T(["look_up_{n}", "find_{n}"], "table, key", ["Return the value of key in table, or {c} if it is missing."],
      "return table.get(key, {c})", [("{c}", "{w}")], dict_and_missing, _constant),
    T(["{n}_keys", "list_{n}_names"], "table", ["Return the sorted keys of table."], "return sorted(table.keys())",
      [("keys", "values")], small_dict),
    T(["count_to_{n}", "{n}_numbers"], "last", ["Return the numbers from 1 to last, with last."],
      "return list(range(1, last + 1))",
      [("last + 1", "last", "last - 1", "last + 2")], one_number),
    T(["{ns}_before", "earlier_{n}"], "last", ["Return the numbers from 0 to last, without last."],
      "return list(range(0, last))",
      [("range(0", "range(1", "range(2")], one_number),
    # several lines
    T(["loop_{ns}", "gather_{ns}"], "{ns}", ["Start at 0 and add each of {ns}."],
      "total = 0\nfor {n} in {ns}:\n    total += {n}\nreturn total",
      [("total = 0", "total = 1", "total = 2"), (" += ", " -= ", " *= ")], one_list),
    T(["chain_{ns}", "product_of_{ns}"], "{ns}", ["Start at 1 and multiply by each of {ns}."],
      "result = 1\nfor {n} in {ns}:\n    result *= {n}\nreturn result",
      [("result = 1", "result = 0", "result = 2"), (" *= ", " -= ", " += ")], one_list),
    T(["spend_{ns}", "use_{ns}"], "start, {ns}", ["Start at start and subtract each of {ns}."],
      "rest = start\nfor {n} in {ns}:\n    rest -= {n}\nreturn rest", [(" -= ", " += ", " *= ")],
      lambda rng, slots: [(rng.randint(60, 99), numbers(rng))]),
    T(["count_high_{ns}", "{ns}_over"], "{ns}, limit", ["Count the {ns} greater than limit."],
      "count = 0\nfor {n} in {ns}:\n    if {n} > limit:\n        count += 1\nreturn count",
      [(" > ", " < ", " >= "), ("count = 0", "count = 1"), (" += 1", " += 2", " -= 1")], list_and_member),
    T(["count_low_{ns}", "{ns}_under"], "{ns}, limit", ["Count the {ns} less than limit."],
      "count = 0\nfor {n} in {ns}:\n    if {n} < limit:\n        count += 1\nreturn count",
      [(" < ", " > ", " <= "), ("count = 0", "count = 1"), (" += 1", " += 2", " -= 1")], list_and_member),
    T(["rate_{n}", "judge_{n}"], "{n}", ["Return '{yes}' if {n} is at least {limit}, otherwise '{no}'."],
      "if {n} >= {limit}:\n    return '{yes}'\nreturn '{no}'",
      [(" >= ", " > ", " <= ", " < "), ("{limit}", "{wrong}")], around_limit, _outcome),
    T(["check_{n}", "label_{n}"], "{n}", ["Return '{yes}' if {n} is greater than {limit}, otherwise '{no}'."],
      "if {n} > {limit}:\n    return '{yes}'\nreturn '{no}'",
      [(" > ", " >= ", " < ", " <= "), ("{limit}", "{wrong}")], around_limit, _outcome),
    T(["charge_{n}", "{n}_shipping"], "{n}", ["Return {n} plus {c} if {n} is less than {limit}, otherwise {n}."],
      "if {n} < {limit}:\n    return {n} + {c}\nreturn {n}",
      [(" < ", " > ", " <= "), ("{limit}", "{wrong}"), (" + ", " - ")], around_limit,
      lambda rng: _limit(rng) | {"c": str(rng.randint(2, 9))}),
    T(["reward_{n}", "{n}_bonus_points"], "{n}",
      ["Return {n} minus {c} if {n} is greater than {limit}, otherwise {n}."],
      "if {n} > {limit}:\n    return {n} - {c}\nreturn {n}",
      [(" > ", " < ", " >= "), ("{limit}", "{wrong}"), (" - ", " + ")], around_limit,
      lambda rng: _limit(rng) | {"c": str(rng.randint(2, 9))}),
)
# fmt: on
