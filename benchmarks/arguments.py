"""What all benchmarks share: flags, errors, output, and the provenance of figures."""

import argparse
import json
import os
import platform
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from prr.cli.exits import NO_BINDER, USAGE, YES
from prr.config import BadInput

ROOT = Path(__file__).parents[1]

HERE = "127.0.0.1"

GIT_LIMIT = 10.0
"""Seconds for git to say which commit this is."""

SECONDS_MIN, SECONDS_MAX = 0.01, 120.0
"""The longest measurement: overload has to be survived for half of that."""

Flag: TypeAlias = tuple[str, dict[str, Any]]
"""A flag, and what argparse is to know of it."""


class Trouble(Exception):
    """A benchmark cannot be run; the text says why."""


def command(
    name: str,
    doc: str,
    seconds: float,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    *flags: Flag,
) -> Callable[[Sequence[str]], int]:
    """The `main` of a benchmark: it parses arguments (`--seconds`, by default so many, `--json`,
    and `flags`), measures, prints the result with its provenance, and returns the exit code."""
    parser = argparse.ArgumentParser(prog=name, description=doc.splitlines()[0])
    each = amount("--seconds", seconds, SECONDS_MAX, "of a measurement", SECONDS_MIN, kind=float)
    for flag, known in (each, switch("--json", "print the result as a JSON object"), *flags):
        parser.add_argument(flag, **known)

    def main(arguments: Sequence[str]) -> int:
        parsed = parser.parse_args(arguments)
        try:
            result = measure(parsed)
        except (BadInput, Trouble) as error:
            print(f"{name}: {error}", file=sys.stderr)
            return USAGE if isinstance(error, BadInput) else NO_BINDER
        made_by = shlex.join(["python", "-m", f"benchmarks.{name}", *arguments])
        result["made_by"] = _provenance(made_by)
        print(json.dumps(result) if parsed.json else "\n".join(_lines(result)))
        return YES

    return main


def amount(
    name: str,
    default: float | None,
    most: float,
    what: str,
    least: float = 1,
    repeats: bool = False,
    kind: type[float] = int,
) -> Flag:
    """A flag that takes a number from `least` to `most`; a list of them if it `repeats`. Without a
    default, `what` tells what is meant."""

    def valid(text: str) -> float:
        found = kind(text)
        if not least <= found <= most:
            raise argparse.ArgumentTypeError(f"{text}; use {least} at least and {most:g} at most")
        return found

    action = "append" if repeats else "store"
    told = what if default is None else f"{what} ({default})"
    return name, {"type": valid, "default": default, "action": action, "metavar": "N", "help": told}


def switch(name: str, what: str) -> Flag:
    """A flag that takes nothing."""
    return name, {"action": "store_true", "help": what}


def several(name: str, what: str, kind: Callable[[str], Any] = str) -> Flag:
    """A flag that may be repeated: a list of what it takes."""
    return name, {"action": "append", "default": [], "type": kind, "help": f"{what}; repeat it"}


def _lines(result: dict[str, Any], indent: str = "") -> list[str]:
    """A result as text: a name and a value per line, groups indented."""
    lines: list[str] = []
    for name, value in result.items():
        if isinstance(value, dict):
            lines += [f"{indent}{name}", *_lines(value, indent + "  ")]
        else:
            shown = ", ".join(map(str, value)) if isinstance(value, list) else value
            lines.append(f"{indent}{name:<{32 - len(indent)}}{shown}")
    return lines


def _provenance(made_by: str) -> dict[str, str]:
    """What is needed to reproduce a figure: the command line, the commit ("+dirty" with changes),
    and the versions it ran on."""
    asked = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+dirty"]
    commit = ""
    with suppress(OSError, subprocess.TimeoutExpired):
        said = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, timeout=GIT_LIMIT)
        commit = said.stdout.strip()
    models = re.findall(r"^model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "command": made_by,
        "commit": commit or "unknown: no git repository",
        "python": platform.python_version(),
        **{name: version(name) for name in ("gevent", "msgpack")},
        "kernel": platform.release(),
        "cpu": f"{os.cpu_count()} x {(models or [platform.machine()])[0]}",
    }
