"""Why figures may be worth less than they look: a noisy machine, failed sessions, other tokens than were asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .costs import REFERENCE, RunCost
from .noise import judge
from .records import DesignInfo, Results
from .statistics import median_ranks

FEW_REPEATS = 6
"""With fewer, even the interval from the smallest to the largest value covers less than 95%."""
OTHER_TOKENS = 0.02
"""Part of the tokens asked for by which a design may differ before it is told: none of the ones that can be forced
differs at all, while a peer ends a turn where it likes."""


def caveats(results: Results) -> list[str]:
    """For the whole experiment, a sentence each."""
    cores = results.environment.get("cores")
    noise = judge(results.noise, cores if isinstance(cores, int) else None)
    found = [f"{line[0].upper()}{line[1:]}." for line in noise]
    repeats = len({run.repeat for run in results.runs})
    if results.runs and repeats < 2:
        found.append("One repeat: there are no intervals.")
    elif results.runs and repeats < FEW_REPEATS:
        found.append(
            f"{repeats} repeats: intervals are the smallest and the largest value, "
            f"which hold a median with a probability of {median_ranks(repeats)[1]:.1%}."
        )
    if results.runs and not results.limits:
        found.append("The limit was not measured: there is no efficiency, and no overhead.")
    elif results.limits and not any(
        run.design == REFERENCE and run.error is None and any(turn.server for turn in run.turns) for run in results.runs
    ):
        found.append(
            f"Design {REFERENCE} did not run, so T_pre and T_post are taken as 0: "
            "efficiencies are a little lower and overheads a little higher than they would be."
        )
    return found


def notes_on(info: DesignInfo, runs: Sequence[RunCost], results: Results) -> list[str]:
    """For one design, a sentence each."""
    failed = [run for run in results.runs if run.design == info.key and run.error is not None]
    notes = []
    if failed:
        notes.append(f"{len(failed)} of {len(failed) + len(runs)} sessions failed and are left out.")
    if any(run.limit is None for run in runs) and results.limits:
        notes.append("Some sessions have other turns than the limit's: they have no efficiency and no overhead.")
    asked = [count for run in runs if (count := _asked(run, results)) is not None]
    sampled = [sum(turn.sampled for turn in run.turns if turn.sampled is not None) for run in runs]
    if any(turn.sampled is None for run in runs for turn in run.turns):
        notes.append("Its answers do not tell how many tokens were sampled.")
    elif asked and len(asked) == len(runs):
        difference = sum(sampled) / max(sum(asked), 1) - 1
        allowed = OTHER_TOKENS if info.kind == "peer" else 0.0
        if abs(difference) > allowed:
            notes.append(
                f"It sampled {sum(sampled) / len(runs):,.0f} tokens a session where {sum(asked) / len(runs):,.0f} "
                f"were asked for ({difference:+.1%}): its times are of other work."
            )
    return notes


def _asked(run: RunCost, results: Results) -> int | None:
    """Tokens that the session was to sample: as the limit sampled them, which is what a replay forces."""
    for limit in results.limits:
        if limit.repeat == run.run.repeat and limit.script == run.run.script:
            return sum(turn.sampled for turn in limit.turns)
    return _of_workload(results.workload, run.run.script)


def _of_workload(workload: dict[str, Any], script: str) -> int | None:
    """Scripts are named s0, s1, ... in the order of the workload's sessions."""
    try:
        session = workload["sessions"][int(script.removeprefix("s"))]
        return sum(int(turn["output_tokens"]) for turn in session["turns"])
    except (KeyError, IndexError, ValueError, TypeError):
        return None
