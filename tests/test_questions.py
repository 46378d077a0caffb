"""Lookups that say more than a number, in bursts: what they ask, and what answers them."""

import socket
from collections import Counter
from random import Random

import pytest

from prr.core.binder import Binder
from prr.shell.udp.mmsg import OneByOne, received_by
from prr.wire import questions
from prr.wire.frames import Found, Lookup, Role, Unknown
from prr.wire.instance import NAMED, address_of, make_instance
from prr.wire.messages import Plain
from prr.wire.query import FOUND_BYTES, FOUND_IPV6_BYTES, Query
from prr.wire.questions import QUESTION_BYTES_MAX, Asked, Questions, asked_by
from prr.wire.version import Version
from tests.cores import CODECS, decode, encode, rows_in, sent
from tests.samples import sample

CLIENT = ("10.0.2.1", 5000)
LONGEST = "x" * 63
IPV4, IPV6 = ("10.0.1.1", 4000), ("2001:db8::1", 4000)
SERVICES = (7, 255, "ab", "billing", LONGEST)


def question(service, zone="", wide=False) -> bytes:
    """The lookup of a client of ours."""
    number = service if isinstance(service, int) else NAMED
    return encode(Lookup(number, trailer=Query.about(service, wide, zone)))


ALL = [
    Asked(service, zone, wide)
    for service in SERVICES
    for zone in ("", "eu", LONGEST)
    for wide in (False, True)
    if isinstance(service, str) or zone or wide
]

NONE = {
    "bare": b"\x02\x07",
    "not a lookup": b"\x05\x07" + encode(Lookup(7, trailer=Query(zone=b"eu")))[2:],
    "an empty trailer": encode(Lookup(7, trailer=Plain())),
    "no room, by name": encode(Lookup(NAMED, trailer=Query(name=b"a"))),
    "no room, by number": encode(Lookup(7, trailer=Query(wide=1))),
    "cut off": question("billing")[:-1],
    "a byte too many": question("billing") + b"\0",
    "capitals": question("billing").replace(b"b", b"B"),
    "too long to remember": encode(
        Lookup(NAMED, trailer=Query(name=b"b", padding=bytes(QUESTION_BYTES_MAX)))
    ),
}


class Burst(list):
    """Datagrams of one call."""

    def rows(self, at, first, least, most):
        """As of prr.shell.udp.mmsg."""
        return rows_in(self[at:], first, least, most)


def filled() -> Binder:
    """A binder that knows two instances of each service, in a zone, one of them at IPv6."""
    core = Binder(frozenset(), (), 1, Random(1), lease=1e9)
    core.start(0.0)
    for service in SERVICES:
        for address in (IPV4, IPV6):
            core.directory.add(make_instance(service, address), Version(1, 1, 1))
    return core


def test_what_is_asked_is_read_from_the_bytes():
    questions_ = [question(*asked) for asked in ALL]
    assert len(set(questions_)) == len(ALL)
    assert CODECS[Role.BINDER].questions_asked(Burst(questions_), 0) == ALL
    assert [asked_by(decode(one, Role.BINDER)) for one in questions_] == ALL
    assert max(map(len, questions_)) <= QUESTION_BYTES_MAX


@pytest.mark.parametrize("data", NONE.values(), ids=NONE)
def test_a_run_ends_at_what_is_for_the_codec(data):
    good = question("billing")
    asked = CODECS[Role.BINDER].questions_asked
    assert asked(Burst([data, good]), 0) == []
    assert asked(Burst([good, data, good]), 0) == [Asked("billing")]
    assert asked(Burst([good, data, good]), 2) == [Asked("billing")]


def test_room_for_ipv6_is_what_the_question_has():
    short = encode(Lookup(NAMED, trailer=Query(name=b"ab", wide=1)))
    assert len(short) < FOUND_IPV6_BYTES
    assert CODECS[Role.BINDER].questions_asked(Burst([short]), 0) == [Asked("ab", "", False)]


@pytest.mark.parametrize("seed", sample(8, range(20)))
def test_a_run_is_answered_as_its_frames_are_one_by_one(seed):
    rng = Random(seed)
    short, long = filled(), filled()
    codec = CODECS[Role.BINDER]
    for _ in range(20):
        unknown = Asked("nobody", "eu", True)
        burst = Burst(question(*rng.choice([*ALL, unknown])) for _ in range(rng.randrange(1, 64)))
        if rng.random() < 0.5:
            burst = Burst([rng.choice(burst)] * len(burst))
        asked = codec.questions_asked(burst, 0)
        found = short.look_up_asked(asked)
        answers = list(codec.found_read_run(found, asked).datagrams())
        by_hand = [long.handle(decode(one, Role.BINDER), CLIENT, 1.0) for one in burst]
        assert [(decode(one, Role.CLIENT), CLIENT) for one in answers] == [
            answer for effects in by_hand for answer in sent(effects)
        ]
        assert [*map(codec.found, found, asked)] == answers
        assert all(len(one) <= len(data) for one, data in zip(answers, burst, strict=True))


@pytest.mark.parametrize("how", [[True], [False], [True, False, True]])
def test_an_answer_says_where_it_is_and_that_the_question_was_read(how):
    narrow = [make_instance(service, IPV4) for service in SERVICES]
    six = [make_instance(service, IPV6) for service in SERVICES] if how == [True] else []
    codec = CODECS[Role.BINDER]
    for found in ([*narrow, b"", *six], [*narrow, *six], narrow, [b""], []):
        asked = [Asked(7, "eu", how[number % len(how)]) for number in range(len(found) + 1)]
        run = codec.found_read_run(found, asked)
        answers = list(run.datagrams())
        frames = [decode(answer, Role.CLIENT) for answer in answers]
        assert run.count == len(frames) == len(found)
        assert all(frame.trailer == Plain() for frame in frames)
        assert [type(frame) for frame in frames] == [Found if one else Unknown for one in found]
        expected = [address_of(one) for one in found if one]
        assert [frame.address for frame in frames if isinstance(frame, Found)] == expected
        assert answers == [codec.found(one, to) for one, to in zip(found, asked, strict=False)]
        for answer, to in zip(answers, asked, strict=False):
            assert len(answer) <= (FOUND_IPV6_BYTES if to.wide else FOUND_BYTES)
        assert not all(found) or len({*map(len, answers)}) <= len({*how})  # sent as one


def test_who_has_to_wait_is_for_the_long_way():
    core = Binder(frozenset(), (("10.0.0.2", 1),), 1, Random(1))
    core.start(0.0)
    assert not core.is_ready
    core.directory.add(make_instance("billing", IPV4), Version(1, 1, 1))
    asked = [Asked("billing"), Asked("other"), Asked("billing")]
    assert core.look_up_asked(asked) == [make_instance("billing", IPV4)]
    assert sent(core.handle(decode(question("other", "eu", True), Role.BINDER), CLIENT, 0.0)) == []
    core.directory.add(make_instance("other", IPV6), Version(1, 1, 1))
    ((answer, _),) = [one for one in sent(core.tick(100.0)) if one[1] == CLIENT]
    assert answer == Found(IPV6, trailer=Plain())


# What is remembered


class Counting:
    """A decoder that counts."""

    def __init__(self) -> None:
        self.read = Counter()

    def __call__(self, data):
        self.read[data] += 1
        return decode(data, Role.BINDER)


def test_a_question_is_read_once():
    decoder = Counting()
    known = Questions(decoder)
    for _ in range(3):
        assert known.asked(Burst(question(*asked) for asked in ALL), 0) == ALL
    assert set(decoder.read.values()) == {1}
    assert len(decoder.read) == len(ALL)


@pytest.mark.smoke
def test_who_invents_questions_has_those_read_that_nobody_asks_and_no_others(monkeypatch):
    monkeypatch.setattr(questions, "REMEMBERED", 100)
    decoder = Counting()
    known, often = Questions(decoder), question("billing", "eu")
    for number in range(1000):
        invented = [question(f"name-{number}-{more}") for more in range(64)]
        known.asked(Burst([often, *invented]), 0)
    assert decoder.read[often] == 1
    assert max(decoder.read.values()) == 1
    assert known.size == (known.size[0], 200)
    assert 0 < known.size[0] <= 200


def test_what_cannot_be_read_is_not_remembered():
    decoder = Counting()
    known = Questions(decoder)
    for _ in range(3):
        for data in NONE.values():
            assert known.asked(Burst([data]), 0) == []
    assert known.size[0] == 0


# The kernel's burst


KINDS = [
    *map(question, ("billing", LONGEST)),
    question(7, "eu", True),
    b"\x02",
    b"\x02\x07",
    b"\x05" + bytes(20),
    b"",
    question("b-2") + bytes(256),
]


@pytest.mark.parametrize("make", [received_by, OneByOne])
def test_the_kernel_s_burst_gives_the_rows_as_one_by_one_reading_does(make):
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking,
    ):
        bound.bind(("127.0.0.1", 0))
        bound.setblocking(False)
        burst, rng = make(bound), Random(1)
        for _ in range(50):
            datagrams = [rng.choice(KINDS) for _ in range(rng.randint(1, 10))]
            for data in datagrams:
                asking.sendto(data, bound.getsockname())
            while datagrams:
                count = burst.receive()
                taken, datagrams = datagrams[:count], datagrams[count:]
                for start in range(count):
                    for least, most in ((3, 160), (9, 30), (1, 2000)):
                        expected = list(rows_in(taken[start:], b"\x02", least, most))
                        assert list(burst.rows(start, b"\x02", least, most)) == expected
