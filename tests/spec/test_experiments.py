"""The paper: every figure in it comes from its data, and it is what its text and data give."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from caesura.client.bench.analysis import analyse
from caesura.client.bench.options import make_parser, plans_of
from experiments import render, tables
from experiments.arms import ARMS, Arm
from experiments.figures import draw, draw_sweeps
from experiments.placeholders import PaperError, fill, lookup, number, with_interval
from experiments.run import SWEEPS
from experiments.summary import slug, summarise
from hypothesis import given
from hypothesis import strategies as st
from synthetic_results import PACES, Pace, load_of, results_of

TEXT = (render.HERE / "paper.md.in").read_text(encoding="utf-8")
RATES = {"65", "1,000", "4,000"}
"""Rates of the arms. All other numbers of the findings come from the data."""

NAMES = st.from_regex(r"[a-z0-9][a-z0-9-]{0,8}", fullmatch=True)
LEAVES = st.floats(-1e6, 1e6) | st.integers(-1000, 1000)
TREES = st.dictionaries(NAMES, LEAVES | st.dictionaries(NAMES, LEAVES, max_size=3), max_size=3)


@pytest.fixture(scope="module")
def paper(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the paper's text, and data of experiments that never were."""
    folder = tmp_path_factory.mktemp("paper")
    (folder / "data").mkdir()
    (folder / "paper.md.in").write_text(TEXT)
    paces = {**PACES, "c": Pace(api=2), "f": PACES["e"]}
    analyses = {}
    for number_, arm in enumerate(ARMS):
        results = results_of(
            {key: paces[key] for key in arm.designs},
            turns=8,
            peers={"llama-server": Pace(api=5)} if arm.peers else {},
            arm=arm.name,
            settings={"rtt_ms": number_, "objective": "p99 of time to first token <= 100 ms"},
            **({"loads": [load_of("e", 2, meets=True)], "runs": [], "limits": []} if arm.name == "load" else {}),
            environment={"cpu": "a processor", "usable_cores": 2, "python": "3.11"},
        )
        analysis = analyses[arm.name] = analyse(results)
        data = summarise(results, analysis, arm.command(), ["vllm: left out: no wheel"])
        data["figures"] = draw(analysis, arm.name, arm.plots, folder / "figures")
        (folder / "data" / f"{arm.name}.json").write_text(json.dumps(data))
    sweeps = draw_sweeps(
        {which: [analyses[name] for name in names] for which, names in SWEEPS.items()}, folder / "figures"
    )
    sweeps |= {f"sweep-{which}.svg": "" for which in SWEEPS if f"sweep-{which}.svg" not in sweeps}
    (folder / "data" / "sweeps.json").write_text(json.dumps({"figures": sweeps}))
    (folder / "data" / "environment.json").write_text(json.dumps({"llama_cpp_python": "0", "vllm": "0"}))
    return folder


def test_the_paper_is_what_its_text_and_data_give() -> None:
    assert render.problems(render.HERE) == []


def test_every_placeholder_names_what_an_experiment_gives(paper: Path) -> None:
    rendered = render.render(TEXT, render.load(paper / "data"))
    assert "{{" not in rendered
    assert "llama-server" in rendered
    assert "vllm: left out: no wheel" in rendered


def test_no_figure_of_the_findings_was_written_by_hand() -> None:
    for title in ("Findings", "Negatives"):
        assert set(render.bare_numbers(render.section(TEXT, title))) <= RATES


@pytest.mark.parametrize(
    ("text", "found"),
    [("It took 12.5 ms, or 40%.", ["12.5", "40%"]), ("T is {{a:.1f}}, `x=3`, design (e)", []), ("up to 32k.", ["32k"])],
)
def test_numbers_that_were_written_by_hand_are_seen(text: str, found: list[str]) -> None:
    assert render.bare_numbers(text) == found


def change_readme(folder: Path) -> None:
    (folder / "README.md").write_text((folder / "README.md").read_text().replace("T*", "T"))


def change_data(folder: Path) -> None:
    file = folder / "data" / "demo.json"
    file.write_text(file.read_text().replace('"limit_rate": ', '"limit_rate": 1'))


def change_figure(folder: Path) -> None:
    (folder / "figures" / "demo-stages.svg").write_text("<svg/>")


def lose_figure(folder: Path) -> None:
    (folder / "figures" / "demo-stages.svg").unlink()


def add_figure(folder: Path) -> None:
    (folder / "figures" / "demo-other.svg").write_text("<svg/>")


def lose_data(folder: Path) -> None:
    (folder / "data" / "demo.json").unlink()


@pytest.fixture
def copy(paper: Path, tmp_path: Path) -> Path:
    """The paper, rendered, with a file for every figure."""
    for file in paper.rglob("*"):
        if file.is_file():
            target = tmp_path / file.relative_to(paper)
            target.parent.mkdir(exist_ok=True)
            target.write_bytes(file.read_bytes())
    sweeps = {}
    for which in SWEEPS:
        (tmp_path / "figures" / f"sweep-{which}.svg").write_text("<svg/>")
        sweeps[f"sweep-{which}.svg"] = render.fingerprint("<svg/>")
    (tmp_path / "data" / "sweeps.json").write_text(json.dumps({"figures": sweeps}))
    render.write(tmp_path)
    return tmp_path


def test_a_paper_as_it_was_written_has_no_problems(copy: Path) -> None:
    assert render.problems(copy) == []
    before = (copy / "README.md").read_bytes()
    render.write(copy)
    assert (copy / "README.md").read_bytes() == before


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (change_readme, "README.md is not up to date"),
        (change_data, "README.md is not up to date"),
        (change_figure, "figures/demo-stages.svg is not the one of the data"),
        (lose_figure, "figures/demo-stages.svg is missing"),
        (add_figure, "figures/demo-other.svg is in no data file"),
        (lose_data, "there is no 'demo'"),
    ],
)
def test_what_is_not_up_to_date_is_named(copy: Path, change: Any, problem: str) -> None:
    change(copy)
    assert any(problem in found for found in render.problems(copy))


@given(TREES, st.lists(NAMES, min_size=1, max_size=3))
def test_a_path_that_is_not_there_is_named(tree: Any, names: list[str]) -> None:
    path = ".".join(names)
    data = {"arm": tree}
    value: Any = data
    for name in names:
        value = value.get(name, KeyError) if isinstance(value, dict) else KeyError
    if value is KeyError:
        with pytest.raises(PaperError, match=rf"^{path} is not in the data"):
            fill(f"{{{{{path}:.1f}}}}", data, {})
    else:
        assert lookup(data, path) == value


@given(st.text().filter(lambda text: "{{" not in text))
def test_text_without_placeholders_stays_as_it_is(text: str) -> None:
    assert fill(text, {}, tables.PARTS) == text


@given(st.floats(-1e9, 1e9), st.sampled_from([".0f", ".1f", ".3f", ",.2f"]))
def test_a_number_is_what_the_data_says_rounded(value: float, spec: str) -> None:
    digits = int(spec[-2])
    written = fill(f"{{{{arm.x:{spec}}}}}", {"arm": {"x": {"value": value}}}, {})
    assert math.isclose(float(written.replace(",", "")), value, abs_tol=0.51 * 10**-digits)


@given(st.floats(0, 1e3), st.floats(0, 1e3), st.floats(0, 1e3))
def test_an_interval_is_given_with_its_estimate(value: float, low: float, high: float) -> None:
    estimate = {"value": value, "low": low, "high": high}
    assert with_interval(estimate, ".2f") == f"{value:.2f} ({low:.2f} to {high:.2f})"
    assert with_interval({**estimate, "low": None, "high": None}, ".2f") == f"{value:.2f}"


@pytest.mark.parametrize(
    "text",
    [
        *("{{}}", "{{a b}}", "{{arm.x:__class__}}", "{{arm.x:.1f!r}}", "{{arm.text:.1f}}", "{{arm.flag:.1f}}"),
        *(
            "{{arm.x}}",
            "{{arm}}",
            "{{verdict arm.x}}",
            "{{unknown: x}}",
            "{{table: nothing arm}}",
            "{{table: targets}}",
        ),
        *("{{list: nothing}}", "{{figure: nothing | x}}", "{{arm.x.y:.1f}}", "{{arm.__len__}}"),
    ],
)
def test_what_is_no_placeholder_is_an_error(text: str) -> None:
    with pytest.raises(PaperError):
        fill(text, {"arm": {"x": 1.5, "text": "t", "flag": True}}, tables.PARTS)


@pytest.mark.parametrize(
    ("reached", "text"),
    [
        (True, "reached (98%; target >= 97%)"),
        (False, "missed (98%; target >= 97%)"),
        (None, "not told (98%; target >= 97%)"),
    ],
)
def test_a_verdict_is_what_was_reached(reached: bool | None, text: str) -> None:
    target = {"target": ">= 97%", "value": "98%", "reached": reached, "remark": ""}
    assert fill("{{verdict arm.t}}", {"arm": {"t": target}}, {}) == text


def test_what_is_not_told_is_listed_with_its_reason() -> None:
    target = {"name": "T", "target": ">= 97%", "value": "98%", "reached": None, "remark": "measured once"}
    reached = {**target, "name": "R", "reached": True, "remark": ""}
    data = {"arm": {"targets": {"t": target, "r": reached, "m": {**reached, "name": "M", "reached": False}}}}
    assert fill("{{verdict arm.targets.t}}", data, {}) == "not told: measured once (98%; target >= 97%)"
    listed = fill("{{list: missed arm}}", data, tables.PARTS).splitlines()
    assert listed == ["- arm: T: 98%, target >= 97%; not told: measured once", "- arm: M: 98%, target >= 97%; missed"]
    rows = fill("{{table: targets arm}}", data, tables.PARTS).splitlines()[2:]
    assert rows == [
        "| T | arm | >= 97% | 98% | not told: measured once |",
        "| R | arm | >= 97% | 98% | reached |",
        "| M | arm | >= 97% | 98% | **missed** |",
    ]


def test_what_was_not_measured_is_said_to_be_so() -> None:
    assert fill("{{arm.x:.1f}}", {"arm": {"x": None}}, {}) == "not measured"


def test_numbers_are_not_booleans() -> None:
    with pytest.raises(PaperError):
        number(True, ".1f")


@pytest.mark.parametrize("arm", ARMS, ids=lambda arm: arm.name)
def test_an_arm_is_a_command(arm: Arm) -> None:
    program, command, *words = arm.command()
    assert (program, command) == ("caesura", "bench")
    (plan,) = plans_of(make_parser().parse_args(words))
    assert plan.designs == tuple(arm.designs)
    assert (plan.repeats, plan.context) == (arm.repeats, arm.context)
    assert arm.context is not None or not arm.peers
    assert plan.engine.model == arm.model


def test_names_of_targets_are_names_of_paths() -> None:
    assert slug("efficiency T*/T of e") == "efficiency-t-t-of-e"
