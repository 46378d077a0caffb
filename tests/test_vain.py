"""What is said in vain is told as by `handle`, and what is not is left to it."""

from ipaddress import ip_network
from itertools import product
from random import Random

import pytest

from prr.config import Require
from prr.core.binder import Binder
from prr.core.effects import Event, Report
from prr.core.gate import Gate
from prr.core.replication.peers import Peers
from prr.core.trust import Trust
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Complaint, Role, Subscribe
from prr.wire.instance import Address, Instance, describe_address, make_instance
from prr.wire.messages import Plain
from tests.cores import rows_in

LEGACY, PEER, STRANGER = ("10.0.7.7", 9), ("10.0.9.1", 2222), ("10.0.8.1", 4000)
SOURCES: list[Address] = [
    LEGACY,
    PEER,
    STRANGER,
    ("2001:db8::1", 4),
    ("ff02::1", 4),
    ("1.2.3.4", 0),
]
HELD, OTHER = make_instance(7, LEGACY), make_instance(7, ("10.0.7.8", 9))
ACCUSED = [HELD, OTHER, make_instance(0, ("0.0.0.0", 0)), make_instance(8, LEGACY)]
TRUSTS = [
    Trust(is_keyed, require, False, (ip_network("10.0.7.0/24"),))
    for is_keyed, require in ((False, Require.OFF), *((True, one) for one in Require))
]


def binder(trust: Trust) -> Binder:
    """One that holds HELD."""
    core = Binder(frozenset(), (PEER,), 1, Random(1), trust=trust)
    core.start(0.0)
    core.tick(5.0)
    core.handle(Subscribe(7), LEGACY, 5.0)
    assert HELD in core.directory
    return core


def state(core: Binder) -> list[object]:
    """All of it that a frame may change: whom it has heard and when, too."""
    return [core.deadline(), core.inspect().directory, core.status(6.0)]


def compare(trust: Trust) -> set[tuple[Instance, Address]]:
    """What is in vain; else it raises AssertionError."""
    found = set()
    for instance, source in product(ACCUSED, SOURCES):
        core = binder(trust)
        before = state(core)
        if (report := core.vain.complaint(instance, source)) is not None:
            found.add((instance, source))
            assert core.handle(Complaint(instance), source, 6.0) == [report]
            assert state(core) == before
    return found


@pytest.mark.parametrize("trust", TRUSTS, ids=lambda trust: f"{trust.is_keyed}-{trust.require}")
def test_what_is_in_vain_is_told_as_by_hand_and_changes_nothing(trust):
    found = compare(trust)
    strangers = {source for _, source in found}
    assert HELD not in {instance for instance, _ in found}
    if trust.require is Require.LOG:
        assert not found  # whose word it was is told
    elif trust.require is Require.ON:
        assert strangers == {LEGACY}
    else:
        assert strangers == {LEGACY, STRANGER, SOURCES[3], SOURCES[5]}
        assert (OTHER, STRANGER) in found


def test_what_is_told_says_whence_it_came():
    told = binder(TRUSTS[0]).vain.complaint(OTHER, STRANGER)
    assert told == Report(Event.NOT_HELD, "a complaint", describe_address(STRANGER))


@pytest.mark.parametrize(
    ("whose", "name", "instead"),
    [
        (Gate, "takes_words", lambda self, ip: True),
        (Peers, "__contains__", lambda self, address: False),
    ],
    ids=["anybody is believed", "peers are strangers"],
)
def test_it_is_noticed_if_a_guard_is_missing(whose, name, instead, monkeypatch):
    monkeypatch.setattr(whose, name, instead)
    with pytest.raises(AssertionError):
        for trust in TRUSTS:
            compare(trust)


class Burst(list):
    def rows(self, at, first, least, most):
        return rows_in(self[at:], first, least, most)


def test_only_a_complaint_that_says_nothing_more_is_read():
    write, read = Codec(Role.CLIENT), Codec(Role.BINDER)
    bare = write.encode(Complaint(OTHER))
    assert read.accused(Burst([b"", bare]), 1) == OTHER
    named, wide = make_instance("billing", LEGACY), make_instance(7, ("2001:db8::1", 4))
    others = [write.encode(Complaint(one)) for one in (named, wide)]
    others += [write.encode(Complaint(OTHER, trailer=Plain())), b"\x05\x07", b"\x04", bare + b"\0"]
    for data in others:
        assert read.accused(Burst([data]), 0) is None


def test_what_is_read_is_what_the_codec_reads():
    rng, read = Random(1), Codec(Role.BINDER)
    for _ in range(2000):
        data = rng.choice((b"\4", b"\4", b"\5")) + rng.randbytes(rng.choice((6, 7, 7, 8)))
        accused = read.accused(Burst([data]), 0)
        try:
            frame = read.decode(data)
        except MalformedFrame:
            frame = None
        assert (accused is not None) == (frame == Complaint(Instance(data[1:])))
