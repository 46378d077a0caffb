"""What tests of keys share: a keyring, credentials, and a small network in which all is sealed."""

from collections.abc import Callable, Iterable
from random import Random

from prr.config import LIMITS, Limits, Require
from prr.core.binder import Binder
from prr.core.client import Client
from prr.core.effects import (
    Answer,
    Confirm,
    Effect,
    Event,
    Outcome,
    Probe,
    Report,
    Send,
    Stop,
)
from prr.core.keyed_server import KeyedServer
from prr.core.trust import Trust
from prr.trust.credential import Credential, Holder, Network, encode_credential
from prr.trust.keyring import Held, Keyring
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Frame, Role
from prr.wire.instance import Address, Service, make_instance

SECRET, OLD_SECRET, STRANGE_SECRET = bytes(range(32)), bytes(range(1, 33)), bytes(range(2, 34))
RING = Keyring((SECRET,))
BINDERS: tuple[Address, ...] = (("10.0.0.1", 2222), ("10.0.0.2", 2222))
SERVER, OTHER = ("10.0.1.1", 4000), ("10.0.1.9", 4000)
CLIENT, STRANGER = ("10.0.1.2", 5000), ("10.0.6.6", 666)
ON = Trust(is_keyed=True, require=Require.ON)


def held_by(
    holder: Holder,
    name: str = "some-id",
    service: Service | None = None,
    hosts: tuple[Network, ...] = (),
    ring: Keyring = RING,
) -> Held:
    """A credential with its key."""
    return ring.issue(encode_credential(Credential(holder, name, service, hosts)))


class Sealed:
    """Binders, and others at addresses of their own, who talk in bytes; no datagram is lost, each
    takes a millisecond. `heard` is every datagram so far: whence, where to, what."""

    def __init__(
        self,
        trust: Trust = ON,
        keyrings: Iterable[Keyring] = (RING, RING),
        servers: Iterable[tuple[Address, Held, Service]] = (),
        limits: Limits = LIMITS,
    ) -> None:
        self.now = 100.0
        self.trust, self.limits = trust, limits
        self.heard: list[tuple[Address, Address, bytes]] = []
        self.reports: list[tuple[Address, Report]] = []
        self.stopped: dict[Address, Stop] = {}
        self.codecs = {
            at: Codec(Role.BINDER, keys=ring) for at, ring in zip(BINDERS, keyrings, strict=True)
        }
        self.nodes: dict[Address, Binder | KeyedServer | Client] = {}
        self._way: list[tuple[Address, Address, bytes]] = []
        self.is_reachable: Callable[[Address], bool] = lambda at: True
        for number, at in enumerate(BINDERS):
            self.start_binder(at, number)
        self.run(0.2)
        for at, held, service in servers:
            self.add_server(at, held, service)
        self.run(0.2)

    def start_binder(self, at: Address, seed: int) -> Binder:
        """A new process, which knows nothing."""
        peers = tuple(other for other in BINDERS if other != at)
        ips = frozenset({at[0]})
        binder = Binder(
            ips, peers, BINDERS.index(at) + 1, Random(seed), limits=self.limits, trust=self.trust
        )
        self.nodes[at] = binder
        self.do(at, binder.start(self.now))
        return binder

    def add_server(self, at: Address, held: Held, service: Service, seed: int = 9) -> KeyedServer:
        """A server at an address, of both binders."""
        server = KeyedServer(service, dict.fromkeys(BINDERS, at), Random(seed))
        self.codecs[at] = Codec(Role.SERVER, keys=held)
        self.nodes[at] = server
        self.do(at, server.start(self.now))
        return server

    def binder(self, number: int = 0) -> Binder:
        """One of them."""
        node = self.nodes[BINDERS[number]]
        assert isinstance(node, Binder)
        return node

    def ask(self, service: Service, held: Held, at: Address = CLIENT, seed: int = 1) -> object:
        """What a client gets that looks up a service."""
        client = Client(service, None, BINDERS, Random(seed), is_keyed=True)
        self.codecs[at], self.nodes[at] = Codec(Role.CLIENT, keys=held), client
        self.do(at, client.start(self.now))
        self.run(0.05)
        del self.nodes[at]
        return client.outcome

    def say(self, at: Address, to: Address, data: bytes) -> None:
        """Somebody at an address says something."""
        self._way.append((at, to, data))

    def run(self, seconds: float) -> None:
        """Let time go by."""
        end = self.now + seconds
        while self.now < end:
            way, self._way = self._way, []
            for source, target, data in way:
                self._deliver(source, target, data)
            self.now += 0.001
            for at, node in [*self.nodes.items()]:
                due = node.deadline()
                if due is not None and due <= self.now:
                    self.do(at, node.tick(self.now))

    def _deliver(self, source: Address, target: Address, data: bytes) -> None:
        self.heard.append((source, target, data))
        node = self.nodes.get(target)
        if node is None or not self.is_reachable(target):
            return
        try:
            frame = self.codecs[target].decode(data)
        except MalformedFrame:
            return
        self.do(target, node.handle(frame, source, self.now))

    def do(self, at: Address, effects: list[Effect]) -> None:
        """What a node has decided."""
        for effect in effects:
            match effect:
                case Report():
                    self.reports.append((at, effect))
                case Probe():
                    self._probe(at, effect)
                case Answer():
                    data = self.codecs[at].found(effect.found, effect.asked, effect.seal)
                    self.say(at, effect.target, data)
                case Send() | Confirm():
                    self.say(at, effect.target, self.codecs[at].encode(effect.frame))
                case Stop():
                    self.stopped[at] = effect
                    self.nodes.pop(at, None)

    def _probe(self, at: Address, probe: Probe) -> None:
        """The question leaves from a fresh socket; what answers it comes at once."""
        fresh = (at[0], 30000 + len(self.heard) % 30000)
        data = self.codecs[at].encode(probe.frame)
        self.heard.append((fresh, probe.at, data))
        node = self.nodes.get(probe.at)
        if isinstance(node, KeyedServer) and self.is_reachable(probe.at):
            for effect in node.handle(self.codecs[probe.at].decode(data), fresh, self.now):
                if isinstance(effect, Send):
                    answer = self.codecs[probe.at].encode(effect.frame)
                    self.heard.append((probe.at, fresh, answer))
                    if self.is_proof(at, probe, answer):
                        binder = self.nodes[at]
                        assert isinstance(binder, Binder)
                        self.do(at, binder.probed(probe, Outcome.ALIVE, self.now))

    def is_proof(self, at: Address, probe: Probe, answer: bytes) -> bool:
        """A binder takes this for an answer to its question."""
        try:
            return probe.is_answer(self.codecs[at].decode(answer))
        except MalformedFrame:
            return False

    def tables(self) -> list[set[bytes]]:
        """What each binder holds."""
        return [set(self.binder(number).directory) for number in range(len(BINDERS))]

    def count(self, event: Event) -> int:
        """Reports of an event so far."""
        return sum(report.event is event for _, report in self.reports)

    def frames(self, at: Address, kind: type[Frame]) -> list[Frame]:
        """What somebody was sent so far, of a kind."""
        codec = self.codecs[at]
        found = [codec.decode(data) for _, target, data in self.heard if target == at]
        return [frame for frame in found if isinstance(frame, kind)]


def instance_of(service: Service, at: Address = SERVER) -> bytes:
    """What a binder holds of a server."""
    return make_instance(service, at)
