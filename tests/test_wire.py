"""The codec, driven both ways by the table in vectors/wire.txt, and by random frames."""

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

import msgpack
import pytest

from prr.core.replication.pages import PAGE_WORDS
from prr.wire import frames, inquiries, messages, particulars, query, wide
from prr.wire.codec import DATAGRAM_BYTES_MAX
from prr.wire.errors import MalformedFrame, OutOfPlace
from prr.wire.fields import LIST_INSTANCES_MAX
from prr.wire.forms import TABLE
from prr.wire.frames import ListRequest, Response, Role, ServiceList, Unknown
from prr.wire.inquiries import ListPage
from prr.wire.instance import Instance, address_of, encode_address, make_instance, service_of
from prr.wire.keys import KEYS
from prr.wire.messages import DigestReply, Page
from prr.wire.trailer import MARK
from prr.wire.trailer_codec import decode_trailer
from prr.wire.version import (
    Version,
    decode_removals,
    decode_versions,
    encode_removals,
    encode_version,
    encode_versions,
)
from tests.cores import (
    RANDOM_KEYS,
    at,
    behind,
    decode,
    encode,
    random_frame,
    random_instance,
    random_version,
)

pytestmark = pytest.mark.elsewhere

VECTORS = Path(__file__).parent / "vectors" / "wire.txt"
WORDS = {
    **vars(frames),
    **vars(messages),
    **vars(inquiries),
    **vars(query),
    **vars(wide),
    **vars(particulars),
    "at": at,
}
SIZES = (0, 1, 6, 7, 8, 9, 19, 20, 21, 26, 27, 28, 40, 54, 255, 256, 511, 512, 513, 1201)
NUMBERS = (-1, 0, 1, 2, 63, 64, 2**32 - 1, 2**32, 2**64 - 1)
OTHERS = (None, True, False, 1.0, "", "1234567", [], {}, msgpack.ExtType(5, b"1234567"))
NAMED = (b"billing", at("billing", "10.0.0.1", 1))
IPV6 = [encode_address(("2001:db8::1", 1))]
VALUES = [*map(bytes, SIZES), *NUMBERS, *NAMED, *IPV6, *OTHERS]


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    receiver: Role
    data: bytes
    expected: object  # a frame, or the exception that decoding raises
    both_ways: bool


def read_rows() -> list[Row]:
    """The table."""
    lines = VECTORS.read_text().splitlines()
    return [read_row(line) for line in lines if line and not line.startswith("#")]


def read_row(line: str) -> Row:
    """One line: name | receiver | hex | expected | decode only."""
    name, receiver, digits, expected, *remark = (cell.strip() for cell in line.split("|"))
    assert remark in ([], ["decode only"]), line
    errors = {"malformed": MalformedFrame, "out of place": OutOfPlace}
    frame = errors.get(expected) or eval(expected, WORDS)
    return Row(name, Role(receiver), read_bytes(digits), frame, both_ways=not remark)


def read_bytes(digits: str) -> bytes:
    """Hexadecimal words; word*N is the word N times."""
    words = (word.partition("*") for word in digits.split())
    return b"".join(bytes.fromhex(word) * int(times or 1) for word, _, times in words)


ROWS = read_rows()


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.name)
def test_the_table_of_vectors(row):
    if isinstance(row.expected, type):
        with pytest.raises(MalformedFrame) as caught:
            decode(row.data, row.receiver)
        assert caught.type is row.expected
    else:
        assert decode(row.data, row.receiver) == row.expected
        assert (encode(row.expected) == row.data) is row.both_ways
        assert decode(encode(row.expected), row.receiver) == row.expected


def test_the_table_of_vectors_has_every_form_at_every_receiver():
    covered = {(type(row.expected), row.receiver) for row in ROWS if row.both_ways}
    declared = {(form.frame, receiver) for form in TABLE for _, receiver, _ in form.routes}
    assert declared <= covered
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_the_codes_are_the_specs_thirteen_each_frame_has_one_form_and_padding_is_rare():
    assert sorted({form.code for form in TABLE}) == list(range(13))
    assert len({form.frame for form in TABLE}) == len(TABLE)
    assert [form.frame for form in TABLE if form.padded] == [Response]


def test_a_code_is_out_of_place_for_every_role_that_no_route_leads_to():
    rng = Random(1)
    for form in TABLE:
        receivers = {to for row in TABLE if row.code == form.code for _, to, _ in row.routes}
        for stranger in set(Role) - receivers:
            with pytest.raises(OutOfPlace):
                decode(encode(random_frame(rng, form)), stranger)


@pytest.mark.parametrize("form", TABLE, ids=lambda form: form.frame.__name__)
def test_random_frames_come_back_as_they_went(form):
    rng = Random(form.frame.__name__)
    for _ in range(300):
        frame = random_frame(rng, form)
        for _, receiver, _ in form.routes:
            if form.frame is Unknown and receiver is Role.BINDER and len(encode(frame)) == 8:
                continue  # a trailer of seven bytes reads as a complaint: see the vectors
            assert decode(encode(frame), receiver) == frame


@pytest.mark.parametrize("form", TABLE, ids=lambda form: form.frame.__name__)
def test_a_frame_cut_short_or_drawn_out_is_another_form_or_malformed(form):
    rng = Random(form.frame.__name__)
    for _ in range(30):
        frame = random_frame(rng, form, trailer=False)
        data, receiver = encode(frame), form.routes[0].receiver
        others = [data[:size] for size in range(len(data))]
        if not form.padded:
            others += [data + bytes((byte,)) for byte in range(256)]
        for other in others:
            try:
                decoded = decode(other, receiver)
            except MalformedFrame:
                continue
            assert type(decoded) is not form.frame


def test_the_longest_datagram_fits():
    one, version = at(1, "10.0.0.1", 2), Version(2**64 - 1, 2**64 - 1, 2**32 - 1)
    most = {"binder": 2**64 - 1, "nonce": 2**64 - 1}
    page = Page(**most, cursor=b"1234567", group=63, buckets=2**64 - 1)
    there = replace(page, versions=encode_versions([version] * PAGE_WORDS))
    gone = replace(page, removals=encode_removals([(one, version)] * PAGE_WORDS))
    for longest in (
        ServiceList((one,) * LIST_INSTANCES_MAX, trailer=page),
        ServiceList(
            (one,) * LIST_INSTANCES_MAX,
            trailer=ListPage(**most, cursor=b"1234567", states=bytes(LIST_INSTANCES_MAX)),
        ),
        ServiceList((one,) * PAGE_WORDS, trailer=there),
        ServiceList((), trailer=gone),
        ServiceList((), trailer=DigestReply(**most, digest=bytes(8), digests=bytes(512))),
    ):
        assert len(encode(longest)) <= DATAGRAM_BYTES_MAX


def test_the_table_of_vectors_has_every_key_good_and_bad():
    """Of each key a trailer that holds it, and one that holds it with a wrong value."""
    assert list(RANDOM_KEYS) == [key.field for key in KEYS]
    good = [row for row in ROWS if getattr(row.expected, "trailer", None)]
    for key in KEYS:
        wrong = b"\xc1\x81" + bytes((key.number,))
        assert any(
            key.field in row.expected.trailer.values() or wrong in row.data for row in good
        ), key.field
        bad = [row for row in ROWS if row.expected is MalformedFrame and wrong in row.data]
        assert len(bad) >= 2, key.field  # a wrong type, and a wrong size or number


@pytest.mark.parametrize("key", KEYS, ids=lambda key: key.field)
def test_a_key_takes_what_it_says_and_nothing_else(key):
    assert 0 < sum(map(key.is_valid, VALUES)) < len(VALUES) - len(OTHERS)
    for value in VALUES:
        data = b"\x07" + bytes((MARK,)) + msgpack.packb({key.number: value})
        if key.is_valid(value):
            assert decode_trailer(data[1:]) == {key.field: value}
            if key.field != "seal":  # whose bytes have to be one: see test_seals
                assert isinstance(decode(data, Role.BINDER), ListRequest)
        else:
            with pytest.raises(MalformedFrame, match=key.field):
                decode(data, Role.BINDER)


def test_versions_and_removals_come_back_as_they_went():
    rng = Random(1)
    versions = [random_version(rng) for _ in range(100)]
    assert decode_versions(encode_versions(versions)) == versions
    assert b"".join(map(encode_version, versions)) == encode_versions(versions)
    rows = [(random_instance(rng), version) for version in versions]
    assert decode_removals(encode_removals(rows)) == rows
    assert encode_version(Version(1, 2, 3)).hex() == "01" + "00" * 7 + "02" + "00" * 7 + "03000000"


def test_more_than_a_list_may_hold_is_read_but_never_sent():
    one = at(1, "10.0.0.1", 2)
    assert decode(b"\x08\xff" + one * 255, Role.BINDER) == ServiceList((one,) * 255)
    with pytest.raises(AssertionError):
        encode(ServiceList((one,) * 101))


def test_random_maps_are_read_or_malformed_and_unknown_keys_never_matter():
    rng = Random(2)
    known = {key.number: key for key in KEYS}
    values = [None, True, 0, -1, 1.5, "x", b"", b"1234567", [[]], {"a": 2}, msgpack.ExtType(5, b"")]
    keys = [*known, *known, -1, 127, 2**64 - 1, "0", b"0", False, 1.0, 1.5, None]
    read = 0
    for _ in range(10_000):
        pairs = {rng.choice(keys): rng.choice(values) for _ in range(rng.randrange(4))}
        fields = {known[key].field: value for key, value in pairs.items() if key in known}
        is_legal = all(type(key) is int for key in pairs) and all(
            key not in known or known[key].is_valid(value) for key, value in pairs.items()
        )
        data = b"\x07" + bytes((MARK,)) + msgpack.packb(pairs)
        try:
            frame = decode(data, Role.BINDER)
        except MalformedFrame:
            assert not is_legal, pairs
        else:
            assert is_legal, pairs
            assert decode_trailer(data[1:]) == fields
            assert frame == behind(ListRequest(), **fields)
            read += len(fields) > 0
    assert read > 100


def test_an_instance_is_its_seven_bytes_and_says_what_is_in_them():
    instance = make_instance(200, ("192.168.0.254", 0x1234))
    assert instance == Instance(bytes.fromhex("c8c0a800fe3412"))
    assert (service_of(instance), address_of(instance)) == (200, ("192.168.0.254", 0x1234))
