"""Resident memory of an idle `caesura serve`."""

from __future__ import annotations

import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any


def measure(model: str) -> dict[str, Any]:
    """Start a server as users do, wait until it answers, read its resident set, stop it. Mebibytes."""
    command = [sys.executable, "-m", "caesura.runtime", "serve", "--port", "0", "--model", model, "--store", "none"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            url = process.stdout.readline().split()[-1]
            urllib.request.urlopen(f"{url}/health", timeout=10).read()
            status = Path(f"/proc/{process.pid}/status").read_text()
        finally:
            process.terminate()
    kibibytes = {line.split(":")[0]: int(line.split()[1]) for line in status.splitlines() if line.startswith("Vm")}
    return {"resident_mib": kibibytes["VmRSS"] / 1024, "peak_mib": kibibytes["VmHWM"] / 1024}


def table(row: dict[str, Any]) -> str:
    return f"Idle server: {row['resident_mib']:.0f} MiB resident, {row['peak_mib']:.0f} MiB at its peak"
