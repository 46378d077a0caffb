"""Particulars: what a server says of itself beside where it is."""

from random import Random

import pytest

from prr.wire.particulars import (
    PARTICULARS_BYTES_MAX,
    TAGS_BYTES_MAX,
    WEIGHT_MAX,
    Particulars,
    decode_particulars,
    encode_particulars,
    is_particulars,
    is_tag,
)
from tests.cores import random_particulars

pytestmark = pytest.mark.elsewhere


def test_particulars_come_back_as_they_went_and_have_one_form():
    rng = Random(1)
    for _ in range(1000):
        said = random_particulars(rng)
        data = encode_particulars(said)
        assert decode_particulars(data) == said
        assert encode_particulars(decode_particulars(data)) == data
    assert encode_particulars(Particulars()) == b""
    ways = [Particulars(tags={"a": "1", "b": "2"}), Particulars(tags={"b": "2", "a": "1"})]
    assert len(set(map(encode_particulars, ways))) == 1


def test_the_longest_particulars_have_room_and_one_byte_more_has_not():
    shortest = {chr(mark): "" for mark in range(0x21, 0x7F) if chr(mark) != "="}
    left = TAGS_BYTES_MAX - 2 * len(shortest)
    tags = shortest | {"~": "y" * left}
    longest = Particulars(WEIGHT_MAX, "z" * 63, tags, ("10.0.0.1", 1))
    data = encode_particulars(longest)
    assert decode_particulars(data) == longest
    assert len(data) <= PARTICULARS_BYTES_MAX
    with pytest.raises(AssertionError):
        encode_particulars(Particulars(tags=tags | {"~": "y" * (left + 1)}))
    assert encode_particulars(Particulars(tags={"k": "v" * (TAGS_BYTES_MAX - 2)}))


@pytest.mark.parametrize("said", [Particulars(0), Particulars(17), Particulars(zone="EU")])
def test_what_is_out_of_range_is_not_said(said):
    with pytest.raises(AssertionError):
        encode_particulars(said)


def test_random_bytes_are_none_or_have_one_form():
    rng, good = Random(2), 0
    for _ in range(20_000):
        data = bytearray(encode_particulars(random_particulars(rng)))
        for _ in range(rng.randrange(3)):
            if data:
                data[rng.randrange(len(data))] = rng.choice((0, 1, 2, 10, 61, rng.randrange(256)))
        if is_particulars(bytes(data)):
            good += 1
            written = encode_particulars(decode_particulars(bytes(data)))
            assert written == data or set(numbers_in(data)) - {1, 2, 3, 4}
    assert good > 1000


def numbers_in(data):
    """The numbers of the fields."""
    while data:
        yield data[0]
        data = data[3 + data[1] + 256 * data[2] :]


def test_a_tag_has_a_key_and_no_control_character():
    assert all(map(is_tag, ("a=b", "a=", "disk=1 TB", "ville=Montréal", "a=b=c")))
    assert not any(map(is_tag, ("", "a", "=b", "a=\n", "a\x7f=b", "a=\x9b1m", "\0=b")))
