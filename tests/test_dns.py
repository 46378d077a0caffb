"""From the bytes of a query to the bytes of its answer, without a socket."""

from collections import Counter

import pytest
from dnslib import QTYPE, DNSRecord

from prr.shell.dns import answers, zone
from prr.shell.dns.answers import TCP_BYTES_MAX
from prr.shell.dns.queries import QUERY_BYTES_MAX, UDP_BYTES_MAX, read_query
from prr.shell.dns.zone import INSTANCES_MAX
from prr.text import DOMAIN_BYTES_MAX, parse_domain
from prr.wire.instance import address_of
from prr.wire.questions import Asked as Wanted
from tests.cores import at
from tests.dns import Asked, code_of, instances, query, read, told

pytestmark = pytest.mark.elsewhere

A, B, C = instances("billing", 3)
SIX, SEVEN = instances("billing", 2, "2001:db8:")


def test_a_service_is_found_by_its_records():
    asked = Asked(A)
    asked.add(at(7, "10.0.0.5", 99), weight=3, tags={"disk": "ssd", "a": "b=c"})
    assert told(asked.ask("_billing._udp.prr", "SRV")) == ["0 1 4242 10-0-0-1.ip.prr."]
    assert told(asked.ask("_billing._tcp.prr", "SRV")) == ["0 1 4242 10-0-0-1.ip.prr."]
    assert told(asked.ask("billing.prr")) == ["10.0.0.1"]
    assert told(asked.ask("billing.prr", "TXT")) == ['"10.0.0.1:4242"']
    for name in ("_7._udp.prr", "_echo._udp.prr"):
        assert told(asked.ask(name, "SRV")) == ["0 3 99 10-0-0-5.ip.prr."]
        assert told(asked.ask(name, "TXT")) == ['"10.0.0.5:99","a=b=c","disk=ssd"']
    assert told(asked.ask("7.prr")) == told(asked.ask("echo.prr")) == ["10.0.0.5"]


def test_what_srv_points_to_comes_along_and_can_be_asked_for():
    asked = Asked(A, SIX)
    found = asked.ask("_billing._udp.prr", "SRV")
    targets = {str(row.rname): str(row.rdata) for row in found.ar if row.rtype != QTYPE.OPT}
    assert targets == {
        "10-0-0-1.ip.prr.": "10.0.0.1",
        "2001-0db8-0000-0000-0000-0000-0000-0001.ip.prr.": "2001:db8::1",
    }
    assert {str(row.rdata.target) for row in found.rr} == targets.keys()
    for name, ip in targets.items():
        kind = "AAAA" if ":" in ip else "A"
        assert told(asked.ask(name, kind)) == [ip]
        other = asked.ask(name, "A" if ":" in ip else "AAAA")
        assert (code_of(other), other.rr) == ("NOERROR", [])


@pytest.mark.parametrize(
    ("name", "type_", "code"),
    [
        ("billing.prr", "AAAA", "NOERROR"),
        ("billing.prr", "MX", "NOERROR"),
        ("billing.prr", 65280, "NOERROR"),
        ("billing.prr", "SRV", "NOERROR"),
        ("_billing._udp.prr", "A", "NOERROR"),
        ("_udp.prr", "SRV", "NOERROR"),
        ("_tcp.prr", "A", "NOERROR"),
        ("ip.prr", "A", "NOERROR"),
        ("prr", "A", "NOERROR"),
        ("six.prr", "A", "NOERROR"),
        ("none.prr", "A", "NXDOMAIN"),
        ("none.prr", "MX", "NXDOMAIN"),
        ("8.prr", "A", "NXDOMAIN"),
        ("256.prr", "A", "NXDOMAIN"),
        ("-.prr", "A", "NXDOMAIN"),
        ("_none._udp.prr", "SRV", "NXDOMAIN"),
        ("none._udp.prr", "SRV", "NXDOMAIN"),
        ("_billing._sctp.prr", "SRV", "NXDOMAIN"),
        ("_._udp.prr", "SRV", "NXDOMAIN"),
        ("a._billing._udp.prr", "SRV", "NXDOMAIN"),
        ("a.billing.prr", "A", "NXDOMAIN"),
        ("10-0-0-256.ip.prr", "A", "NXDOMAIN"),
        ("10-0-0-01.ip.prr", "A", "NXDOMAIN"),
        ("2001-db8--1.ip.prr", "AAAA", "NXDOMAIN"),
        ("billing.ip.prr", "A", "NXDOMAIN"),
    ],
)
def test_what_is_not_there_is_told_with_an_soa_from_what_is_there_without(name, type_, code):
    asked = Asked(A, at("six", "2001:db8::1", 1), ttl=1)
    found = asked.ask(name, type_)
    assert (code_of(found), found.rr, found.header.aa) == (code, [], 1)
    (soa,) = found.auth
    assert (str(soa.rname), soa.rtype, soa.ttl) == ("prr.", QTYPE.SOA, 1)
    assert str(soa.rdata) == "10-0-0-9.ip.prr. hostmaster.prr. 1 86400 86400 86400 1"


@pytest.mark.parametrize(
    ("name", "type_", "class_", "code"),
    [
        ("example.com", "A", 1, "REFUSED"),
        (".", "NS", 1, "REFUSED"),
        ("xprr", "A", 1, "REFUSED"),
        ("prr", "AXFR", 1, "REFUSED"),
        ("billing.prr", "IXFR", 1, "REFUSED"),
        ("billing.prr", "A", 3, "REFUSED"),
        ("billing.prr", "A", 255, "REFUSED"),
    ],
)
def test_what_is_no_business_of_this_server_is_refused(name, type_, class_, code):
    found = Asked(A).ask(name, type_, class_=class_)
    assert (code_of(found), found.rr, found.auth, found.header.aa) == (code, [], [], 0)
    assert str(found.q.qname).rstrip(".") == name.rstrip(".")


def test_the_domain_has_records_of_its_own_and_another_name_if_it_is_told_so():
    asked = Asked(A, domain="eu.example.")
    assert told(asked.ask("eu.example", "NS")) == ["10-0-0-9.ip.eu.example."]
    assert told(asked.ask("10-0-0-9.ip.eu.example")) == ["10.0.0.9"]
    assert len(told(asked.ask("eu.example", "SOA"))) == 1
    assert told(asked.ask("_billing._udp.eu.example", "SRV")) == [
        "0 1 4242 10-0-0-1.ip.eu.example."
    ]
    assert asked.code("example") == asked.code("billing.prr") == "REFUSED"
    assert str(asked.ask("none.eu.example").auth[0].rname) == "eu.example."


def test_any_is_one_of_what_there_is():
    asked = Asked(A, B, at("six", "2001:db8::1", 1))
    assert told(asked.ask("billing.prr", "ANY")) == ["10.0.0.1", "10.0.0.2"]
    assert told(asked.ask("six.prr", "ANY")) == ["2001:db8::1"]
    assert len(told(asked.ask("_billing._udp.prr", "ANY"))) == 2
    assert len(told(asked.ask("prr", "ANY"))) == 1
    assert asked.code("none.prr", "ANY") == "NXDOMAIN"


def test_each_query_takes_a_turn_among_those_of_frames():
    asked = Asked(A, B, C)
    turns = []
    for _ in range(4):
        turns.append(told(asked.ask("billing.prr")))
        (found,) = asked.binder.look_up_asked([Wanted("billing")])
        turns.append([address_of(found)[0]])
    assert [one[0] for one in turns] == [f"10.0.0.{1 + number % 3}" for number in range(8)]
    assert turns[0] == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]
    assert turns[2] == ["10.0.0.3", "10.0.0.1", "10.0.0.2"]


@pytest.mark.parametrize("type_", ["MX", "TXT", "AAAA"])
def test_who_is_told_of_no_instance_takes_no_turn(type_):
    asked = Asked(A, B, C)
    assert told(asked.ask("billing.prr"))[0] == "10.0.0.1"
    asked.ask("billing.prr", type_)
    assert told(asked.ask("billing.prr"))[0] == "10.0.0.2"


def test_weights_are_told_and_have_as_many_turns():
    asked = Asked(A)
    asked.add(B, weight=3)
    firsts = Counter(told(asked.ask("_billing._udp.prr", "SRV"))[0] for _ in range(8))
    assert firsts == {"0 1 4242 10-0-0-1.ip.prr.": 2, "0 3 4242 10-0-0-2.ip.prr.": 6}


def test_a_weight_that_changes_is_told_as_it_is_then():
    asked = Asked(A)
    assert told(asked.ask("_billing._udp.prr", "SRV"))[0].startswith("0 1 ")
    asked.add(A, weight=5)
    assert told(asked.ask("_billing._udp.prr", "SRV"))[0].startswith("0 5 ")


def test_only_those_in_turn_are_named_and_suspects_while_there_is_no_other():
    asked = Asked(A, B, C)
    asked.directory.suspect(A)
    asked.directory.suspect(B)
    for _ in range(3):
        assert told(asked.ask("billing.prr")) == ["10.0.0.3"]
    asked.directory.suspect(C)
    assert sorted(told(asked.ask("billing.prr"))) == ["10.0.0.1", "10.0.0.2", "10.0.0.3"]


def test_an_address_is_named_once_however_many_instances_it_has():
    asked = Asked(*(at("billing", "10.0.0.1", port) for port in range(1, 9)))
    assert told(asked.ask("billing.prr")) == ["10.0.0.1"]
    found = asked.ask("_billing._udp.prr", "SRV")
    assert len(told(found)) == 8
    assert [str(row.rdata) for row in found.ar if row.rtype != QTYPE.OPT] == ["10.0.0.1"]


def test_of_many_some_are_named_and_in_time_all():
    asked = Asked(*instances("billing", 200))
    seen = Counter()
    for number in range(200):
        rows = told(asked.ask("billing.prr"))
        assert rows == [f"10.0.0.{1 + (number + at) % 200}" for at in range(INSTANCES_MAX)]
        seen.update(rows[:1])
    assert set(seen.values()) == {1} and len(seen) == 200


def test_those_at_ipv6_addresses_have_turns_of_their_own():
    asked = Asked(A, SIX, B, SEVEN)
    firsts = [told(asked.ask("billing.prr", "AAAA")) for _ in range(4)]
    assert firsts == [["2001:db8::1", "2001:db8::2"], ["2001:db8::2", "2001:db8::1"]] * 2
    assert told(asked.ask("billing.prr"))[0] == "10.0.0.1"  # nobody's turn was lost
    assert len(told(asked.ask("_billing._udp.prr", "SRV"))) == 4


@pytest.mark.parametrize("others", [1, 2, 3])
def test_the_turns_of_ipv6_go_on_whoever_else_asks(others):
    asked = Asked(SIX, SEVEN)
    firsts = Counter()
    for _ in range(6):
        firsts.update(told(asked.ask("billing.prr", "AAAA"))[:1])
        for _ in range(others):
            asked.ask("_billing._udp.prr", "SRV")
    assert firsts == {"2001:db8::1": 3, "2001:db8::2": 3}


def test_the_turns_of_ipv6_that_are_remembered_are_bounded(monkeypatch):
    monkeypatch.setattr(zone, "TURNS_KEPT_MAX", 3)
    asked = Asked(*(at(f"s{number}", "2001:db8::1", 1) for number in range(9)))
    for number in range(9):
        assert told(asked.ask(f"s{number}.prr", "AAAA")) == ["2001:db8::1"]


def test_who_does_not_know_yet_does_not_deny():
    asked = Asked(A, is_ready=False)
    assert told(asked.ask("billing.prr")) == ["10.0.0.1"]
    for name, type_ in (("none.prr", "A"), ("billing.prr", "AAAA"), ("_none._udp.prr", "SRV")):
        found = asked.ask(name, type_)
        assert (code_of(found), found.auth, found.header.aa) == ("SERVFAIL", [], 0)
    assert asked.code("prr", "SOA") == asked.code("_udp.prr") == "NOERROR"
    asked.binder.start(0.0)
    assert asked.code("none.prr") == "NXDOMAIN"


def test_the_question_comes_back_in_its_own_letters():
    data = query("_BilLinG._uDP.pRR", "SRV")
    answer = Asked(A).answers.answer(data, UDP_BYTES_MAX)
    size = len("_BilLinG._uDP.pRR") + 2 + 4
    assert answer[12 : 12 + size] == data[12 : 12 + size]
    assert str(read(answer).rr[0].rname) == "_BilLinG._uDP.pRR."


@pytest.mark.parametrize("ttl", [0, 1])
def test_every_record_has_the_ttl_that_is_set(ttl):
    asked = Asked(A, SIX, ttl=ttl)
    for name, type_ in (("billing.prr", "A"), ("_billing._udp.prr", "SRV"), ("prr", "NS")):
        found = asked.ask(name, type_)
        assert {row.ttl for row in found.rr + found.ar if row.rtype != QTYPE.OPT} == {ttl}


# EDNS and sizes.


def test_options_are_answered_with_options_and_only_they():
    asked = Asked(A)
    (said,) = asked.ask("billing.prr", edns=4096).ar
    assert (said.rtype, said.edns_len, said.edns_ver, said.edns_do) == (41, UDP_BYTES_MAX, 0, 0)
    (said,) = asked.ask("billing.prr", flags="do").ar
    assert said.edns_do == 1
    assert asked.ask("billing.prr", edns=None).ar == []


def test_a_version_of_options_that_nobody_knows_is_told_apart():
    found = Asked(A).ask("billing.prr", version=1)
    (said,) = found.ar
    assert (said.edns_rcode, found.header.rcode, said.edns_ver, found.rr) == (1, 0, 0, [])


@pytest.mark.parametrize(("edns", "most"), [(None, 512), (0, 512), (512, 512), (900, 900)])
def test_an_answer_is_as_long_as_the_sender_takes_and_says_what_is_missing(edns, most):
    asked = Asked(*instances("billing", 16, "2001:db8:"))
    data = query("_billing._udp.prr", "SRV", edns=edns)
    answer = asked.answers.answer(data, UDP_BYTES_MAX)
    cut = read(answer)
    assert most - 100 < len(answer) <= most and cut.header.tc == 1
    assert 0 < len(cut.rr) < 16
    whole = read(asked.answers.answer(data, TCP_BYTES_MAX))
    assert (len(whole.rr), whole.header.tc) == (16, 0)
    assert len([row for row in whole.ar if row.rtype != QTYPE.OPT]) == 16


def test_all_records_fit_where_the_sender_has_options_and_some_addresses_beside_them():
    asked = Asked(*instances("billing", 99, "2001:db8:"))
    data = query("_billing._udp.prr", "SRV", edns=4096)
    answer = asked.answers.answer(data, UDP_BYTES_MAX)
    found = read(answer)
    assert len(answer) <= UDP_BYTES_MAX
    assert (len(found.rr), found.header.tc) == (INSTANCES_MAX, 0)
    names = [row.rname for row in found.ar if row.rtype == QTYPE.AAAA]
    assert names == [row.rdata.target for row in found.rr][: len(names)]


def test_the_longest_tags_go_over_tcp():
    asked = Asked()
    for one in instances("billing", 16):
        asked.add(one, tags={"k": "x" * 254})
    cut = asked.ask("billing.prr", "TXT")
    assert cut.header.tc == 1 and len(cut.rr) == 4
    whole = asked.ask("billing.prr", "TXT", most=TCP_BYTES_MAX)
    assert len(whole.rr) == 16 and whole.header.tc == 0
    assert [len(part) for part in whole.rr[0].rdata.data] == [13, 255, 1]


def test_whoever_is_to_come_by_tcp_takes_no_turn_and_is_told_nothing_else():
    asked = Asked(A, B)
    for name in ("_billing._udp.prr", "none.prr", "prr"):
        data = query(name, "SRV")
        answer = asked.answers.answer(data, 0)
        found = read(answer)
        assert (found.header.tc, found.rr, found.auth) == (1, [], [])
        assert len(answer) <= len(data)
    assert told(asked.ask("billing.prr"))[0] == "10.0.0.1"


# What is malformed.


def message(bits=0x0100, counts=(1, 0, 0, 0), rest=None):
    """A message with this header."""
    numbers = (4711, bits, *counts)
    rest = query("billing.prr", edns=None)[12:] if rest is None else rest
    return b"".join(number.to_bytes(2, "big") for number in numbers) + rest


@pytest.mark.parametrize("size", range(12))
def test_what_is_too_short_gets_no_answer(size):
    assert Asked(A).answers.answer(query("billing.prr")[:size], UDP_BYTES_MAX) is None


def test_an_answer_gets_no_answer():
    assert Asked(A).answers.answer(message(bits=0x8100), UDP_BYTES_MAX) is None


LABEL = b"\x07billing\x03prr\x00"
ROOT_OPT = b"\x00\x00\x29\x04\xd0\x00\x00\x00\x00\x00\x00"


@pytest.mark.parametrize(
    ("bits", "counts", "rest", "code"),
    [
        (0x0900, (1, 0, 0, 0), None, "NOTIMP"),
        (0x1100, (1, 0, 0, 0), b"", "NOTIMP"),
        (0x2900, (1, 0, 1, 0), None, "NOTIMP"),
        (0x7900, (1, 0, 0, 0), None, "NOTIMP"),
        (0x0100, (0, 0, 0, 0), b"", "FORMERR"),
        (0x0100, (2, 0, 0, 0), None, "FORMERR"),
        (0x0100, (1, 1, 0, 0), None, "FORMERR"),
        (0x0100, (1, 0, 1, 0), None, "FORMERR"),
        (0x0100, (1, 0, 0, 3), None, "FORMERR"),
        (0x0100, (1, 0, 0, 1), None, "FORMERR"),
        (0x0100, (1, 0, 0, 0), b"", "FORMERR"),
        (0x0100, (1, 0, 0, 0), LABEL, "FORMERR"),
        (0x0100, (1, 0, 0, 0), LABEL + b"\0\1\0", "FORMERR"),
        (0x0100, (1, 0, 0, 0), b"\xc0\x0c\0\1\0\1", "FORMERR"),
        (0x0100, (1, 0, 0, 0), b"\xc0\x00\0\1\0\1", "FORMERR"),
        (0x0100, (1, 0, 0, 0), b"\x01a\xc0\x04\0\1\0\1", "FORMERR"),
        (0x0100, (1, 0, 0, 0), b"\x40" + b"a" * 64 + b"\0\0\1\0\1", "FORMERR"),
        (0x0100, (1, 0, 0, 0), b"\x01a" * 128 + b"\0\0\1\0\1", "FORMERR"),
        (0x0100, (1, 0, 0, 1), LABEL + b"\0\1\0\1" + b"\x01a" + ROOT_OPT, "FORMERR"),
        (0x0100, (1, 0, 0, 2), LABEL + b"\0\1\0\1" + ROOT_OPT * 2, "FORMERR"),
        (0x0100, (1, 0, 0, 1), LABEL + b"\0\1\0\1" + ROOT_OPT[:-1] + b"\7", "FORMERR"),
        (0x0100, (1, 0, 0, 0), LABEL + b"\0\1\0\1" + bytes(QUERY_BYTES_MAX), "FORMERR"),
    ],
)
def test_what_is_malformed_is_told_so_and_no_more(bits, counts, rest, code):
    data = message(bits, counts, rest)
    asked = Asked(A)
    answer = asked.answers.answer(data, UDP_BYTES_MAX)
    assert code_of(DNSRecord.parse(answer)) == code
    assert len(answer) == 12 and answer[:2] == data[:2]
    assert int.from_bytes(answer[2:4], "big") & 0x7900 == bits & 0x7900
    assert asked.answers.sizes["queries"][0] == 0


def test_a_name_as_long_as_names_can_be_is_answered():
    rest = b"\x01a" * 125 + b"\x03prr" + b"\0\0\1\0\1"
    answer = Asked(A).answers.answer(message(rest=rest), UDP_BYTES_MAX)
    assert read(answer).header.rcode == 3  # 255 bytes


def test_the_longest_domain_has_room_for_the_longest_names():
    domain = parse_domain(".".join(["d" * 63, "d" * 63, "d"])[:DOMAIN_BYTES_MAX])
    asked = Asked(at("x" * 62, "2001:db8::1", 1), ttl=1, domain=domain)
    assert len(told(asked.ask(f"_{'x' * 62}._udp.{domain}", "SRV"))) == 1
    assert asked.code(f"{'y' * 63}.{domain}") == "NXDOMAIN"


def test_queries_are_known_again_by_all_but_their_number(monkeypatch):
    asked = Asked(A)
    for number in range(9):
        answer = asked.answers.answer(query("billing.prr", number=number), UDP_BYTES_MAX)
        assert int.from_bytes(answer[:2], "big") == number
    assert asked.answers.sizes["queries"][0] == 1
    asked.ask("billing.prr", edns=None)
    assert asked.answers.sizes["queries"][0] == 2
    assert asked.code(".".join(["x" * 63] * 3) + ".prr") == "NXDOMAIN"
    assert asked.answers.sizes["queries"][0] == 2  # that is too long
    monkeypatch.setattr(answers, "KNOWN_MAX", 5)
    for number in range(20):
        assert asked.code(f"n{number}.prr") == "NXDOMAIN"
        assert asked.answers.sizes["queries"][0] <= 5
    monkeypatch.setattr(answers, "WRITTEN_MAX", 5)
    for number in range(20):
        assert asked.code(f"m{number}.prr") == "NXDOMAIN"
        assert asked.answers.sizes["answers"][0] <= 5
    assert read_query(query("billing.prr")) == read_query(query("billing.prr"))
