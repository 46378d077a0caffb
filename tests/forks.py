"""Nodes forked from one process that has loaded all of prr already: a start of 10 ms, not of 250.

The tests ask that process for a node through a socket and hand it the node's outputs. What is then
forked runs the command line as `node.py` does, to an interpreter's usual end. No event loop and no
thread exists before the fork. When the tests end, however they do, the socket closes, and that
process and all its nodes are gone.
"""

import atexit
import importlib
import json
import logging
import os
import pkgutil
import select
import signal
import socket
import subprocess
import sys
import threading
import traceback
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

import gevent

import prr
from prr.demo.processes import die_with_parent
from prr.shell.admin import front
from prr.shell.http import beginning, process

ROOT = Path(__file__).parents[1]

Limits = dict[str, float | tuple[float, ...]]
"""Constants of a node's modules by their full names, and what they are to be."""

_REQUEST_MAX = 100_000
"""Bytes of one request: arguments and environment."""

_EXIT_BYTES = 4
"""An exit code on its way to the tests."""


class Forked:
    """One node, as `subprocess.Popen` shows it; as much of that as tests use."""

    def __init__(self, pid: int, ended: int, stdout: int, stderr: int) -> None:
        """`ended` gives the exit code; the other two are the node's outputs."""
        self.pid = pid
        self.returncode: int | None = None
        self.stdout = os.fdopen(stdout)
        self.stderr = os.fdopen(stderr)
        self._ended = ended

    def poll(self) -> int | None:
        """The exit code, a signal's negative; None while it runs."""
        return self._exit_code(0)

    def wait(self, timeout: float) -> int:
        """The exit code, once it has one. Raises subprocess.TimeoutExpired after `timeout` s."""
        if (code := self._exit_code(timeout)) is None:
            raise subprocess.TimeoutExpired(f"node {self.pid}", timeout)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it is over already."""
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _exit_code(self, timeout: float) -> int | None:
        if self.returncode is None and select.select([self._ended], [], [], timeout)[0]:
            told = os.read(self._ended, _EXIT_BYTES)
            os.close(self._ended)
            assert told, "the process that forks nodes is gone"
            self.returncode = int.from_bytes(told, sys.byteorder, signed=True)
        return self.returncode


def _network() -> str:
    """The network namespace that this thread is in."""
    return os.readlink("/proc/thread-self/ns/net")


_HOME = _network()


class _Request(NamedTuple):
    """What a node needs to be told."""

    arguments: list[str]
    environment: dict[str, str]
    directory: str
    limits: Limits


class _Server:
    """The process that forks, as the tests see it."""

    def __init__(self) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.forks", str(theirs.fileno())],
                cwd=ROOT,
                stdin=subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                start_new_session=True,  # a terminal's Ctrl-C is for the tests, who end the nodes
            )
        self._lock = threading.Lock()
        atexit.register(self._close)

    def fork(self, request: _Request) -> Forked:
        """Start a node."""
        stdout, stderr, ended = os.pipe(), os.pipe(), os.pipe()
        theirs = [writing for _, writing in (stdout, stderr, ended)]
        try:
            with self._lock:
                socket.send_fds(self._channel, [json.dumps(request).encode()], theirs)
                pid = int(self._channel.recv(_EXIT_BYTES * 4))
        finally:
            for number in theirs:
                os.close(number)
        return Forked(pid, ended[0], stdout[0], stderr[0])

    def _close(self) -> None:
        self._channel.close()
        self._process.wait()


_server = cache(_Server)


def fork(
    arguments: tuple[str, ...],
    environment: dict[str, str],
    directory: Path,
    limits: Limits | None = None,
) -> Forked:
    """Start a node. `limits` are constants of its modules, by their full names, that are to be
    others in it: what is to be seen after a time limit is seen sooner then.

    A node is where the process that forks is, which stays where it was started for all tests."""
    assert _network() == _HOME, "use tests.netns.Host.start"
    return _server().fork(_Request(list(arguments), environment, str(directory), limits or {}))


# In the process that forks.


def _load() -> None:
    """Import whatever a node may need. No import makes an event loop."""
    for module in pkgutil.walk_packages(prr.__path__, "prr."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    assert gevent._hub_local.get_hub_if_exists() is None
    assert threading.active_count() == 1


def _serve(channel: socket.socket) -> _Request | None:
    """Fork on request. Returns the request in each node, and None when the tests have ended."""
    poll = select.poll()
    poll.register(channel, select.POLLIN)
    running: dict[int, tuple[int, int]] = {}  # pid and where its exit code goes, by its descriptor
    while True:
        for number, _ in poll.poll():
            if number in running:
                poll.unregister(number)
                pid, ended = running.pop(number)
                code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                _tell(ended, code)
                os.close(number)
                continue
            asked, descriptors, _, _ = socket.recv_fds(channel, _REQUEST_MAX, 3)
            if not asked:
                return None
            if not (pid := os.fork()):
                channel.detach()
                _take_place(*descriptors[:2])
                return _Request(*json.loads(asked))
            channel.send(str(pid).encode())
            running[watched := os.pidfd_open(pid)] = pid, descriptors[2]
            poll.register(watched, select.POLLIN)
            for one in descriptors[:2]:
                os.close(one)


def _tell(ended: int, code: int) -> None:
    """Hand an exit code over; the test may have ended."""
    with suppress(BrokenPipeError):
        os.write(ended, code.to_bytes(_EXIT_BYTES, sys.byteorder, signed=True))
    os.close(ended)


def _take_place(stdout: int, stderr: int) -> None:
    """In a node: have its own outputs, and nothing of the process that forked it."""
    die_with_parent()
    os.dup2(stdout, 1)
    os.dup2(stderr, 2)
    os.closerange(3, os.sysconf("SC_OPEN_MAX"))
    sys.stdout = os.fdopen(1, "w", closefd=False)
    sys.stderr = os.fdopen(2, "w", buffering=1, errors="backslashreplace", closefd=False)


def _run(request: _Request) -> int:
    """Be `node.py`."""
    from prr.cli.main import main

    os.chdir(request.directory)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.argv = ["node.py", *request.arguments]
    for name, value in request.limits.items():
        module, _, constant = name.rpartition(".")
        assert hasattr(sys.modules[module], constant), name
        setattr(sys.modules[module], constant, value)
    front.start_process = _fork_front
    return main(program="node.py")


def _fork_front(
    address: str, listening: socket.socket, there: socket.socket
) -> "subprocess.Popen[bytes]":
    """In a node: fork what serves its HTTP, where a node of its own would execute it; all of it is
    loaded, and has the same limits."""
    descriptors = listening.fileno(), there.fileno()
    return subprocess.Popen(
        [sys.executable],
        pass_fds=descriptors,
        restore_signals=False,  # as an interpreter has them
        preexec_fn=lambda: _be_front(address, *descriptors),
    )


def _be_front(address: str, *descriptors: int) -> None:
    """In a child of a node, which never executes anything: be what serves its HTTP, with nothing
    of the node's but these descriptors and its outputs."""
    last = 2
    for kept in [*sorted(descriptors), os.sysconf("SC_OPEN_MAX")]:
        os.closerange(last + 1, kept)
        last = kept
    code = 1
    try:
        logging.getLogger("prr").handlers.clear()
        gevent._hub_local.set_hub(gevent.hub.Hub(default=False))  # with an event loop of its own
        beginning.begin(descriptors[-1])
        process.NICE = 0  # the tests wait for it
        code = process.main([address, *map(str, descriptors)])
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(code)


if __name__ == "__main__":
    _load()
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    sys.exit(0 if request is None else _run(request))
