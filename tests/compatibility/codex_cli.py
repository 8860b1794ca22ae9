"""Unmodified releases of Codex CLI, from npm, through a tool-calling rollout each: ``make codex``.

Not part of ``make test``, since it needs npm and the network. Codex runs with its own transport against ``caesura serve
--replay``: two shell commands, then a sentence. Codex 0.101.0 spoke the done/append dialect of early 2026; 0.169.0
speaks OpenAI's WebSocket mode, or HTTP where a provider has no WebSockets. The proof of how the rollout was carried on
is the server's own count of what each Response cost.

Exit status 0 if every rollout ended as it should, 1 if not, 2 if Codex CLI can't be had here.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

COMMANDS = ("echo caesura-$((6*7)) > made.txt", "cat made.txt")
CONFIG = """
model = "{model}"
model_provider = "caesura"

[model_providers.caesura]
name = "caesura"
base_url = "{url}/v1"
wire_api = "responses"
supports_websockets = {websockets}
"""
FEATURE = """
[features]
responses_websockets = true
"""

Report = dict[str, Any]


def _one_response_with_two_pauses(reports: list[Report]) -> bool:
    return [report["pauses"] for report in reports] == [2]


def _a_chain_that_computes_what_is_new(reports: list[Report]) -> bool:
    """A warm-up, which samples nothing, and three turns. The first of them may come on another connection: Codex
    doesn't wait for a warm-up that takes long."""
    sampled = [report["tokens"]["sampled"] for report in reports]
    first, *later = [report["tokens"] for report in reports[1:]]
    rows = [first["prefilled"] + first["carried"], *(tokens["carried"] for tokens in later)]
    computed = [tokens["decoded"] for tokens in later]
    return len(later) == 2 and sampled[0] == 0 < rows[0] < rows[1] < rows[2] and max(computed) < 1000


def _three_requests_with_the_whole_history(reports: list[Report]) -> bool:
    prompts = [report["tokens"]["prefilled"] for report in reports]
    return len(reports) == 3 and prompts == sorted(set(prompts)) and not any(r["tokens"]["carried"] for r in reports)


@dataclass(frozen=True)
class Case:
    """``tool`` and ``parameter``: what this release calls its shell. ``as_it_should`` judges what the Responses
    cost."""

    release: str
    mode: str
    tool: str
    parameter: str
    config: str
    as_it_should: Callable[[list[Report]], bool]

    def script(self) -> Report:
        calls = [{"name": self.tool, "arguments": {self.parameter: command}} for command in COMMANDS]
        return {
            "turns": [
                {"text": "I will make the file.", "calls": calls[:1]},
                {"calls": calls[1:]},
                {"text": "The file is made."},
            ]
        }


_WITH, _WITHOUT = CONFIG.replace("{websockets}", "true"), CONFIG.replace("{websockets}", "false")
CASES = (
    Case("0.101.0", "append", "shell_command", "command", _WITH + FEATURE, _one_response_with_two_pauses),
    Case("0.169.0", "websocket", "exec_command", "cmd", _WITH, _a_chain_that_computes_what_is_new),
    Case("0.169.0", "http", "exec_command", "cmd", _WITHOUT, _three_requests_with_the_whole_history),
)


def main(model_path: str) -> int:
    if shutil.which("npm") is None:
        print("npm is not on PATH", file=sys.stderr)
        return 2
    good = True
    with tempfile.TemporaryDirectory() as name:
        for case in CASES:
            release = Path(name) / case.release
            if not release.exists() and not install(case.release, release):
                return 2
            good &= run(case, release, Path(tempfile.mkdtemp(dir=name)), model_path)
    return 0 if good else 1


def install(release: str, folder: Path) -> bool:
    folder.mkdir()
    (folder / "package.json").write_text("{}")
    command = ["npm", "install", "--silent", "--no-fund", "--no-audit", f"@openai/codex@{release}"]
    if subprocess.run(command, cwd=folder).returncode:
        print(f"npm could not install Codex CLI {release}", file=sys.stderr)
        return False
    return True


def run(case: Case, release: Path, folder: Path, model_path: str) -> bool:
    script, log, home, work = folder / "script.json", folder / "server.log", folder / "home", folder / "work"
    script.write_text(json.dumps(case.script()))
    home.mkdir()
    work.mkdir()
    # Codex's first message is some 40 kB of instructions and tools: more than the demo model was trained for, which is
    # fine for a replay. Two sequences, so that the turn after the warm-up can copy from it.
    serve = [sys.executable, "-m", "caesura.runtime", "serve", "--port", "0", "--ctx", "65536", "--sequences", "2"]
    serve += ["--store", "none"]
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [*serve, "--model", model_path, "--replay", str(script), "--store", "none", "--verbose"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            words = server.stdout.readline().split()
            (home / "config.toml").write_text(case.config.format(model=words[2], url=words[-1]))
            done = subprocess.run(
                [
                    release / "node_modules" / ".bin" / "codex",
                    *("exec", "--skip-git-repo-check", "-s", "danger-full-access", "make the file"),
                ],
                cwd=work,
                env=os.environ | {"CODEX_HOME": str(home)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=300,
            )
        finally:
            server.terminate()
    made = (work / "made.txt").read_text().strip() if (work / "made.txt").exists() else "(no file)"
    ended = [line for line in log.read_text().splitlines() if "'pauses'" in line]
    reports = [ast.literal_eval(line[line.index("{") :]) for line in ended]
    print(f"Codex CLI {case.release}, {case.mode}: exit status {done.returncode}, last message {done.stdout.strip()!r}")
    print(f"  made.txt {made!r}; {len(reports)} Responses")
    for report in reports:
        print(f"  {report['pauses']} pauses, tokens {report['tokens']}")
    good = (
        done.returncode == 0
        and done.stdout.strip().endswith("The file is made.")
        and made == "caesura-42"
        and case.as_it_should(reports)
    )
    print("  as it should be" if good else "  NOT as it should be")
    if not good:
        print(done.stderr[-4000:], file=sys.stderr)
    return good


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "demo"))
