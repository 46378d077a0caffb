"""Fuzz targets with atheris: `python -m tests.fuzz [NAME ...] [--runs N] [--seconds S] [--grow]`.

Each runs in a process of its own, as libFuzzer ends its process. What it finds is printed as hex
digits: once mended, the line belongs into the target's file in `corpus/`. With `--grow` that file
gets the shortest inputs that reach more than the corpus did.
"""

import argparse
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.fuzz.mutator import LENGTH_MAX
from tests.fuzz.target import CORPUS, Target
from tests.fuzz.targets import TARGETS

INPUT_SECONDS_MAX = 5
MEGABYTES_MAX = 512
"""What one input may take, and the process: whatever is read has a limit."""

GROWN_BYTES_MAX = 8_000
"""Of a target's file in the corpus."""


def main() -> int:
    """Fuzz the targets that were named, or all. The number of those in which something broke."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TARGETS)}")
    parser.add_argument("--runs", type=int, default=100_000, help="inputs for each target")
    parser.add_argument("--seconds", type=int, default=0, help="for each target at most (0: any)")
    parser.add_argument("--grow", action="store_true", help="put what reaches more in the corpus")
    asked = parser.parse_args()
    if unknown := {*asked.names} - {*TARGETS}:
        parser.error(f"no target is named {', '.join(sorted(unknown))}")
    targets = [TARGETS[name] for name in asked.names or TARGETS]
    return sum(_fuzz_apart(one, asked.runs, asked.seconds, asked.grow) for one in targets)


def _fuzz_apart(target: Target, runs: int, seconds: int, grow: bool) -> bool:
    """Fuzz one target in another process; whether something broke."""
    with TemporaryDirectory() as scratch:
        known, found, broken = (Path(scratch, name) for name in ("known", "found", "broken"))
        for folder in (known, found, broken):
            folder.mkdir()
        _write(known, target.corpus())
        limits = [
            f"-runs={runs}",
            f"-max_total_time={seconds}",
            f"-max_len={LENGTH_MAX}",
            f"-timeout={INPUT_SECONDS_MAX}",
            f"-rss_limit_mb={MEGABYTES_MAX}",
            f"-artifact_prefix={broken}/",
            "-print_final_stats=1",
        ]
        command = [sys.executable, "-m", "tests.fuzz.inside", target.name, *limits]
        done = subprocess.run([*command, found, known], stderr=subprocess.PIPE, text=True)
        for one in broken.iterdir():
            print(f"{target.name}: {one.read_bytes().hex()}", file=sys.stderr)
        lines = done.stderr.splitlines()
        told = lines[-40:] if done.returncode else [one for one in lines if "stat::" in one]
        print(target.name, *told, sep="\n", file=sys.stderr)
        if grow:
            _grow(target, found)
        return done.returncode != 0


def _grow(target: Target, found: Path) -> None:
    """Put the shortest of what has reached more than the corpus did into it."""
    path = CORPUS / f"{target.name}.txt"
    lines = path.read_text().splitlines() if path.exists() else []
    known = {*target.corpus()}
    for one in sorted((one.read_bytes() for one in found.iterdir()), key=len):
        if one not in known and sum(map(len, lines)) + 2 * len(one) <= GROWN_BYTES_MAX:
            lines.append(one.hex())
    path.write_text("".join(f"{line}\n" for line in lines))


def _write(folder: Path, inputs: Iterable[bytes]) -> None:
    for number, one in enumerate(inputs):
        (folder / str(number)).write_bytes(one)


if __name__ == "__main__":
    sys.exit(main())
