"""The page and the tables."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import msgspec
import pytest
from caesura.client.bench.records import Results
from caesura.client.bench.report import print_report, write_report
from caesura.client.bench.report.formats import change, count, duration, factor, rate, share, size
from caesura.client.bench.report.html import Markup, element, text
from caesura.client.bench.statistics import Estimate
from rich.console import Console
from synthetic_results import PACES, Pace, load_of, results_of

EVIL = '</script><img src=x onerror="alert(1)">\x1b[31m'
VOID = {"meta", "br", "link", "img", "input", "hr"}


class Page(HTMLParser):
    """Checks that elements nest, and keeps what is in them."""

    def __init__(self, source: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: dict[str, str] = {}
        self.words: list[str] = []
        self.feed(source)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "script":
            self.scripts[self.tags[-1][1].get("id") or ""] = data
        elif self.open and self.open[-1] != "style":
            self.words.append(data)


def experiment(**fields: Any) -> Results:
    whole: dict[str, Any] = {
        "turns": 30,
        "loads": [load_of("e", 1, meets=True), load_of("e", 4, meets=False)],
        **fields,
    }
    return results_of(peers={EVIL: Pace(prefill=9)}, **whole)


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("report") / "report.html"
    write_report(experiment(simulated=True, engine={"decode": 1000}), path)
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def page(written: str) -> Page:
    return Page(written)


def test_the_page_refers_to_nothing_outside(written: str, page: Page) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "xlink:href", "data", "action", "srcset"):
            assert re.match("#|$", attributes.get(name) or ""), (tag, attributes)
        assert tag not in ("link", "img", "iframe", "object")
        assert not any(name.startswith("on") for name in attributes)
    assert "@import" not in written
    assert set(re.findall(r"url\((.)", written)) <= {"#"}


def test_raw_data_comes_out_as_it_went_in(page: Page) -> None:
    results = experiment(simulated=True, engine={"decode": 1000})
    assert msgspec.json.decode(page.scripts["results"], type=list[Results]) == [results]


def test_names_from_outside_are_text(page: Page) -> None:
    shown = "".join(page.words)
    assert '</script><img src=x onerror="alert(1)">\ufffd[31m' in shown
    assert "\x1b" not in shown


def test_the_page_says_what_it_has_to(page: Page) -> None:
    shown = " ".join(page.words)
    for part in (
        "SIMULATED ENGINE",
        "decode 1000",
        "caesura bench --tool-calls 4",
        "a processor",
        "all turns are alike",
    ):
        assert part in shown
    for part in ("T*/T", "residual", "Targets", "can't tell", "NO", "yes", "Most agents that met the objective: e 1"):
        assert part in shown
    assert sum(tag == "svg" for tag, _ in page.tags) == 5


def test_plots_without_a_model_say_so(written: str, tmp_path: Path) -> None:
    plots = re.findall(r"<svg.*?</svg>", written, re.DOTALL)
    assert len(plots) == 5
    assert all("simulated" in re.sub("<[^>]*>|<!--.*?-->", "", plot) for plot in plots)
    assert "<title>The cost of an agent loop (simulated): " in written
    pages = {}
    for simulated in ((False, False), (False, True), (True, True)):
        several = [results_of(turns=turns, simulated=each) for turns, each in zip((3, 30), simulated, strict=True)]
        write_report(several, tmp_path / "report.html")
        pages[simulated] = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "simulated" not in "".join(re.findall(r"<(?:svg|title).*?</(?:svg|title)>", pages[False, False], re.DOTALL))
    for simulated, note in (((False, True), "partly simulated"), ((True, True), "simulated")):
        assert f"<title>The cost of an agent loop ({note})</title>" in pages[simulated]
        (sweep,) = re.findall(r'<svg[^>]*aria-label="Speed-up.*?</svg>', pages[simulated], re.DOTALL)
        assert f">{note}<" in sweep


def test_intervals_are_called_what_they_cover(tmp_path: Path) -> None:
    for repeats, name in ((3, "75% interval"), (5, "93.8% interval"), (6, "95% interval")):
        file = io.StringIO()
        print_report(results_of(repeats=repeats), Console(file=file, width=80))
        assert f"± its {name}" in file.getvalue()
        write_report(results_of(repeats=repeats), tmp_path / "report.html")
        assert f"their {name}s" in (tmp_path / "report.html").read_text(encoding="utf-8")


def test_ids_are_there_once(page: Page) -> None:
    ids = [identity for _, attributes in page.tags if (identity := attributes.get("id"))]
    assert len(ids) == len(set(ids))


def test_the_same_results_give_the_same_page(tmp_path: Path) -> None:
    results = experiment(turns=3, repeats=2)
    write_report(results, tmp_path / "one.html")
    write_report([results], tmp_path / "two.html")
    assert (tmp_path / "one.html").read_bytes() == (tmp_path / "two.html").read_bytes()


def test_several_experiments_share_a_page(tmp_path: Path) -> None:
    several = [results_of(turns=turns, repeats=2, arm=arm) for arm in ("fast", "slow $x$") for turns in (3, 30)]
    for results in several[2:]:
        for limit in results.limits:
            for turn in limit.turns:
                turn.decode_ns *= 20
    write_report(several, tmp_path / "report.html")
    page = Page((tmp_path / "report.html").read_text(encoding="utf-8"))
    shown = " ".join(page.words)
    assert "over tool calls a session" in shown
    assert "over tokens/s of the engine alone" in shown
    assert "over added round trip" not in shown
    labels = [attributes["aria-label"] for tag, attributes in page.tags if tag == "svg"]
    assert [label for label in labels if label and label.startswith("Speed-up")] == [
        "Speed-up over tool calls a session, one line for each design",
        "Speed-up over tokens/s of the engine alone, one line for each design",
    ]
    assert msgspec.json.decode(page.scripts["results"], type=list[Results]) == several
    ids = [identity for _, attributes in page.tags if (identity := attributes.get("id"))]
    assert len(ids) == len(set(ids))


def test_experiments_with_nothing_in_them(tmp_path: Path) -> None:
    failed = results_of(turns=3)
    for run in failed.runs:
        run.error = "it broke"
    for results in (failed, results_of(paces={}), results_of(runs=[], limits=[]), results_of(turns=1, repeats=1)):
        write_report(results, tmp_path / "report.html")
        Page((tmp_path / "report.html").read_text(encoding="utf-8"))
        print_report(results, Console(file=io.StringIO(), width=80))
    with pytest.raises(ValueError, match="no results"):
        write_report([], tmp_path / "report.html")


@pytest.mark.parametrize("width", [80, 120])
def test_tables_fit_the_terminal(width: int) -> None:
    file = io.StringIO()
    results = experiment(simulated=True, engine={"decode": 1000})
    results.runs[0].error = "\x1b]0;gone\x07"
    print_report(results, Console(file=file, width=width, color_system=None))
    shown = file.getvalue()
    assert max(len(line) for line in shown.splitlines()) <= width
    assert "\x1b" not in shown
    assert "\x07" not in shown
    for part in ("SIMULATED ENGINE", "done/append", "T*/T", "between turns", "tail/head", "Targets", "agents", "±"):
        assert part in shown
    assert "1 of 3 sessions failed" in shown
    # Figures are never broken.
    row = next(line for line in shown.splitlines() if line.startswith("e done/append"))
    assert row.split() == ["e", "done/append", "1.03", "s", "-51.8%", "98.3%", "4.50", "ms", *row.split()[8:]]


def test_tables_of_several_experiments() -> None:
    file = io.StringIO()
    print_report(
        [results_of(paces={"e": PACES["e"]}, arm=arm) for arm in ("one", "other")], Console(file=file, width=80)
    )
    assert "on one" in file.getvalue()
    assert "on other" in file.getvalue()


def test_only_a_page_imports_matplotlib() -> None:
    program = (
        "import sys\n"
        "from caesura.client.bench.report import print_report, write_report, write_trace\n"
        "import caesura.client.bench.report.table\n"
        "sys.exit('matplotlib' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)


def test_numbers_as_people_read_them() -> None:
    durations = [duration(ms) for ms in (12345, 999, 99.96, 12.34, 1.234, 0.1, 0.0123, 0, -0.5)]
    assert durations == ["12.3 s", "999 ms", "100 ms", "12.3 ms", "1.23 ms", "0.10 ms", "12 us", "0.00 ms", "-0.50 ms"]
    assert [count(value) for value in (1234, 123456, 12345678)] == ["1,234", "123 k", "12.3 M"]
    assert [size(value) for value in (999, 1500, 2e6)] == ["999 B", "1.50 kB", "2.00 MB"]
    assert (share(0.971), change(-0.4), change(0.1), change(0.0)) == ("97.1%", "-40.0%", "+10.0%", "+0.0%")
    assert (factor(-0.00001), rate(1234.5), rate(2.5)) == ("0.000", "1,234/s", "2.5/s")
    assert duration.interval(Estimate(1000, 990, 1020, 5)) == "0.99 to 1.02"
    assert duration.margin(Estimate(1000, 990, 1020, 5)) == "±0.02"
    assert duration.margin(Estimate(1000, None, None, 1)) == duration.interval(None) == ""
    assert duration.of(None) == "-"


def test_only_markup_is_put_in_as_it_is() -> None:
    assert element("p", "<b>", Markup("<i>"), class_='"x"') == '<p class="&quot;x&quot;">&lt;b&gt;<i></p>'
    assert text("\x00a\n") == "\ufffda\n"


def test_embedded_json_is_json(page: Page) -> None:
    raw = page.scripts["results"]
    assert "<" not in raw
    assert EVIL in [design["key"] for design in json.loads(raw)[0]["designs"]]
