"""Records of DNS in bytes, written by dnslib, without the name of their owner.

dnslib takes a millisecond to write an answer of sixteen records, and lookups would wait for it. So
each record is written once and kept, and an answer is put together of such rows.
"""

from collections.abc import Sequence
from ipaddress import IPv6Address
from typing import Any

import dnslib
from dnslib import RD, RR, DNSBuffer, DNSLabel

from prr.wire.instance import is_ipv6_address

A, NS, SOA, TXT, AAAA, SRV, OPT, IXFR, AXFR, ANY = 1, 2, 6, 16, 28, 33, 41, 251, 252, 255
CLASS_IN = 1

TARGET_AT = 16
"""Where, in the row of an SRV record, the name of its target begins (RFC 2782)."""

_TEXT_BYTES_MAX = 255
"""Of one string of a TXT record (RFC 1035, 3.3)."""

_DAY = 86400  # seconds; for secondary servers, of which there are none


def read_row(buffer: Any) -> Any:  # noqa: ANN401 dnslib has no types
    """The next record of a message."""
    return RR.parse(buffer)


def name(labels: Sequence[bytes]) -> bytes:
    """A name as it is written where nothing is abbreviated."""
    buffer = DNSBuffer()
    buffer.encode_name(DNSLabel(labels))
    return bytes(buffer.data)


def address_row(ip: str, ttl: int) -> bytes:
    """The A or AAAA record of an address; `ttl` in seconds, here as below."""
    if is_ipv6_address((ip, 0)):
        return _row(AAAA, ttl, dnslib.AAAA(tuple(IPv6Address(ip).packed)))
    return _row(A, ttl, dnslib.A(ip))


def srv_row(weight: int, port: int, target: Sequence[bytes], ttl: int) -> bytes:
    """An SRV record of the best priority."""
    return _row(SRV, ttl, dnslib.SRV(0, weight, port, DNSLabel(target)))


def txt_row(strings: Sequence[bytes], ttl: int) -> bytes:
    """A TXT record. A string of more than 255 bytes goes on in the next one."""
    parts = [
        string[at : at + _TEXT_BYTES_MAX]
        for string in strings
        for at in range(0, len(string), _TEXT_BYTES_MAX)
    ]
    return _row(TXT, ttl, dnslib.TXT(parts))


def ns_row(server: Sequence[bytes], ttl: int) -> bytes:
    """An NS record."""
    return _row(NS, ttl, dnslib.NS(DNSLabel(server)))


def soa_row(server: Sequence[bytes], mailbox: Sequence[bytes], ttl: int) -> bytes:
    """An SOA record. What does not exist may be remembered for `ttl`, too (RFC 2308, 4)."""
    times = (1, _DAY, _DAY, _DAY, ttl)
    return _row(SOA, ttl, dnslib.SOA(DNSLabel(server), DNSLabel(mailbox), times))


def options_row(room: int, upper_code: int, is_secure: bool) -> bytes:
    """OPT, with its name: how many bytes this server takes over UDP, the upper bits of the code,
    and the DO bit, which repeats the query's (RFC 3225, 3)."""
    flags = upper_code << 24 | is_secure << 15
    return b"\0" + _packed(RR(DNSLabel(()), OPT, room, flags, []))


def _row(type_: int, ttl: int, data: RD) -> bytes:
    return _packed(RR(DNSLabel(()), type_, CLASS_IN, ttl, data))


def _packed(row: RR) -> bytes:
    """All of it behind the owner's name, which is the root's here; no name is abbreviated, since
    nobody knows yet where it will stand."""
    buffer = DNSBuffer()
    buffer.encode_name = buffer.encode_name_nocompress
    row.pack(buffer)
    return bytes(buffer.data[1:])
