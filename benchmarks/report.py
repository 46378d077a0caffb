"""Run all benchmarks, some minutes in all, and write RESULTS.md, its charts and README's table.

    python -m benchmarks.report
    python -m benchmarks.report --seconds 0.5 --json

Each runs in a process of its own, and each section says which command made its figures.
"""

import argparse
import json
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from subprocess import PIPE
from typing import Any

from benchmarks import charts
from benchmarks.arguments import ROOT, Trouble, parser_for, run
from benchmarks.documented import DOCUMENTED

HERE = Path(__file__).parent
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
    sections = [
        _section(results["peers"], "Other systems, asked the same way", _peers, folder / "charts"),
        _section(results["limit"], "What C can do, and what Python can do", _plain),
        _section(results["load"], "Under load", _plain),
        _section(results["overload"], "Overload", _plain),
        _section(results["failover"], "When a server dies", _failover, folder / "charts"),
        _section(results["subscribe"], "Servers that come, stay, leave and come back", _plain),
        _section(results["scale"], "From a thousand to a million", _scale, folder / "charts"),
    ]
    head = (
        "# Results\n\nWritten by `python -m benchmarks.report`; [README.md](README.md) says what "
        "each question is. Machines are noisy: trust only ratios of one run, and of those no "
        f"difference below {NOISE:.0%}.\n"
    )
    (folder / "RESULTS.md").write_text("\n".join([head, *sections]))
    if readme is not None and "trouble" not in results["peers"]:
        _write_readme(readme, results["peers"], results["failover"])


def _section(result: Mapping[str, Any], title: str, body, *more) -> str:
    if "trouble" in result:
        return f"## {title}\n\nNot measured: {result['trouble']}\n"
    made_by = result["made_by"]
    made = ", ".join(f"{name} {made_by[name]}" for name in made_by if name != "command")
    figures = {
        key: value for key, value in result.items() if key not in ("made_by", "took_seconds")
    }
    command = f"`{made_by['command']}`  \n{made}"
    return f"## {title}\n\n{body(figures, *more).rstrip()}\n\n{command}\n"


def _peers(figures: Mapping[str, Any], folder: Path) -> str:
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
    skipped = [
        f"- {name} was skipped: {row['skipped']}\n"
        for name, row in figures.items()
        if isinstance(row, dict) and "skipped" in row
    ]
    picture = _picture("peers", "charts")
    return f"{picture}{_table(head, rows)}\n{COUNTED}\n\n{_verdict(figures)}\n{''.join(skipped)}"


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
    rows = [
        (name, row)
        for name, row in figures.items()
        if isinstance(row, dict) and "lookups_per_second" in row
    ]
    return sorted(rows, key=lambda row: -row[1]["lookups_per_second"])


def _verdict(figures: Mapping[str, Any]) -> str:
    """Who is ahead of prr, level with it, and behind."""
    said = {"Ahead of prr": [], f"Level with it (within {NOISE:.0%})": [], "Behind it": []}
    for name, row in _asked(figures):
        if name != "prr":
            ratio = row["prr_is_times_as_fast"]
            where = (ratio >= 1 - NOISE) + (ratio > 1 + NOISE)  # 0 to 2
            [*said.values()][where].append(name)
    verdict = " ".join(f"{what}: {', '.join(names) or 'none'}." for what, names in said.items())
    return (
        f"{verdict} The questions are similar, not equal: a name server parses a name and "
        "returns all instances where prr reads a byte and returns the next one; stores keep their "
        "data on disk and need a majority, which prr does not; over TCP a server receives one "
        "question per system call, while over UDP prr receives up to 64, and answers adjacent ones "
        "of one socket with a single send, which 8 sockets with 8 questions each often allow.\n"
    )


def _failover(figures: Mapping[str, Any], folder: Path) -> str:
    _draw_last_answers(figures, folder)
    tables = "\n".join(
        _rows_with(key, figures) for key in ("strikes", "others", "calls") if _having(key, figures)
    )
    unserved = [
        f"- {name}: for {row['nobody_served_ms']:,.0f} ms a lookup was answered by nobody.\n"
        for name, row in figures.items()
        if "nobody_served_ms" in row
    ]
    note = (
        "Named: the last answer, from any binder, that returned one that died, from the signal "
        "on. The kernel takes some milliseconds to end a killed process (`process ended`; what "
        "is left of the time is `named after its end`), and until then its port takes what is "
        "sent to it. A killed server is noticed by the first client whose datagram is refused; "
        "a stopped one is silent, so the client complains after 0.1 to 0.5 s, by what the "
        "service usually takes; the legacy (2016) client did after 2 s. Of a host of many "
        "services each has to be met by a client. `others` share its types and live. The timing "
        "of 2016 is simulated (`lab.py`); those programs are not run.\n"
    )
    others = _table(
        ["what others document", "s", "where"],
        [[one.system, f"{one.seconds:g}", one.source] for one in DOCUMENTED],
    )
    picture = _picture("failover", "charts")
    return f"{picture}{tables}\n{note}\n{others}\n{''.join(unserved)}"


def _having(key: str, figures: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row for name, row in figures.items() if key in row}


def _rows_with(key: str, figures: Mapping[str, Any]) -> str:
    """The rows that have this key, as a table of its own."""
    rows = _having(key, figures)
    columns = dict.fromkeys(column for row in rows.values() for column in row)
    columns.pop("nobody_served_ms", None)
    cells = [
        [name, *(_said(row.get(column, "")) for column in columns)] for name, row in rows.items()
    ]
    return _table(["", *map(_words, columns)], cells)


def _draw_last_answers(figures: Mapping[str, Any], folder: Path) -> None:
    """prr as it was measured, beside what others document."""
    measured = {
        f"prr, {name.replace('SIGKILL', 'killed').replace('SIGSTOP', 'stopped')}": max(
            row["last_named_ms_p50"], 1.0
        )
        for name, row in figures.items()
        if name.startswith("SIG") and "strikes" in row
    }
    if not measured or not charts.have_charts():
        return
    documented = {one.system: 1000 * one.seconds for one in DOCUMENTED}
    title = "The last wrong answer: for how long one that died is still returned"
    unit = "ms, logarithmic; prr: measured, median; others: what they document"
    path = folder / "failover.svg"
    charts.bars(path, title, unit, measured | documented, measured, "log")


def _scale(figures: Mapping[str, Any], folder: Path) -> str:
    sizes = {
        name: row for name, row in figures.items() if isinstance(row, dict) and "register_us" in row
    }
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
    rest = "".join(
        f"- {name}: {_said(row)}\n" for name, row in figures.items() if name not in sizes
    )
    note = (
        "An operation whose cost does not depend on the number of instances has 1.0 in the last "
        "column. A lookup after a change prefetches 64 turns and rebuilds nothing else.\n"
    )
    picture = _picture("scale", "charts")
    return f"{picture}{_table(['instances', *sizes, 'last / first'], rows)}\n{note}\n{rest}"


def _plain(figures: Mapping[str, Any]) -> str:
    """Single figures as a table of two columns; groups of figures get a column each."""
    groups = {name: row for name, row in figures.items() if isinstance(row, dict)}
    single = [[_words(k), _said(v)] for k, v in figures.items() if k not in groups]
    text = _table(["", ""], single)
    if groups:
        keys = dict.fromkeys(key for row in groups.values() for key in row)
        rows = [[_words(key), *(row.get(key, "") for row in groups.values())] for key in keys]
        text += "\n" + _table(["", *map(_words, groups)], rows)
    return text


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
    shown = "\n".join(_picture(one, "benchmarks/charts").strip() for one in pictures)
    text = f"{BEGIN}\n{shown}\n\n{table}\n{COUNTED}\n\n{made}\n\n{END}"
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
