"""Run all benchmarks, some minutes in all, and write RESULTS.md, its charts and README's table.

    python -m benchmarks.report
    python -m benchmarks.report --seconds 0.5 --json

Each runs in a process of its own, and each section says which command made its figures.
"""

import argparse
import json
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any, TypeAlias

from benchmarks import charts
from benchmarks.arguments import ROOT, Trouble, parser_for, run

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


def measure(seconds: float) -> dict[str, Any]:
    """The results of all benchmarks; one that failed says why under "trouble"."""
    results: dict[str, Any] = {}
    all_programs = programs(seconds)
    progress = Progress({name: weight for name, (_, weight) in all_programs.items()})
    for name, (arguments, _) in all_programs.items():
        began = time.monotonic()
        command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
        results[name] = _result_of(command, lambda name=name: progress.show(name))
        results[name]["took_seconds"] = round(time.monotonic() - began)
        progress.end(name)
    return results


class Progress:
    """A line on a terminal: which benchmark runs, the share done, and the time left."""

    def __init__(self, weights: Mapping[str, float]) -> None:
        """`weights` are the seconds each takes, roughly; only their proportions matter."""
        self._weights = dict(weights)
        self._all = sum(weights.values())
        self._step_at = time.monotonic()

    def show(self, name: str) -> None:
        """Rewrite the line; nothing where stderr is not a terminal."""
        if not sys.stderr.isatty():
            return
        now = time.monotonic()
        waiting = sum(self._weights.values()) - self._weights[name]
        running = max(0.0, self._weights[name] - (now - self._step_at))
        done = 1 - (waiting + running) / self._all
        left = f"some {waiting + running:.0f} s left"
        print(f"\r\x1b[K{name}: {done:.0%}, {left}", end="", file=sys.stderr, flush=True)

    def end(self, name: str) -> None:
        """That one has ended."""
        del self._weights[name]
        self._step_at = time.monotonic()
        if not self._weights and sys.stderr.isatty():
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def _result_of(command: list[str], wait: Callable[[], None]) -> dict[str, Any]:
    """A benchmark's result; `wait` is called every second until it is there."""
    ends_at = time.monotonic() + PROGRAM_LIMIT
    with subprocess.Popen(
        [*command, "--json"], cwd=ROOT, stdout=PIPE, stderr=PIPE, text=True
    ) as program:
        while True:
            wait()
            try:
                told, errors = program.communicate(timeout=1)
                break
            except subprocess.TimeoutExpired:
                if time.monotonic() > ends_at:
                    program.kill()
                    return {"trouble": f"it did not end within {PROGRAM_LIMIT:g} s"}
    if program.returncode:
        last = errors.strip().splitlines()[-1:] or [f"exit code {program.returncode}"]
        return {"trouble": f"{shlex.join(command[1:])}: {last[0]}"}
    return json.loads(told)


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


def _section(text: str, result: Mapping[str, Any], fill: "Fill", folder: Path) -> str:
    """A section of the template, filled."""
    if "trouble" in result:
        return f"{text.splitlines()[0]}\n\nNot measured: {result['trouble']}\n"
    made_by = dict(result["made_by"])
    command = made_by.pop("command")
    made = ", ".join(f"{name} {version}" for name, version in made_by.items())
    figures = {k: v for k, v in result.items() if k not in ("made_by", "took_seconds")}
    filled = text.format(**fill(figures, folder), made_by=f"`{command}`  \n{made}")
    return re.sub(r"\n{3,}", "\n\n", filled)


def _peers(figures: Mapping[str, Any], folder: Path) -> dict[str, str]:
    if charts.have_charts():
        speeds = {name: row["lookups_per_second"] for name, row in _asked(figures)}
        charts.bars(folder / "peers.svg", *PEERS_TITLES, speeds, ["prr"])
    rows = [
        [
            name,
            f"{row['lookups_per_second']:,}",
            round(row["cpu_us"], 1),
            row["busy"],
            *_beside(row),
            row["lost"] + row["wrong"],
            row.get("more", ""),
        ]
        for name, row in _asked(figures)
    ]
    head = ["", "lookups/s", "CPU us each", "core used", *BESIDE, "lost or wrong", "what it does"]
    skipped = _having("skipped", figures)
    return {
        "picture": _picture("peers", "charts"),
        "table": _table(head, rows),
        "counted": COUNTED,
        "verdict": _verdict(figures),
        "skipped": "\n".join(f"- {k} was skipped: {v['skipped']}" for k, v in skipped.items()),
    }


BESIDE = ("prr in the same round", "prr is times as fast")
COUNTED = (
    "prr and each of the others take turns. Each row is the round with the median ratio; "
    "'times as fast' is prr's rate in that round divided by the other's, not a ratio of CPU. "
    "prr's own row is the median of all its rounds; the ratios are not computed from it."
)


def _beside(row: Mapping[str, Any]) -> list[str]:
    """The columns of BESIDE."""
    if "prr_is_times_as_fast" not in row:
        return ["", ""]
    return [f"{row['prr_beside']:,}", row["prr_is_times_as_fast"]]


PEERS_TITLES = ("One core each, the same generator, 64 questions in flight", "lookups a second")


def _asked(figures: Mapping[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The systems that were measured, fastest first."""
    rows = _having("lookups_per_second", figures)
    return sorted(rows.items(), key=lambda row: -row[1]["lookups_per_second"])


def _verdict(figures: Mapping[str, Any]) -> str:
    """Who is ahead of prr, level with it, and behind."""
    said = {"Ahead of prr": [], f"Level with it (within {NOISE:.0%})": [], "Behind it": []}
    for name, row in _asked(figures):
        if name != "prr":
            ratio = row["prr_is_times_as_fast"]
            where = (ratio >= 1 - NOISE) + (ratio > 1 + NOISE)  # 0 to 2
            [*said.values()][where].append(name)
    return " ".join(f"{what}: {', '.join(names) or 'none'}." for what, names in said.items())


def _failover(figures: Mapping[str, Any], folder: Path) -> dict[str, str]:
    _draw_last_answers(figures, folder)
    unserved = _having("nobody_served_ms", figures)
    return {
        "picture": _picture("failover", "charts"),
        "deaths": _rows_with("strikes", figures),
        "hosts": _rows_with("others", figures),
        "slow": _rows_with("calls", figures),
        "unserved": "\n".join(
            f"- {name}: for {row['nobody_served_ms']:,.0f} ms a lookup was answered by nobody."
            for name, row in unserved.items()
        ),
    }


def _having(key: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row for name, row in figures.items() if isinstance(row, dict) and key in row}


def _rows_with(key: str, figures: Mapping[str, Any]) -> str:
    """The rows that have this key, as a table of its own."""
    rows = _having(key, figures)
    columns = dict.fromkeys(column for row in rows.values() for column in row)
    columns.pop("nobody_served_ms", None)
    cells = [[name, *(_said(row.get(one, "")) for one in columns)] for name, row in rows.items()]
    return _table(["", *map(_words, columns)], cells) if rows else ""


def _draw_last_answers(figures: Mapping[str, Any], folder: Path) -> None:
    """prr as it was measured, beside what others document."""
    words = {"SIGKILL": "killed", "SIGSTOP": "stopped"}
    measured = {
        f"prr, {words[name[:7]]}{name[7:]}": max(row["last_named_ms_p50"], 1.0)
        for name, row in _having("strikes", figures).items()
        if name[:7] in words
    }
    if not measured or not charts.have_charts():
        return
    documented = re.findall(r"^\| (.*) \| (\d+) \|", TEMPLATE.read_text(), re.MULTILINE)
    others = {system: 1000.0 * int(seconds) for system, seconds in documented}
    title = "The last wrong answer: for how long one that died is still returned"
    unit = "ms, logarithmic; prr: measured, median; others: what they document"
    path = folder / "failover.svg"
    charts.bars(path, title, unit, measured | others, measured, "log")


def _scale(figures: Mapping[str, Any], folder: Path) -> dict[str, str]:
    sizes = _having("register_us", figures)
    keys = list(next(iter(sizes.values())))
    shown = {key: [row[key] for row in sizes.values()] for key in keys}
    if charts.have_charts():
        times = {_words(key[:-3]): row for key, row in shown.items() if key.endswith("_us")}
        xs = [int(name.replace(",", "")) for name in sizes]
        labels = ("instances", "us for each operation")
        charts.lines(folder / "scale.svg", "What an operation costs a binder", labels, xs, times)
    rows = [
        [_words(key), *(f"{value:,}" for value in row), f"{row[-1] / row[0]:.1f}" if row[0] else ""]
        for key, row in shown.items()
    ]
    others = {name: row for name, row in figures.items() if name not in sizes}
    return {
        "picture": _picture("scale", "charts"),
        "table": _table(["instances", *sizes, "last / first"], rows),
        "others": "\n".join(f"- {name}: {_said(row)}" for name, row in others.items()),
    }


def _plain(figures: Mapping[str, Any], _folder: Path) -> dict[str, str]:
    """Single figures as a table of two columns; groups of figures get a column each."""
    groups = {name: row for name, row in figures.items() if isinstance(row, dict)}
    single = [[_words(k), _said(v)] for k, v in figures.items() if k not in groups]
    text = _table(["", ""], single)
    if groups:
        keys = dict.fromkeys(key for row in groups.values() for key in row)
        rows = [[_words(key), *(row.get(key, "") for row in groups.values())] for key in keys]
        text += "\n" + _table(["", *map(_words, groups)], rows)
    return {"table": text}


Fill: TypeAlias = Callable[[Mapping[str, Any], Path], dict[str, str]]
"""The fields of a section of the template, from a benchmark's figures; it draws the chart, too."""

SECTIONS: dict[str, Fill] = {
    "peers": _peers,
    "limit": _plain,
    "load": _plain,
    "overload": _plain,
    "failover": _failover,
    "subscribe": _plain,
    "scale": _scale,
}
"""What fills the sections of the template, in their order."""


def _said(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{_words(name)} {one:,}" for name, one in value.items())
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)


def _words(key: str) -> str:
    return key.replace("_", " ")


def _table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(map(str, line)) + " |\n" for line in lines)


def _picture(name: str, folder: str) -> str:
    return f"![{name}]({folder}/{name}.svg)\n\n" if charts.have_charts() else ""


def _write_readme(readme: Path, peers: Mapping[str, Any], failover: Mapping[str, Any]) -> None:
    """The two charts and the one table that matter."""
    before, found, rest = readme.read_text().partition(BEGIN)
    _, closed, after = rest.partition(END)
    if not found or not closed:
        raise Trouble(f"{readme.name} has no {BEGIN} and {END} to write between")
    rows = [
        [name, f"{row['lookups_per_second']:,}", round(row["cpu_us"], 1), *_beside(row)]
        for name, row in _asked(peers)
    ]
    made_by = peers["made_by"]
    table = _table(["", "lookups/s", "CPU us each", *BESIDE], rows)
    made = f"`{made_by['command']}`, commit {made_by['commit']}, Python {made_by['python']}, "
    made += f"Linux {made_by['kernel']}, {made_by['cpu']}."
    pictures = ["peers"] + ["failover"] * ("trouble" not in failover)  # side by side
    shown = " ".join(_picture(one, "benchmarks/charts").strip() for one in pictures)
    text = f"{BEGIN}\n{shown}\n\n{table}\n{COUNTED}\n{made}\n{END}"
    readme.write_text(before + text + after)


def main(arguments: Sequence[str]) -> int:
    """Measure as `arguments` say, write the report, and print the result; the exit code."""
    parser = parser_for("report", __doc__, 2.0)

    def report(parsed: argparse.Namespace) -> dict[str, Any]:
        results = measure(parsed.seconds)
        write(results, HERE, ROOT / "README.md")
        return results

    return run(parser, report, arguments)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
