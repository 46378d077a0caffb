"""`node.py demo`: real binders, real servers, clients, and what they notice of a crash.

The nodes' log lines, the clients' failures and signals all go into one queue; one greenlet reads it
in order and tells the story. However that ends, no process
outlives the `with` block it was started in.
"""

import re
import signal
import sys
import time
from contextlib import ExitStack
from typing import TypeAlias

import gevent
from gevent.queue import Empty, Queue

from prr.cli.exits import YES
from prr.cli.output import say
from prr.client.errors import PrrError
from prr.demo.ports import free_port
from prr.demo.processes import Process, run_command
from prr.demo.timeline import Timeline
from prr.demo.traffic import ASKERS, CALLERS, Tally, Traffic
from prr.record import record
from prr.text import parse_host_port

BINDERS = 3
SERVERS = {"A": 1, "B": 2, "C": 1, "D": 2, "E": 1, "F": 2}
"""The servers' names and types."""

READY_LIMIT = 10.0
"""Seconds for all binders, or all servers, to be ready."""

ACT = 1.8
"""Seconds to watch what follows from an event."""

FAILED = 1
"""Exit code: it could not go on, or did not go as promised."""

_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.+-]+ [A-Z]+ ")
"""How the nodes' log lines begin: time and level."""
_INTRODUCTION = """\
A dead server is out of every binder's answers a fraction of a second after the first call that
fails, and a dead binder is hardly missed. See for yourself: here are three binders, six servers of
two types, and clients, each node a process of its own on 127.0.0.1. One server and one binder will
be killed.
"""
_GONE = ("evicted", "removed")
_TOLD = (*_GONE, "synced")
"""How those log lines of the binders begin that belong to the story."""


class _Failed(Exception):
    """The demo cannot go on; the text says why."""


class _Interrupted(Exception):
    """A signal ends the demo."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by {signal.Signals(number).name}")
        self.exit_code = 128 + number  # as a shell reports it


@record
class _Line:
    """What a node logged, without its time and level; None when it has ended."""

    moment: float
    process: Process
    text: str | None


@record
class _Failure:
    """A call that failed."""

    moment: float
    error: PrrError


_News: TypeAlias = _Line | _Failure | BaseException
"""An exception among the news ends the demo."""


def run_demo() -> int:
    """Tell the story; the exit code."""
    with ExitStack() as processes:
        demo = _Demo(processes)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            handler = gevent.signal_handler(number, demo.hear_signal, number)
            processes.callback(handler.cancel)
        try:
            return YES if demo.play() else FAILED
        except _Interrupted as interrupted:
            print(f"prr: {interrupted}", file=sys.stderr)
            return interrupted.exit_code
        except (_Failed, OSError) as error:
            print(f"prr: the demo failed: {error}", file=sys.stderr)
            return FAILED


class _Demo:
    """What runs, and the queue of what happens to it."""

    def __init__(self, processes: ExitStack) -> None:
        self._processes = processes
        self._news: Queue[_News] = Queue()
        self._timeline = Timeline()
        self._tallies: list[Tally] = []
        self._gone_after: dict[Process, float] = {}
        """For each binder, the ms after which the killed server was out of its answers."""

    def play(self) -> bool:
        """The whole story; whether it went as promised. Raises _Failed, _Interrupted, OSError and
        OutputLost."""
        say(_INTRODUCTION)
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(BINDERS)]
        binders = [self._start_binder(number, addresses) for number in range(BINDERS)]
        self._await(binders, "synced")
        servers = [self._start_server(name, addresses) for name in SERVERS]
        self._await(servers, "confirmed")
        traffic = Traffic(addresses, sorted(set(SERVERS.values())), self._hear_trouble)
        self._processes.callback(traffic.stop)
        traffic.start()
        self._act("1: business as usual")
        self._timeline.event(f"{CALLERS} clients call services, {ASKERS} more only look them up")
        self._watch(traffic)
        self._act("2: kill -9 of a server")
        self._crash(servers[1], traffic)
        self._explain(servers[1], addresses[0])
        self._act("3: kill -9 of a binder")
        self._crash(binders[0], traffic)
        self._act("4: the binder comes back")
        self._timeline.event("binder 1 started again")
        self._start_binder(0, addresses)
        self._watch(traffic)
        return self._verdict()

    def hear_signal(self, number: int) -> None:
        """A signal came."""
        self._news.put(_Interrupted(number))

    def _hear_line(self, process: Process, line: str | None) -> None:
        text = line if line is None else _STAMP.sub("", line)
        self._news.put(_Line(time.monotonic(), process, text))

    def _hear_trouble(self, error: BaseException) -> None:
        if isinstance(error, PrrError):
            self._news.put(_Failure(time.monotonic(), error))
        else:
            self._news.put(error)

    def _start_binder(self, number: int, addresses: list[str]) -> Process:
        own = addresses[number]
        peers = [f"--peer={address}" for address in addresses if address != own]
        return self._start(f"binder {number + 1}", ["binder", f"--listen={own}", *peers])

    def _start_server(self, name: str, binders: list[str]) -> Process:
        arguments = ["server", f"--type={SERVERS[name]}", *(f"--binder={one}" for one in binders)]
        return self._start(f"server {name} of type {SERVERS[name]}", arguments)

    def _start(self, name: str, arguments: list[str]) -> Process:
        return self._processes.enter_context(Process(name, arguments, self._hear_line))

    def _await(self, processes: list[Process], beginning: str) -> None:
        """Until each of `processes` has written a line that begins so."""
        awaited = list(processes)
        ends_at = time.monotonic() + READY_LIMIT
        while awaited:
            news = self._next(ends_at)
            if news is None:
                raise _Failed(f"{awaited[0].name} was not ready within {READY_LIMIT:g} s")
            if isinstance(news, _Line) and (news.text or "").startswith(beginning):
                awaited.remove(news.process)
        for process in processes:
            self._timeline.introduce(process.address, process.name.split()[1])
            self._timeline.event(f"{process.name} listens on {process.address}")

    def _crash(self, process: Process, traffic: Traffic) -> None:
        """Kill one, and watch what follows."""
        self._timeline.event(f"{process.name} ({process.address}) killed with SIGKILL")
        process.kill()
        traffic.dead.add(parse_host_port(process.address))
        self._watch(traffic)

    def _act(self, title: str) -> None:
        say(f"Act {title}")

    def _explain(self, server: Process, binder: str) -> None:
        """Have a binder say why a server is gone, as anybody can."""
        command = ["why", str(SERVERS[server.name.split()[1]]), server.address, "--binder", binder]
        say(f"$ prr {' '.join(command)}\n{run_command(command)}")

    def _watch(self, traffic: Traffic) -> None:
        """Print what happens during one act, and the clients' counts at its end."""
        ends_at = time.monotonic() + ACT
        failed = 0
        while (news := self._next(ends_at)) is not None:
            match news:
                case _Line(text=str(text)) if text.startswith(_TOLD):
                    self._timeline.after(news.moment, f"{news.process.name} {text}")
                    if text.startswith(_GONE):
                        self._gone_after[news.process] = self._timeline.milliseconds(news.moment)
                case _Failure():
                    failed += 1
                    if failed == 1:
                        self._timeline.after(news.moment, f"a client noticed: {news.error}")
        self._count(traffic.take())

    def _count(self, tally: Tally) -> None:
        self._tallies.append(tally)
        longest = 1000 * tally.slowest_call
        self._timeline.remark(
            f"{tally.calls} calls: {tally.failed} failed, the others took {longest:.1f} ms at most"
        )
        last = ""
        if tally.last_wrong_at is not None:
            after = self._timeline.milliseconds(tally.last_wrong_at)
            last = f"; the last wrong answer came after {after:.1f} ms"
        self._timeline.remark(f"{tally.lookups} lookups: {tally.wrong} named a dead server{last}\n")

    def _verdict(self) -> bool:
        """Say how it went; whether it went as promised."""
        calls, failed, lookups, wrong = (
            sum(getattr(tally, count) for tally in self._tallies)
            for count in ("calls", "failed", "lookups", "wrong")
        )
        self._timeline.event(
            f"the end: {calls:,} calls, {failed} failed; {lookups:,} lookups, {wrong} wrong"
        )
        if len(self._gone_after) < BINDERS:
            say(f"FAIL: only {len(self._gone_after)} of {BINDERS} binders took out the dead server")
            return False
        after, lost = max(self._gone_after.values()), self._tallies[2].failed
        gone = f"the dead server was gone everywhere after {after:.0f} ms"
        say(f"PASS: {gone}; the dead binder cost {lost} calls")
        return True

    def _next(self, ends_at: float) -> _Line | _Failure | None:
        """The next news; None when it is `ends_at`. Raises what ends the demo."""
        try:
            news = self._news.get(timeout=max(0.0, ends_at - time.monotonic()))
        except Empty:
            return None
        if isinstance(news, BaseException):
            raise news
        if isinstance(news, _Line) and news.text is None and not news.process.killed:
            process = news.process
            raise _Failed(
                f"{process.name} ended with exit code {process.exit_code}; "
                f"the last it said: {process.last_line}"
            )
        return news
