"""Run all benchmarks, some minutes in all, and write RESULTS.md, its charts and README's table.

    python -m benchmarks.report
    python -m benchmarks.report --seconds 0.5 --json

Each runs in a process of its own, and each section says which command made its figures.
"""

import json
import re
import shlex
import sys
import time
from argparse import Namespace
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import gevent
from gevent.subprocess import TimeoutExpired, run

from benchmarks import charts
from benchmarks.arguments import ROOT, Trouble, command
from benchmarks.figures import Figures

HERE = Path(__file__).parent
TEMPLATE = HERE / "results.template.md"
PROGRAM_LIMIT = 600.0
"""Seconds for one benchmark: several times what the longest takes."""

NOISE = 0.15
"""Smaller differences are not resolved: machines shared with others allow no better."""

BEGIN, END = "<!-- from benchmarks/report.py -->", "<!-- to here -->"
"""What stands between these in README.md is written here."""


def programs(seconds: float) -> dict[str, tuple[list[str], float]]:
    """The benchmarks and their arguments, where each single measurement takes `seconds`; and the
    seconds each takes in all, roughly."""
    each, is_short = [f"--seconds={seconds:g}"], seconds < 1
    few = ["--kills=1", "--stops=0", "--services=0"]
    deaths = ["--kills=200", "--stops=12", "--services=1000", "--seconds=60"]
    sizes = ["--size=1000", "--size=10000"] if is_short else []
    fleet = ["--servers=200", "--herd=200", "--seconds=1"] if is_short else []
    return {
        "load": (each, seconds + 2),
        "limit": ([*each, "--rounds=3"], 12 * seconds + 5),
        "overload": ([f"--seconds={5 * seconds:g}"], 15 * seconds + 6),
        # three times, and of twelve systems
        "peers": ([f"--seconds={seconds / 2:g}"], 60 * seconds + 30),
        "failover": (few, 5) if is_short else (deaths, 400),
        "subscribe": (fleet, 40 if is_short else 90),
        "scale": (sizes, 5 if is_short else 130),
    }


def measure(seconds: float) -> Figures:
    """The results of all benchmarks; one that failed says why under "trouble"."""
    results: Figures = {}
    to_do = programs(seconds)
    in_all = sum(weight for _, weight in to_do.values())
    for name, (arguments, weight) in programs(seconds).items():
        del to_do[name]
        waiting = sum(weight for _, weight in to_do.values())
        telling = gevent.spawn(_tell, name, weight, waiting, in_all)
        began = time.monotonic()
        results[name] = _result_of([sys.executable, "-m", f"benchmarks.{name}", *arguments])
        results[name]["took_seconds"] = round(time.monotonic() - began)
        telling.kill()
    show_progress("")
    return results


def _tell(name: str, weight: float, waiting: float, in_all: float) -> None:
    """Say every second how far all is, of which one takes `weight` seconds and what comes then
    `waiting`."""
    while True:
        left = waiting + max(0.0, weight)
        show_progress(f"{name}: {1 - left / in_all:.0%}, some {left:.0f} s left")
        gevent.sleep(1)
        weight -= 1


def show_progress(line: str) -> None:
    """Write the one line that says how far it is anew; nothing where stderr is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _result_of(words: list[str]) -> Figures:
    """A benchmark's result."""
    try:
        asked = run([*words, "--json"], cwd=ROOT, capture_output=True, timeout=PROGRAM_LIMIT)
    except TimeoutExpired:
        return {"trouble": f"it did not end within {PROGRAM_LIMIT:g} s"}
    if asked.returncode:
        last = asked.stderr.decode().splitlines()[-1:] or [f"exit code {asked.returncode}"]
        return {"trouble": f"{shlex.join(words[1:])}: {last[0]}"}
    return json.loads(asked.stdout)


def write(results: Mapping[str, Any], folder: Path, readme: Path | None) -> None:
    """Write RESULTS.md and charts/ in `folder`, and the part of `readme` made from them."""
    (folder / "charts").mkdir(exist_ok=True)
    head, *texts = TEMPLATE.read_text().split("\n## ")
    sections = [
        _section(text, results[name], fill, folder / "charts")
        for text, (name, fill) in zip(texts, SECTIONS.items(), strict=True)
    ]
    (folder / "RESULTS.md").write_text("\n## ".join([head.format(noise=NOISE), *sections]))
    if readme is not None and "trouble" not in results["peers"]:
        _write_readme(readme, results["peers"], results["failover"])


Fill: TypeAlias = Callable[[Figures, Path], dict[str, str]]
"""The fields of a section of the template, from a benchmark's figures; it draws the chart, too."""


def _section(text: str, result: Figures, fill: Fill, folder: Path) -> str:
    """A section of the template, filled."""
    if "trouble" in result:
        return f"{text.splitlines()[0]}\n\nNot measured: {result['trouble']}\n"
    made_by = dict(result["made_by"])
    made = f"`{made_by.pop('command')}`  \n" + ", ".join(f"{k} {v}" for k, v in made_by.items())
    figures = {k: v for k, v in result.items() if k not in ("made_by", "took_seconds")}
    return re.sub(r"\n{3,}", "\n\n", text.format(**fill(figures, folder), made_by=made))


# Other systems.

COLUMNS = {
    "lookups/s": "lookups_per_second",
    "CPU us each": "cpu_us",
    "core used": "busy",
    "prr in the same round": "prr_beside",
    "prr is times as fast": "prr_is_times_as_fast",
    "lost": "lost",
    "wrong": "wrong",
    "what it does": "more",
}
IN_README = ("lookups/s", "CPU us each", "prr in the same round", "prr is times as fast")
COUNTED = (
    "prr and each of the others take turns. Each row is the round with the median ratio; "
    "'times as fast' is prr's rate in that round divided by the other's, not a ratio of CPU. "
    "prr's own row is the median of all its rounds; the ratios are not computed from it."
)


def _peers(figures: Figures, folder: Path) -> dict[str, str]:
    speeds = {name: row["lookups_per_second"] for name, row in _asked(figures)}
    title = "One core each, the same generator, 64 questions in flight"
    charts.bars(folder / "peers.svg", title, "lookups a second", speeds, ["prr"])
    skipped = _having("skipped", figures)
    return {
        "picture": _picture("peers", "charts"),
        "table": _asked_table(figures, COLUMNS),
        "counted": COUNTED,
        "verdict": _verdict(figures),
        "skipped": "\n".join(f"- {k} was skipped: {v['skipped']}" for k, v in skipped.items()),
    }


def _asked(figures: Figures) -> list[tuple[str, Figures]]:
    """The systems that were measured, fastest first."""
    rows = _having("lookups_per_second", figures)
    return sorted(rows.items(), key=lambda row: -row[1]["lookups_per_second"])


def _asked_table(figures: Figures, columns: Iterable[str]) -> str:
    rows = [
        [name, *(row.get(COLUMNS[one], "") for one in columns)] for name, row in _asked(figures)
    ]
    return _table(["", *columns], rows)


def _verdict(figures: Figures) -> str:
    """Who is ahead of prr, level with it, and behind."""
    said = {"Ahead of prr": [], f"Level with it (within {NOISE:.0%})": [], "Behind it": []}
    for name, row in _asked(figures):
        if name != "prr":
            ratio = row["prr_is_times_as_fast"]
            where = (ratio >= 1 - NOISE) + (ratio > 1 + NOISE)  # 0 to 2
            [*said.values()][where].append(name)
    return " ".join(f"{what}: {', '.join(names) or 'none'}." for what, names in said.items())


def _write_readme(readme: Path, peers: Figures, failover: Figures) -> None:
    """The two charts and the one table that matter."""
    before, found, rest = readme.read_text().partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise Trouble(f"{readme.name} has no {BEGIN} and {END} to write between")
    made_by = peers["made_by"]
    made = f"`{made_by['command']}`, commit {made_by['commit']}, Python {made_by['python']}, "
    made += f"Linux {made_by['kernel']}, {made_by['cpu']}."
    pictures = ["peers"] + ["failover"] * ("trouble" not in failover)  # side by side
    shown = " ".join(_picture(one, "benchmarks/charts").strip() for one in pictures)
    table = _asked_table(peers, IN_README)
    readme.write_text(f"{before}{BEGIN}\n{shown}\n\n{table}\n{COUNTED}\n{made}\n{END}{after}")


# When a server dies.


def _failover(figures: Figures, folder: Path) -> dict[str, str]:
    """prr as it was measured, beside what others document."""
    measured = {
        f"prr, {word}{name[7:]}": max(row["last_named_ms_p50"], 1.0)
        for name, row in _having("strikes", figures).items()
        for signal, word in {"SIGKILL": "killed", "SIGSTOP": "stopped"}.items()
        if name.startswith(signal)
    }
    documented = re.findall(r"^\| (.*) \| (\d+) \|", TEMPLATE.read_text(), re.MULTILINE)
    others = {system: 1000.0 * int(seconds) for system, seconds in documented}
    title = "The last wrong answer: for how long one that died is still returned"
    unit = "ms, logarithmic; prr: measured, median; others: what they document"
    charts.bars(folder / "failover.svg", title, unit, measured | others, measured, "log")
    kinds = {"deaths": "strikes", "hosts": "others", "slow": "calls"}
    tables = {field: _table_of(_having(key, figures)) for field, key in kinds.items()}
    return {"picture": _picture("failover", "charts"), **tables}


# All others, and what they share.


def _plain(figures: Figures, _folder: Path) -> dict[str, str]:
    """Single figures as a table of two columns; groups of figures get a column each."""
    groups = {name: row for name, row in figures.items() if isinstance(row, dict)}
    single = [[_words(name), row] for name, row in figures.items() if name not in groups]
    return {"table": _table(["", ""], single) + "\n" + _table_of(_turned(groups))}


SECTIONS: dict[str, Fill] = {
    "peers": _peers,
    "limit": _plain,
    "load": _plain,
    "overload": _plain,
    "failover": _failover,
    "subscribe": _plain,
    "scale": _plain,
}
"""What fills the sections of the template, in their order."""


def _having(key: str, figures: Figures) -> Figures:
    return {name: row for name, row in figures.items() if isinstance(row, dict) and key in row}


def _table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(_said, line)) + " |\n" for line in lines)


def _table_of(rows: Figures) -> str:
    """A table with a row for each name, and a column for each key; "" without rows."""
    columns = dict.fromkeys(column for row in rows.values() for column in row)
    cells = [[_words(name), *(row.get(one, "") for one in columns)] for name, row in rows.items()]
    return _table(["", *map(_words, columns)], cells) if rows else ""


def _turned(rows: Figures) -> Figures:
    """The figures by key, and then by name."""
    keys = dict.fromkeys(key for row in rows.values() for key in row)
    return {key: {name: row.get(key, "") for name, row in rows.items()} for key in keys}


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _picture(name: str, folder: str) -> str:
    return f"![{name}]({folder}/{name}.svg)\n\n" if charts.have_charts() else ""


def _measure(parsed: Namespace) -> Figures:
    """Measure, and write the report."""
    results = measure(parsed.seconds)
    write(results, HERE, ROOT / "README.md")
    return results


main = command("report", __doc__, 2.0, _measure)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
