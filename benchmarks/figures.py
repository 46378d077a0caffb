"""What is told of measurements: the figures of a tally, medians of rounds, and ratios of these."""

import math
from collections.abc import Callable, Collection, Mapping
from statistics import median
from typing import Any, TypeAlias

from benchmarks.generate import generate
from benchmarks.tally import Load, Tally

Figures: TypeAlias = dict[str, Any]

SUMS = ("answered", "lost", "wrong", "dropped_by_kernel")
"""Figures that are added up over the rounds: mostly what must not happen."""

COMPARED = ("cpu_us_per_lookup", "lookups_per_second", "p99_ms")


def figures_of(tally: Tally) -> Figures:
    """The figures of a tally."""
    answered, elapsed = tally.answered, tally.elapsed or math.inf
    has_cpu = tally.cpu is not None and answered
    return {
        "asked_per_second": round(tally.asked / elapsed),
        "lookups_per_second": round(answered / elapsed),
        "p50_ms": tally.wait_ms(0.50),
        "p99_ms": tally.wait_ms(0.99),
        "p999_ms": tally.wait_ms(0.999),
        "cpu_us_per_lookup": round(tally.cpu / answered * 1e6, 3) if has_cpu else None,
        "answered": answered,
        "lost": tally.lost,
    }


def take_turns(
    loads: Mapping[str, Load],
    rounds: int,
    measure: Callable[[str, Load], Figures] = lambda name, load: figures_of(generate(load)),
) -> dict[str, list[Figures]]:
    """Measure each load in each round: machines change within seconds, so that only what was
    measured in turn can be compared."""
    found: dict[str, list[Figures]] = {name: [] for name in loads}
    for _ in range(rounds):
        for name, load in loads.items():
            found[name].append(measure(name, load))
    return found


def in_short(rows: list[Figures]) -> Figures:
    """One row for all rounds: medians, and sums of SUMS."""
    short: Figures = {}
    for name in rows[0]:
        values = [row[name] for row in rows if row[name] is not None]
        how = sum if name in SUMS else median
        short[name] = how(values) if values else None
    return short


def ratios(ours: list[Figures], theirs: list[Figures]) -> dict[str, float | None]:
    """The medians of the rounds' ratios: ours to theirs."""
    found: dict[str, float | None] = {}
    for name in COMPARED:
        pairs = [(one[name], other[name]) for one, other in zip(ours, theirs, strict=True)]
        known = [one / other for one, other in pairs if one is not None and other]
        found[name] = round(median(known), 3) if known else None
    return found


def share_ms(seconds: Collection[float], share: float) -> float:
    """What such a share of them does not exceed, in milliseconds."""
    return round(1000 * sorted(seconds)[min(int(share * len(seconds)), len(seconds) - 1)], 1)
