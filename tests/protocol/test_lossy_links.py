"""Client and server cores on links that can be lost, driven at random against a plain model (``world.py``).

``long_run.py`` does the same for as long as one likes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import long_run
import pytest
from actions import ACTIONS, can, step
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from teardown import finish
from world import PROFILES, World

pytestmark = pytest.mark.requirement(
    "append-atomic",
    "append-idempotent",
    "client-events-once",
    "client-gap",
    "client-resume",
    "client-retry",
    "create-idempotent",
    "detached-lives",
    "resume-replay",
    "sequence-numbers",
)


class Base(RuleBasedStateMachine):
    world: World | None = None

    @initialize(profile=st.sampled_from(sorted(PROFILES)))
    def choose_limits(self, profile: str) -> None:
        self.world = World(profile)

    def teardown(self) -> None:
        if self.world is not None:
            finish(self.world)


def as_rule(name: str) -> Callable[..., None]:
    """An action as a rule of its own: a failure reads as a list of calls."""

    def run(self: Base, data: st.DataObject) -> None:
        assert self.world is not None
        step(self.world, name, lambda below: data.draw(st.integers(0, below - 1), label=name))

    def is_possible(self: Base) -> bool:
        return self.world is not None and can(self.world, name)

    run.__name__ = name
    return precondition(is_possible)(rule(data=st.data())(run))


LossyLinks = type("LossyLinks", (Base,), {name: as_rule(name) for name in ACTIONS})
LossyLinks.TestCase.settings = settings(  # type: ignore[attr-defined]
    max_examples=40, stateful_step_count=50, deadline=None, suppress_health_check=list(HealthCheck)
)
TestLossyLinks = LossyLinks.TestCase  # type: ignore[attr-defined]


def test_a_random_walk_does_everything_and_breaks_nothing() -> None:
    """The weights are such that each thing that may happen does, also gaps and what a slow reader brings."""
    counts = Counter[str]()
    gaps = 0
    for seed in range(30):
        *_, world = long_run.walk(seed, 200)
        counts += world.counts
        gaps += sum(user.num_gaps for user in world.users)
    assert set(ACTIONS) <= counts.keys()
    assert counts["append refused"]
    assert gaps


def broken(_: World) -> None:
    raise AssertionError("broken")


def test_the_long_run_says_how_to_repeat_what_it_found(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["long_run.py", "--steps", "50", "--length", "20", "--seed", "7"]
    monkeypatch.setattr("sys.argv", arguments)
    assert long_run.main() == 0
    assert "no invariant broken" in capsys.readouterr().out
    monkeypatch.setattr(World, "check", broken)
    assert long_run.main() == 1
    assert "--seed 7 --length 20" in capsys.readouterr().out
