"""Seals: where they stand, what they prove, and the short way for sealed lookups in bursts."""

from dataclasses import replace
from random import Random

import pytest

from prr.core.binder import Binder
from prr.core.introduction import Introduction
from prr.trust.credential import CREDENTIAL_BYTES_MAX, Holder
from prr.trust.keyring import Keyring, secret_id
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Found, Lookup, Role, Subscribe, Unknown, Verify
from prr.wire.instance import NAMED, make_instance
from prr.wire.messages import Challenge, Plain, Started
from prr.wire.query import Query
from prr.wire.questions import QUESTION_BYTES_MAX, REMEMBERED
from prr.wire.seal import SEAL_BYTES_MAX, Fault, Seal, blank, read_seal, tags_in
from prr.wire.version import Version
from tests.cores import CODECS, decode, encode, forms_for, random_frame, rows_in
from tests.keyed import OLD_SECRET, RING, SECRET, STRANGE_SECRET, held_by

pytestmark = pytest.mark.elsewhere

APP = held_by(Holder.CLIENT, "app")
OLD_APP = held_by(Holder.CLIENT, ring=Keyring((OLD_SECRET,)))
WEB = held_by(Holder.SERVER, "web-7", "web")
ANSWER = Seal(5, APP.credential, APP.secret_id)
WORD = Seal(5, session=bytes(25))
BINDER, ASKING, SERVING = (
    Codec(Role.BINDER, keys=RING),
    Codec(Role.CLIENT, keys=APP),
    Codec(Role.SERVER, keys=WEB),
)
IPV4, IPV6 = ("10.0.1.1", 4000), ("2001:db8::1", 4000)


class Burst(list[bytes]):
    """Datagrams that have come together."""

    def rows(self, at, first, least, most):
        return rows_in(self[at:], first, least, most)


def faults(codec: Codec, data: bytes) -> object:
    """What is wrong with the seal of a datagram."""
    try:
        seal = codec.decode(data).seal
    except MalformedFrame:
        return "malformed"
    return "none" if seal is None else seal.fault


def test_what_its_holder_seals_a_binder_opens_and_the_other_way_round():
    asked = BINDER.decode(ASKING.encode(Lookup(7, seal=Seal(2**64 - 1))))
    assert asked.seal == Seal(2**64 - 1, APP.credential, APP.secret_id)
    data = BINDER.encode(Found(IPV4, seal=asked.seal.answer()))
    assert ASKING.decode(data) == Found(IPV4, trailer=Plain(), seal=Seal(2**64 - 1))
    word = Seal(3, session=bytes(range(25)))
    assert BINDER.decode(BINDER.encode(Unknown(seal=word))).seal == word


def test_a_seal_is_skipped_by_whoever_has_no_keys_and_stands_behind_any_frame():
    rng = Random(4)
    for form in forms_for(Role.BINDER):
        for _ in range(20):
            frame = random_frame(rng, form)
            data = BINDER.encode(replace(frame, seal=WORD))
            without, opened = decode(data, Role.BINDER), BINDER.decode(data)
            assert without.seal is None and opened.seal == WORD
            assert opened == replace(without, seal=WORD, trailer=opened.trailer)
            if frame.trailer is not None:
                assert opened.trailer == frame.trailer == without.trailer


def test_whatever_is_altered_proves_nothing():
    rng = Random(5)
    for codec, opening, frame in (
        (ASKING, BINDER, Lookup(7, trailer=Query.about("web"), seal=Seal(5))),
        (SERVING, BINDER, Subscribe(7, trailer=Started(start=9), seal=Seal(5))),
        (BINDER, ASKING, Found(IPV4, seal=ANSWER)),
        (BINDER, BINDER, Unknown(seal=WORD)),
    ):
        data = codec.encode(frame)
        assert faults(opening, data) is None
        for at in range(len(data)):
            for bit in range(8):
                other = bytearray(data)
                other[at] ^= 1 << bit
                assert faults(opening, bytes(other)) is not None
        for _ in range(300):
            cut = rng.randrange(1, len(data))
            assert faults(opening, data[:-cut]) is not None
            assert faults(opening, data + rng.randbytes(cut)) is not None


@pytest.mark.parametrize(
    ("sealing", "frame", "opening"),
    [
        (ASKING, Lookup(7, seal=Seal(5)), Codec(Role.BINDER, keys=Keyring((STRANGE_SECRET,)))),
        (Codec(Role.CLIENT, keys=OLD_APP), Lookup(7, seal=Seal(5)), BINDER),
        (BINDER, Found(IPV4, seal=ANSWER), Codec(Role.CLIENT, keys=held_by(Holder.CLIENT, "b"))),
        (BINDER, Unknown(seal=WORD), ASKING),  # what binders tell each other
        (ASKING, Lookup(7, seal=Seal(5)), Codec(Role.BINDER, keys=APP)),  # its own, reflected
    ],
)
def test_who_has_another_key_proves_nothing(sealing, frame, opening):
    assert faults(opening, sealing.encode(frame)) not in (None, "none")


def test_a_revoked_credential_proves_nothing():
    ring = Keyring((SECRET,), frozenset({"app"}))
    assert faults(Codec(Role.BINDER, keys=ring), ASKING.encode(Lookup(7, seal=Seal(5)))) is (
        Fault.REVOKED
    )


def test_two_tags_are_for_two_secrets_and_one_that_holds_is_enough():
    both = Codec(Role.BINDER, keys=Keyring((SECRET, OLD_SECRET)))
    data = both.encode(Unknown(seal=WORD))
    for secret, fault in ((SECRET, None), (OLD_SECRET, None), (STRANGE_SECRET, Fault.SECRET)):
        assert faults(Codec(Role.BINDER, keys=Keyring((secret,))), data) is fault
    read = read_seal(data)
    assert read is not None and len(list(tags_in(data, read))) == 2


def test_the_longest_seal_is_read():
    value = blank(bytes(CREDENTIAL_BYTES_MAX), 2**64 - 1)
    assert len(value) == SEAL_BYTES_MAX
    read = read_seal(b"\xc1\x81\x1e\xc4" + bytes((len(value),)) + value)
    assert read is not None and read.who == bytes(CREDENTIAL_BYTES_MAX)


def test_random_ends_are_read_without_a_fault_of_ours():
    rng = Random(6)
    for _ in range(20_000):
        data = rng.randbytes(rng.randrange(1, 80))
        for number in (1, 2):
            tail = bytes((rng.randrange(4),)) + rng.randbytes(8) + bytes((number,))
            read_seal(data + b"\x1e\xc4\x1e" + tail + rng.randbytes(20))


def question(service, zone="", wide=False, number=5, held=APP) -> bytes:
    """A client's, sealed."""
    trailer = Query.about(service, wide, zone) or Query(padding=bytes(5))
    type_ = service if isinstance(service, int) else NAMED
    return Codec(Role.CLIENT, keys=held).encode(Lookup(type_, trailer=trailer, seal=Seal(number)))


def test_the_longest_question_of_a_client_is_one_that_is_read_in_bursts():
    held = held_by(Holder.OPERATOR, "x" * 32)
    data = question("x" * 63, "z" * 63, True, held=held)
    assert len(data) <= QUESTION_BYTES_MAX


def test_a_burst_of_sealed_lookups_is_answered_as_each_alone():
    rng = Random(7)
    codec = Codec(Role.BINDER, keys=RING)
    short, long = (Binder(frozenset(), (), 1, Random(1)) for _ in range(2))
    for core in (short, long):
        core.start(0.0)
        for number, service in enumerate((7, "web", "web", "db")):
            core.directory.add(make_instance(service, (f"10.0.1.{number}", 4)), Version(1, 1, 1))
        core.directory.add(make_instance("six", IPV6), Version(1, 1, 1))
    for _ in range(30):
        burst = Burst(
            question(rng.choice((7, 8, "web", "db", "six")), "", rng.random() < 0.5, number)
            for number in range(rng.randrange(1, 64))
        )
        asked = codec.sealed_asked(burst, 0)
        assert len(asked) == len(burst)
        found = short.look_up_asked([one.asked for one in asked], is_proved=True)
        run = codec.found_sealed_run(found, asked)
        answers = list(run.datagrams())
        effects = [long.handle(codec.decode(one), ("10.0.2.1", 5), 1.0)[0] for one in burst]
        assert answers == [
            codec.found(one.found, one.asked, BINDER.decode(data).seal.answer())
            for one, data in zip(effects, burst, strict=True)
        ]
        assert [ASKING.decode(one).seal.number for one in answers] == list(range(len(burst)))
        assert all(len(one) <= len(data) for one, data in zip(answers, burst, strict=True))


def test_a_burst_ends_at_what_proves_nothing():
    codec = Codec(Role.BINDER, keys=RING)
    good = question("web")
    for bad in (
        good[:-1] + bytes((good[-1] ^ 1,)),
        question("web", held=held_by(Holder.CLIENT, "x", ring=Keyring((STRANGE_SECRET,)))),
        encode(Lookup(NAMED, trailer=Query.about("web"))),
        SERVING.encode(Lookup(7, trailer=Query(padding=bytes(9)), seal=Seal(1))),
        good[:40],
    ):
        assert len(codec.sealed_asked(Burst([good, good, bad, good]), 0)) == 2
        assert codec.sealed_asked(Burst([bad]), 0) == []
        assert codec.sealed_asked(Burst([bad]), 0) == []  # nor the second time
        assert codec.questions_asked(Burst([good]), 0) == []


@pytest.mark.smoke
def test_only_what_holds_is_remembered_and_that_is_bounded():
    codec = Codec(Role.BINDER, keys=RING)
    for number in range(REMEMBERED + 100):
        assert codec.sealed_asked(Burst([question("web", f"z{number}")]), 0)
    remembered, most = codec.sealed_remembered
    assert 0 < remembered <= most == REMEMBERED
    codec.change_keys(Keyring((STRANGE_SECRET,)))
    assert codec.sealed_asked(Burst([question("web")]), 0) == []
    assert codec.sealed_remembered == (0, REMEMBERED)


def test_a_question_for_a_proof_has_room_for_any():
    held = held_by(Holder.SERVER, "x" * 32, "y" * 63)
    one = make_instance("y" * 63, IPV6)
    asked = encode(Verify(trailer=Challenge.for_proof(one, 2**64 - 1)))
    said = Introduction("y" * 63, 2**32 - 1, b"", True, True)
    answer = said.answer(decode(asked, Role.SERVER), {one})
    assert answer is not None
    assert len(Codec(Role.SERVER, keys=held).encode(answer)) <= len(asked)


def test_a_binder_counts_what_each_secret_has_proved():
    codec = Codec(Role.BINDER, keys=Keyring((SECRET, OLD_SECRET)))
    new, old = secret_id(SECRET).hex(), secret_id(OLD_SECRET).hex()
    assert codec.opened == {new: 0, old: 0} and list(codec.opened) == [new, old]
    codec.decode(Codec(Role.CLIENT, keys=OLD_APP).encode(Lookup(7, seal=Seal(1))))
    codec.sealed_asked(Burst([question("web")] * 3), 0)
    codec.decode(BINDER.encode(Unknown(seal=WORD)))
    codec.decode(question("web")[:-1] + b"x")
    assert codec.opened == {new: 5, old: 1}  # one was read twice: when it was learned, too
    codec.change_keys(Keyring((SECRET,)))
    assert codec.opened == {new: 0} and CODECS[Role.BINDER].opened == {}
