"""What made a figure: the command, the commit, and the versions of what it ran on."""

import os
import platform
import subprocess
from pathlib import Path

import gevent


def provenance(command: str) -> dict[str, str]:
    """For a result: `command` as one types it, behind `python -m`."""
    return {
        "command": f"python -m {command}".strip(),
        "commit": _commit(),
        "python": platform.python_version(),
        "gevent": gevent.__version__,
        "kernel": platform.release(),
        "cpu": _processor(),
    }


def _commit() -> str:
    root = Path(__file__).parents[1]
    try:
        told = subprocess.run(
            ["git", "-C", root, "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=False,
        )
    except OSError:
        return "unknown"
    return told.stdout.strip() or "unknown"


def _processor() -> str:
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    return f"{os.cpu_count()} x {names[0] if names else platform.machine()}"
