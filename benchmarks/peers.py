"""How many lookups a second prr and other systems answer, asked the same way in the same run.

    python -m benchmarks.peers --seconds 1
    python -m benchmarks.peers --only redis --only knotd --json

Each server has one processor to itself, the generator another; 64 questions are in flight. prr and
each of the others take turns, since machines are noisy: trust the ratio. Of each system's rounds
the one with the median ratio is shown.
"""

import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

from benchmarks.arguments import HERE, Trouble, parser_for, run
from benchmarks.generate import build, generate
from benchmarks.load import figures_of
from benchmarks.proc import generator_core
from benchmarks.systems import SYSTEMS, Stage, System
from benchmarks.tally import Load
from prr.demo.processes import PROGRAM

SERVERS = 3
"""Instances of the one name, as many as the other systems are given."""

ROUNDS = 3
"""Turns of prr and the other system: what disturbs the machine seldom lasts for two of them."""

WARM_UP = 3.0
"""Seconds of questions before those that count, so that Java has compiled what it runs."""


def measure(seconds: float, only: Sequence[str] = ()) -> dict[str, object]:
    """Ask each system whose name holds one of `only` (none: all), and prr in turn with it.

    `seconds` is for each of them in each round. Raises Trouble when prr cannot be measured, or
    there is no C compiler.
    """
    build("generator")
    rows: dict[str, dict] = {}
    runs: list[dict] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        own = _on_stage(Stage(stack, folder / "prr"), _start_prr, seconds)

        def ask_own() -> dict:
            runs.append(_measured(own))
            return runs[-1]

        ask_own()
        for system in SYSTEMS:
            if not only or any(word.lower() in system.name.lower() for word in only):
                rows[system.name] = _measure_system(system, folder, seconds, ask_own)
    runs.sort(key=_speed)
    spread = {"slowest": _speed(runs[0]), "fastest": _speed(runs[-1]), "runs": len(runs)}
    middle = {**runs[len(runs) // 2], **_sums(runs), **spread}
    return {"seconds": seconds, "rounds": ROUNDS, "prr": middle, **rows}


def _measure_system(
    system: System, folder: Path, seconds: float, ask_own: Callable[[], dict]
) -> dict:
    """The round with the median ratio of prr's speed to the system's."""
    if missing := system.missing():
        return {"skipped": f"{missing} is not installed"}
    try:
        with ExitStack() as stack:
            stage = Stage(stack, folder / system.name.replace(" ", "-"))
            its_load = _on_stage(stage, system.start, seconds)
            pairs = [(ask_own(), _measured(its_load)) for _ in range(ROUNDS)]
    except (Trouble, OSError) as trouble:
        return {"skipped": str(trouble)}
    pairs.sort(key=lambda pair: _ratio(*pair))
    own, its = pairs[len(pairs) // 2]  # one round's figures, so that they agree
    return {
        **its,
        **_sums([its for _, its in pairs]),
        "prr_beside": _speed(own),
        "prr_is_times_as_fast": round(_ratio(own, its), 2),
        "more": system.more,
    }


def _ratio(own: dict, its: dict) -> float:
    return _speed(own) / max(1, _speed(its))


def _sums(runs: list[dict]) -> dict:
    """The answers lost or wrong, of all runs."""
    return {name: sum(one[name] for one in runs) for name in ("lost", "wrong")}


def _speed(run_: dict) -> int:
    return run_["lookups_per_second"]


def _on_stage(stage: Stage, start: Callable[[Stage], Load], seconds: float) -> Load:
    """The load for a system, once it is started and warmed up."""
    load = replace(start(stage), core=generator_core(), inside=stage.inside, pids=stage.pids)
    generate(replace(load, seconds=min(WARM_UP, 4 * seconds)))
    return replace(load, seconds=seconds)


def _measured(load: Load) -> dict:
    tally = generate(load)
    figures = figures_of(tally)
    return {
        "lookups_per_second": figures["lookups_per_second"],
        "cpu_us": figures["cpu_us_per_lookup"],
        "busy": round((tally.cpu or 0) / tally.elapsed, 2),  # share of its core
        "lost": tally.lost,
        "wrong": tally.unasked + tally.odd,
    }


def _start_prr(stage: Stage) -> Load:
    """A binder, and servers that it knows. The servers' own processes are not measured."""
    binder = f"{HERE}:{stage.port}"
    stage.run(sys.executable, *PROGRAM, "binder", f"--listen={binder}")
    measured = list(stage.pids)
    for _ in range(SERVERS):
        stage.run(sys.executable, *PROGRAM, "server", "--type=1", f"--binder={binder}")
    stage.pids[:] = measured
    return stage.at_once("udp", b"\x02\x01", b"\x03\x7f\0\0\x01")


def main(arguments: Sequence[str]) -> int:
    """Measure as `arguments` say, and print the result; the exit code."""
    parser = parser_for("peers", __doc__, 1.0)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="this one; repeat it"
    )
    return run(parser, lambda parsed: measure(parsed.seconds, parsed.only), arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
