"""A binder or a server, running: one core, its sockets, and a greenlet for each request.

Lookups are answered a run at a time, from answers that lie ready. For every other datagram the
core decides about a frame, and the node does what follows.
"""

import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, assert_never, cast

import gevent
import gevent.event
from gevent.hub import get_hub

from prr.core.binder import Binder
from prr.core.effects import (
    Answer,
    Confirm,
    Effect,
    Outcome,
    Persist,
    Probe,
    Report,
    Send,
    Stop,
    Tell,
)
from prr.core.server import Server
from prr.shell.control import ControlAnswers
from prr.shell.core_timer import CoreTimer
from prr.shell.event_history import EventHistory
from prr.shell.log.handler import close_log
from prr.shell.log.reports import ReportLog
from prr.shell.prober import Prober
from prr.shell.systemd.notifier import Notifier
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.mmsg import has_mmsg
from prr.shell.udp.outbox import Outbox
from prr.shell.udp.overload import Overload
from prr.shell.udp.reader import Reader
from prr.shell.worker_pool import WorkerPool
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.found import AnswerRun
from prr.wire.instance import Address

if TYPE_CHECKING:  # it brings SQLite with it, which is for binders that keep a state
    from prr.shell.storage.state import State

_log = logging.getLogger("prr")


class Node:
    """Runs a core on a socket until it stops or a signal stops it."""

    def __init__(
        self,
        core: Binder | Server,
        codec: Codec,
        lanes: Sequence[Datagrams],
        first_line: str,
        state: "State | None" = None,
        names: Mapping[int, str] | None = None,
    ) -> None:
        """`lanes` are its sockets, all on one address; what it sends leaves from the first.

        `first_line` is printed to stderr once a signal would be heeded. `state` keeps what a
        binder knows; without it nothing is kept. `names` are what the log calls types.
        """
        self._core = core
        self._binder = core if isinstance(core, Binder) else None
        self._codec = codec
        self._first_line = first_line
        self._lanes = lanes
        self._state = state
        self._workers = WorkerPool()
        self._readers = [Reader(lane, self._workers, self._serve_next) for lane in lanes]
        self._prober = Prober(self._probed, codec)
        self._history = EventHistory()
        self._report_log = ReportLog(names or {})
        self._timer = CoreTimer(core.deadline, self._workers, self._tick)
        self._counts: Counter[str] = Counter()
        self._outbox = Outbox(lanes[0], self._step_aside, self._counts)
        self._overload = Overload(lanes)
        self._control: ControlAnswers | None = None
        if self._binder is not None:
            self._control = ControlAnswers(self._binder, self._history, self._overload)
            self.tell("state", state.status if state else lambda: None)
            self.tell("counters", self._count_all)
        self._notifier = Notifier(self._readers, self._workers, self._status)
        self._told_frames = 0
        self._reread: Callable[[], None] | None = None
        self._hung_up = gevent.event.Event()
        self._stopping = False
        self._stopped: gevent.event.AsyncResult[Stop] = gevent.event.AsyncResult()

    def tell(self, key: str, ask: Callable[[], Any]) -> None:
        """Have a binder's `status` say under `key` what `ask` says then."""
        assert self._control is not None
        self._control.add(key, ask)

    def on_hangup(self, reread: Callable[[], None]) -> None:
        """Have `reread` read the settings again, in a greenlet of its own, at every SIGHUP.

        Not where the log goes to a terminal: there SIGHUP means that the terminal is gone.
        """
        if not sys.stderr.isatty():
            self._reread = reread

    def run(self) -> Stop:
        """Serve until the role is over. A mistake of ours ends the process, not one greenlet."""
        hub = get_hub()
        hub.SYSTEM_ERROR = (*hub.SYSTEM_ERROR, Exception)
        handlers = [
            gevent.signal_handler(number, self._asked_to_stop)
            for number in (signal.SIGTERM, signal.SIGINT)
        ]
        if self._reread is not None:
            handlers.append(gevent.signal_handler(signal.SIGHUP, self._hung_up.set))
            gevent.spawn(self._read_again, self._reread)
        print(self._first_line, file=sys.stderr, flush=True)
        self._tell_what_it_lacks()
        for reader in self._readers:
            reader.start()
        self._notifier.start()
        self._overload.start()
        if self._state is not None:
            self._workers.spawn(partial(self._state.restore, self.act))
        else:
            self.act(self._core.start(time.monotonic()))
        try:
            stop = cast(Stop, self._stopped.get())
        finally:
            for handler in handlers:
                handler.cancel()
            self._timer.close()
            self._prober.close()
            self._notifier.close()
            self._overload.close()
            if self._state is not None:
                self._state.close()
            counts = ", ".join(f"{count} {name}" for name, count in self._count_all().items())
            for lane in self._lanes:
                lane.close()
        self._report_log.close()
        if stop.in_order:  # else the caller says why, and what to do
            _log.info("stopped %s: %s%s", self._codec.role, stop.why, counts and f" ({counts})")
        close_log()
        return stop

    def _tell_what_it_lacks(self) -> None:
        if not has_mmsg():
            _log.warning("one datagram at a time: this system has no recvmmsg and sendmmsg")
        if self._binder is not None and self._state is None:
            _log.info("nothing is kept on disk: started without --state DIR")

    def act(self, effects: list[Effect]) -> None:
        """Do what the core has decided, then see when it wants to be asked again."""
        for effect in effects:
            self._do(effect)
        self._timer.set()
        if not self._notifier.is_ready:
            self._see_if_ready()

    def _do(self, effect: Effect) -> None:
        match effect:
            case Send():
                self._outbox.send(self._codec.encode(effect.frame), effect.target)
            case Answer():
                self._outbox.send(self._codec.found(effect.found), effect.target)
            case Persist():
                assert self._state is not None
                self._state.keep(effect)
            case Confirm():
                assert self._state is not None
                answer = partial(self._outbox.send, self._codec.encode(effect.frame), effect.target)
                self._state.once_kept(effect.instance, answer)
            case Probe():
                self._prober.ask(effect)
            case Report():
                self._report(effect)
            case Tell():
                assert self._control is not None
                told = self._control.answer(effect)
                self._outbox.send(self._codec.encode(told.frame), told.target)
            case Stop():
                self._stopped.set(effect)
            case _:
                assert_never(effect)

    def _serve_next(self, reader: Reader) -> None:
        """Serve the next lookups of a burst, as many as stand in a row, or one datagram."""
        burst, at = reader.datagrams.burst, reader.at
        if self._binder is not None and (types := self._codec.types_asked(burst, at)):
            found = self._binder.look_up(types)
            if found:
                self._answer(reader, self._codec.found_run(found))
                return
        reader.at += 1
        self._serve(burst.datagram(at), burst.source(at))

    def _answer(self, reader: Reader, answers: AnswerRun) -> None:
        """Send a run of answers. What there is no room for goes out alone, when there is."""
        burst, at, count = reader.datagrams.burst, reader.at, answers.count
        reader.at += count
        self._counts["frames received"] += count
        try:
            sent = burst.answer(at, answers)
        except OSError:  # whatever it is, it is dealt with where one is sent alone
            sent = 0
        if sent == count:
            return
        sources = [burst.source(at + number) for number in range(count)]
        for answer, target in [*zip(answers.datagrams(), sources, strict=True)][sent:]:
            self._outbox.send(answer, target)

    def _serve(self, data: bytes, source: Address) -> None:
        try:
            frame = self._codec.decode(data)
        except MalformedFrame:
            self._counts["malformed datagrams dropped"] += 1
            return
        self._counts["frames received"] += 1
        self.act(self._core.handle(frame, source, time.monotonic()))

    def _step_aside(self) -> None:
        """This greenlet is about to wait: whatever it reads is read by another one."""
        for reader in self._readers:
            reader.step_aside()

    def _probed(self, probe: Probe, outcome: Outcome) -> None:
        """Let a greenlet of its own tell the core: what follows may have to wait."""
        self._workers.spawn(partial(self._judge, probe, outcome))

    def _judge(self, probe: Probe, outcome: Outcome) -> None:
        assert self._binder is not None
        self.act(self._binder.probed(probe, outcome, time.monotonic()))

    def _report(self, report: Report) -> None:
        self._counts[str(report.event)] += 1
        self._history.note(report)
        self._report_log.write(report)

    def _see_if_ready(self) -> None:
        """Any step may be the one that makes it ready, whether it reports anything or not."""
        if self._core.is_ready:
            self._notifier.ready()

    def _read_again(self, reread: Callable[[], None]) -> None:
        """Signals that come meanwhile are one signal, and heeded afterwards."""
        while self._hung_up.wait():
            self._hung_up.clear()
            if self._notifier.is_ready:
                self._notifier.reloading()
            reread()
            if self._notifier.is_ready:
                self._notifier.ready()

    def _status(self, seconds: float) -> str:
        """How it is, in one line, and how much it had to do in the last `seconds`."""
        frames = self._counts["frames received"]
        rate = (frames - self._told_frames) / max(seconds, 1.0)
        self._told_frames = frames
        reasons = self._control.status()["degraded"] if self._control else []
        health = f"DEGRADED: {'; '.join(reasons)}; " if reasons else ""
        return f"{health}{self._core.summary(time.monotonic())}, {rate:,.0f} frames/s"

    def _count_all(self) -> dict[str, int]:
        """What has happened so far, how often."""
        dropped = sum(lane.dropped for lane in self._lanes)
        if dropped:
            self._counts["datagrams dropped by the kernel, the queue being full"] = dropped
        kept = self._state.counts if self._state else {}
        return dict(sorted((self._counts | kept).items()))

    def _tick(self) -> None:
        self.act(self._core.tick(time.monotonic()))

    def _asked_to_stop(self) -> None:
        if self._stopping:
            self._stopped.set(Stop(True, "asked twice to stop: leaving at once"))
            return
        self._stopping = True
        self._notifier.stopping()
        self.act(self._core.stop(time.monotonic()))
