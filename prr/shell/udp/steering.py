"""A binder's sockets: several on one address, and the kernel sorts the datagrams.

In one queue a flood of lookups would push out the renewals and the other binders' frames, and a
flood of complaints, or of subscriptions that anybody can send, the lookups; and what the others say
of the dead, and an operator's question, would wait behind all that a busy binder has to do. So six
sockets share the address (SO_REUSEPORT), and a small classic BPF program (`sorting`) chooses whose
queue a datagram goes to (SO_ATTACH_REUSEPORT_CBPF, socket(7)).

Who listens on all addresses, `[::]`, has such sockets for each family: a socket of IPv6 could take
both, but would tell and be told every IPv4 address in another form.
"""

import ctypes
import errno
import logging
import socket
import struct
from typing import NamedTuple

from prr.addresses import family_of
from prr.config import ANY_IPV4, ANY_IPV6, BadInput
from prr.shell.udp.headers import BURST_MAX
from prr.shell.udp.names import address_from
from prr.shell.udp.sorting import Queue, sorting_into
from prr.wire.instance import Address, describe_address

RECEIVE_BUFFER = 8 << 20
"""Bytes asked for each queue, some 10,000 datagrams: a tenth of a second of lookups. The kernel
grants what net.core.rmem_max allows, twice over."""


ASKED_BUFFER = 64 << 10
"""The same for what operators ask, some 150: a tenth of a second of work, so that who floods it
keeps nobody waiting for longer. Who has no answer asks again within two seconds."""


class Lane(NamedTuple):
    """Which of the lanes that are ready is served first, how much of it is received at once, how
    many steps are taken before the others have their turn, and what it holds. A step is one
    datagram, or a run of those that are alike. As long as more lies there than is received at once,
    so many `bursts` are taken in a turn, if that does not take long. Where only peers have
    something to say (`is_of_peers`), what anybody else sends is not even read. What one drops that
    `is_short` is counted, but shows no overload: two hundred datagrams of anybody fill it. One that
    `has_backlog` is emptied at once, and what was in it waits: see `backlog`."""

    priority: int
    burst: int
    steps: int
    holds: str
    bursts: int = 1
    is_of_peers: bool = False
    is_short: bool = False
    has_backlog: bool = False


LANES = (
    Lane(1, BURST_MAX, 4, "from servers and binders"),
    Lane(0, BURST_MAX, BURST_MAX, "lookups", bursts=8),
    Lane(-1, 1, 1, "complaints and what is no frame"),
    Lane(-1, BURST_MAX, 1, "first subscriptions", has_backlog=True),
    Lane(2, BURST_MAX, 4, "from binders about the dead", bursts=8, is_of_peers=True),
    Lane(1, 1, 1, "questions of operators", is_short=True),
)
"""In the order of `Queue`. The nodes' own frames, a few at a time, of which a run of 64 renewals is
one; lookups, 512 where so many wait, or as many as take 1.5 ms: a turn in which the others have
much to do takes several, and with a burst in each the queue would grow; complaints, questions for
all of a service, and junk, one at a time; and first subscriptions, a burst that is alike or one.
Each of those steps costs as much as ten to a few hundred lookups, and a flood of them must leave
the processor to these. What binders say of the dead, and of those in doubt, comes first: the others
hand them out until they have heard it. What operators ask, one at a time, does not wait behind the
nodes' own frames: they ask when too many of these come."""

PORT_TRIES = 8
"""Ports tried for one that is free in both families."""

LANES_BEFORE = (3, 4, 5)
"""Sockets passed by units older than the queue for first subscriptions, that of the dead, or that
of operators. What these would hold goes with the nodes' own frames then."""

SINGLE_LANE = Lane(0, BURST_MAX, BURST_MAX, "of any kind")
"""Of a node with one socket for everything."""

_SO_ATTACH_REUSEPORT_CBPF = 51

_WHY = {
    errno.EADDRINUSE: "another program has that port; stop it, or use another port (0: any)",
    errno.EADDRNOTAVAIL: "this host has no such address; use one of its own, or 0.0.0.0 for all",
    errno.EAFNOSUPPORT: "this host has no IPv6; use an IPv4 address, such as 0.0.0.0 for all",
    errno.EACCES: "ports below 1024 are for root; use one from 1024 up",
}

_log = logging.getLogger("prr")


def open_socket(address: Address) -> socket.socket:
    """A UDP socket bound to `address`; BadInput, with what to do, if it cannot be."""
    try:
        return _bound(address, is_shared=False)
    except OSError as error:
        why = _WHY.get(error.errno or 0, f"{error.strerror}; use another HOST:PORT")
        raise BadInput(f"cannot listen on {describe_address(address)}: {why}") from error


def open_sockets(address: Address) -> list[socket.socket]:
    """One such socket, or, on all addresses (`[::]`), one of each family that this host has, on the
    same port. Raises BadInput as `open_socket` does."""
    for _ in range(PORT_TRIES if address[1] == 0 else 1):
        first = open_socket(address)
        if address[0] != ANY_IPV6:
            return [first]
        try:
            return [first, open_socket((ANY_IPV4, address_from(first.getsockname())[1]))]
        except BadInput as error:
            if not has_ipv4():
                return [first]
            first.close()
            failure = error
    raise failure


def has_ipv4() -> bool:
    """This host has IPv4."""
    try:
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def open_lanes(address: Address) -> list[list[socket.socket]]:
    """The sockets of a binder on `address`, for each family one for each lane, or a single one for
    all of them.

    The first is bound alone, so that a second binder on the same address is told; only then may
    others join. Raises BadInput as `open_socket` does.
    """
    return [_lanes_beside(first) for first in open_sockets(address)]


def _lanes_beside(first: socket.socket) -> list[socket.socket]:
    lanes = [first]
    try:
        for _ in LANES[1:]:
            lanes.append(_join(lanes))
        sort_into(lanes)
    except OSError as error:
        address = address_from(first.getsockname())
        for lane in lanes:
            lane.close()
        _log.warning(
            "one queue for all datagrams: this kernel cannot sort them (%s)", error.strerror
        )
        return [open_socket(address)]
    return lanes


def take_lanes(handed: list[socket.socket]) -> list[list[socket.socket]]:
    """The sockets that systemd has opened for a binder: one, or as many as there are lanes, now or
    before; or so many on each of two addresses, one of IPv6 and one of IPv4.

    They outlive this process, and so do their queues. Raises BadInput if they are something else.
    """
    of_family = {
        family: [one for one in handed if one.family == family]
        for family in (socket.AF_INET6, socket.AF_INET)
    }
    sets = list(filter(None, of_family.values()))
    for lanes in sets:
        if (
            len(lanes) not in (1, *LANES_BEFORE, len(LANES))
            or len({one.getsockname() for one in lanes}) > 1
        ):
            raise BadInput(
                f"systemd passed {len(handed)} sockets; use the same ListenDatagram= "
                f"{len(LANES)} times, and ReusePort=yes, or only once"
            )
        if len(lanes) > 1:
            try:
                sort_into(lanes)
            except OSError as error:
                _log.warning("datagrams go to any queue: this kernel cannot sort them (%s)", error)
    return sets


def sort_into(lanes: list[socket.socket]) -> None:
    """Have the kernel sort the datagrams into `lanes`, which share an address."""
    if len(lanes) > Queue.OPERATORS:
        lanes[Queue.OPERATORS].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, ASKED_BUFFER)
    program = sorting_into(len(lanes))
    buffer = ctypes.create_string_buffer(program)
    filter_ = struct.pack("HP", len(program) // 8, ctypes.addressof(buffer))
    lanes[0].setsockopt(socket.SOL_SOCKET, _SO_ATTACH_REUSEPORT_CBPF, filter_)


def _join(lanes: list[socket.socket]) -> socket.socket:
    lanes[0].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    return _bound(address_from(lanes[0].getsockname()), is_shared=True)


def _bound(address: Address, is_shared: bool) -> socket.socket:
    """A UDP socket bound to `address`, which others may be bound to as well. Raises OSError."""
    family = family_of(address)
    opened = socket.socket(family, socket.SOCK_DGRAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if is_shared:
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        opened.bind(address)
    except OSError:
        opened.close()
        raise
    return opened
