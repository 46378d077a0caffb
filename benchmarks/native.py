"""The programs in C, built; and `generator.c` run: one closed loop for every system, on a processor
of its own.

Written in C, since one in Python costs more than most of what it asks and would measure itself.
"""

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.arguments import Trouble

SOURCE = Path(__file__).with_name("generator.c")

COMPILE_LIMIT = 60.0
"""Seconds for the compiler."""

PATIENCE = 40.0
"""Seconds it may take beyond those it was told: it waits 20 s for the first right answer."""


@dataclass(frozen=True, slots=True)
class Question:
    """What to ask a system: bytes, and how many of them at once."""

    transport: str  # udp, tcp or h2
    port: int
    question: bytes
    expected: bytes  # the answer holds this
    hello: bytes = b""  # what a connection has to begin with
    sockets: int = 8
    depth: int = 8  # questions in flight on each


@dataclass(frozen=True, slots=True)
class Answers:
    """What a run of the generator has seen."""

    answers: int
    seconds: float
    lost: int
    odd: int  # answers of another length than the right one


def build(folder: Path, source: Path = SOURCE) -> Path:
    """The program of `source`, made in `folder`. Raises Trouble where there is no compiler."""
    compiler = shutil.which("cc")
    if compiler is None:
        raise Trouble(f"no C compiler (cc) for {source.name}; install one: apt-get install gcc")
    program = folder / source.stem
    try:
        built = subprocess.run(
            [compiler, "-O2", "-o", program, source],
            capture_output=True,
            text=True,
            timeout=COMPILE_LIMIT,
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise Trouble(f"{source.name} did not compile within {late.timeout:g} s") from None
    if built.returncode:
        raise Trouble(f"{source.name} does not compile here: {built.stderr.splitlines()[-1]}")
    return program


def ask(program: Path, question: Question, seconds: float, inside: Sequence[str] = ()) -> Answers:
    """Ask for `seconds`; `inside` is a command that enters where the server is, if it has to.

    Raises Trouble when the server gives no right answer, or hangs up.
    """
    texts = [question.transport, question.port, seconds, question.sockets, question.depth]
    parts = [part.hex() or "-" for part in (question.hello, question.question, question.expected)]
    _, own = processors()
    try:
        asked = subprocess.run(
            [*inside, str(program), *map(str, texts), *parts],
            capture_output=True,
            text=True,
            timeout=seconds + PATIENCE,
            preexec_fn=lambda: os.sched_setaffinity(0, own),
            check=False,
        )
    except subprocess.TimeoutExpired as late:
        raise Trouble(f"the generator did not end within {late.timeout:g} s") from None
    if asked.returncode:
        raise Trouble(asked.stderr.strip() or f"the generator ended with {asked.returncode}")
    answers, took, lost, odd = asked.stdout.split()
    return Answers(int(answers), float(took), int(lost), int(odd))


def processors() -> tuple[set[int], set[int]]:
    """The server's processor and the generator's; the same where there is only one."""
    usable = sorted(os.sched_getaffinity(0))
    return {usable[0]}, {usable[-1]}
