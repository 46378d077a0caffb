"""How many look-ups a second prr answers, and how many the others, asked alike in one run.

    python -m benchmarks.peers --seconds 1
    python -m benchmarks.peers --only redis --only knotd --json

Each server has one processor to itself, the generator another one; 64 questions are in flight. prr
and each of the others take turns, since machines are noisy: trust the ratio, the median of theirs.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median

if not __package__:  # run as a file: prr is beside its folder, not in it
    sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks.arguments import Trouble, parser_for, run
from benchmarks.native import Question, ask, build
from benchmarks.proc import cpu_seconds
from benchmarks.systems import HERE, SYSTEMS, Stage, System

NODE = Path(__file__).parents[1] / "node.py"

SERVERS = 3
"""Instances of the one name: enough that they take turns, and what the others are given too."""

ROUNDS = 3
"""Turns that prr and the other one take: what disturbs the machine seldom lasts for two of them."""

WARM_UP = 3.0
"""Seconds of questions before those that count, so that Java has compiled what it runs."""


def measure(seconds: float, only: Sequence[str] = ()) -> dict[str, object]:
    """Ask each system whose name holds one of `only` (none: all), and prr in turn with it.

    `seconds` is for each of them in each round. Raises Trouble when prr cannot be measured, or
    there is no C compiler.
    """
    rows: dict[str, dict] = {}
    runs: list[dict] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        program = build(folder)
        own_stage = _stage(stack, folder / "prr")
        own = _start_prr(own_stage)
        ask(program, own, min(WARM_UP, 4 * seconds))

        def ask_own() -> dict:
            runs.append(_measured(program, own_stage, own, seconds))
            return runs[-1]

        ask_own()
        for system in SYSTEMS:
            if not only or any(word.lower() in system.name.lower() for word in only):
                rows[system.name] = _measure_system(program, system, folder, seconds, ask_own)
    speeds = sorted(map(_speed, runs))
    middle = {**_median(runs), "slowest": speeds[0], "fastest": speeds[-1], "runs": len(runs)}
    return {"seconds": seconds, "rounds": ROUNDS, "prr": middle, **rows}


def _measure_system(
    program: Path, system: System, folder: Path, seconds: float, ask_own: Callable[[], dict]
) -> dict:
    """Its median round, and how many times as fast prr is: the median of the rounds' ratios."""
    if missing := system.missing():
        return {"skipped": f"{missing} is not installed"}
    try:
        with ExitStack() as stack:
            stage = _stage(stack, folder / system.name.replace(" ", "-"))
            question = system.start(stage)
            ask(program, question, min(WARM_UP, 4 * seconds), stage.inside)
            pairs = [
                (ask_own(), _measured(program, stage, question, seconds)) for _ in range(ROUNDS)
            ]
    except (Trouble, OSError) as trouble:
        return {"skipped": str(trouble)}
    ratio = median(_speed(own) / max(1, _speed(its)) for own, its in pairs)
    row = _median([its for _, its in pairs])
    return {**row, "prr_is_times_as_fast": round(ratio, 2), "more": system.more}


def _median(runs: list[dict]) -> dict:
    """The run in the middle, and what was lost or wrong in any."""
    middle = sorted(runs, key=_speed)[len(runs) // 2]
    return {**middle, **{name: sum(one[name] for one in runs) for name in ("lost", "odd")}}


def _speed(run_: dict) -> int:
    return run_["lookups_per_second"]


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
    parser = parser_for("peers", __doc__, 1.0)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this one; repeat it"
    )
    return run(parser, lambda parsed: measure(parsed.seconds, parsed.only), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
