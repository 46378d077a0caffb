"""Run all benchmarks, some minutes in all, and write RESULTS.md, its charts and README's table.

    python -m benchmarks.report
    python -m benchmarks.report --seconds 0.5 --json

Each runs in a process of its own, and each section says which command made its figures.
"""

import json
import re
import shlex
import sys
from argparse import Namespace
from collections.abc import Iterable, Mapping
from itertools import count
from pathlib import Path
from typing import Any

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

SECTIONS = ("peers", "limit", "load", "overload", "failover", "subscribe", "scale")
"""What the sections of the template are about, in their order."""

IN_README = ("lookups_per_second", "cpu_us", "prr_in_the_same_round", "prr_is_times_as_fast")

COUNTED = (
    "prr and each of the others take turns. Each row is the round with the median ratio; "
    "'times as fast' is prr's rate in that round divided by the other's, not a ratio of CPU. "
    "prr's own row is the median of all its rounds; the ratios are not computed from it."
)


def programs(seconds: float) -> dict[str, tuple[list[str], float]]:
    """The benchmarks and their arguments, where each single measurement takes `seconds`; and the
    seconds each takes in all, roughly."""
    each, is_short = [f"--seconds={seconds:g}"], seconds < 1
    few = ["--kills=1", "--stops=0", "--services=0"]
    deaths = ["--kills=200", "--stops=12", "--services=1000", "--seconds=120"]
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
    left = in_all = sum(weight for _, weight in to_do.values())
    for name, (arguments, weight) in to_do.items():
        running = gevent.spawn(_result_of, f"benchmarks.{name}", *arguments)
        for second in count():
            now_left = left - min(weight, second)
            show_progress(f"{name}: {1 - now_left / in_all:.0%}, some {now_left:.0f} s left")
            if running.join(1) or running.ready():
                break
        results[name] = running.get()
        left -= weight
    show_progress("")
    return results


def show_progress(line: str) -> None:
    """Write the one line that says how far it is anew; nothing where stderr is no terminal."""
    if sys.stderr.isatty():
        print(f"\r\x1b[K{line}", end="", file=sys.stderr, flush=True)


def _result_of(module: str, *arguments: str) -> Figures:
    """A benchmark's result."""
    words = ["-m", module, *arguments]
    try:
        asked = run(
            [sys.executable, *words, "--json"], cwd=ROOT, capture_output=True, timeout=PROGRAM_LIMIT
        )
    except TimeoutExpired:
        return {"trouble": f"it did not end within {PROGRAM_LIMIT:g} s"}
    if asked.returncode:
        last = asked.stderr.decode().splitlines()[-1:] or [f"exit code {asked.returncode}"]
        return {"trouble": f"{shlex.join(words)}: {last[0]}"}
    return json.loads(asked.stdout)


def write(results: Mapping[str, Figures], folder: Path, readme: Path | None) -> None:
    """Write RESULTS.md and charts/ in `folder`, and the part of `readme` made from them."""
    (folder / "charts").mkdir(exist_ok=True)
    head, *texts = TEMPLATE.read_text().split("\n## ")
    sections = [
        _section(text, name, results[name], folder / "charts")
        for text, name in zip(texts, SECTIONS, strict=True)
    ]
    (folder / "RESULTS.md").write_text("\n## ".join([head.format(noise=NOISE), *sections]))
    if readme is not None and "trouble" not in results["peers"]:
        drawn = [name for name in ("peers", "failover") if "trouble" not in results[name]]
        _write_readme(readme, results["peers"], drawn)


def _section(text: str, name: str, result: Figures, folder: Path) -> str:
    """A section of the template, filled."""
    if "trouble" in result:
        return f"{text.splitlines()[0]}\n\nNot measured: {result['trouble']}\n"
    made_by = dict(result["made_by"])
    made = f"`{made_by.pop('command')}`  \n" + ", ".join(f"{k} {v}" for k, v in made_by.items())
    fields = {"table": _tables(result), "made_by": made, "picture": _picture(name, "charts")}
    if name == "peers":
        fields |= {"counted": COUNTED, "verdict": _verdict(_groups(result))}
        _draw_peers(folder / "peers.svg", _groups(result))
    elif name == "failover":
        _draw_failover(folder / "failover.svg", _groups(result))
    return re.sub(r"\n{3,}", "\n\n", text.format(**fields))


def _write_readme(readme: Path, peers: Figures, drawn: Iterable[str]) -> None:
    """The two charts and the one table that matter."""
    before, found, rest = readme.read_text().partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise Trouble(f"{readme.name} has no {BEGIN} and {END} to write between")
    made_by = peers["made_by"]
    made = f"`{made_by['command']}`, commit {made_by['commit']}, Python {made_by['python']}, "
    made += f"Linux {made_by['kernel']}, {made_by['cpu']}."
    shown = " ".join(_picture(one, "benchmarks/charts") for one in drawn)
    rows = {name: row for name, row in _groups(peers).items() if "skipped" not in row}
    table = _table(rows, IN_README)
    readme.write_text(f"{before}{BEGIN}\n{shown}\n\n{table}\n{COUNTED}\n{made}\n{END}{after}")


# What is drawn of two of them, and said.


def _verdict(peers: Figures) -> str:
    """Who is ahead of prr, level with it, and behind."""
    said = {"Ahead of prr": [], f"Level with it (within {NOISE:.0%})": [], "Behind it": []}
    for name, row in peers.items():
        if ratio := row.get("prr_is_times_as_fast"):
            where = (ratio >= 1 - NOISE) + (ratio > 1 + NOISE)  # 0 to 2
            [*said.values()][where].append(name)
    return " ".join(f"{what}: {', '.join(names) or 'none'}." for what, names in said.items())


def _draw_peers(path: Path, peers: Figures) -> None:
    speeds = {name: row["lookups_per_second"] for name, row in peers.items() if "busy" in row}
    title = "One core each, the same generator, 64 questions in flight"
    charts.bars(path, title, "lookups a second", speeds, ["prr"])


def _draw_failover(path: Path, deaths: Figures) -> None:
    """prr as it was measured, beside what others document."""
    measured = {
        f"prr, {word}{name[7:]}": max(row["last_named_ms_p50"], 1.0)
        for name, row in deaths.items()
        for signal, word in {"SIGKILL": "killed", "SIGSTOP": "stopped"}.items()
        if name.startswith(signal) and "strikes" in row
    }
    documented = re.findall(r"^\| (.*) \| (\d+) \|", TEMPLATE.read_text(), re.MULTILINE)
    others = {system: 1000.0 * int(seconds) for system, seconds in documented}
    title = "The last wrong answer: for how long one that died is still returned"
    unit = "ms, logarithmic; prr: measured, median; others: what they document"
    charts.bars(path, title, unit, measured | others, measured, "log")


def _picture(name: str, folder: str) -> str:
    return f"![{name}]({folder}/{name}.svg)" if charts.have_charts() else ""


# Tables.


def _groups(result: Figures) -> Figures:
    """The rows of a result, without its single figures."""
    return {k: v for k, v in result.items() if isinstance(v, dict) and k != "made_by"}


def _tables(result: Figures) -> str:
    """A table of what is one figure, and one of each kind of group: those that begin alike."""
    groups = _groups(result)
    single = {k: {"": v} for k, v in result.items() if k not in groups and k != "made_by"}
    kinds: dict[str, Figures] = {}
    for name, row in groups.items():
        kinds.setdefault(next(iter(row)), {})[name] = row
    tables = [_table(single, [""])] if single else []
    return "\n".join([*tables, *map(_table_of, kinds.values())])


def _table_of(rows: Figures) -> str:
    """With a column for each name; or with a row, where there is text among the figures."""
    columns = list(dict.fromkeys(key for row in rows.values() for key in row))
    if any(isinstance(value, str) for row in rows.values() for value in row.values()):
        return _table(rows, columns)
    turned = {key: {name: row.get(key, "") for name, row in rows.items()} for key in columns}
    return _table(turned, list(rows))


def _table(rows: Figures, columns: Iterable[str]) -> str:
    """A row for each name, and these columns."""
    lines = [["", *columns], ["---" for _ in ("", *columns)]]
    lines += [[name, *(row.get(one, "") for one in columns)] for name, row in rows.items()]
    return "".join("| " + " | ".join(map(_said, line)) + " |\n" for line in lines)


def _said(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return f"{value:,}" if isinstance(value, int | float) else str(value).replace("_", " ")


def _measure(parsed: Namespace) -> Figures:
    """Measure, and write the report."""
    results = measure(parsed.seconds)
    write(results, HERE, ROOT / "README.md")
    return results


main = command("report", __doc__, 2.0, _measure)

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
