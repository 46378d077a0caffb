"""Runs a load, with the generator in C, or the one in Python where there is no C compiler."""

import atexit
import shutil
import subprocess
import sys
import tempfile
from contextlib import ExitStack, closing
from dataclasses import replace
from functools import cache
from pathlib import Path

import gevent

from benchmarks.arguments import Trouble
from benchmarks.background import Background
from benchmarks.proc import cpu_seconds, on_core
from benchmarks.processes import Started
from benchmarks.tally import Load, Tally

COMPILE_LIMIT = 60.0
"""Seconds for the compiler."""

START_LIMIT = 40.0
"""Seconds for a generator to begin: it waits 20 s for a system's first right answer."""

PATIENCE = 15.0
"""Seconds a run may take beyond those of its load."""


def generate(load: Load) -> Tally:
    """Run a load in a process of its own. Other greenlets go on meanwhile.

    Raises Trouble: it did not come to its end, the other side hung up or gave no right answer, or
    what it asks wants a C compiler.
    """
    with on_core(load.core), closing(Background(load)) as background:
        known = [*load.instances, *background.instances]
        tally = _run(replace(load, instances=known))
        if load.sink is None:
            tally.subscribed = background.subscribed
    return tally


def has_compiler() -> bool:
    """There is a `cc`."""
    return shutil.which("cc") is not None


def build(name: str) -> str:
    """The program of `name`.c beside this file. Raises Trouble where there is no compiler."""
    if not has_compiler():
        raise Trouble(f"no C compiler (cc) for {name}.c; install one: apt-get install gcc")
    return str(_build(Path(__file__).with_name(f"{name}.c")))


@cache
def _build(source: Path) -> Path:
    folder = Path(tempfile.mkdtemp(prefix="prr-benchmark-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    command = ["cc", "-O2", "-o", folder / source.stem, source]
    try:
        subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_LIMIT, check=True)
    except subprocess.TimeoutExpired as late:
        raise Trouble(f"{source.name} did not compile within {late.timeout:g} s") from None
    except subprocess.CalledProcessError as error:
        why = error.stderr.splitlines()[-1]
        raise Trouble(f"{source.name} does not compile here: {why}") from None
    return folder / source.stem


def _run(load: Load) -> Tally:
    is_plain = load.how == "udp" and not load.question
    if is_plain and not has_compiler():
        command = [sys.executable, "-m", "benchmarks.generator"]
    else:
        command = [*load.inside, build("generator")]
    tally = Tally()
    with ExitStack() as stack:
        generator = Started(stack, *command, *load.arguments())
        generator.wait_for("^began", START_LIMIT)
        used = cpu_seconds(load.pids)
        gevent.sleep(load.seconds)  # to look for the end would cost the generator's core
        generator.wait_for("^ended", PATIENCE)
        if used is not None and (used_after := cpu_seconds(load.pids)) is not None:
            tally.cpu = used_after - used
        for line in generator.finish(PATIENCE)[1:]:
            tally.read(line)
    return tally
