"""The network: hosts with sockets, and paths that lose, copy, delay, damage, clog and are cut.

Every datagram is bytes. What a path damages is dropped where a kernel would drop it, by its UDP
checksum, but it is read first: whatever the bytes are, reading them may fail in one way only.
"""

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from struct import unpack
from typing import TYPE_CHECKING, Protocol

from prr.core.effects import Probe
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Frame, Role
from prr.wire.instance import Address, canonical
from tests.cores import CODECS
from tests.sim.faults import CALM, Options
from tests.sim.world import Violation, World

if TYPE_CHECKING:
    from tests.sim.checkers import Question

EPHEMERAL_PORT_FIRST = 32768

REFUSALS_AT_ONCE = 6
"""ICMP messages Linux sends to one peer in a row; after them one a second (icmp_ratelimit)."""


class Owner(Protocol):
    """What a socket has to know of its process."""

    role: Role
    paused: bool


@dataclass(frozen=True, slots=True)
class Cut:
    """No datagram from `left` to `right` (if `forth`), or from `right` to `left` (if `back`)."""

    left: frozenset[str]
    right: frozenset[str]
    forth: bool = True
    back: bool = True
    is_for_good: bool = False

    def holds(self, source: str, target: str) -> bool:
        """It stops datagrams on the path from one ip to another."""
        return (self.forth and source in self.left and target in self.right) or (
            self.back and source in self.right and target in self.left
        )


class Host:
    """One host, at an IPv4 address and an IPv6 one, both of which its sockets have. While it is up
    it refuses what comes for a port where nobody listens."""

    def __init__(self, ip: str, name: str) -> None:
        self.ip = ip
        self.ipv6 = ipv6_of(ip)
        self.name = name
        self.up = True
        self.sockets: dict[int, Socket] = {}
        self._port = EPHEMERAL_PORT_FIRST - 1

    def towards(self, other: str) -> str:
        """Its ip in the family of another one."""
        return self.ipv6 if ":" in other else self.ip

    def free_port(self) -> int:
        """A port that nobody has had yet."""
        self._port += 1
        return self._port


class Socket:
    """A UDP socket, connected if it has a `target`; it queues while its process is stopped."""

    def __init__(
        self,
        network: "Network",
        address: Address,
        owner: Owner,
        receive: Callable[[bytes, Address], object],
        target: Address | None = None,
        refused: Callable[[], object] | None = None,
    ) -> None:
        """`receive` gets each datagram; `refused` hears, if connected, of an ICMP refusal."""
        self.address = address
        self.owner = owner
        self.target = target
        self._network = network
        self._receive = receive
        self._refused = refused
        self._queue: deque[tuple[bytes, Address] | None] = deque()
        host = network.host_at(address[0])
        assert host is not None
        self._host, self._sockets = host, host.sockets
        assert address[1] not in self._sockets
        self._sockets[address[1]] = self

    question: "Question | None" = None
    """What was asked from it last, if it is a verification's."""

    def is_about(self, probe: Probe) -> bool:
        """It is the socket of this verification."""
        return False

    def send(self, data: bytes, target: Address) -> None:
        """Send one datagram."""
        self._network.send((self._host.towards(target[0]), self.address[1]), target, data)

    def arrive(self, data: bytes, source: Address) -> None:
        """A datagram has reached the host."""
        if self.target is not None and source != self.target:
            return
        if self.owner.paused:
            self._keep((data, source))
        else:
            self._receive(data, source)

    def refuse(self, by: Address) -> None:
        """An ICMP refusal has reached the host. Only a connected socket hears of it."""
        if self._refused is None or by != self.target:
            return
        if self.owner.paused:
            self._keep(None)
        else:
            self._refused()

    def waiting_sources(self) -> list[Address]:
        """Who has sent what waits in it."""
        return [one[1] for one in self._queue if one is not None]

    def holds(self, data: bytes) -> bool:
        """A datagram with this frame waits in it."""
        waiting = (one[0] for one in self._queue if one is not None)
        return any(one.startswith(data) for one in waiting)

    def drain(self) -> None:
        """The process goes on: take what has been waiting, one after the other."""
        while self._queue and not self.owner.paused:
            waiting = self._queue.popleft()
            if waiting is not None:
                self._receive(*waiting)
            elif self._refused is not None:
                self._refused()

    def close(self) -> None:
        """Give the port back. Closing twice is no error."""
        self._queue.clear()
        self._sockets.pop(self.address[1], None)

    def _keep(self, waiting: tuple[bytes, Address] | None) -> None:
        if len(self._queue) < self._network.buffer:
            self._queue.append(waiting)


class Network:
    """All paths between all hosts."""

    def __init__(self, world: World, options: Options) -> None:
        self.conditions = options.conditions
        self.buffer = options.buffer
        self.hosts: dict[str, Host] = {}  # by their IPv4 addresses
        self._at_ipv6: dict[str, Host] = {}
        self.cuts: list[Cut] = []
        self._mended: list[tuple[float, Cut]] = []
        self.forged = 0  # damaged datagrams that no checksum told apart: anything may be true
        self.tap: Callable[[Address, Address, bytes], bool] | None = None
        """Hears each datagram first; what it says True of goes no further."""
        self._world = world
        self._rng = Random(f"{options.seed}/network")
        self._icmp_limited = options.icmp_limited
        self._icmp: dict[tuple[str, str], tuple[float, float]] = {}
        self._clogged: dict[tuple[str, str], float] = {}

    def add_host(self, ip: str, name: str) -> Host:
        """One more host, up."""
        assert ip not in self.hosts
        self.hosts[ip] = host = Host(ip, name)
        self._at_ipv6[host.ipv6] = host
        return host

    def host_at(self, ip: str) -> Host | None:
        """The host with an ip, of either family."""
        return self.hosts.get(ip) or self._at_ipv6.get(ip)

    def _end_of_path(self, ip: str) -> str:
        """What stands for a host wherever a path is cut or clogged: all its traffic takes it."""
        host = self.host_at(ip)
        return host.ip if host is not None else ip

    def send(self, source: Address, target: Address, data: bytes) -> None:
        """Put a datagram on its path."""
        if self.tap is not None and self.tap(source, target, data):
            return
        conditions = self.conditions
        self._travel(source, target, data, 0.0)
        if conditions.duplicated and self._rng.random() < conditions.duplicated:
            later = self._rng.expovariate(1 / conditions.replay_mean)
            self._travel(source, target, data, later)

    def inject(self, source: Address, target: Address, data: bytes, takes: float) -> None:
        """Have a datagram arrive in `takes` seconds, whoever sends it, whatever befalls paths."""
        self._world.after(takes, self._arrive, source, target, data)

    def refuse_soon(self, by: Address, to: Address, takes: float) -> None:
        """The same with a refusal."""
        self._world.after(takes, self._arrive_refusal, by, to)

    def cut(self, cut: Cut) -> None:
        """From now on this holds up datagrams."""
        self.cuts.append(cut)

    def mend(self, cut: Cut) -> None:
        """No longer. No error if it was mended before."""
        if cut in self.cuts:
            self.cuts.remove(cut)
            self._mended.append((self._world.now, cut))

    def clog(self, source: str, target: str, until: float) -> None:
        """What goes from one ip to another arrives after `until`."""
        self._clogged[source, target] = until

    def is_cut(self, source: str, target: str) -> bool:
        """Nothing gets from one ip to another."""
        return any(cut.holds(source, target) for cut in self.cuts)

    def was_cut(self, source: str, target: str, since: float) -> bool:
        """At some moment since then nothing got from one ip to another."""
        mended = (cut for at, cut in self._mended if at >= since)
        return self.is_cut(source, target) or any(cut.holds(source, target) for cut in mended)

    @property
    def was_ever_cut(self) -> bool:
        """At some moment nothing got from some ip to another."""
        return bool(self.cuts or self._mended)

    @property
    def clogged(self) -> bool:
        """Some path is."""
        return any(until > self._world.now for until in self._clogged.values())

    def heal(self) -> None:
        """A sound network from now on, but for what is cut for good. What is under way stays so."""
        self.conditions = CALM
        self._icmp_limited = False
        self._clogged.clear()
        self.cuts = [cut for cut in self.cuts if cut.is_for_good]

    def _travel(self, source: Address, target: Address, data: bytes, later: float) -> None:
        if self._is_lost(source[0], target[0]):
            if self._world.trace.on:
                self._note("lost", source, target, data)
            return
        arrives_at = self._arrival(source[0], target[0]) + later
        damaged = self._damage(data)
        if damaged == data:
            self._world.at(arrives_at, self._arrive, source, target, data)
        else:
            self._world.at(arrives_at, self._arrive_damaged, source, target, data, damaged)

    def _is_lost(self, source: str, target: str) -> bool:
        if self.cuts and self.is_cut(self._end_of_path(source), self._end_of_path(target)):
            return True
        return bool(self.conditions.loss) and self._rng.random() < self.conditions.loss

    def _arrival(self, source: str, target: str) -> float:
        conditions = self.conditions
        delay = conditions.delay_min + self._rng.expovariate(1 / conditions.delay_mean)
        path = self._end_of_path(source), self._end_of_path(target)
        return max(self._world.now, self._clogged.get(path, 0.0)) + delay

    def _arrive(self, source: Address, target: Address, data: bytes) -> None:
        host = self.host_at(target[0])
        if host is None or not host.up:
            return
        socket = host.sockets.get(target[1])
        if socket is not None:
            socket.arrive(data, source)
        else:
            self._refuse(target, source)

    def _refuse(self, by: Address, to: Address) -> None:
        if self._is_lost(by[0], to[0]) or (self._icmp_limited and not self._may_refuse(by, to)):
            return
        self._world.at(self._arrival(by[0], to[0]), self._arrive_refusal, by, to)

    def _may_refuse(self, by: Address, to: Address) -> bool:
        """A token bucket for each pair of hosts, as Linux has it."""
        tokens, filled_at = self._icmp.get((by[0], to[0]), (REFUSALS_AT_ONCE, 0.0))
        tokens = min(REFUSALS_AT_ONCE, tokens + self._world.now - filled_at)
        may = tokens >= 1
        self._icmp[by[0], to[0]] = (tokens - may, self._world.now)
        return may

    def _arrive_refusal(self, by: Address, to: Address) -> None:
        host = self.host_at(to[0])
        if host is not None and host.up and (socket := host.sockets.get(to[1])) is not None:
            socket.refuse(by)

    def _damage(self, data: bytes) -> bytes:
        rng, conditions = self._rng, self.conditions
        if not data:
            return data
        if conditions.truncated and rng.random() < conditions.truncated:
            data = data[: rng.randrange(len(data))]
        if conditions.corrupted and rng.random() < conditions.corrupted and data:
            bent = bytearray(data)
            for _ in range(rng.randint(1, 3)):
                bent[rng.randrange(len(bent))] ^= rng.choice((1 << rng.randrange(8), 0xFF))
            data = bytes(bent)
        return data

    def _arrive_damaged(
        self, source: Address, target: Address, data: bytes, damaged: bytes
    ) -> None:
        host = self.host_at(target[0])
        socket = host.sockets.get(target[1]) if host is not None and host.up else None
        if socket is not None:
            read(damaged, socket.owner.role)
        if checksum(damaged) != checksum(data):
            self._note("damaged and dropped", source, target, damaged)
            return
        self._note("damaged, and no checksum tells", source, target, damaged)
        self.forged += 1
        self._arrive(source, target, damaged)

    def _note(self, fate: str, source: Address, target: Address, data: bytes) -> None:
        hosts = [self.host_at(ip) or ip for ip, _ in (source, target)]
        names = [one if isinstance(one, str) else one.name for one in hosts]
        self._world.note("network", f"{fate}: {' -> '.join(names)} {data.hex()[:40]}")


def ipv6_of(ip: str) -> str:
    """The IPv6 address of the host with an IPv4 one."""
    *_, network, number = ip.split(".")
    return canonical(f"fd00:0:{network}:{number}::1")


def read(data: bytes, reader: Role | Codec) -> Frame | None:
    """The frame in a datagram for a reader, who opens seals if it has a codec of its own; None if
    there is none. Nothing else may come of it."""
    codec = reader if isinstance(reader, Codec) else CODECS[reader]
    try:
        return codec.decode(data)
    except MalformedFrame:
        return None
    except Exception as error:
        raise Violation(f"decode raised {error!r} at {data.hex()} for a {codec.role}") from error


def checksum(data: bytes) -> int:
    """UDP's, as far as it depends on the payload: 16-bit words in one's complement, the length
    twice (once in the UDP header, once in the pseudo-header)."""
    padded = data + bytes(len(data) % 2)
    total = 2 * len(data) + sum(unpack(f">{len(padded) // 2}H", padded))
    while total > 0xFFFF:
        total = (total & 0xFFFF) + (total >> 16)
    return total
