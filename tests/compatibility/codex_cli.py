"""An unmodified Codex CLI 0.101.0, from npm, through a tool-calling rollout: ``make codex``.

Not part of ``make test``, since it needs npm and the network. Codex spoke the done/append dialect in early 2026. It
runs here with its own WebSocket transport against ``caesura serve --replay``: two shell commands, then a sentence. The
proof that it appended (rather than sent a new create each time) is the server's own count: one Response, two pauses.

Exit status 0 if the rollout ended as it should, 1 if not, 2 if Codex CLI can't be had here.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

PACKAGE = "@openai/codex@0.101.0"
SCRIPT = {
    "turns": [
        {
            "text": "I will make the file.",
            "calls": [{"name": "shell_command", "arguments": {"command": "echo caesura-$((6*7)) > made.txt"}}],
        },
        {"calls": [{"name": "shell_command", "arguments": {"command": "cat made.txt"}}]},
        {"text": "The file is made."},
    ]
}
CONFIG = """
model = "{model}"
model_provider = "caesura"

[model_providers.caesura]
name = "caesura"
base_url = "{url}/v1"
wire_api = "responses"
supports_websockets = true

[features]
responses_websockets = true
"""


def main(model_path: str) -> int:
    if shutil.which("npm") is None:
        print("npm is not on PATH", file=sys.stderr)
        return 2
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "package.json").write_text("{}")
        if subprocess.run(["npm", "install", "--silent", "--no-fund", "--no-audit", PACKAGE], cwd=folder).returncode:
            print(f"npm could not install {PACKAGE}", file=sys.stderr)
            return 2
        return run(folder, model_path)


def run(folder: Path, model_path: str) -> int:
    script, log, home, work = folder / "script.json", folder / "server.log", folder / "home", folder / "work"
    script.write_text(json.dumps(SCRIPT))
    home.mkdir()
    work.mkdir()
    # Codex's first message is some 40 kB of instructions and tools: more than the demo model was trained for, which is
    # fine for a replay.
    serve = [sys.executable, "-m", "caesura.runtime", "serve", "--port", "0", "--ctx", "65536", "--sequences", "1"]
    with (
        log.open("w") as stderr,
        subprocess.Popen(
            [*serve, "--model", model_path, "--replay", str(script), "--verbose"],
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as server,
    ):
        try:
            assert server.stdout is not None
            words = server.stdout.readline().split()
            (home / "config.toml").write_text(CONFIG.format(model=words[2], url=words[-1]))
            codex = folder / "node_modules" / ".bin" / "codex"
            done = subprocess.run(
                [codex, "exec", "--skip-git-repo-check", "-s", "danger-full-access", "make the file"],
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
    print(f"codex exit status {done.returncode}, last message {done.stdout.strip()!r}, made.txt {made!r}")
    print(*(ended or ["no Response ended on the server"]), sep="\n")
    good = (
        done.returncode == 0
        and done.stdout.strip().endswith("The file is made.")
        and made == "caesura-42"
        and len(ended) == 1
        and "'pauses': 2" in ended[0]
    )
    if not good:
        print(done.stderr[-4000:], file=sys.stderr)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "demo"))
