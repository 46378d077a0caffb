"""Where another system runs on loopback, and the load for it."""

import importlib.util
import os
import shutil
import socket
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.arguments import HERE
from benchmarks.proc import cores, generator_core
from benchmarks.processes import Started, until
from benchmarks.tally import Load
from prr.demo.ports import free_port

PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # root's too


class Stage:
    """Where one system runs: a folder, a port and its processes, which end with `stack`."""

    def __init__(self, stack: ExitStack) -> None:
        self._stack = stack
        self.folder = Path(stack.enter_context(TemporaryDirectory()))
        self.port = free_port()
        self.pids: list[int] = []
        self.inside: tuple[str, ...] = ()  # a command that enters where the server is, if it has to

    def run(self, *command: object, **environment: str) -> Started:
        """Start a server on the core of what is measured."""
        found = cores()
        where = {"folder": self.folder, "core": found[1][0] if found else None}
        server = Started(self._stack, *command, **where, PATH=PATH, **environment)
        self.pids.append(server.pid)
        return server

    def write(self, name: str, text: str) -> Path:
        """A file of the system's settings."""
        path = self.folder / name
        path.write_text(text)
        return path

    def connect(self) -> socket.socket:
        """A connection to its port, once it takes one."""
        where = (HERE, self.port)
        made = until(lambda: socket.create_connection(where, 5), "it took no connection")
        return self._stack.enter_context(made)

    def tell(self, data: bytes) -> None:
        """Say something to it, and wait for its answer."""
        with self.connect() as server:
            server.sendall(data)
            server.recv(1000)

    def in_turn(self, question: bytes, expected: bytes, hello: bytes = b"") -> Load:
        """One question at a time on each of 64 connections."""
        return replace(self.at_once("tcp", question, expected, hello), sockets=64)

    def at_once(self, how: str, question: bytes, expected: bytes, hello: bytes = b"") -> Load:
        """Eight questions at a time on each of 8 sockets."""
        return Load([(HERE, self.port)], how=how, question=question, expected=expected, hello=hello)


@dataclass(frozen=True, slots=True)
class System:
    """One of the others."""

    name: str
    needs: tuple[str, ...]  # programs, and packages of Python
    start: Callable[[Stage], Load]
    more: str  # what it does more, or less, for a question

    def missing(self) -> str | None:
        """What is not installed here."""
        lacking = (one for one in self.needs if not (which(one) or importlib.util.find_spec(one)))
        return next(lacking, None)

    def load(self, stack: ExitStack, seconds: float) -> Load:
        """Start it, until `stack` ends; the load for it. Raises Trouble, OSError."""
        stage = Stage(stack)
        load = replace(self.start(stage), pids=stage.pids, inside=stage.inside)
        return replace(load, seconds=seconds, core=generator_core())


def which(program: str) -> str | None:
    """Where a program is, in the folders of root's path too."""
    return shutil.which(program, path=PATH)
