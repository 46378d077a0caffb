"""What made a figure: a figure without its command, commit and versions cannot be had again."""

import os
import platform
import shlex
import subprocess
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[1]

GIT_LIMIT = 10.0
"""Seconds for each question to git."""


def provenance(command: str, arguments: Sequence[str]) -> dict[str, str]:
    """The command line, the commit ("+dirty" with changes), and the versions of what it ran on."""
    return {
        "command": shlex.join([*command.split(), *arguments]),
        "commit": _commit(),
        "python": platform.python_version(),
        "gevent": version("gevent"),
        "msgpack": version("msgpack"),
        "kernel": platform.release(),
        "cpu": f"{os.cpu_count()} x {_cpu_model()}",
    }


def _commit() -> str:
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown: no git repository"
    return f"{commit}+dirty" if _git("status", "--porcelain") else commit


def _git(*arguments: str) -> str:
    """What git says; nothing where there is no git, or no repository."""
    try:
        asked = subprocess.run(
            ["git", "-C", str(ROOT), *arguments],
            capture_output=True,
            text=True,
            timeout=GIT_LIMIT,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.machine())
