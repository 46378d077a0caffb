"""Random and mutated queries: each gets an answer that can be read, or none, and nothing grows."""

from random import Random

import pytest
from dnslib import DNSRecord

from prr.shell.dns.answers import TCP_BYTES_MAX
from prr.shell.dns.queries import HEADER, IS_ANSWER, UDP_BYTES_MAX, UDP_BYTES_MIN
from tests.cores import at
from tests.dns import Asked, instances, query

pytestmark = pytest.mark.elsewhere

SEVERAL, MANY = 4_000, 1_000_000
NAMES = ("billing.prr", "_billing._udp.prr", "7.prr", "prr", "_tcp.prr", "10-0-0-1.ip.prr", "a.b")
TYPES = ("A", "AAAA", "SRV", "TXT", "SOA", "NS", "ANY", "AXFR", 4242)


def corpus():
    """Queries as resolvers send them, with options and without."""
    sizes = (None, 0, 512, 1232, 65535)
    said = [query(name, type_, edns=size) for name in NAMES for type_ in TYPES for size in sizes]
    return [*said, query("billing.prr", flags="do"), query("billing.prr", version=1)]


def mutated(rng, data):
    """A query with a few bytes changed, moved, doubled or missing."""
    changed = bytearray(data)
    for _ in range(rng.randint(1, 4)):
        where = rng.randrange(len(changed) + 1)
        match rng.randrange(6):
            case 0 | 1 if where < len(changed):
                changed[where] = rng.choice((0, 0x3F, 0x40, 0xC0, 0xFF, rng.randrange(256)))
            case 2 if where < len(changed):
                changed[where] ^= 1 << rng.randrange(8)
            case 3:
                del changed[where : where + rng.randint(1, 8)]
            case 4:
                changed[where:where] = rng.randbytes(rng.randint(1, 8))
            case 5:
                changed += changed[where:]
    return bytes(changed)


def offered_room(data):
    """What an answer may have: more than the least only where somebody says so in OPT."""
    return UDP_BYTES_MAX if b"\0\x29" in data else UDP_BYTES_MIN


def check(asked, data):
    """One query, over UDP and over TCP."""
    is_query = len(data) >= HEADER.size and not data[2] & IS_ANSWER >> 8
    for most in (UDP_BYTES_MAX, TCP_BYTES_MAX, 0):
        answer = asked.answers.answer(data, most)
        assert (answer is not None) == is_query
        if answer is None:
            continue
        record = DNSRecord.parse(answer)
        assert answer[:2] == data[:2] and record.header.qr and record.header.rcode <= 5
        assert record.header.opcode == data[2] >> 3 & 15
        if most == UDP_BYTES_MAX:
            assert len(answer) <= offered_room(data)
        if most == 0:
            assert len(answer) <= len(data) + 11  # OPT, once its own is cut short
            assert not record.rr


def fuzz(seed, count):
    """So many."""
    rng = Random(seed)
    asked = Asked(*instances("billing", 20), *instances("billing", 20, "2001:db8:"))
    asked.add(at(7, "10.0.0.1", 1), weight=3, tags={"k": "x" * 250})
    queries = corpus()
    for _ in range(count):
        data = rng.choice(queries)
        check(asked, mutated(rng, data) if rng.random() < 0.9 else rng.randbytes(rng.randrange(99)))
        for name, (held, most) in asked.answers.sizes.items():
            assert held <= most, name
    assert asked.answers.sizes["queries"][0] > 100  # some were understood


def test_no_query_breaks_anything():
    fuzz(1, SEVERAL)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_a_million_queries_break_nothing(seed):
    fuzz(100 + seed, MANY // 10)


def test_the_corpus_itself_is_understood():
    asked = Asked(*instances("billing", 20))
    for data in corpus():
        check(asked, data)
        assert DNSRecord.parse(asked.answers.answer(data, UDP_BYTES_MAX)).header.rcode != 1
