"""What stands under each name of the domain. For `prr.`:

    prr.                    SOA, NS
    billing.prr.            A, AAAA and TXT of the instances of a service; 7.prr. likewise
    _billing._udp.prr.      their SRV; _tcp likewise: prr knows no difference
    10-0-0-7.ip.prr.        A of that address, or AAAA: what SRV points to

The last kind needs no state: whatever address is written into a name, that is its address. `ip`,
`_udp` and `_tcp` have nothing themselves, but are there (RFC 8020).

Instances come by the binder's own lookup, so that whoever asks by DNS and whoever asks by a frame
take turns. The next few that are in turn come behind the one whose turn it is.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from ipaddress import ip_address
from typing import NamedTuple, Protocol, TypeAlias

from prr.core.directory.directory import Directory
from prr.core.directory.results import NOBODY
from prr.shell.dns import records
from prr.shell.dns.queries import NOERROR, NXDOMAIN, REFUSED, SERVFAIL
from prr.shell.dns.records import TXT
from prr.text import parse_service
from prr.wire.instance import Instance, Service, address_of, describe_address, is_ipv6
from prr.wire.particulars import decode_particulars
from prr.wire.questions import Asked

INSTANCES_MAX = 16
"""Instances in an answer: as many SRV records as 1,232 bytes hold with IPv6. Who asks again is told
the next ones first."""

TURNS_MAX = 64
"""Turns looked at to find so many: one of weight 16 has many of them."""

IPV6_TURNS_MAX = 512
"""The same to find those at IPv6 addresses among others, 0.05 ms: their turns are not kept apart.
Who has one in a thousand may be told that there is none."""

ROWS_MAX = 1 << 13
"""Records of each kind that are kept, written: some 10 MB in all, if all tags are long."""

TURNS_KEPT_MAX = 1 << 12
"""Services of which it is known who had the last turn at an IPv6 address."""

BELOW = (b"_udp", b"_tcp")
ADDRESSES = b"ip"

IPV6_HYPHENS = 7
"""In the name of an IPv6 address; in one of IPv4 there are three."""


Kinds: TypeAlias = Mapping[int, Callable[[Service], "Found"]]
"""By type, what finds the records of a service."""


class Reading(Protocol):
    """What is asked of a binder."""

    @property
    def is_ready(self) -> bool:
        """What it does not know does not exist."""

    @property
    def directory(self) -> Directory:
        """What it knows."""

    def look_up_asked(self, asked: Sequence[Asked]) -> list[Instance]:
        """Whose turn it is; see `Binder.look_up_asked`."""


class Found(NamedTuple):
    """What stands under a name: a code, the rows of the records, and for each of SRV the row of
    its target's address."""

    code: int
    rows: tuple[bytes, ...] = ()
    targets: tuple[bytes, ...] = ()


class Zone:
    """The domain of one binder."""

    def __init__(
        self, domain: str, ttl: int, server_ip: str, binder: Reading, numbers: Mapping[str, int]
    ) -> None:
        """`domain` as `parse_domain` has it, `ttl` in seconds; `server_ip` is the address that
        NS says; `numbers` are the names that stand for numbers."""
        self._domain = tuple(domain.encode().split(b".")[:-1])
        self._ttl = ttl
        self._binder = binder
        self._numbers = numbers
        self._ipv6_turns: dict[Service, int] = {}
        self._plain: Kinds = {records.A: self._ipv4, records.AAAA: self._ipv6, TXT: self._tags}
        self._prefixed: Kinds = {records.SRV: self._places, TXT: self._tags}
        self._address_row = lru_cache(ROWS_MAX)(self._make_address_row)
        self._srv_row = lru_cache(ROWS_MAX)(self._make_srv_row)
        self._txt_row = lru_cache(ROWS_MAX)(self._make_txt_row)
        server = (_label_of(server_ip), ADDRESSES, *self._domain)
        self.soa = records.soa_row(server, (b"hostmaster", *self._domain), ttl)
        """The row that says for how long something does not exist; its owner is the domain."""
        self._ns = records.ns_row(server, ttl)

    @property
    def domain_bytes(self) -> int:
        """Bytes of its own name."""
        return sum(len(label) + 1 for label in self._domain) + 1

    def finder(self, labels: tuple[bytes, ...], type_: int) -> Callable[[], Found]:
        """What finds the answer about a name, in lower case, and a type, whenever it is called."""
        depth = len(labels) - len(self._domain)
        if labels[max(depth, 0) :] != self._domain or type_ in (records.AXFR, records.IXFR):
            return lambda: Found(REFUSED)
        match labels[:depth]:
            case ():
                return _of({records.SOA: self.soa, records.NS: self._ns}, type_)
            case (below,) if below in BELOW:
                return _of({}, type_)
            case (name, below) if below in BELOW and name.startswith(b"_"):
                return self._of_service(name[1:], self._prefixed, type_)
            case (label, below) if below == ADDRESSES and (ip := _ip_in(label)):
                kind = records.AAAA if ":" in ip else records.A
                return _of({kind: records.address_row(ip, self._ttl)}, type_)
            case (name,):
                find = self._of_service(name, self._plain, type_)
                return find if name != ADDRESSES else lambda: _in_any_case(find())
        return lambda: Found(NXDOMAIN)

    def _of_service(self, name: bytes, kinds: Kinds, type_: int) -> Callable[[], Found]:
        """What finds the records of a service, of one of these kinds."""
        try:
            service = parse_service(name.decode("ascii", "replace"), self._numbers)
        except ValueError:
            return lambda: Found(NXDOMAIN)
        # Of any kind those of one (RFC 8482, 4.1).
        finding = [find for kind, find in kinds.items() if type_ in (kind, records.ANY)]
        return partial(self._find, service, finding)

    def _find(self, service: Service, finding: Sequence[Callable[[Service], Found]]) -> Found:
        for find in finding:
            found = find(service)
            if found.rows:
                return found
        if not self._binder.is_ready:
            return Found(SERVFAIL)
        is_there = self._binder.directory.upcoming(Asked(service, wide=True), 1)
        return Found(NOERROR if is_there else NXDOMAIN)

    def _places(self, service: Service) -> Found:
        ones = self._take_turn(Asked(service, wide=True))
        return Found(NOERROR, (*map(self._srv, ones),), (*map(self._address_row, ones),))

    def _ipv4(self, service: Service) -> Found:
        ones = self._take_turn(Asked(service))
        return Found(NOERROR, (*dict.fromkeys(map(self._address_row, ones)),))

    def _ipv6(self, service: Service) -> Found:
        """Their turns are counted here, in an order of their own: those of SRV and of others who
        take both go on meanwhile."""
        asked = Asked(service, wide=True)
        directory = self._binder.directory
        if directory.slots((asked,)) == directory.slots((Asked(service),)):
            return Found(NOERROR)  # none is at an IPv6 address
        ones = sorted(filter(is_ipv6, directory.upcoming(asked, IPV6_TURNS_MAX)))
        if not ones:
            return Found(NOERROR)
        if len(self._ipv6_turns) >= TURNS_KEPT_MAX:
            self._ipv6_turns.clear()
        turn = self._ipv6_turns[service] = (self._ipv6_turns.get(service, -1) + 1) % len(ones)
        in_order = (ones[turn:] + ones[:turn])[:INSTANCES_MAX]
        return Found(NOERROR, (*dict.fromkeys(map(self._address_row, in_order)),))

    def _tags(self, service: Service) -> Found:
        """Of each instance, where it is, and its tags. Nobody goes there for that: no turn."""
        directory = self._binder.directory
        ones = directory.upcoming(Asked(service, wide=True), TURNS_MAX)[:INSTANCES_MAX]
        rows = (self._txt_row(one, directory.particulars(one)) for one in ones)
        return Found(NOERROR, (*rows,))

    def _take_turn(self, asked: Asked) -> list[Instance]:
        """The instance whose turn it is, which takes it, and those whose turns follow."""
        found = self._binder.look_up_asked((asked,))
        if not found or found[0] is NOBODY:
            return []
        following = self._binder.directory.upcoming(asked, TURNS_MAX)
        return [*dict.fromkeys((found[0], *following))][:INSTANCES_MAX]

    def _srv(self, instance: Instance) -> bytes:
        return self._srv_row(instance, self._binder.directory.particulars(instance))

    def _make_address_row(self, instance: Instance) -> bytes:
        return records.address_row(address_of(instance)[0], self._ttl)

    def _make_srv_row(self, instance: Instance, particulars: bytes) -> bytes:
        ip, port = address_of(instance)
        weight = decode_particulars(particulars).weight
        return records.srv_row(weight, port, (_label_of(ip), ADDRESSES, *self._domain), self._ttl)

    def _make_txt_row(self, instance: Instance, particulars: bytes) -> bytes:
        tags = decode_particulars(particulars).tags
        said = [describe_address(address_of(instance)), *map("=".join, tags.items())]
        return records.txt_row([one.encode() for one in said], self._ttl)


def _of(rows: Mapping[int, bytes], type_: int) -> Callable[[], Found]:
    """What finds the answer about a name that has one record of each of some types."""
    kinds = rows if type_ == records.ANY else (type_,)
    found = Found(NOERROR, tuple(rows[kind] for kind in kinds if kind in rows)[:1])
    return lambda: found


def _in_any_case(found: Found) -> Found:
    """The same of a name that is there whether anything stands under it or not."""
    return Found(NOERROR, found.rows)


def _label_of(ip: str) -> bytes:
    """An address as it is written into a name: all of it, with hyphens."""
    return ip_address(ip).exploded.replace(".", "-").replace(":", "-").encode()


def _ip_in(label: bytes) -> str | None:
    """The address in a name; None if there is none, or it is not written that way."""
    mark = "." if label.count(b"-") < IPV6_HYPHENS else ":"
    try:
        ip = ip_address(label.decode("ascii").replace("-", mark)).compressed
    except ValueError:
        return None
    return ip if _label_of(ip) == label else None
