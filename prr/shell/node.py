"""A node: one core, its sockets, and a greenlet for each request, until it stops.

For every datagram the core decides about a frame, and the node does what follows. What a node of
one role does beyond that is in `binder_node` and `server_node`.
"""

import logging
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Generic, Protocol, TypeVar, cast

import gevent
import gevent.event
from gevent.hub import get_hub

from prr.core.effects import Event, Report, ReportAll, Stop
from prr.core.metrics import METRIC_OF, Metric, by_key, count_of
from prr.shell.core_timer import CoreTimer
from prr.shell.log.handler import close_log
from prr.shell.log.reports import ReportLog
from prr.shell.systemd.notifier import Notifier
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.mmsg import has_mmsg
from prr.shell.udp.outbox import Outbox
from prr.shell.udp.overload import Overload
from prr.shell.udp.reader import Reader
from prr.shell.worker_pool import WorkerPool
from prr.trust.keyring import Held, Keyring
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame, VainSeal
from prr.wire.frames import Frame
from prr.wire.instance import Address, describe_address

_log = logging.getLogger("prr")

_E = TypeVar("_E")
_E_co = TypeVar("_E_co", covariant=True)


class Core(Protocol[_E_co]):
    """What a node needs of the core it runs; `now` is in seconds of the monotonic clock."""

    @property
    def is_ready(self) -> bool: ...
    def summary(self, now: float) -> str: ...
    def start(self, now: float) -> Sequence[_E_co]: ...
    def stop(self, now: float) -> Sequence[_E_co]: ...
    def handle(self, frame: Frame, source: Address, now: float) -> Sequence[_E_co]: ...
    def deadline(self) -> float | None: ...
    def tick(self, now: float) -> Sequence[_E_co]: ...


class Node(Generic[_E]):
    """Runs a core on its sockets until it stops or a signal stops it."""

    def __init__(
        self,
        core: Core[_E],
        codec: Codec,
        lanes: Sequence[Datagrams],
        first_line: str,
        names: Mapping[int, str] | None = None,
    ) -> None:
        """`lanes` are its sockets, all on one address, or on one of each family; what it sends
        leaves from the first of its target's.

        `first_line` is printed to stderr once a signal would be handled. `names` are what the log
        calls types.
        """
        self._core = core
        self._codec = codec
        self._first_line = first_line
        self._lanes = lanes
        self._workers = WorkerPool()
        self._readers = [
            Reader(lane, self._workers, self._serve_peer if lane.is_of_peers else self._serve_next)
            for lane in lanes
        ]
        self._report_log = ReportLog(names or {})
        self._timer = CoreTimer(core.deadline, self._workers, self._tick)
        self._counts: Counter[Metric] = Counter()
        self._outbox = Outbox(lanes, self._step_aside, self._counts)
        self._overload = Overload([lane for lane in lanes if not lane.is_short])
        self._notifier = Notifier(self._readers, self._workers, self._status)
        self._told_frames = 0
        self._reread: Callable[[], None] | None = None
        self._tell_ready: Callable[[], None] | None = None
        self._hung_up = gevent.event.Event()
        self._stopping = False
        self._stopped: gevent.event.AsyncResult[Stop] = gevent.event.AsyncResult()

    def on_hangup(self, reread: Callable[[], None]) -> None:
        """Have `reread` read the settings again, in a greenlet of its own, at every SIGHUP.

        Not where the log goes to a terminal: there SIGHUP means that the terminal is gone.
        """
        if not sys.stderr.isatty():
            self._reread = reread

    def on_ready(self, tell: Callable[[], None]) -> None:
        """Have `tell` called, once, when the node can do its work."""
        self._tell_ready = tell

    def change_keys(self, keys: Keyring | Held) -> None:
        """Seal and open with these from now on."""
        self._codec.change_keys(keys)

    def leave(self) -> None:
        """Stop gracefully, as at a signal."""
        self._asked_to_stop()

    def run(self) -> Stop:
        """Serve until the role is over, or a signal ends it."""
        handlers = [
            gevent.signal_handler(number, self._asked_to_stop)
            for number in (signal.SIGTERM, signal.SIGINT)
        ]
        if self._reread is not None:
            handlers.append(gevent.signal_handler(signal.SIGHUP, self._hung_up.set))
            gevent.spawn(self._read_again, self._reread)
        try:
            return self.serve()
        finally:
            for handler in handlers:
                handler.cancel()
            close_log()

    def serve(self) -> Stop:
        """Serve until the role is over, in a process that is there for nothing else. A bug ends the
        process, not one greenlet."""
        hub = get_hub()
        if Exception not in hub.SYSTEM_ERROR:
            hub.SYSTEM_ERROR = (*hub.SYSTEM_ERROR, Exception)
        print(self._first_line, file=sys.stderr, flush=True)
        if not has_mmsg():
            _log.warning("one datagram at a time: this system has no recvmmsg and sendmmsg")
        self._notifier.start()
        return self.serve_beside()

    def serve_beside(self) -> Stop:
        """Serve until the role is over, beside whatever else the process does. Raises what a bug
        has raised in one of its greenlets."""
        self._workers.on_failure(self._stopped.set_exception)
        self._overload.start()
        self._begin()
        for reader in self._readers:
            reader.start()
        try:
            stop = cast(Stop, self._stopped.get())
        finally:
            self._close()
            counts = ", ".join(f"{count} {key}" for key, count in by_key(self._count_all()).items())
            for lane in self._lanes:
                lane.close()
        self._report_log.close()
        if stop.in_order:  # else the caller says why, and what to do
            _log.info("stopped %s: %s%s", self._codec.role, stop.why, counts and f" ({counts})")
        return stop

    def step(self, decide: Callable[..., Sequence[_E]], *about: object) -> None:
        """Let the core decide, and do what follows: the one way into it, for whatever has happened.

        `decide` is a method of the core, which is called with `about` and what time it is. Then
        the timer is set to the core's deadline, and it shows whether the node is ready.
        """
        self._follow(decide(*about, time.monotonic()))

    def _follow(self, effects: Sequence[_E]) -> None:
        """Do what the core has decided."""
        self._do_all(effects)
        self._timer.set()
        if not self._notifier.is_ready and self._is_serving():
            self._notifier.ready()
            if self._tell_ready is not None:
                self._tell_ready()

    # What each role does in its own way.

    def _begin(self) -> None:
        """Start the core, now or soon."""
        self.step(self._core.start)

    def _is_serving(self) -> bool:
        """It does its work, as far as that is up to this host: a restart would not help."""
        return self._core.is_ready

    def _do_all(self, effects: Sequence[_E]) -> None:
        for effect in effects:
            self._do(effect)

    def _do(self, effect: _E) -> None:
        """Do what the core has decided."""
        raise NotImplementedError

    def _serve_next(self, reader: Reader) -> None:
        """Serve the next datagram of a burst, or several."""
        burst, at = reader.datagrams.burst, reader.at
        reader.at += 1
        self._serve(burst.datagram(at), burst.source(at))

    def _is_peer(self, source: Address) -> bool:
        """It may be one, to the best of this role's knowledge."""
        return True

    def _count_all(self) -> Counter[Metric]:
        """What has happened so far, how often."""
        dropped = sum(lane.dropped for lane in self._lanes)
        if dropped:
            self._counts[Metric.KERNEL_DROPS] = dropped
        return self._counts

    def _health(self) -> str:
        """Why it is not well, for the start of a line; "" if it is."""
        return ""

    def _close(self) -> None:
        """The role is over: let go of everything but the sockets."""
        self._timer.close()
        self._notifier.close()
        self._overload.close()

    def _handle(self, frame: Frame, source: Address) -> None:
        """A frame has come."""
        self.step(self._core.handle, frame, source)

    # What all of them do alike.

    def _send(self, frame: Frame, target: Address) -> None:
        self._outbox.send(self._codec.encode(frame), target)

    def _report(self, *reports: Report | ReportAll) -> None:
        """Some of one event, at least one."""
        self._counts[METRIC_OF[reports[0].event]] += count_of(reports)
        self._report_log.write(*reports)

    def _serve(self, data: bytes, source: Address) -> None:
        try:
            frame = self._codec.decode(data)
        except VainSeal as fault:
            why = f"from {describe_address(source)}: {fault}"
            self._report(Report(Event.NOT_BELIEVED, "a datagram", why))
            return
        except MalformedFrame:
            self._counts[Metric.MALFORMED] += 1
            return
        self._counts[Metric.FRAMES_RECEIVED] += 1
        self._handle(frame, source)

    def _serve_peer(self, reader: Reader) -> None:
        """Serve the next datagram of a peer, in a lane in which only peers have something to say.
        It comes before all others: what a stranger sends there costs next to nothing, and no peer
        his turn."""
        burst = reader.datagrams.burst
        while not reader.is_through:
            at, source = reader.at, burst.source(reader.at)
            reader.at += 1
            if self._is_peer(source):
                self._serve(burst.datagram(at), source)
                return
            self._counts[Metric.OUT_OF_PLACE] += 1

    def _step_aside(self) -> None:
        """This greenlet is about to wait: whatever it reads is read by another one."""
        for reader in self._readers:
            reader.step_aside()

    def _read_again(self, reread: Callable[[], None]) -> None:
        """Signals that come meanwhile are one signal, handled afterwards."""
        while self._hung_up.wait():
            self._hung_up.clear()
            if self._notifier.is_ready:
                self._notifier.reloading()
            reread()
            if self._notifier.is_ready:
                self._notifier.ready()

    def _status(self, seconds: float) -> str:
        """How it is, in one line, and how much it had to do in the last `seconds`."""
        frames = self._counts[Metric.FRAMES_RECEIVED]
        rate = (frames - self._told_frames) / max(seconds, 1.0)
        self._told_frames = frames
        return f"{self._health()}{self._core.summary(time.monotonic())}, {rate:,.0f} frames/s"

    def _tick(self) -> None:
        self.step(self._core.tick)

    def _asked_to_stop(self) -> None:
        if self._stopping:
            self._stopped.set(Stop(True, "stopped at once by a second signal"))
            return
        self._stopping = True
        self._notifier.stopping()
        self.step(self._core.stop)
