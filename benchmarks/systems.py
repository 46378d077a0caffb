"""The other systems, as systems.toml describes them: started on loopback, told what they are asked
for, and the load that asks."""

import ast
import importlib.util
import os
import re
import shlex
import shutil
import socket
import sys
import tomllib
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.arguments import HERE, ROOT, Trouble
from benchmarks.proc import cores, generator_core
from benchmarks.processes import Started
from benchmarks.tally import Load
from prr.demo.ports import free_port

FILE = Path(__file__).with_suffix(".toml")
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # root's too
ANSWER_LIMIT = 5.0
"""Seconds for an answer to what it is told; then it is told again."""


@dataclass(frozen=True, slots=True)
class System:
    """One of them. In commands and files, {port}, {folder}, {pid} and the like are filled in."""

    name: str
    command: str  # words as in a shell
    question: str  # bytes, as `data_of` reads them
    expected: str  # the answer to it has this in it
    needs: list[str] = field(default_factory=list)  # programs, and packages of Python
    wants_root_for: str = ""
    as_root: str = ""  # more words, for who is root
    beside: list[str] = field(default_factory=list)  # commands whose processes are not measured
    files: dict[str, str] = field(default_factory=dict)  # its settings, in its folder
    inside: str = ""  # a command that enters where the server is, if it has to
    port: int = 0  # else any that is free
    tell: list[str] = field(default_factory=list)  # before it is asked, on one socket in a row
    tell_by: str = "tcp"
    told: str = ""  # what the answer to the last of these has in it
    how: str = "udp"
    sockets: int = 8  # with 64 questions under way: eight at a time on each, or one
    hello: str = ""  # what a connection begins with
    each: str = ""  # behind the question, for each {number} of what it writes
    writes: int = 0  # that the question stands for
    more: str = ""  # what it does more, or less, for a question

    def missing(self) -> str | None:
        """What is not installed here."""
        lacking = (one for one in self.needs if not (which(one) or importlib.util.find_spec(one)))
        return next(lacking, None)

    def load(self, stack: ExitStack, seconds: float) -> Load:
        """Start it, until `stack` ends; the load for it. Raises Trouble, OSError."""
        running = Running(self, stack)
        parts = [self.each.format(number=number) for number in range(self.writes)]
        return Load(
            [(HERE, running.port)],
            seconds=seconds,
            sockets=self.sockets,
            pids=[running.server.pid],
            core=generator_core(),
            how=self.how,
            question=b"".join(map(data_of, [self.question, *parts])),
            expected=data_of(self.expected),
            hello=data_of(self.hello),
            writes=self.writes,
            inside=tuple(shlex.split(self.inside.format(pid=running.server.pid))),
        )


class Running:
    """A system in a folder of its own, on the core of what is measured, until `stack` ends."""

    def __init__(self, system: System, stack: ExitStack) -> None:
        """Start it, and tell it what it has to know. Raises Trouble, OSError."""
        if system.wants_root_for and os.geteuid():
            raise Trouble(f"it wants {system.wants_root_for}: run this as root")
        folder = Path(stack.enter_context(TemporaryDirectory()))
        self.port = system.port or free_port()
        words = {"port": self.port, "peer": free_port(), "folder": folder}
        words |= {"python": sys.executable, "node": ROOT / "node.py"}
        for name, text in system.files.items():
            (folder / name).write_text(text.format(**words))
        found = cores()
        core = found[1][0] if found else None
        more = "" if os.geteuid() else system.as_root
        self.server, *_ = (
            Started(
                stack,
                *(word.format(**words) for word in shlex.split(command)),
                folder=folder,
                core=core,
                PATH=PATH,
            )
            for command in (f"{system.command} {more}", *system.beside)
        )
        if system.inside:  # which it makes as it starts
            program, comm = system.needs[0], Path(f"/proc/{self.server.pid}/comm")
            self.server.until(lambda: program in comm.read_text(), "it did not start")
        if system.tell:
            self.server.until(lambda: self._tell(system), "it did not take what it was told")

    def _tell(self, system: System) -> bool:
        kind = socket.SOCK_STREAM if system.tell_by == "tcp" else socket.SOCK_DGRAM
        with socket.socket(type=kind) as server:
            server.settimeout(ANSWER_LIMIT)
            server.connect((HERE, self.port))
            for message in map(data_of, system.tell):
                server.sendall(message)
                if not (answer := server.recv(1500)):
                    return False
        return data_of(system.told) in answer


def which(program: str) -> str | None:
    """Where a program is, in the folders of root's path too."""
    return shutil.which(program, path=PATH)


def data_of(text: str) -> bytes:
    """Bytes from hexadecimal digits and texts in quotes; behind # are comments."""
    words = re.findall(r'#.*|"(?:[^"\\]|\\.)*"|[^\s"#]+', text)
    return b"".join(
        ast.literal_eval(word).encode() if word[0] == '"' else bytes.fromhex(word)
        for word in words
        if word[0] != "#"
    )


def _read() -> dict[str, System]:
    rows = tomllib.loads(FILE.read_text())
    for name, row in rows.items():
        like = row.pop("like", None)
        rows[name] = {**rows.get(like, {}), **row}
    return {name: System(name, **row) for name, row in rows.items()}


ALL = _read()
PRR, ETCD = ALL.pop("prr"), ALL["etcd JSON"]
SYSTEMS = [system for system in ALL.values() if not system.writes]
WRITES = [system for system in ALL.values() if system.writes]
