"""How many look-ups a second prr answers, and how many the others, asked alike in one run.

    python -m benchmarks.peers --seconds 3
    python -m benchmarks.peers --only redis --only knotd --json

Each server has one processor to itself, the generator another one; 64 questions are in flight. prr
is measured before and after each of the others, since machines are noisy: trust the ratio.
"""

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

if not __package__:  # run as a file: prr is beside its folder, not in it
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.native import Question, Trouble, build, cpu_seconds, run
from benchmarks.provenance import provenance
from benchmarks.systems import HERE, SYSTEMS, Stage, System
from prr.text import parse_seconds

NODE = Path(__file__).parents[1] / "node.py"

SERVERS = 3
"""Instances of the one name: enough that they take turns, and what the others are given too."""

WARM_UP = 1.0
"""Seconds of questions before those that count, so that Java has compiled what it runs."""

SECONDS_MAX = 20.0  # there are a dozen of them, and each is asked three times


def measure(seconds: float, only: Sequence[str] = ()) -> dict[str, object]:
    """Ask each system whose name holds one of `only` (none: all) for so long.

    Raises Trouble when prr cannot be measured, or there is no C compiler.
    """
    rows: list[dict[str, object]] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program = build(folder)
        own_stage = _stage(stack, folder / "prr")
        own = _start_prr(own_stage)
        run(program, own, min(WARM_UP, seconds))
        before = _ask(program, own_stage, own, seconds)
        runs = [before]
        for system in SYSTEMS:
            if only and not any(word.lower() in system.name.lower() for word in only):
                continue
            row = _measure_system(program, system, folder, seconds)
            if "lookups_per_second" in row:
                after = _ask(program, own_stage, own, seconds)
                beside = (before["lookups_per_second"] + after["lookups_per_second"]) / 2
                row["prr_ratio"] = round(beside / max(1, row["lookups_per_second"]), 2)
                before = after
                runs.append(after)
            rows.append(row)
    speeds = sorted(run_["lookups_per_second"] for run_ in runs)
    middle = runs[0] if len(runs) == 1 else _median(runs)
    return {
        "prr": {**middle, "runs": len(runs), "slowest": speeds[0], "fastest": speeds[-1]},
        "others": rows,
    }


def _median(runs: list[dict]) -> dict:
    return sorted(runs, key=lambda one: one["lookups_per_second"])[len(runs) // 2]


def _measure_system(
    program: Path, system: System, folder: Path, seconds: float
) -> dict[str, object]:
    row: dict[str, object] = {"name": system.name, "more": system.more}
    if missing := system.missing():
        return {**row, "skipped": f"{missing} is not installed"}
    try:
        with ExitStack() as stack:
            stage = _stage(stack, folder / system.name)
            question = system.start(stage)
            run(program, question, min(WARM_UP, seconds), stage.inside)
            return {**row, **_ask(program, stage, question, seconds)}
    except (Trouble, OSError) as trouble:
        return {**row, "skipped": str(trouble)}


def _stage(stack: ExitStack, folder: Path) -> Stage:
    folder.mkdir()
    return Stage(stack, folder)


def _ask(program: Path, stage: Stage, question: Question, seconds: float) -> dict:
    used_before = cpu_seconds(stage.pids)
    seen = run(program, question, seconds, stage.inside)
    used = cpu_seconds(stage.pids) - used_before
    return {
        "lookups_per_second": round(seen.answers / seen.seconds),
        "cpu_us": round(1e6 * used / max(1, seen.answers), 1),
        "busy": round(used / seen.seconds, 2),  # share of its processor
        "lost": seen.lost,
        "odd": seen.odd,
    }


def _start_prr(stage: Stage) -> Question:
    """A binder, and servers that it knows. The servers' own processes are not measured."""
    binder = f"{HERE}:{stage.port}"
    stage.run([sys.executable, NODE, "binder", f"--listen={binder}"])
    measured = list(stage.pids)
    for _ in range(SERVERS):
        stage.run([sys.executable, NODE, "server", "--type=1", f"--binder={binder}"])
    stage.pids[:] = measured
    return Question("udp", stage.port, b"\x02\x01", b"\x03\x7f\0\0\x01")


def main(arguments: Sequence[str]) -> int:
    """Measure as `arguments` say, and print the result; the exit code."""
    parsed = _parser().parse_args(arguments)
    try:
        result = measure(parsed.seconds, parsed.only)
    except Trouble as trouble:
        print(f"peers: {trouble}", file=sys.stderr)
        return 3
    told = provenance("benchmarks.peers " + " ".join(arguments))
    if parsed.json:
        print(json.dumps({**result, "provenance": told}))
        return 0
    print(f"{'':20}{'look-ups/s':>12}{'CPU us':>8}{'busy':>6}  prr is so many times as fast")
    for row in [{"name": "prr", **result["prr"]}, *result["others"]]:
        print(_line(row))
    for name, value in told.items():
        print(f"{name:<20}{value}")
    return 0


def _line(row: dict) -> str:
    if "skipped" in row:
        return f"{row['name']:<20}skipped: {row['skipped']}"
    figures = f"{row['lookups_per_second']:>12,}{row['cpu_us']:>8}{row['busy']:>6}"
    wrong = f"  {row['lost']} lost, {row['odd']} odd" if row["lost"] or row["odd"] else ""
    return f"{row['name']:<20}{figures}  {row.get('prr_ratio', ''):<6}{row.get('more', '')}{wrong}"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="peers", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--seconds", type=_parse_seconds, default=3.0, metavar="S", help="each is asked (3)"
    )
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this one; repeat it"
    )
    parser.add_argument("--json", action="store_true", help="print the result as a JSON object")
    return parser


def _parse_seconds(text: str) -> float:
    seconds = parse_seconds(text)
    if not 0 < seconds <= SECONDS_MAX:
        raise argparse.ArgumentTypeError(f"{text}; write more than 0, and {SECONDS_MAX:g} at most")
    return seconds


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
