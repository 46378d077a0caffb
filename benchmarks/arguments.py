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
from typing import Any, NamedTuple

from prr.cli.exits import NO_BINDER, USAGE, YES
from prr.config import BadInput
from prr.text import parse_count, parse_seconds

ROOT = Path(__file__).parents[1]

HERE = "127.0.0.1"

GIT_LIMIT = 10.0
"""Seconds for each question to git."""

SECONDS_MAX = 60.0
"""The longest measurement: overload has to be survived for half of that."""


class Trouble(Exception):
    """A benchmark cannot be run; the text says why."""


def run(
    parser: argparse.ArgumentParser,
    measure: Callable[[argparse.Namespace], dict[str, Any]],
    arguments: Sequence[str],
) -> int:
    """Parse `arguments`, measure, print the result with its provenance; the exit code."""
    parsed = parser.parse_args(arguments)
    try:
        result = measure(parsed)
    except (BadInput, Trouble) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return USAGE if isinstance(error, BadInput) else NO_BINDER
    result["made_by"] = _provenance(
        shlex.join(["python", "-m", f"benchmarks.{parser.prog}", *arguments])
    )
    if parsed.json:
        print(json.dumps(result))
    else:
        print("\n".join(_lines(result)))
    return YES


class Flag(NamedTuple):
    """A flag that takes a whole number from `least` to `most`; a list of them if it `repeats`."""

    name: str
    default: int | None  # None: the help says what is meant
    most: int
    what: str
    least: int = 1
    repeats: bool = False

    def parse(self, text: str) -> int:
        """The number; ValueError says what is wrong with it."""
        count = 0 if text == "0" else parse_count(text)
        if not self.least <= count <= self.most:
            raise ValueError(f"{count}; use {self.least} at least and {self.most} at most")
        return count


def parser_for(name: str, doc: str, seconds: float, *flags: Flag) -> argparse.ArgumentParser:
    """A parser with every benchmark's flags, and `flags`; `seconds` is the default."""
    parser = argparse.ArgumentParser(prog=name, description=doc.splitlines()[0])
    parser.add_argument("--seconds", type=said_well(_parse_seconds), default=seconds, metavar="S")
    parser.add_argument("--json", action="store_true", help="print the result as a JSON object")
    for flag in flags:
        parser.add_argument(
            flag.name,
            type=said_well(flag.parse),
            default=flag.default,
            action="append" if flag.repeats else "store",
            metavar="N",
            help=flag.what if flag.default is None else f"{flag.what} ({flag.default})",
        )
    return parser


def said_well(parse: Callable[[str], Any]) -> Callable[[str], Any]:
    """`parse` for argparse, which shows the text of this error only."""

    def checked(text: str) -> Any:
        try:
            return parse(text)
        except ValueError as error:
            raise argparse.ArgumentTypeError(str(error)) from error

    return checked


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


def _provenance(command: str) -> dict[str, str]:
    """What is needed to reproduce a figure: the command line, the commit ("+dirty" with changes),
    and the versions it ran on."""
    models = re.findall(r"^model name\s*:\s*(.*)", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "command": command,
        "commit": _commit(),
        "python": platform.python_version(),
        "gevent": version("gevent"),
        "msgpack": version("msgpack"),
        "kernel": platform.release(),
        "cpu": f"{os.cpu_count()} x {(models or [platform.machine()])[0]}",
    }


def _commit() -> str:
    commit = _git("rev-parse", "--short=12", "HEAD")
    if not commit:
        return "unknown: no git repository"
    return f"{commit}+dirty" if _git("status", "--porcelain") else commit


def _git(*arguments: str) -> str:
    """Git's output; empty where there is no git, or no repository."""
    try:
        asked = subprocess.run(
            ["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, timeout=GIT_LIMIT
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip() if asked.returncode == 0 else ""
