"""Check the model with Spin: ``python spec/model/check.py [--mutants] [--large] [--only NAME] [--jobs N]``.

Each run visits every state of the model at one size and must find no error. With ``--mutants`` each fault of
``mutants.pml`` is built in, one at a time, and must be found. ``--large`` takes larger runs: minutes, and some GiB of
memory. What is to be found where is in ``searches.py``.

Exit status 0: all is as it should be. 1: something is not. 2: Spin or a C compiler is missing, or there is no NAME.
Standard library only.
"""

from __future__ import annotations

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from searches import HAPPENINGS, LARGE, MUTANTS, PROPERTIES, RUNS, Run

HERE = Path(__file__).resolve().parent
MODEL = HERE / "caesura.pml"
MAX_DEPTH = 10_000
MAX_SECONDS = 3600
HASH_BITS = 20  # to begin with: the verifier enlarges its table when it is full


class CannotCheck(Exception):
    """Something is missing. The message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Result:
    """:ivar error: the property that is violated; None if none is."""

    states: int
    seconds: float
    error: str | None


class Verifiers:
    """Spin's verifiers for this model, each made when it is first needed, in a directory that :meth:`close` removes."""

    def __init__(self) -> None:
        self.spin = shutil.which("spin")
        self.compiler = next(filter(None, map(shutil.which, ("cc", "gcc", "clang"))), None)
        if self.spin is None:
            raise CannotCheck("the model checker Spin is needed: apt-get install spin (or see https://spinroot.com)")
        if self.compiler is None:
            raise CannotCheck("Spin needs a C compiler: apt-get install gcc")
        self._directory = Path(tempfile.mkdtemp(prefix="caesura-model-"))
        self._made: dict[tuple[str, bool], Path] = {}
        self._locks: dict[tuple[str, bool], threading.Lock] = {}
        self._lock = threading.Lock()

    def close(self) -> None:
        shutil.rmtree(self._directory, ignore_errors=True)

    def search(self, run: Run, mutant: int = 0) -> Result:
        """Visit the states until one violates a property.

        :param mutant: its number in ``mutants.pml``.
        :raises CannotCheck: the search did not come to its end: too deep, too long, out of memory.
        """
        verifier = self._verifier(run)
        directory = Path(tempfile.mkdtemp(dir=self._directory))  # a trail is written there
        command = [str(verifier), f"-m{MAX_DEPTH}", f"-w{HASH_BITS}", *(["-a", "-N", run.claim] if run.claim else [])]
        started = time.monotonic()
        environment = {"MUTANT": str(mutant)}
        try:
            done = subprocess.run(
                command, cwd=directory, env=environment, capture_output=True, text=True, timeout=MAX_SECONDS
            )
        except subprocess.TimeoutExpired as error:
            raise CannotCheck(f"{run.size}: not done after {MAX_SECONDS} s") from error
        seconds = time.monotonic() - started
        output = done.stdout + done.stderr
        states, errors = re.search(r"(\d+) states, stored", output), re.search(r"errors: (\d+)", output)
        if done.returncode or states is None or errors is None or _is_cut_short(output, errors[1]):
            why = [line for line in output.splitlines() if line.startswith(("pan:", "error:"))] or [output[-1000:]]
            raise CannotCheck(f"{run.size}: the search did not come to its end\n" + "\n".join(why))
        found = None if errors[1] == "0" else _property(output, run)
        return Result(int(states[1]), seconds, found)

    def _verifier(self, run: Run) -> Path:
        key = (run.size, run.claim is not None)
        with self._lock:
            lock = self._locks.setdefault(key, threading.Lock())
        with lock:
            if key not in self._made:
                self._made[key] = self._make(*key)
            return self._made[key]

    def _make(self, size: str, with_claims: bool) -> Path:
        directory = Path(tempfile.mkdtemp(dir=self._directory))
        definitions = [f"-D{parameter}" for parameter in size.split()]
        self._call([self.spin, "-a", "-DSWITCHABLE", *definitions, str(MODEL)], directory)
        kind = [] if with_claims else ["-DSAFETY", "-DNOCLAIM"]
        self._call([self.compiler, "-w", "-O1", *kind, "-o", "pan", "pan.c"], directory)
        return directory / "pan"

    @staticmethod
    def _call(command: Iterable[str | None], directory: Path) -> None:
        arguments = [str(argument) for argument in command]
        done = subprocess.run(arguments, cwd=directory, capture_output=True, text=True)
        if done.returncode:
            raise CannotCheck(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")


def _is_cut_short(output: str, num_errors: str) -> bool:
    """Whether states were left out for want of memory or depth: what was not found may be there."""
    return num_errors == "0" and ("Search not completed" in output or "max search depth too small" in output)


def _property(output: str, run: Run) -> str:
    line = next((line for line in output.splitlines() if line.startswith("pan:1: ")), output[-500:])
    if "acceptance cycle" in line and run.claim:
        return run.claim
    return next((name for pattern, name in PROPERTIES.items() if re.search(pattern, line)), line)


def mutants() -> dict[str, int]:
    """The number of each mutant and happening in the model.

    :raises CannotCheck: they are not those of :data:`MUTANTS` and :data:`HAPPENINGS`, or one is built in nowhere.
    """
    defined = re.findall(r"^#define ([A-Z_]+) +(\d+)$", (HERE / "mutants.pml").read_text(), re.MULTILINE)
    numbers = {name: int(number) for name, number in defined if name != "NO_MUTANT"}
    if numbers.keys() != MUTANTS.keys() | HAPPENINGS.keys() or len(set(numbers.values())) != len(numbers):
        differing = numbers.keys() ^ (MUTANTS.keys() | HAPPENINGS.keys())
        raise CannotCheck(f"mutants.pml and searches.py don't name the same mutants: {', '.join(sorted(differing))}")
    model = "".join(file.read_text() for file in HERE.glob("*.pml") if file.name != "mutants.pml")
    unused = [name for name in numbers if not re.search(rf"\b{name}\b", model)]
    if unused:
        raise CannotCheck(f"built in nowhere: {', '.join(unused)}")
    return numbers


@dataclass(frozen=True, slots=True)
class Check:
    """A search and what it must find.

    :ivar expected: the name of a property, or None.
    """

    name: str
    run: Run
    expected: str | None = None
    mutant: int = 0


def checks(*, large: bool = False, with_mutants: bool = False) -> list[Check]:
    """All that there is to check."""
    runs = [Check(name, run) for name, run in (LARGE if large else RUNS).items()]
    if not with_mutants:
        return runs
    numbers = mutants()
    faults = [Check(name, RUNS[run], found, numbers[name]) for name, (run, found) in MUTANTS.items()]
    happenings = [Check(name, RUNS[run], "happens", numbers[name]) for name, run in HAPPENINGS.items()]
    return runs + faults + happenings


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(description="Check the model of the protocol with Spin.")
    parser.add_argument("--mutants", action="store_true", help="also check that each built-in fault is found")
    parser.add_argument("--large", action="store_true", help="the large runs: minutes, and some GiB of memory")
    parser.add_argument("--only", metavar="NAME", help="this run or mutant alone")
    parser.add_argument("--jobs", metavar="N", type=int, default=1, help="searches at a time (default 1)")
    options = parser.parse_args(arguments)
    try:
        chosen = checks(large=options.large, with_mutants=options.mutants or options.only is not None)
        if options.only is not None:
            chosen = [check for check in chosen if check.name == options.only]
        if not chosen:
            raise CannotCheck(f"there is no run or mutant {options.only!r}")
        verifiers = Verifiers()
    except CannotCheck as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 2
    try:
        return _report(chosen, verifiers, options.jobs)
    except CannotCheck as error:
        print(f"check.py: {error}", file=sys.stderr)
        return 1
    finally:
        verifiers.close()


def _report(chosen: list[Check], verifiers: Verifiers, jobs: int) -> int:
    started = time.monotonic()
    print(f"{'':23} {'states':>9} {'seconds':>8}  found")
    surprises = 0
    with ThreadPoolExecutor(jobs) as pool:
        results = pool.map(lambda check: verifiers.search(check.run, check.mutant), chosen)
        for check, result in zip(chosen, results, strict=True):
            as_expected = result.error == check.expected
            surprises += not as_expected
            remark = "" if as_expected else f"   <-- expected: {check.expected or 'no error'}"
            found = result.error or "no error"
            print(f"{check.name:23} {result.states:9} {result.seconds:8.2f}  {found}{remark}", flush=True)
    print(f"{len(chosen)} searches, {surprises} surprises, {time.monotonic() - started:.1f} s with compiling")
    return 1 if surprises else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
