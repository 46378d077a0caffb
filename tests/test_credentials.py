"""Credentials and the keys derived from them: one form, and no two uses alike."""

from ipaddress import ip_network
from random import Random

import pytest

from prr.trust.credential import (
    CREDENTIAL_BYTES_MAX,
    Credential,
    Holder,
    decode_credential,
    encode_credential,
    is_id,
)
from prr.trust.keyring import KEYS_MAX, Key, Keyring, derive, secret_id

pytestmark = pytest.mark.elsewhere

SECRET, OTHER = bytes(range(32)), bytes(range(1, 33))
SOME = (
    Credential(Holder.SERVER, "web-7", "billing"),
    Credential(Holder.SERVER, "web-7", 7, (ip_network("10.0.0.0/24"), ip_network("fd00::/64"))),
    Credential(Holder.CLIENT, "app"),
    Credential(Holder.OPERATOR, "me"),
)


@pytest.mark.parametrize("credential", SOME, ids=str)
def test_a_credential_has_one_form(credential):
    data = encode_credential(credential)
    assert decode_credential(data) == credential
    assert decode_credential(data + b"\0") is None
    assert all(decode_credential(data[:size]) != credential for size in range(len(data)))


def test_the_longest_one_has_the_bytes_that_it_may_have():
    hosts = tuple(ip_network((bytes(15) + bytes((one,)), 128)) for one in range(1, 5))
    longest = Credential(Holder.SERVER, "a" * 32, "b" * 63, hosts)
    assert len(encode_credential(longest)) == CREDENTIAL_BYTES_MAX


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0\1a",  # no role
        b"\4\1a",
        b"\2\0",  # no id
        b"\2\1A",
        b"\2\2a",
        b"\1\1a",  # a server of no service
        b"\1\1a\7\1",
        b"\1\1a\7\1b",  # a name stands behind 255
        b"\1\1a\xff\2-b",
        b"\1\1a\7\0\4\x20\x7f\0\0",  # half an address
        b"\1\1a\7\0\5\x20\x7f\0\0\1",
        b"\1\1a\7\0\4\x08\x7f\0\0\1",  # bits behind the prefix
        b"\1\1a\7\0" + 5 * b"\4\x20\x7f\0\0\1",
    ],
)
def test_what_is_no_credential_is_none(data):
    assert decode_credential(data) is None


def test_random_bytes_are_none_or_have_the_one_form():
    rng = Random(1)
    for _ in range(2000):
        data = bytes((rng.choice((1, 2, 3)),)) + rng.randbytes(rng.randrange(12))
        found = decode_credential(data)
        assert found is None or encode_credential(found) == data


@pytest.mark.parametrize(
    ("text", "is_one"), [("web-7", True), ("a.b_c", True), ("", False), ("-a", False), ("Ä", False)]
)
def test_an_id_is_a_short_word(text, is_one):
    assert is_id(text) is is_one


def test_where_an_instance_may_be():
    _, one, *_ = SOME
    assert one.may_be_at("10.0.0.9") and one.may_be_at("fd00::1")
    assert not one.may_be_at("10.0.1.9") and not SOME[0].may_be_at("10.0.0.9")


def test_no_two_uses_of_a_key_make_the_same_tag():
    key = Key(secret_id(SECRET), derive(SECRET, b"x"))
    tags = {key.tag_to_binder(b"x"), key.tag_from_binder(b"x"), key.tag_between(b"x")}
    assert len(tags) == 3 and {len(tag) for tag in tags} == {16}


def test_a_keyring_derives_what_it_has_issued_and_nothing_from_another_secret():
    ring, other = Keyring((OTHER, SECRET)), Keyring((SECRET,))
    blob = encode_credential(SOME[0])
    held = other.issue(blob)
    known = ring.key(held.secret_id, blob)
    assert known is not None and known.tag_to_binder(b"x") == held.key().tag_to_binder(b"x")
    assert Keyring((OTHER,)).key(held.secret_id, blob) is None
    assert ring.issue(blob).secret_id == secret_id(OTHER)
    assert ring.key(held.secret_id, blob + b"\0").tag_to_binder(b"x") != known.tag_to_binder(b"x")


def test_what_a_keyring_remembers_is_bounded():
    ring = Keyring((SECRET,))
    for number in range(KEYS_MAX + 10):
        assert ring.key(secret_id(SECRET), b"%d" % number) is not None
    held, most = ring.size
    assert 0 < held <= most == KEYS_MAX


def test_nothing_shows_a_secret():
    ring = Keyring((SECRET,))
    held = ring.issue(b"x")
    for shown in (ring, held, held.key()):
        text = repr(shown) + str(shown)
        assert SECRET.hex() not in text and repr(SECRET)[2:-1] not in text
        assert repr(held.key_bytes)[2:-1] not in text
