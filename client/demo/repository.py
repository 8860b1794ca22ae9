"""Small Python projects with one planted bug, made from a seed.

A repository has a README, one or two modules of short functions, and a `unittest` file for each module. Every
function's docstring says exactly what it does; one line contradicts its docstring, and the test of that function
fails because of it. The tests' expected values come from running the correct source, so they can't be wrong.
"""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .function_templates import TEMPLATES
from .functions import Function, is_buggy

INSTRUCTIONS = "You are a coding agent. Find the bug, fix it with one small edit and check it with the tests."
TASK = "A test fails in this repository. Please find the bug and fix it."

FIRST_TRAINING_SEED = 1000
"""Seeds below this one belong to the demo and to evaluation; training never sees them."""


@dataclass(frozen=True)
class Bug:
    """One wrong line. `old` and `new` are without indentation; `old` occurs exactly once in the file."""

    path: str
    function: str
    old: str
    new: str
    test: str
    docstring: str


@dataclass(frozen=True)
class Repository:
    """The files of a project as text by path, in path order, and the bugs planted in them."""

    seed: int
    topic: str
    files: Mapping[str, str]
    bugs: Sequence[Bug]

    @property
    def bug(self) -> Bug:
        return self.bugs[0]


@dataclass(frozen=True)
class Topic:
    """What a module is about: its possible names, and the nouns (singular, plural) that its functions speak of."""

    modules: tuple[str, ...]
    nouns: tuple[tuple[str, str], ...]


def _topic(modules: str, nouns: str) -> Topic:
    pairs = [noun.split("/") for noun in nouns.split()]
    return Topic(tuple(modules.split()), tuple((one, many) for one, many in pairs))


TOPICS = (
    _topic("shop cart checkout store market", "price/prices cost/costs item/items order/orders"),
    _topic("school grades exam classroom", "score/scores grade/grades mark/marks student/students"),
    _topic("weather climate forecast", "reading/readings sample/samples degree/degrees"),
    _topic("travel trip route roads", "distance/distances mile/miles stop/stops city/cities"),
    _topic("garden farm field orchard", "plant/plants crop/crops tree/trees seed/seeds"),
    _topic("library books shelf reader", "page/pages book/books chapter/chapters"),
    _topic("music playlist album tracks", "song/songs track/tracks beat/beats"),
    _topic("sports league match team", "point/points goal/goals player/players lap/laps"),
    _topic("bank ledger account budget", "amount/amounts payment/payments deposit/deposits fee/fees"),
    _topic("kitchen recipe cooking menu", "portion/portions meal/meals dish/dishes cup/cups"),
    _topic("shapes geometry drawing canvas", "side/sides length/lengths angle/angles"),
    _topic("health fitness training gym", "weight/weights step/steps pulse/pulses"),
    _topic("office payroll staff hours", "salary/salaries hour/hours shift/shifts bonus/bonuses"),
    _topic("storage stock warehouse boxes", "box/boxes part/parts unit/units crate/crates"),
    _topic("post parcels mail shipping", "parcel/parcels letter/letters stamp/stamps"),
    _topic("games arcade puzzle cards", "card/cards turn/turns coin/coins level/levels"),
    _topic("stats figures values series", "number/numbers value/values count/counts"),
    _topic("energy meter power solar", "watt/watts panel/panels load/loads"),
    _topic("words text names labels", "word/words name/names label/labels"),
    _topic("network traffic packets links", "packet/packets byte/bytes link/links"),
    _topic("agenda dates planner diary", "day/days week/weeks event/events"),
    _topic("sensors lab signals probes", "signal/signals level/levels probe/probes"),
    _topic("cinema tickets seats films", "ticket/tickets seat/seats film/films"),
    _topic("water pool tank river", "litre/litres depth/depths flow/flows"),
)

_PROJECT_WORDS = ["small", "tiny", "simple", "mini", "little", "basic", "plain", "handy"]


def make_repository(seed: int, num_bugs: int = 1) -> Repository:
    """The repository of `seed`: equal for equal arguments, on every machine and Python version."""
    rng = random.Random(f"repository {seed} {num_bugs}")
    while True:
        repository = _try(rng, seed, num_bugs)
        if repository is not None:
            return repository


def _try(rng: random.Random, seed: int, num_bugs: int) -> Repository | None:
    topic = rng.choice(TOPICS)
    modules = rng.sample(topic.modules, 1 if rng.random() < 0.55 else 2)
    functions: dict[str, list[Function]] = {}
    taken: set[str] = set()
    for module in modules:
        functions[module] = _functions(rng, topic, taken, max(num_bugs, rng.randint(2, 4 if len(modules) == 1 else 3)))
    candidates = [(module, function) for module in modules for function in functions[module]]
    chosen = rng.sample(candidates, num_bugs)
    broken: dict[str, tuple[str, str]] = {}
    for _, function in chosen:
        change = rng.choice(function.changes)
        if not is_buggy(function, change):
            return None
        broken[function.name] = change

    project = f"{rng.choice(_PROJECT_WORDS)}-{modules[0]}"
    files = {"README.md": _readme(project, modules)}
    bugs: list[Bug] = []
    for module in modules:
        text = _module(module, functions[module], broken)
        path = f"{module}.py"
        for function in functions[module]:
            if function.name not in broken:
                continue
            new, old = broken[function.name]
            if text.count(old) != 1:  # edit_file needs a text that occurs once
                return None
            bugs.append(Bug(path, function.name, old, new, f"test_{function.name}", function.docstring))
        files[path] = text
        files[f"test_{module}.py"] = _tests(module, functions[module])
    if any(bug.old in other.new for bug in bugs for other in bugs if bug is not other):
        return None  # one fix would make the other's `old` ambiguous
    return Repository(seed, modules[0], dict(sorted(files.items())), tuple(bugs))


def _functions(rng: random.Random, topic: Topic, taken: set[str], count: int) -> list[Function]:
    made: list[Function] = []
    while len(made) < count:
        template = rng.choice(TEMPLATES)
        function = template.make(rng, *rng.choice(topic.nouns))
        if function.name in taken:
            continue
        taken.add(function.name)
        made.append(function)
    return made


def _module(module: str, functions: Sequence[Function], broken: Mapping[str, tuple[str, str]]) -> str:
    parts = [f'"""Functions for {module}."""']
    parts += [function.source(broken.get(function.name)) for function in functions]
    return "\n\n\n".join(parts) + "\n"


def _tests(module: str, functions: Sequence[Function]) -> str:
    names = ", ".join(sorted(function.name for function in functions))
    lines = [
        "import unittest",
        "",
        f"from {module} import {names}",
        "",
        "",
        f"class {module.title()}Test(unittest.TestCase):",
    ]
    for function in functions:
        lines.append(f"    def test_{function.name}(self):")
        lines += [
            f"        self.assertEqual({function.name}({_arguments(case)}), {value!r})"
            for case, value in function.cases
        ]
        lines.append("")
    return "\n".join(lines[:-1]) + "\n"


def _arguments(case: Sequence[Any]) -> str:
    return ", ".join(repr(argument) for argument in case)


def _readme(project: str, modules: Sequence[str]) -> str:
    listed = " and ".join(f"`{module}.py`" for module in modules)
    return f"# {project}\n\nThe code is in {listed}.\nRun the tests with `python -m unittest`.\n"
