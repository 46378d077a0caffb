"""An attacker on this host's loopback: hears all, and says what he likes in anybody's name.

Needs root, for sockets that take whole packets. What he can forge is in `forgeries`.
"""

import ctypes
import itertools
import os
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from random import Random

from prr.trust.credential import Credential, Holder
from prr.trust.keyring import Keyring
from prr.wire.codec import Codec
from prr.wire.frames import Added, Alive, Complaint, Frame, ListRequest, Removed, Role, Subscribe
from prr.wire.inquiries import DrainQuery
from prr.wire.instance import Address, Instance, address_of, make_instance
from prr.wire.messages import AgentAnnouncement
from prr.wire.seal import Seal
from tests.keys import APP, held

Datagram = tuple[Address, Address, bytes]
"""Whence, where to, what."""

STRANGER: Address = ("127.0.6.6", 666)
WEB = Credential(Holder.SERVER, "other-1", "other-service")
OLD_SECRET, STRANGE_SECRET = bytes(range(9, 41)), bytes(range(3, 35))

why_not = "" if os.geteuid() == 0 else "needs root: datagrams in others' names"
"""Why nobody can attack here; empty if one can."""

_LOOPBACK = "lo"
_ANY_PROTOCOL = socket.htons(0x0800)  # IPv4
_OUTGOING = 4  # each packet comes by twice: linux/if_packet.h
_SO_ATTACH_FILTER = 26
_UDP, _ICMP = 17, 1


def _filter_of(ports: Iterable[int]) -> bytes:
    """Classic BPF: UDP from or to one of these ports."""
    wanted = list(ports)
    step = len(wanted)
    code = [(0x30, 0, 0, 9), (0x15, 0, 2 * step + 3, _UDP), (0xB1, 0, 0, 0)]
    for offset in (0, 2):
        code.append((0x48, 0, 0, offset))
        rest = step if offset == 0 else 0
        extra = 1 if offset == 0 else 0
        for number, port in enumerate(wanted):
            code.append((0x15, step - number - 1 + rest + extra + 1, 0, port))
    code += [(0x06, 0, 0, 0), (0x06, 0, 0, 1 << 16)]
    return b"".join(struct.pack("=HBBI", *one) for one in code)


class Ear:
    """Hears what is sent on loopback from or to some ports."""

    def __init__(self, ports: Iterable[int]) -> None:
        kind = socket.SOCK_DGRAM | socket.SOCK_NONBLOCK
        self._socket = socket.socket(socket.AF_PACKET, kind, 0)
        code = _filter_of(ports)
        program = ctypes.create_string_buffer(code, len(code))
        pointer = struct.pack("HL", len(code) // 8, ctypes.addressof(program))
        self._socket.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, pointer)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 8 << 20)
        self._socket.bind((_LOOPBACK, 0x0800))

    def close(self) -> None:
        """Hear nothing any more."""
        self._socket.close()

    def heard(self) -> list[Datagram]:
        """All there was since it was asked before."""
        found: list[Datagram] = []
        while True:
            try:
                packet, (_, _, kind, *_) = self._socket.recvfrom(1 << 16)
            except BlockingIOError:
                return found
            if kind != _OUTGOING:
                found.append(_datagram(packet))


def _datagram(packet: bytes) -> Datagram:
    at = 4 * (packet[0] & 15)
    ports = struct.unpack_from("!HH", packet, at)
    ips = socket.inet_ntoa(packet[12:16]), socket.inet_ntoa(packet[16:20])
    return (ips[0], ports[0]), (ips[1], ports[1]), packet[at + 8 :]


class Mouth:
    """Says things in anybody's name."""

    def __init__(self) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)

    def close(self) -> None:
        """Say nothing any more."""
        self._socket.close()

    def say(self, source: Address, target: Address, data: bytes) -> None:
        """A datagram as from `source`."""
        udp = struct.pack("!HHHH", source[1], target[1], 8 + len(data), 0) + data
        self._send(_ip(_UDP, source[0], target[0], udp), target[0])

    def refuse(self, asker: Address, asked: Address) -> None:
        """An ICMP error as from the host of `asked`: what `asker` has sent there reached nobody."""
        udp = struct.pack("!HHHH", asker[1], asked[1], 8, 0)
        about = _ip(_UDP, asker[0], asked[0], udp)
        body = struct.pack("!BBHI", 3, 3, 0, 0) + about
        body = struct.pack("!BBHI", 3, 3, _checksum(body), 0) + about
        self._send(_ip(_ICMP, asked[0], asker[0], body), asker[0])

    def _send(self, packet: bytes, ip: str) -> None:
        self._socket.sendto(packet, (ip, 0))


def _ip(protocol: int, source: str, target: str, body: bytes) -> bytes:
    """A packet; the kernel fills in the checksum of what it sends, but not of what is quoted."""
    ips = socket.inet_aton(source) + socket.inet_aton(target)
    head = struct.pack("!BBHHHBBH", 0x45, 0, 20 + len(body), 0, 0, 64, protocol, 0) + ips
    return head[:10] + struct.pack("!H", _checksum(head)) + head[12:] + body


def _checksum(data: bytes) -> int:
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    total = (total >> 16) + (total & 0xFFFF)
    return ~(total + (total >> 16)) & 0xFFFF


@dataclass
class Known:
    """What an attacker has to work with: what he has heard, and who is who."""

    binders: list[Address]
    live: list[Instance]
    heard: list[Datagram]
    rng: Random = field(default_factory=lambda: Random(5))

    @property
    def said_by_binders(self) -> list[Datagram]:
        return [one for one in self.heard if one[0] in self.binders]

    @property
    def said_to_binders(self) -> list[Datagram]:
        return [one for one in self.heard if one[1] in self.binders]


def forgeries(known: Known) -> Iterator[tuple[str, Datagram]]:
    """Without an end, of each kind in turn: what it is called, and one of it."""
    for kind in itertools.cycle(KINDS):
        yield kind, KINDS[kind](known)


def _noise(known: Known) -> Datagram:
    size = known.rng.randint(0, 300)
    data = bytes((known.rng.randint(0, 14),)) + known.rng.randbytes(size)
    return _anybody(known), _binder(known), data


def _unsealed(known: Known) -> Datagram:
    source, frame = _lie(known)
    return source, _binder(known), Codec(Role.SERVER).encode(frame)


def _untagged(known: Known) -> Datagram:
    source, target, data = known.rng.choice(known.said_to_binders)
    return source, target, data[:-16] + known.rng.randbytes(16)


def _altered(known: Known) -> Datagram:
    source, target, data = known.rng.choice(known.said_to_binders)
    changed = bytearray(data)
    changed[known.rng.randrange(len(data))] ^= 1 << known.rng.randrange(8)
    return source, target, bytes(changed)


def _truncated(known: Known) -> Datagram:
    source, target, data = known.rng.choice(known.said_to_binders)
    return source, target, data[: known.rng.randrange(len(data))]


def _reflected(known: Known) -> Datagram:
    source, target, data = known.rng.choice(known.said_by_binders)
    return known.rng.choice([target, STRANGER]), source, data


def _replayed(known: Known) -> Datagram:
    source, _, data = known.rng.choice(known.said_to_binders)
    return known.rng.choice([source, source, STRANGER]), _binder(known), data


def _role_swapped(known: Known) -> Datagram:
    """With a client's credential: what servers, operators and binders say."""
    codec = Codec(Role.SERVER, keys=held(APP))
    source, frame = _lie(known)
    return source, _binder(known), codec.encode(_sealed(frame, known))


def _service_swapped(known: Known) -> Datagram:
    """With another service's credential."""
    codec = Codec(Role.SERVER, keys=held(WEB))
    source, frame = _lie(known)
    return source, _binder(known), codec.encode(_sealed(frame, known))


def _of_former_peer(known: Known) -> Datagram:
    """In a binder's name, with a secret that has been pruned, or in a server's."""
    binders = known.binders
    target = known.rng.randrange(len(binders))
    ring = Keyring((known.rng.choice([OLD_SECRET, STRANGE_SECRET]),))
    if known.rng.random() < 0.5:
        _, frame = _lie(known)
        session = known.rng.choice([b"\0", b"\1"]) + known.rng.randbytes(16)
        data = Codec(Role.BINDER, keys=ring).encode(_sealed(frame, known, session))
        return binders[target - 1], binders[target], data
    source, frame = _lie(known)
    credential = known.rng.choice([WEB, APP])
    codec = Codec(Role.SERVER, keys=held(credential, ring.secrets[0]))
    return source, binders[target], codec.encode(_sealed(frame, known))


KINDS = {
    "noise": _noise,
    "unsealed": _unsealed,
    "untagged": _untagged,
    "altered": _altered,
    "truncated": _truncated,
    "reflected": _reflected,
    "replayed": _replayed,
    "role-swapped": _role_swapped,
    "service-swapped": _service_swapped,
    "of a former peer": _of_former_peer,
}


def _lie(known: Known) -> tuple[Address, Frame]:
    """Something that would change the table, were it believed; and in whose name it is said."""
    rng = known.rng
    live = rng.choice(known.live)
    new = make_instance(rng.choice([7, "billing", "web"]), ("127.0.7.7", rng.randint(1024, 60000)))
    of_new = AgentAnnouncement(instance=new, start=rng.randint(1, 1 << 31), padding=bytes(99))
    of_live = AgentAnnouncement(instance=live, start=rng.randint(1, 1 << 31), padding=bytes(99))
    peer = rng.choice(known.binders)
    drain = DrainQuery(nonce=1, question=3, seconds=60, text=b"", instance=live, last=1)
    return rng.choice(
        [
            (address_of(new), Subscribe(rng.randrange(256))),
            (address_of(new), Alive(trailer=of_new)),
            (address_of(live), Alive(trailer=of_live)),
            (address_of(live), Removed(live)),
            (STRANGER, Removed(live)),
            (STRANGER, Complaint(live)),
            (peer, Added(new)),
            (peer, Removed(live)),
            (("127.0.0.1", 9), ListRequest(trailer=drain)),
        ]
    )


def _sealed(frame: Frame, known: Known, session: bytes = b"") -> Frame:
    return replace(frame, seal=Seal(known.rng.getrandbits(64), session=session))


def _anybody(known: Known) -> Address:
    return known.rng.choice([STRANGER, *known.binders, *map(address_of, known.live)])


def _binder(known: Known) -> Address:
    return known.rng.choice(known.binders)
