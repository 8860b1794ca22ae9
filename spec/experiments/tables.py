"""The paper's tables and lists, from its data."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from caesura.client.bench.stages import GROUPS, grouped

from .placeholders import Data, PaperError, lookup, number, outcome, with_interval

NONE = "-"


def table(data: Data, asked: str) -> str:
    """``asked``: the table's name, then the arms it is of."""
    name, *arms = asked.split()
    if name not in _TABLES:
        raise PaperError(f"there is no table {name!r}; tables are {', '.join(_TABLES)}")
    if not arms:
        raise PaperError(f"table {name}: of which arm?")
    return _TABLES[name]({arm: lookup(data, arm) for arm in arms})


def bullets(data: Data, asked: str) -> str:
    """``asked``: the list's name (``missed``, ``warnings``, ``left-out``), then the arms it is of; none for all."""
    name, *arms = asked.split()
    if name not in _LISTS:
        raise PaperError(f"there is no list {name!r}; lists are {', '.join(_LISTS)}")
    chosen = arms or [arm for arm, each in data.items() if "designs" in each]
    lines = [f"- {arm}: {line}" for arm in chosen for line in _LISTS[name](lookup(data, arm))]
    return "\n".join(lines) or "- none"


def figure(data: Data, asked: str) -> str:
    """``asked``: the figure's name, ``|``, what it shows."""
    name, _, caption = (part.strip() for part in asked.partition("|"))
    if not any(f"{name}.svg" in each.get("figures", {}) for each in data.values()):
        raise PaperError(f"there is no figure {name!r} in the data")
    return f"![{caption}](figures/{name}.svg)\n\n*{caption}*"


Arms = Mapping[str, Any]


def _rows(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [list(heads), ["---", *("---:" for _ in heads[1:])], *map(list, rows)]
    return "\n".join(f"| {' | '.join(cell.replace('|', '/') for cell in line)} |" for line in lines)


def _maybe(value: Any, spec: str, *, interval: bool = False) -> str:
    if value is None:
        return NONE
    return with_interval(value, spec) if interval else number(value, spec)


def _label(key: str, design: Mapping[str, Any]) -> str:
    return key if design["kind"] == "peer" else f"({key}) {design['title']}"


def _designs(arms: Arms) -> str:
    heads = (
        *("design", "T of a session, ms", "less than (a)", "TTFT of a turn, ms"),
        *("over T\\* a boundary, ms: median", "p99", "T\\*/T", "tokens computed", "KB sent"),
    )
    rows = []
    for key, design in _all_designs(arms):
        overhead = design["overhead_ms"] or {"median": None, "p99": None}
        ttft = design["ttft_ms"]
        rows.append(
            (
                _label(key, design),
                _maybe(design["session_ms"], ",.1f", interval=True),
                _maybe(design["saved"].get("a"), ".0%"),
                _maybe(ttft and ttft["median"], ",.2f"),
                _maybe(overhead["median"], ",.2f"),
                _maybe(overhead["p99"], ",.2f"),
                _maybe(design["efficiency"], ".1%"),
                _maybe(design["tokens"]["decoded"], ",.0f"),
                number(design["bytes_up"] / 1000, ",.1f"),
            )
        )
    return _rows(heads, rows)


def _versus(arms: Arms) -> str:
    heads = ("e takes less time than", "end to end", "to a turn's first token")
    rows = []
    for arm, each in arms.items():
        e = each["designs"].get("e")
        if e is None:
            raise PaperError(f"{arm} has no design e")
        rows += [
            (
                _label(key, design),
                _maybe(e["saved"].get(key), ".1%", interval=True),
                _maybe(e["ttft_saved"].get(key), ".1%", interval=True),
            )
            for key, design in each["designs"].items()
            if key != "e"
        ]
    return _rows(heads, rows)


def _stages(arms: Arms) -> str:
    found = {key: grouped(design["stages_ms"]) for key, design in _all_designs(arms) if design["kind"] != "peer"}
    rows = [
        (group, *(_maybe(stages.get(group), ",.2f") for stages in found.values()))
        for group in GROUPS
        if any(group in stages for stages in found.values())
    ]
    rows.append(("between turns", *(number(design["residual_ms"], ",.2f") for design in _ours(arms))))
    rows.append(("all", *(number(design["mean_session_ms"], ",.1f") for design in _ours(arms))))
    return _rows(("ms a session", *found), rows)


def _cpu(arms: Arms) -> str:
    designs = list(_all_designs(arms))
    processes = list(dict.fromkeys(name for _, design in designs for name in design["cpu_ms"]))
    return _rows(
        ("design", *(f"{name}, ms a turn" for name in processes)),
        [
            (_label(key, design), *(_maybe(design["cpu_ms"].get(name), ",.2f") for name in processes))
            for key, design in designs
        ],
    )


def _targets(arms: Arms) -> str:
    return _rows(
        ("what was to be reached", "arm", "target", "measured", "outcome"),
        [
            (target["name"], arm, target["target"], target["value"], _outcome(target))
            for arm, each in arms.items()
            for target in each["targets"].values()
        ],
    )


def _outcome(target: Mapping[str, Any]) -> str:
    return {True: "reached", False: "**missed**", None: outcome(target)}[target["reached"]]


def _sweep(arms: Arms) -> str:
    others = list(dict.fromkeys(key for key, _ in _all_designs(arms) if key != "e"))
    rows = []
    for arm, each in arms.items():
        e = each["designs"]["e"]
        cells = (_maybe(e["saved"].get(key), ".0%", interval=True) for key in others)
        rows.append((arm, f"{each['calls']:g}", _maybe(each["limit_rate"], ",.0f"), f"{each['rtt_ms']:g}", *cells))
    heads = ("arm", "calls", "tokens/s alone", "round trip, ms", *(f"e against {key}" for key in others))
    return _rows(heads, rows)


def _growth(arms: Arms) -> str:
    heads = ("design", "ms more for 1,000 tokens of history", "tail/head of a turn", "of what is over T\\*", "turns")
    rows = []
    for key, design in _all_designs(arms):
        growth = design["growth"]
        if growth is not None:
            rows.append(
                (
                    _label(key, design),
                    _maybe(growth["cost"] and growth["cost"]["slope"], ".3f", interval=True),
                    _maybe(growth["tail_head"], ".3f", interval=True),
                    _maybe(growth["tail_head_over_limit"], ".2f", interval=True),
                    f"{growth['turns']}, {growth['tokens']:,} tokens",
                )
            )
    return _rows(heads, rows)


def _loads(arms: Arms) -> str:
    heads = (
        *(
            "design",
            "agents",
            "tokens/s in all",
            "turns/s",
            "TTFT, ms: p50",
            "p99",
            "cores: server",
            "engine",
            "client",
        ),
        "meets",
    )
    meets = {True: "yes", False: "no", None: NONE}
    rows = [
        (
            load["design"],
            str(load["agents"]),
            _maybe(load["tokens_per_second"], ",.0f"),
            number(load["turns_per_second"], ",.0f"),
            _maybe(load["ttft_ms"].get("p50"), ",.1f"),
            _maybe(load["ttft_ms"].get("p99"), ",.1f"),
            *(_maybe(load["cpu_share"].get(process), ".2f") for process in ("server", "engine", "client")),
            meets[load["meets"]],
        )
        for each in arms.values()
        for load in each["loads"]
    ]
    return _rows(heads, rows)


def _commands(arms: Arms) -> str:
    return _rows(
        ("arm", "what answers", "repeats", "command"),
        [(arm, each["arm"], str(each["repeats"]), f"`{each['command']}`") for arm, each in arms.items()],
    )


def _all_designs(arms: Arms) -> list[tuple[str, Any]]:
    return [(key, design) for each in arms.values() for key, design in each["designs"].items()]


def _ours(arms: Arms) -> list[Any]:
    return [design for _, design in _all_designs(arms) if design["kind"] != "peer"]


def _missed(each: Mapping[str, Any]) -> list[str]:
    return [
        f"{target['name']}: {target['value']}, target {target['target']}; {outcome(target)}"
        for target in each["targets"].values()
        if target["reached"] is not True
    ]


def _warnings(each: Mapping[str, Any]) -> list[str]:
    notes = [f"({key}) {note}" for key, design in each["designs"].items() for note in design["notes"]]
    return [*each["warnings"], *notes]


_TABLES: Mapping[str, Callable[[Arms], str]] = {
    "designs": _designs,
    "versus": _versus,
    "stages": _stages,
    "cpu": _cpu,
    "targets": _targets,
    "sweep": _sweep,
    "growth": _growth,
    "loads": _loads,
    "commands": _commands,
}
_LISTS: Mapping[str, Callable[[Mapping[str, Any]], list[str]]] = {
    "missed": _missed,
    "warnings": _warnings,
    "left-out": lambda each: each["left_out"],
}
PARTS = {"table": table, "list": bullets, "figure": figure}
