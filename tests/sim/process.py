"""What every simulated process does: it runs a core with a clock, sockets and one alarm."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prr.core.binder import Binder
from prr.core.client import Client
from prr.core.effects import Effect
from prr.core.server import Server
from prr.trust.keyring import Held
from prr.wire.codec import Codec
from prr.wire.frames import Frame, Role
from prr.wire.instance import Address
from tests.sim.network import Host, Socket, read
from tests.sim.trace import one_line
from tests.sim.world import Clock, Violation

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

TIMER_LATE = 0.00005
"""Seconds after its time that a timer rings: it is never early, and never quite in time."""


class Process:
    """One process: a core, a clock of its own, its sockets, one alarm."""

    role: Role
    core: Binder | Server | Client

    def __init__(
        self, cluster: Cluster, host: Host, clock: Clock, keys: Held | None = None
    ) -> None:
        """`keys`: the credential that it has, if any."""
        self.cluster = cluster
        self.world = cluster.world
        self.host = host
        self.name = host.name
        self.clock = clock
        self.codec = Codec(self.role, keys=keys)
        self.running = True
        self.paused = False
        self.started_at = self.world.now
        self.changed_at = self.world.now  # when it was started, paused or resumed last
        self.sockets: list[Socket] = []
        self._alarm_at: float | None = None
        self._steps: list[Callable[[], object]] = []  # those of its loop that it was stopped in
        self._late: list[Callable[[], object]] = []  # timers that rang while it was stopped

    @property
    def now(self) -> float:
        """What its clock shows."""
        return self.clock.read(self.world.now)

    def start(self) -> None:
        """Begin."""
        self.world.note(self.name, "starts")
        self.act(self.begin())

    def begin(self) -> list[Effect]:
        """What its core does at the start."""
        return self.decide(self.core.start, self.now)

    def stop(self) -> None:
        """SIGTERM: leave in good order."""
        self.world.note(self.name, "is to leave")
        self.act(self.decide(self.core.stop, self.now))

    def end(self) -> None:
        """Be gone, with all that was remembered; how is the host's matter."""
        self.running = self.paused = False
        for socket in self.sockets:
            socket.close()

    def pause(self) -> None:
        """SIGSTOP: keeps its memory, its sockets queue, its timers will be late."""
        if self.running and not self.paused:
            self.paused, self.changed_at = True, self.world.now
            self.world.note(self.name, "is paused")

    def resume(self) -> None:
        """SIGCONT: late timers and waiting datagrams, whichever the event loop takes first. Stopped
        again between the two, it goes on with the other."""
        if not self.paused:
            return
        self.paused, self.changed_at = False, self.world.now
        self.world.note(self.name, "is resumed")
        steps = [self._ring_late, self._drain]
        if self.cluster.dice.random() < 0.5:
            steps.reverse()
        self._steps = [*self._steps[:1], *steps]
        while self._steps and not self.paused:
            self._steps.pop(0)()

    def receive(self, data: bytes, source: Address) -> None:
        """Take one datagram from the process's own socket."""
        frame = read(data, self.codec)
        if frame is not None:
            self.trace("<-", frame, source)
            self.act(self.decide(self.core.handle, frame, source, self.now))

    def act(self, effects: list[Effect]) -> None:
        """Do what the core decided, then see when it wants to be woken."""
        raise NotImplementedError

    def decide(self, rule: Callable[..., list[Effect]], *arguments: object) -> list[Effect]:
        """Ask the core. Nothing that comes from outside may raise anything there."""
        try:
            return rule(*arguments)
        except Violation:
            raise
        except Exception as error:
            what = f"{type(self.core).__name__}.{rule.__name__} raised {error!r}"
            raise Violation(f"{self.name}: {what}") from error

    def encode(self, frame: Frame) -> bytes:
        """The bytes of a frame of ours."""
        return self.decide(self.codec.encode, frame)  # type: ignore[arg-type,return-value]

    def trace(self, direction: str, frame: Frame, other: Address) -> None:
        """A line for a frame that came or goes."""
        if self.world.trace.on:
            host = self.cluster.network.host_at(other[0])
            name = host.name if host else f"{other[0]}:{other[1]}"
            self.world.note(self.name, f"{direction} {name:<10} {one_line(frame)}")

    def set_alarm(self) -> None:
        """Be woken when the core wants it. Too early is harmless: it is asked again."""
        deadline = self.core.deadline()
        if deadline is None or not self.running:
            return
        at = max(self.world.now, self.clock.moment(deadline)) + TIMER_LATE
        if self._alarm_at is None or at < self._alarm_at:
            self._alarm_at = at
            self.world.at(at, self._ring, at)

    def at(self, moment: float, action: Callable[[], object]) -> None:
        """A timer of the process's own: late if it is stopped, never if it is gone."""
        self.world.at(moment, self._due, action)

    def _ring(self, at: float) -> None:
        if at == self._alarm_at:
            self._alarm_at = None
            self._due(self._tick)

    def _due(self, action: Callable[[], object]) -> None:
        if self.paused:
            self._late.append(action)
        elif self.running:
            action()

    def _tick(self) -> None:
        self.act(self.decide(self.core.tick, self.now))

    def _ring_late(self) -> None:
        late, self._late = self._late, []
        for action in late:
            self._due(action)

    def _drain(self) -> None:
        for socket in list(self.sockets):
            socket.drain()  # nothing, if what came before has stopped it again
