"""Everything that makes llama.cpp abort the process, tried through the public interface.

The cases are in `killer_cases` and `killer_inputs`. They run in a process of their own, one after another, all on the
same engine: one that dies is a failed test here, and the next case gets a new process.
"""

from __future__ import annotations

import json
import re
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

HERE = Path(__file__).parent
CASES = str(HERE / "killer_cases.py")
SECONDS = 90  # more than a case has
KILLERS = {
    "prompts_and_appends_of_any_size": "a batch larger than n_batch",
    "everybody_prefills_at_once": "a batch larger than n_batch",
    "growing_until_it_is_full": "positions beyond the context",
    "nothing_to_compute": "an empty batch",
    "bad_tokens_everywhere": "a token outside the vocabulary",
    "pieces_of_bad_tokens": "token_to_piece out of range",
    "more_sequences_than_slots": "a seq_id of 256 or more",
    "settings_out_of_range": "a seq_id of 256 or more",
    "forks_at_odd_places": "a partial seq_cp",
    "closing_at_any_moment": "a seq_rm of a sequence in use",
    "closing_the_engine_while_it_decodes": "freeing a context in use",
    "parameters_that_cant_be": "sampling from logits or parameters that are no numbers",
    "every_corner_of_the_parameters": "a chain without a selector, or a NULL sampler",
    "grammars_that_are_none": "a grammar that doesn't parse, or a bad trigger",
    "forced_tokens_outside_of_the_grammar": "a grammar that replayed text doesn't fit",
    "weights_that_are_no_numbers": "logits that are no numbers, from which llama.cpp samples some token all the same",
    "nasty_text_in_every_place": "text that has no UTF-8 form",
    "deep_arguments_and_schemas": "nesting 100,000 deep",
    "files_that_are_no_models": "a model file that is damaged",
    "a_file_that_is_cut_off_while_in_use": "SIGBUS of a mapped file",
}
"""Each case, and what kills the process if it isn't guarded."""


class Runner:
    """The process that the cases run in, started again when one ends it."""

    def __init__(self, model: Path) -> None:
        self._command = [sys.executable, CASES, str(model)]
        self._process: subprocess.Popen[str] | None = None

    def run(self, name: str) -> None:
        process = self._process = self._process or subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps(name) + "\n")
        process.stdin.flush()
        answered, _, _ = select.select([process.stdout], [], [], SECONDS)
        if not answered:
            process.kill()
        line = process.stdout.readline()
        if not line:
            status = process.wait()
            self.close()
            pytest.fail(f"the process ended: {signal.Signals(-status).name if status < 0 else status}")
        if problem := json.loads(line):
            self.close()  # what the case left open isn't held against the next
            pytest.fail(problem)

    def close(self) -> None:
        if self._process is not None:
            with self._process as process:
                process.kill()
            self._process = None


@pytest.fixture(scope="module")
def runner(demo_model_path: Path) -> Iterator[Runner]:
    runner = Runner(demo_model_path)
    yield runner
    runner.close()


@pytest.mark.parametrize("name", KILLERS, ids=lambda name: f"{KILLERS[name]}: {name}")
def test_the_process_lives_on(runner: Runner, name: str) -> None:
    runner.run(name)


def test_a_case_that_dies_would_be_seen(demo_model_path: Path) -> None:
    runner = Runner(demo_model_path)
    runner._command = [sys.executable, "-c", "import os; os.abort()"]
    with pytest.raises(pytest.fail.Exception, match="SIGABRT"):
        runner.run("anything")


def test_every_case_is_run() -> None:
    sources = [(HERE / name).read_text() for name in ("killer_cases.py", "killer_inputs.py")]
    assert {name for source in sources for name in re.findall(r"@case\nasync def (\w+)", source)} == KILLERS.keys()
