"""The codec, driven both ways by the table in vectors/wire.txt, and by random frames."""

from dataclasses import dataclass
from pathlib import Path
from random import Random

import msgpack
import pytest

from prr.wire import frames
from prr.wire.address import Instance, address_of, make_instance, type_of
from prr.wire.codec import DATAGRAM_BYTES_MAX, decode, encode
from prr.wire.errors import MalformedFrame, OutOfPlace
from prr.wire.frames import TABLE, Response, Role, ServiceList
from prr.wire.trailer import KEYS, MARK, Trailer
from tests.cores import at, random_frame

VECTORS = Path(__file__).parent / "vectors" / "wire.txt"
WORDS = {**vars(frames), "Trailer": Trailer, "at": at}


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
    declared = {(form.frame, receiver) for form in TABLE for _, receiver in form.routes}
    assert declared <= covered
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_the_codes_are_the_specs_thirteen_each_frame_has_one_form_and_padding_is_rare():
    assert sorted({form.code for form in TABLE}) == list(range(13))
    assert len({form.frame for form in TABLE}) == len(TABLE)
    assert [form.frame for form in TABLE if form.padded] == [Response]


def test_a_code_is_out_of_place_for_every_role_that_no_route_leads_to():
    rng = Random(1)
    for form in TABLE:
        receivers = {to for row in TABLE if row.code == form.code for _, to in row.routes}
        for stranger in set(Role) - receivers:
            with pytest.raises(OutOfPlace):
                decode(encode(random_frame(rng, form)), stranger)


@pytest.mark.parametrize("form", TABLE, ids=lambda form: form.frame.__name__)
def test_random_frames_come_back_as_they_went(form):
    rng = Random(form.frame.__name__)
    for _ in range(300):
        frame = random_frame(rng, form, trailer=not form.padded)
        for _, receiver in form.routes:
            assert decode(encode(frame), receiver) == frame


@pytest.mark.parametrize("form", TABLE, ids=lambda form: form.frame.__name__)
def test_a_frame_cut_short_or_drawn_out_is_another_form_or_malformed(form):
    rng = Random(form.frame.__name__)
    for _ in range(30):
        frame = random_frame(rng, form, trailer=False)
        data, receiver = encode(frame), form.routes[0][1]
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
    longest = ServiceList((at(1, "10.0.0.1", 2),) * 100, trailer=Trailer(cursor=b"1234567"))
    assert len(encode(longest)) <= DATAGRAM_BYTES_MAX


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
    for _ in range(5000):
        pairs = {rng.choice(keys): rng.choice(values) for _ in range(rng.randrange(4))}
        fields = {known[key].field: value for key, value in pairs.items() if key in known}
        is_legal = all(type(key) is int for key in pairs) and all(
            key not in known or known[key].is_valid(value) for key, value in pairs.items()
        )
        try:
            frame = decode(b"\x07" + bytes((MARK,)) + msgpack.packb(pairs), Role.BINDER)
        except MalformedFrame:
            assert not is_legal, pairs
        else:
            assert is_legal, pairs
            assert frame.trailer == Trailer(**fields)
            read += len(fields) > 0
    assert read > 100


def test_an_instance_is_its_seven_bytes_and_says_what_is_in_them():
    instance = make_instance(200, ("192.168.0.254", 0x1234))
    assert instance == Instance(bytes.fromhex("c8c0a800fe3412"))
    assert (type_of(instance), address_of(instance)) == (200, ("192.168.0.254", 0x1234))
