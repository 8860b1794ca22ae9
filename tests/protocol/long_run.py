"""A random walk over everything that clients, links, rollouts and time may do: ``python tests/protocol/long_run.py``.

It takes ``--steps`` steps (a million, some minutes), in worlds of ``--length`` steps each, every one from a seed of
its own. A broken invariant ends it with exit status 1 and that seed; ``--seed`` with it repeats the world.
"""

from __future__ import annotations

import argparse
import itertools
import random
import sys
import time
import traceback
from collections import Counter
from collections.abc import Iterator

from actions import ACTIONS, can, step
from teardown import finish
from world import PROFILES, World

WEIGHTS = list(itertools.accumulate(action.weight for action in ACTIONS.values()))
NAMES = list(ACTIONS)


def walk(seed: int, length: int) -> Iterator[World]:
    """One world, after each of its steps; the last time after its end."""
    rng = random.Random(seed)
    world = World(rng.choice(sorted(PROFILES)))
    for _ in range(length):
        while not can(world, name := rng.choices(NAMES, cum_weights=WEIGHTS)[0]):
            pass
        step(world, name, rng.randrange)
        yield world
    finish(world)
    yield world


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=1_000_000)
    parser.add_argument("--length", type=int, default=300, help="steps of one world")
    parser.add_argument("--seed", type=int, default=0, help="of the first world; each next one has the next")
    arguments = parser.parse_args()
    began, steps, counts = time.monotonic(), 0, Counter[str]()
    seed = arguments.seed
    while steps < arguments.steps:
        try:
            for world in walk(seed, arguments.length):
                last = world
                steps += 1
        except Exception:
            traceback.print_exc()
            print(f"\nan invariant broke in the world of seed {seed}, after {steps} steps")
            print(f"again: python tests/protocol/long_run.py --seed {seed} --length {arguments.length} --steps 1")
            return 1
        counts += last.counts
        counts["events given to users"] += sum(user.num_events for user in last.users)
        counts["gaps with a snapshot"] += sum(user.num_gaps for user in last.users)
        seed += 1
    for name, count in sorted(counts.items()):
        print(f"{count:>12,}  {name}")
    minutes = (time.monotonic() - began) / 60
    print(f"{steps:,} steps in {seed - arguments.seed:,} worlds, {minutes:.1f} minutes: no invariant broken, all ended")
    return 0


if __name__ == "__main__":
    sys.exit(main())
