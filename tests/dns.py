"""What the tests of DNS share: a binder that answers, and queries as resolvers send them."""

from random import Random

from dnslib import EDNS0, QTYPE, RCODE, DNSHeader, DNSQuestion, DNSRecord

from prr.core.binder import Binder
from prr.shell.dns.answers import Answers
from prr.shell.dns.queries import UDP_BYTES_MAX
from prr.shell.dns.zone import Zone
from prr.wire.particulars import Particulars, encode_particulars
from prr.wire.version import Version
from tests.cores import at

DOMAIN = "prr."
ECHO = 7


class Asked:
    """A binder with some instances, and what it answers to queries."""

    def __init__(self, *instances, ttl=0, domain=DOMAIN, is_ready=True):
        self.binder = Binder(frozenset({"10.0.0.9"}), (), 1, Random(1), keeps=True)
        for one in instances:
            self.add(one)
        if is_ready:
            self.binder.start(0.0)
        self.zone = Zone(domain, ttl, "10.0.0.9", self.binder, {"echo": ECHO})
        self.answers = Answers(self.zone)

    @property
    def directory(self):
        """What the binder knows."""
        return self.binder.directory

    def add(self, instance, **said):
        """One more instance, of which its server says so much."""
        particulars = encode_particulars(Particulars(**said))
        version = Version(len(self.directory) + 1, 1, 1)
        self.directory.add(instance, version, particulars=particulars)

    def ask(self, name, type_="A", most=UDP_BYTES_MAX, **said):
        """The answer to a question, read."""
        return read(self.answers.answer(query(name, type_, **said), most))

    def code(self, *asked, **said):
        """Only its code."""
        return code_of(self.ask(*asked, **said))


def query(name, type_="A", class_=1, number=4711, edns=UDP_BYTES_MAX, **extra):
    """The bytes of a query, with EDNS for answers of so many bytes, or without (None). `extra`
    goes into that."""
    kind = getattr(QTYPE, type_) if isinstance(type_, str) else type_
    record = DNSRecord(DNSHeader(id=number, rd=1, qr=0), q=DNSQuestion(name, kind, class_))
    if edns is not None:
        record.add_ar(EDNS0(udp_len=edns, **extra))
    return bytes(record.pack())


def read(answer):
    """An answer, read; it is one, to a query of `query`."""
    record = DNSRecord.parse(answer)
    assert bytes(answer[:2]) == (4711).to_bytes(2, "big")
    assert (record.header.qr, record.header.rd, record.header.ra) == (1, 1, 0)
    return record


def code_of(record):
    """The code of an answer, as one writes it."""
    return RCODE.get(record.header.rcode)


def told(record):
    """The data of the answers, as a zone file has it."""
    return [str(row.rdata) for row in record.rr]


def instances(service, count, network="10.0.0"):
    """So many of a service, each at an address of its own."""
    separator = "." if "." in network else ":"
    return [at(service, f"{network}{separator}{number}", 4242) for number in range(1, count + 1)]
