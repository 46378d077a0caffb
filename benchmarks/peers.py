"""How many lookups a second prr and other systems answer, asked the same way in the same run.

    python -m benchmarks.peers --seconds 1
    python -m benchmarks.peers --only redis --only knotd --json

Each server has one processor to itself, the generator another; 64 questions are in flight. prr and
each of the others take turns, since machines are noisy: trust the ratio. Of each system's rounds
the one with the median ratio is shown.
"""

import sys
from argparse import Namespace
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from benchmarks.arguments import Trouble, command, several
from benchmarks.figures import Figures, figures_of, take_turns
from benchmarks.generate import build, generate, has_compiler
from benchmarks.systems import PRR, SYSTEMS, WRITES, System
from benchmarks.tally import Load

ROUNDS = 3
"""Turns of prr and the other system: what disturbs the machine seldom lasts for two of them."""

WARM_UP = 3.0
"""Seconds of questions before those that count, so that Java has compiled what it runs."""


SPEED, RATIO = "lookups_per_second", "prr_is_times_as_fast"


def measure_writes(seconds: float) -> Figures:
    """What others need to keep what a server would say to a binder, each for so long."""

    def measured(load: Load) -> Figures:
        row, count = _measured("", load), load.writes
        cpu = row["cpu_us"]
        return {
            "per_second": row[SPEED] * count,
            "cpu_us": None if cpu is None else round(cpu / count, 2),
            "lost": row["lost"] + row["wrong"],
        }

    return {system.name: _tried(system, seconds, measured) for system in WRITES}


def _measure(parsed: Namespace) -> Figures:
    """Ask each system whose name holds one of `only` (none: all), and prr in turn with it."""
    build("generator")
    words = [word.lower() for word in parsed.only or [""]]
    rows: Figures = {}
    runs: list[Figures] = []
    with ExitStack() as stack:
        own = _warmed_up(PRR.load(stack, parsed.seconds))
        for system in SYSTEMS:
            if any(word in system.name.lower() for word in words):
                beside = partial(_beside, own, runs)
                rows[system.name] = _tried(system, parsed.seconds, beside)
        rows["prr"] = _middle(runs or [_measured("prr", own)], SPEED)
    fastest_first = sorted(rows, key=lambda name: -rows[name].get(SPEED, 0))
    said = {"seconds": parsed.seconds, "rounds": ROUNDS}
    return said | {name: rows[name] for name in fastest_first}


def _tried(system: System, seconds: float, measure: Callable[[Load], Figures]) -> Figures:
    """What `measure` finds of a system that is started for it; or why it was skipped."""
    if missing := system.missing() or (None if has_compiler() else "a C compiler"):
        return {"skipped": f"{missing} is not installed"}
    try:
        with ExitStack() as stack:
            return measure(system.load(stack, seconds)) | {"more": system.more}
    except (Trouble, OSError) as trouble:
        return {"skipped": str(trouble)}


def _beside(own: Load, runs: list[Figures], its: Load) -> Figures:
    """The round with the median ratio of prr's speed to the system's; prr's are added to `runs`."""
    found = take_turns({"prr": own, "its": _warmed_up(its)}, ROUNDS, _measured)
    runs += found["prr"]
    rounds = zip(found["prr"], found["its"], strict=True)
    rows = [
        {**its, "prr_in_the_same_round": own[SPEED], RATIO: own[SPEED] / max(1, its[SPEED])}
        for own, its in rounds
    ]
    row = _middle(rows, RATIO)
    return row | {RATIO: round(row[RATIO], 2)}


def _warmed_up(load: Load) -> Load:
    generate(replace(load, seconds=min(WARM_UP, 4 * load.seconds)))
    return load


def _middle(rows: list[Figures], key: str) -> Figures:
    """The one with the median of that, so that its figures agree; and what went wrong in any."""
    wrong = {name: sum(row[name] for row in rows) for name in ("lost", "wrong")}
    return sorted(rows, key=lambda row: row[key])[len(rows) // 2] | wrong


def _measured(_: str, load: Load) -> Figures:
    tally = generate(load)
    figures = figures_of(tally)
    cpu = figures["cpu_us_per_lookup"]
    return {
        SPEED: figures[SPEED],
        "cpu_us": cpu if cpu is None else round(cpu, 1),
        "busy": round((tally.cpu or 0) / tally.elapsed, 2),  # share of its core
        "lost": tally.lost,
        "wrong": tally.unasked + tally.odd,
    }


main = command("peers", __doc__, 1.0, _measure, several("--only", "a system with this name"))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
