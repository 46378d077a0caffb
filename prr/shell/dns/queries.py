"""A DNS query as it came: what can be told of it before anybody knows what stands under its name.

Read with dnslib. What it lets pass and the RFCs do not is looked for here.
"""

import struct

from dnslib import DNSBuffer, DNSQuestion

from prr.record import record
from prr.shell.dns.records import CLASS_IN, OPT, options_row, read_row
from prr.wire.instance import NAME_BYTES_MAX

HEADER = struct.Struct(">6H")
"""Number, flags, and how many questions, answers, authorities and additional records there are
(RFC 1035, 4.1.1)."""

IS_ANSWER, IS_AUTHORITY, IS_TRUNCATED = 0x8000, 0x0400, 0x0200
_KEPT = 0x7900  # the kind of query, and whether recursion is desired: an answer repeats both
_KIND = 0x7800

NOERROR, FORMERR, SERVFAIL, NXDOMAIN, NOTIMP, REFUSED = range(6)
_BADVERS = 1  # in the upper bits of the code, which stand in OPT (RFC 6891, 9)

QUERY_BYTES_MAX = 512
"""A question has 284 bytes at the most; the rest is for options (RFC 6891), which nobody reads."""

UDP_BYTES_MAX = 1232
"""Of an answer over UDP: fits any path without fragments (1,280 bytes, RFC 8200, 5)."""

UDP_BYTES_MIN = 512
"""What everybody takes (RFC 1035, 2.3.4)."""

_EXTRA_MAX = 2
"""Additional records of a query: OPT, and a signature that is not read."""

_QUESTION_END_BYTES = 5  # the root's label, type and class
_NAME_BYTES_MAX = 255  # RFC 1035, 2.3.4


@record
class Query:
    """What is known of a query. With a `refusal`, a code that is not NOERROR, that is the answer.

    `flags` are those of the answer, `question` is the one that it repeats, `options` its OPT record
    (b"" where the query has none), and `room` the bytes that its sender takes over UDP. `labels`
    are in lower case.
    """

    flags: int
    refusal: int = NOERROR
    question: bytes = b""
    options: bytes = b""
    room: int = UDP_BYTES_MIN
    labels: tuple[bytes, ...] = ()
    type: int = 0
    is_supported: bool = True
    """The version of its options is known; if not, an answer says so (BADVERS) and nothing else."""


def read_query(data: bytes) -> Query | None:
    """What a query says; None for what gets no answer: an answer, which might come from somebody
    who takes ours for a query, and what is too short to be either."""
    if len(data) < HEADER.size:
        return None
    _, bits, *counts = HEADER.unpack_from(data)
    if bits & IS_ANSWER:
        return None
    flags = IS_ANSWER | bits & _KEPT
    if bits & _KIND:
        return Query(flags, NOTIMP)
    extra = counts.pop()
    if counts != [1, 0, 0] or extra > _EXTRA_MAX or len(data) > QUERY_BYTES_MAX:
        return Query(flags, FORMERR)
    try:
        return _read(flags, data, extra)
    except Exception:  # dnslib raises whatever it stumbles over
        return Query(flags, FORMERR)


def _read(flags: int, data: bytes, extra: int) -> Query:
    """Raises whatever exception if this is malformed."""
    buffer = DNSBuffer(data)
    buffer.offset = HEADER.size
    asked = DNSQuestion.parse(buffer)
    question = data[HEADER.size : buffer.offset]
    labels = tuple(label.lower() for label in asked.qname.label)
    _check_name(labels, question)
    rows = [read_row(buffer) for _ in range(extra)]
    options = [row for row in rows if row.rtype == OPT]
    if len(options) > 1 or any(row.rname.label for row in options):
        raise ValueError("more than one OPT, or one with a name")
    refusal = NOERROR if asked.qclass == CLASS_IN else REFUSED
    if not options:
        return Query(flags, refusal, question, labels=labels, type=asked.qtype)
    (said,) = options
    is_supported = said.edns_ver == 0
    return Query(
        flags,
        refusal,
        question,
        options_row(UDP_BYTES_MAX, 0 if is_supported else _BADVERS, said.edns_do),
        min(max(said.edns_len, UDP_BYTES_MIN), UDP_BYTES_MAX),
        labels,
        asked.qtype,
        is_supported,
    )


def _check_name(labels: tuple[bytes, ...], question: bytes) -> None:
    """A question's name is written out, as nothing stands before it that it could point to."""
    size = sum(len(label) + 1 for label in labels)
    if size + _QUESTION_END_BYTES != len(question) or size + 1 > _NAME_BYTES_MAX:
        raise ValueError("a name that is too long, or points somewhere")
    if any(len(label) > NAME_BYTES_MAX for label in labels):
        raise ValueError("a label that is too long")
