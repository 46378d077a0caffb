"""How many look-ups a second prr answers, and how many the others, asked alike in one run.

    python -m benchmarks.peers --seconds 3
    python -m benchmarks.peers --only redis --only knotd --json

Each server has one processor to itself, the generator another one; 64 questions are in flight. prr
is measured before and after each of the others, since machines are noisy: trust the ratio.
"""

import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path

if not __package__:  # run as a file: prr is beside its folder, not in it
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.arguments import Trouble, parser_for, run
from benchmarks.native import Question, ask, build
from benchmarks.proc import cpu_seconds
from benchmarks.systems import HERE, SYSTEMS, Stage, System

NODE = Path(__file__).parents[1] / "node.py"

SERVERS = 3
"""Instances of the one name: enough that they take turns, and what the others are given too."""

WARM_UP = 2.0
"""Seconds of questions before those that count, so that Java has compiled what it runs."""


def measure(seconds: float, only: Sequence[str] = ()) -> dict[str, object]:
    """Ask each system whose name holds one of `only` (none: all) for so long.

    Raises Trouble when prr cannot be measured, or there is no C compiler.
    """
    rows: dict[str, dict] = {}
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program = build(folder)
        own_stage = _stage(stack, folder / "prr")
        own = _start_prr(own_stage)
        ask(program, own, min(WARM_UP, seconds))
        runs = [_measured(program, own_stage, own, seconds)]
        for system in SYSTEMS:
            if only and not any(word.lower() in system.name.lower() for word in only):
                continue
            row = rows[system.name] = _measure_system(program, system, folder, seconds)
            if "lookups_per_second" in row:
                runs.append(_measured(program, own_stage, own, seconds))
                beside = sum(one["lookups_per_second"] for one in runs[-2:]) / 2
                row["prr_is_times_as_fast"] = round(beside / max(1, row["lookups_per_second"]), 2)
    speeds = sorted(one["lookups_per_second"] for one in runs)
    return {
        "seconds": seconds,
        "prr": {**_median(runs), "slowest": speeds[0], "fastest": speeds[-1], "runs": len(runs)},
        **rows,
    }


def _median(runs: list[dict]) -> dict:
    return sorted(runs, key=lambda one: one["lookups_per_second"])[len(runs) // 2]


def _measure_system(program: Path, system: System, folder: Path, seconds: float) -> dict:
    if missing := system.missing():
        return {"skipped": f"{missing} is not installed"}
    try:
        with ExitStack() as stack:
            stage = _stage(stack, folder / system.name.replace(" ", "-"))
            question = system.start(stage)
            ask(program, question, min(WARM_UP, seconds), stage.inside)
            return {**_measured(program, stage, question, seconds), "more": system.more}
    except (Trouble, OSError) as trouble:
        return {"skipped": str(trouble)}


def _stage(stack: ExitStack, folder: Path) -> Stage:
    folder.mkdir()
    return Stage(stack, folder)


def _measured(program: Path, stage: Stage, question: Question, seconds: float) -> dict:
    used_before = cpu_seconds(stage.pids)
    seen = ask(program, question, seconds, stage.inside)
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
    parser = parser_for("peers", __doc__, 2.0)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this one; repeat it"
    )
    return run(parser, lambda parsed: measure(parsed.seconds, parsed.only), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
