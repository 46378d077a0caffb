"""`node.py demo`: real binders, real servers, clients, and what they notice of a crash.

The nodes' log lines, the clients' failures and signals all go into one queue; one greenlet reads it
in order and tells the story. However that ends, no process
outlives the `with` block it was started in.
"""

import re
import signal
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress

import gevent
import gevent.select
from gevent.queue import Empty, Queue

from prr.cli.exits import YES
from prr.cli.keyboard import Keys, has_keys
from prr.cli.output import say
from prr.client.errors import PrrError
from prr.config import BadInput
from prr.demo.cast import BINDERS, CHOOSE, INTRODUCTION, SERVERS, VICTIM
from prr.demo.news import Failed, Failure, Interrupted, Key, Line, News
from prr.demo.page import PAGE_ACT, open_page
from prr.demo.ports import free_port
from prr.demo.processes import Process, run_command
from prr.demo.screen import Plain, Screen, State, takes_panels
from prr.demo.timeline import Timeline
from prr.demo.traffic import ASKERS, CALLERS, Tally, Traffic
from prr.text import parse_host_port

READY_LIMIT = 10.0
"""Seconds for all binders, or all servers, to be ready."""

ACT = 1.8
"""Seconds to watch what follows from an event."""

CHOICE_LIMIT = 30.0
"""Seconds to choose a server in."""

PASS = "PASS"
"""How the last line begins if it went as promised."""

FAILED = 1
"""Exit code: it could not go on, or did not go as promised."""

_STAMP = re.compile(r"^\d{4}-\d\d-\d\dT[\d:.+-]+ [A-Z]+ ")
"""How the nodes' log lines begin: time and level."""
_GONE = ("evicted", "removed")
_TOLD = (*_GONE, "synced")
"""How those log lines of the binders begin that belong to the story."""


def run_demo(victim: str = VICTIM, has_page: bool = False) -> int:
    """Tell the story; the exit code. `victim` is the server that is killed, or CHOOSE. `has_page`:
    a binder serves its page, and the demo goes on until it is interrupted."""
    if victim == CHOOSE and not has_keys():
        raise BadInput("--kill without a server needs a terminal; name one, as in --kill D")
    with ExitStack() as processes:
        demo = _Demo(processes, victim, f"127.0.0.1:{free_port()}" if has_page else "")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            handler = gevent.signal_handler(number, demo.hear_signal, number)
            processes.callback(handler.cancel)
        try:
            return YES if demo.play() else FAILED
        except Interrupted as interrupted:
            print(f"prr: {interrupted}", file=sys.stderr)
            return interrupted.exit_code
        except (Failed, OSError) as error:
            print(f"prr: the demo failed: {error}", file=sys.stderr)
            return FAILED


def _screen(trouble: Callable[[BaseException], None]) -> Screen:
    if not takes_panels():
        return Plain()
    from prr.demo.panel import Panel  # loads rich

    return Panel(trouble)


def _as_server(name: str, binders: list[str], *more: str) -> list[str]:
    """The arguments of a server."""
    return ["server", f"--type={SERVERS[name]}", *(f"--binder={one}" for one in binders), *more]


class _Demo:
    """What runs, and the queue of what happens to it."""

    def __init__(self, processes: ExitStack, victim: str, page: str) -> None:
        """`page`: where a binder that is not killed serves HTTP; "": nowhere."""
        self._processes = processes
        self._victim = victim
        self._page = page
        self._news: Queue[News] = Queue()
        self._screen = _screen(self._hear_trouble)
        self._timeline = Timeline(self._screen.say)
        self._lost_calls = 0
        self._gone_after: dict[Process, float] = {}
        """For each binder, the ms after which the killed server was out of its answers."""

    def play(self) -> bool:
        """The whole story; whether it went as promised. Raises Failed, Interrupted, OSError and
        OutputLost."""
        addresses = [f"127.0.0.1:{free_port()}" for _ in range(BINDERS)]
        with self._screen:
            verdict = self._tell(addresses)
        say(verdict)
        if self._page:
            say(f"The page stays at http://{self._page}/ until you press Ctrl-C.")
            with suppress(Interrupted):
                self._go_on(addresses)
        return verdict.startswith(PASS)

    def _tell(self, addresses: list[str]) -> str:
        """The story up to the last line, which says how it went."""
        self._screen.say(INTRODUCTION)
        binders = [self._start_binder(number, addresses) for number in range(BINDERS)]
        self._await(binders, "synced")
        if self._page:
            self._timeline.event(f"the page is at http://{self._page}/")
            open_page(f"http://{self._page}/")
        servers = [self._start_server(name, addresses) for name in SERVERS]
        self._await(servers, "confirmed")
        traffic = Traffic(addresses, sorted(set(SERVERS.values())), self._hear_trouble)
        self._processes.callback(traffic.stop)
        traffic.start()
        self._screen.follow(traffic)
        self._screen.act("1: business as usual")
        self._timeline.event(f"{CALLERS} clients call services, {ASKERS} more only look them up")
        self._watch(traffic)
        self._screen.act("2: kill -9 of a server")
        victim = servers[[*SERVERS].index(self._choose())]
        self._crash(victim, traffic)
        self._explain(victim, addresses[0])
        self._screen.act("3: kill -9 of a binder")
        self._lost_calls = self._crash(binders[0], traffic)
        self._screen.act("4: the binder comes back")
        self._timeline.event("binder 1 started again")
        self._start_binder(0, addresses)
        self._watch(traffic)
        return self._verdict(traffic.total)

    def hear_signal(self, number: int) -> None:
        """A signal came."""
        self._news.put(Interrupted(number))

    def _hear_line(self, process: Process, line: str | None) -> None:
        text = line if line is None else _STAMP.sub("", line)
        self._news.put(Line(time.monotonic(), process, text))

    def _hear_trouble(self, error: BaseException) -> None:
        if isinstance(error, PrrError):
            self._news.put(Failure(time.monotonic(), error))
        else:
            self._news.put(error)

    def _go_on(self, binders: list[str]) -> None:
        """One more server comes, and is killed, again and again, for who looks at the page. Raises
        what ends that."""
        arguments = _as_server(VICTIM, binders, f"--listen=127.0.0.1:{free_port()}")
        while True:
            with Process("the server that comes and goes", arguments, self._hear_line):
                self._pass(PAGE_ACT)
            self._pass(PAGE_ACT)

    def _pass(self, seconds: float) -> None:
        """Let some time pass."""
        ends_at = time.monotonic() + seconds
        while self._next(ends_at) is not None:
            pass

    def _start_binder(self, number: int, addresses: list[str]) -> Process:
        own = addresses[number]
        peers = [f"--peer={address}" for address in addresses if address != own]
        http = [f"--http={self._page}"] if self._page and own == addresses[-1] else []
        return self._start(f"binder {number + 1}", ["binder", f"--listen={own}", *peers, *http])

    def _start_server(self, name: str, binders: list[str]) -> Process:
        return self._start(f"server {name} of type {SERVERS[name]}", _as_server(name, binders))

    def _start(self, name: str, arguments: list[str]) -> Process:
        self._screen.show(name, State.STARTING)
        return self._processes.enter_context(Process(name, arguments, self._hear_line))

    def _await(self, processes: list[Process], beginning: str) -> None:
        """Until each of `processes` has written a line that begins so."""
        awaited = list(processes)
        ends_at = time.monotonic() + READY_LIMIT
        while awaited:
            news = self._next(ends_at)
            if news is None:
                raise Failed(f"{awaited[0].name} was not ready within {READY_LIMIT:g} s")
            if isinstance(news, Line) and (news.text or "").startswith(beginning):
                awaited.remove(news.process)
                self._screen.show(news.process.name, State.UP)
        for process in processes:
            self._timeline.introduce(process.address, process.name.split()[1])
            self._timeline.event(f"{process.name} listens on {process.address}")

    def _choose(self) -> str:
        """The server to kill: the one that was named, or whose letter is pressed in time."""
        if self._victim != CHOOSE:
            return self._victim
        self._timeline.event(f"which one? Press a letter: {', '.join(SERVERS)}")
        self._victim = VICTIM
        with Keys() as keys:
            reading = gevent.spawn(self._read_keys, keys)
            ends_at = time.monotonic() + CHOICE_LIMIT
            while (news := self._next(ends_at)) is not None:
                if isinstance(news, Key) and news.pressed.upper() in SERVERS:
                    self._victim = news.pressed.upper()
                    break
            reading.kill()
        return self._victim

    def _read_keys(self, keys: Keys) -> None:
        while True:
            gevent.select.select([keys.descriptor], [], [])
            pressed = keys.read()
            if not pressed:
                return
            self._news.put(Key(pressed))

    def _crash(self, process: Process, traffic: Traffic) -> int:
        """Kill one, and watch what follows; how many calls failed."""
        self._timeline.event(f"{process.name} ({process.address}) killed with SIGKILL")
        process.kill()
        self._screen.show(process.name, State.KILLED)
        traffic.dead.add(parse_host_port(process.address))
        return self._watch(traffic)

    def _explain(self, server: Process, binder: str) -> None:
        """Have a binder say why a server is gone, as anybody can."""
        command = ["why", str(SERVERS[server.name.split()[1]]), server.address, "--binder", binder]
        self._screen.say(f"$ prr {' '.join(command)}\n{run_command(command)}")

    def _watch(self, traffic: Traffic) -> int:
        """Tell what happens during one act, and the clients' counts at its end; how many calls
        failed."""
        ends_at = time.monotonic() + ACT
        failed = 0
        while (news := self._next(ends_at)) is not None:
            match news:
                case Line(text=str(text)) if text.startswith(_TOLD):
                    self._timeline.after(news.moment, f"{news.process.name} {text}")
                    self._screen.show(news.process.name, State.UP)
                    if text.startswith(_GONE):
                        self._gone_after[news.process] = self._timeline.milliseconds(news.moment)
                case Failure():
                    failed += 1
                    if failed == 1:
                        self._timeline.after(news.moment, f"a client noticed: {news.error}")
        tally = traffic.take()
        self._count(tally)
        return tally.failed

    def _count(self, tally: Tally) -> None:
        longest = 1000 * tally.slowest_call
        self._timeline.remark(
            f"{tally.calls} calls: {tally.failed} failed, the others took {longest:.1f} ms at most"
        )
        last = ""
        if tally.last_wrong_at is not None:
            after = self._timeline.milliseconds(tally.last_wrong_at)
            last = f"; the last wrong answer came after {after:.1f} ms"
        self._timeline.remark(f"{tally.lookups} lookups: {tally.wrong} named a dead server{last}\n")

    def _verdict(self, total: Tally) -> str:
        """How it went."""
        wrong = total.wrong + total.unanswered
        self._timeline.event(
            f"the end: {total.calls:,} calls, {total.failed} failed; "
            f"{total.lookups:,} lookups, {wrong} wrong"
        )
        if len(self._gone_after) < BINDERS:
            took_out = f"only {len(self._gone_after)} of {BINDERS} binders"
            return f"FAIL: {took_out} took out the dead server {self._victim}"
        gone = f"{self._victim} was gone everywhere after {max(self._gone_after.values()):.0f} ms"
        lost = f"the dead binder cost {self._lost_calls} calls"
        return f"{PASS}: {gone}; {total.unanswered} lookups failed; {lost}"

    def _next(self, ends_at: float) -> Line | Failure | Key | None:
        """The next news; None when it is `ends_at`. Raises what ends the demo."""
        try:
            news = self._news.get(timeout=max(0.0, ends_at - time.monotonic()))
        except Empty:
            return None
        if isinstance(news, BaseException):
            raise news
        if isinstance(news, Line) and news.text is None and not news.process.killed:
            process = news.process
            raise Failed(
                f"{process.name} ended with exit code {process.exit_code}; "
                f"the last it said: {process.last_line}"
            )
        return news
