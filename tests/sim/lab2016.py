"""The binder and the server of 2016, with the habits that a mixed cluster has to live with.

What stands here was seen (the capture, and the last section of docs/protocol.md); none of it is a
rule of ours. Their client needs no model: it asks like ours, once, and waits 2 s.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from prr.core.effects import Effect, Send, Stop
from prr.core.server import Server
from prr.wire.fields import LIST_INSTANCES_MAX
from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    FoundInstance,
    Frame,
    ListRequest,
    Lookup,
    Removed,
    Request,
    Response,
    Role,
    ServiceList,
    Subscribe,
    Subscribed,
    Unknown,
    Verify,
)
from prr.wire.instance import (
    Address,
    Instance,
    address_of,
    describe,
    is_wide,
    make_instance,
    service_of,
)
from tests.sim.network import Host, Socket, read
from tests.sim.process import Process
from tests.sim.world import Clock, Violation

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

PATIENCE = 2.0
"""Seconds that a program of 2016 waits for anything."""

SEND_TAKES = 0.00001  # seconds

SIGNED_PORT_MAX = 32767
"""They take ports for signed numbers: beyond this one a service is filed where nobody is."""


class LabServer(Server):
    """A server of 2016: it subscribes once, answers 12 to whatever is not a request, but only once
    it is confirmed, and tells nobody when it ends."""

    _gives_up_at: float | None = None
    _is_confirmed = False

    def start(self, now: float) -> list[Effect]:
        self._gives_up_at = now + PATIENCE
        return [Send(Subscribe(self._service), self._binders[0])]

    def handle(self, frame: Frame, source: Address, now: float) -> list[Effect]:
        if isinstance(frame, Request):
            return [Send(Response(frame.message), source)]
        if self._is_confirmed:
            return [Send(Alive(), source)]
        if isinstance(frame, Subscribed):
            self._is_confirmed, self._gives_up_at = True, None
        return []

    def deadline(self) -> float | None:
        return self._gives_up_at

    def tick(self, now: float) -> list[Effect]:
        if self._gives_up_at is None or now < self._gives_up_at:
            return []
        self._gives_up_at = None
        return [Stop(False, f"no confirmation within {PATIENCE:g} s")]

    def stop(self, now: float) -> list[Effect]:
        return [Stop(True, "it ends and tells nobody")]


class LabBinder(Process):
    """A binder of 2016. While it verifies it serves nobody: what comes waits in its socket."""

    role = Role.BINDER

    def __init__(
        self,
        cluster: Cluster,
        host: Host,
        clock: Clock,
        address: Address,
        peers: tuple[Address, ...],
    ) -> None:
        super().__init__(cluster, host, clock)
        self.address = address
        self.entries: list[Instance] = []
        # Held too often or not at all, for what ours have no part in.
        self.own_doing: set[Instance] = set()
        # When it was removed here while word of it was waiting, in seconds that it has served.
        self._unread: dict[Instance, float] = {}
        self._verifies_since = 0.0
        self._verified_for = 0.0
        self._peers = peers
        self._sends_at = 0.0
        self._rotation = dict.fromkeys(range(256), 0)
        self._socket = Socket(cluster.network, address, self, self.receive)
        self.sockets.append(self._socket)

    def start(self) -> None:
        self.world.note(self.name, "starts")
        for peer in self._peers[:1]:
            self._send(ListRequest(), peer)

    def receive(self, data: bytes, source: Address) -> None:
        frame = read(data, self.role)  # it ignores what stands behind the fields
        if frame is None:
            return
        self.trace("<-", frame, source)
        told = (
            getattr(frame, "instance", None),
            getattr(getattr(frame, "trailer", None), "others", None),
        )
        if (told[0] and is_wide(told[0])) or told[1]:
            raise Violation(f"{self.name} is told of a service with a name")
        match frame:
            case Subscribe(type=type_):
                self._subscribed(make_instance(type_, source), source)
            case Lookup(type=type_):
                self._send(self._next(type_), source)
            case Complaint(instance=instance):
                self._verify(instance)
            case ListRequest():
                self._send(ServiceList(tuple(self.entries[:LIST_INSTANCES_MAX])), source)
            case _:
                self._take_over(frame, source)

    def _take_over(self, frame: Frame, source: Address) -> None:
        """What others say. It is believed, whoever they are."""
        match frame:
            case Added(instance=instance):
                heard: tuple[Instance, ...] = (instance,)
            case ServiceList(instances=instances):
                heard = instances[:LIST_INSTANCES_MAX]
            case Removed(instance=instance):
                heard = ()
                self._remove(instance)
                if source not in self.cluster.binder_addresses:  # and ours cannot know of it
                    self.own_doing.add(instance)
            case _:
                heard = ()
        for instance in heard:
            self._append(instance, by_ours=source in self.cluster.binder_addresses)

    def act(self, effects: list[Effect]) -> None:
        raise AssertionError("it has no core")

    def _subscribed(self, instance: Instance, source: Address) -> None:
        self._append(instance, by_ours=False)
        for peer in self._peers:
            self._send(Added(instance), peer)
        self._send(Subscribed(), source)

    def _append(self, instance: Instance, by_ours: bool) -> None:
        """It does not look whether it has it already."""
        if instance not in self.entries:
            self.own_doing.discard(instance)
        elif not by_ours or self._served - self._unread.get(instance, -1.0) < 1.0:
            self.own_doing.add(instance)
        type_, (ip, port) = service_of(instance), address_of(instance)
        filed = instance if port <= SIGNED_PORT_MAX else make_instance(type_, (ip, 0))
        self.entries.append(filed)

    def _remove(self, instance: Instance) -> None:
        """Its loop goes on behind the one that it took out: a copy next to it is skipped."""
        at = 0
        while at < len(self.entries):
            if self.entries[at] == instance:
                del self.entries[at]
            at += 1

    def _next(self, type_: int) -> Frame:
        given = [instance for instance in self.entries if service_of(instance) == type_]
        if not given:
            return Unknown()
        self._rotation[type_] += 1
        return FoundInstance(given[self._rotation[type_] % len(given)])

    def _verify(self, instance: Instance) -> None:
        """Ask from a second port, and do nothing else until it answers or 2 s are over."""
        self.world.note(self.name, f"asks {describe(instance)}, and serves nobody")
        asking = Socket(
            self.cluster.network,
            (self.host.ip, self.host.free_port()),
            _Asking(),
            lambda data, _: self._answered(asking, data),
        )
        self.sockets.append(asking)
        self.paused = True
        self._verifies_since = self.world.now
        asking.send(self.encode(Verify()), address_of(instance))
        self.world.after(PATIENCE, self._silent, asking, instance)

    def _answered(self, asking: Socket, data: bytes) -> None:
        if isinstance(read(data, self.role), Alive):
            self._done(asking)

    def _silent(self, asking: Socket, instance: Instance) -> None:
        if asking in self.sockets and self.running:
            self.world.note(self.name, f"removes {describe(instance)}")
            self._remove(instance)
            if self._socket.holds(self.encode(Added(instance))):
                # Who said it hears of the removal, and says it again.
                self._unread[instance] = self._served
            for peer in self._peers:
                self._send(Removed(instance), peer)
            self._done(asking)

    def _done(self, asking: Socket) -> None:
        """Serve again, in the order of what came meanwhile."""
        if asking not in self.sockets:
            return
        self.sockets.remove(asking)
        asking.close()
        if self.running:
            self.paused = False
            self._verified_for += self.world.now - self._verifies_since
            self._socket.drain()

    @property
    def _served(self) -> float:
        """For how long it has served: while it verifies, what it is sent waits."""
        until = self._verifies_since if self.paused else self.world.now
        return until - self._verified_for

    def _send(self, frame: Frame, target: Address) -> None:
        """One after the other, so that they arrive in this order."""
        self.trace("->", frame, target)
        self._sends_at = max(self.world.now, self._sends_at + SEND_TAKES)
        self.world.at(self._sends_at, self._socket.send, self.encode(frame), target)


class _Asking:
    """Who owns the second port: that one is listened to while the first is not."""

    role = Role.BINDER
    paused = False


def make_lab_server(
    type_: int, address: Address, binders: tuple[Address, ...], rng: Random
) -> Server:
    """The core of a server of 2016."""
    return LabServer(type_, dict.fromkeys(binders, address), rng)
