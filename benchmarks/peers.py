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
from benchmarks.figures import Figures, figures_of
from benchmarks.generate import build, generate, has_compiler
from benchmarks.systems import PRR, SYSTEMS, WRITES, System
from benchmarks.tally import Load

ROUNDS = 3
"""Turns of prr and the other system: what disturbs the machine seldom lasts for two of them."""

WARM_UP = 3.0
"""Seconds of questions before those that count, so that Java has compiled what it runs."""


def measure_writes(seconds: float) -> Figures:
    """What others need to keep what a server would say to a binder, each for so long."""

    def measured(load: Load) -> Figures:
        row, count = _measured(load), load.writes
        cpu = row["cpu_us"]
        return {
            "per_second": row["lookups_per_second"] * count,
            "cpu_us": None if cpu is None else round(cpu / count, 2),
            "lost": row["lost"] + row["wrong"],
        }

    return {system.name: _tried(system, seconds, measured) for system in WRITES}


def _measure(parsed: Namespace) -> Figures:
    """Ask each system whose name holds one of `only` (none: all), and prr in turn with it."""
    build("generator")
    seconds, only = parsed.seconds, [word.lower() for word in parsed.only]
    rows: Figures = {}
    runs: list[Figures] = []
    with ExitStack() as stack:
        own = _warmed_up(PRR.load(stack, seconds))

        def ask_own() -> Figures:
            runs.append(_measured(own))
            return runs[-1]

        ask_own()
        for system in SYSTEMS:
            if not only or any(word in system.name.lower() for word in only):
                beside = partial(_beside, system.more, ask_own)
                rows[system.name] = _tried(system, seconds, beside)
    runs.sort(key=_speed)
    spread = {"slowest": _speed(runs[0]), "fastest": _speed(runs[-1]), "runs": len(runs)}
    middle = {**runs[len(runs) // 2], **_sums(runs), **spread}
    rows = {"prr": middle, **rows}
    fastest_first = sorted(rows, key=lambda name: -rows[name].get("lookups_per_second", 0))
    said = {"seconds": seconds, "rounds": ROUNDS}
    return said | {name: rows[name] for name in fastest_first}


def _tried(system: System, seconds: float, measure: Callable[[Load], Figures]) -> Figures:
    """What `measure` finds of a system that is started for it; or why it was skipped."""
    if missing := system.missing() or (None if has_compiler() else "a C compiler"):
        return {"skipped": f"{missing} is not installed"}
    try:
        with ExitStack() as stack:
            return measure(system.load(stack, seconds))
    except (Trouble, OSError) as trouble:
        return {"skipped": str(trouble)}


def _beside(more: str, ask_own: Callable[[], Figures], its_load: Load) -> Figures:
    """The round with the median ratio of prr's speed to the system's."""
    _warmed_up(its_load)
    pairs = [(ask_own(), _measured(its_load)) for _ in range(ROUNDS)]
    pairs.sort(key=lambda pair: _ratio(*pair))
    own, its = pairs[len(pairs) // 2]  # one round's figures, so that they agree
    return {
        **its,
        **_sums([its for _, its in pairs]),
        "prr_in_the_same_round": _speed(own),
        "prr_is_times_as_fast": round(_ratio(own, its), 2),
        "more": more,
    }


def _warmed_up(load: Load) -> Load:
    generate(replace(load, seconds=min(WARM_UP, 4 * load.seconds)))
    return load


def _ratio(own: Figures, its: Figures) -> float:
    return _speed(own) / max(1, _speed(its))


def _sums(runs: list[Figures]) -> Figures:
    """The answers lost or wrong, of all runs."""
    return {name: sum(one[name] for one in runs) for name in ("lost", "wrong")}


def _speed(run: Figures) -> int:
    return run["lookups_per_second"]


def _measured(load: Load) -> Figures:
    tally = generate(load)
    figures = figures_of(tally)
    cpu = figures["cpu_us_per_lookup"]
    return {
        "lookups_per_second": figures["lookups_per_second"],
        "cpu_us": cpu if cpu is None else round(cpu, 1),
        "busy": round((tally.cpu or 0) / tally.elapsed, 2),  # share of its core
        "lost": tally.lost,
        "wrong": tally.unasked + tally.odd,
    }


main = command("peers", __doc__, 1.0, _measure, several("--only", "a system with this name"))

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
