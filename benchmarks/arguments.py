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
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeAlias

from prr.cli.exits import NO_BINDER, USAGE, YES
from prr.config import BadInput
from prr.text import parse_count, parse_seconds

ROOT = Path(__file__).parents[1]

HERE = "127.0.0.1"

GIT_LIMIT = 10.0
"""Seconds for git to say which commit this is."""

SECONDS_MAX = 60.0
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
    parser.add_argument("--seconds", type=_parse_seconds, default=seconds, metavar="S")
    parser.add_argument("--json", action="store_true", help="print the result as a JSON object")
    for flag, known in flags:
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


def said_well(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """`parse` for argparse, which shows the text of this error only."""

    def checked(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


def whole(
    name: str, default: int | None, most: int, what: str, least: int = 1, repeats: bool = False
) -> Flag:
    """A flag that takes a whole number from `least` to `most`; a list of them if it `repeats`.
    Without a default, `what` tells what is meant."""

    def parse(text: str) -> int:
        count = 0 if text == "0" else parse_count(text)
        if not least <= count <= most:
            raise ValueError(f"{count}; use {least} at least and {most} at most")
        return count

    action = "append" if repeats else "store"
    told = what if default is None else f"{what} ({default})"
    kind = said_well(parse)
    return name, {"type": kind, "default": default, "action": action, "metavar": "N", "help": told}


def switch(name: str, what: str) -> Flag:
    """A flag that takes nothing."""
    return name, {"action": "store_true", "help": what}


@said_well
def _parse_seconds(text: str) -> float:
    seconds = parse_seconds(text)
    if not 0 < seconds <= SECONDS_MAX:
        raise ValueError(f"{text} seconds; use more than 0, and {SECONDS_MAX:g} at most")
    return seconds


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
    models = re.findall(r"^model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "command": made_by,
        "commit": _commit(),
        "python": platform.python_version(),
        "gevent": version("gevent"),
        "msgpack": version("msgpack"),
        "kernel": platform.release(),
        "cpu": f"{os.cpu_count()} x {(models or [platform.machine()])[0]}",
    }


def _commit() -> str:
    asked = ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+dirty"]
    try:
        return subprocess.check_output(
            asked, cwd=ROOT, stderr=subprocess.DEVNULL, text=True, timeout=GIT_LIMIT
        ).strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown: no git repository"
