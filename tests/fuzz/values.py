"""What stands in trailers and headers: trailers, versions, rows, particulars, credentials."""

from ipaddress import ip_network
from random import Random

from prr.trust.credential import (
    CREDENTIAL_BYTES_MAX,
    Credential,
    Holder,
    decode_credential,
    encode_credential,
)
from prr.trust.keyring import SECRET_BYTES, Keyring
from prr.trust.token import held_in_token, token_of
from prr.wire import drain, particulars, wide
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Role
from prr.wire.instance import (
    Instance,
    address_of,
    describe,
    host_key,
    is_instance,
    is_usable,
    make_instance,
    service_of,
)
from prr.wire.trailer_codec import decode_trailer, encode_trailer
from prr.wire.version import (
    VERSION_BYTES,
    decode_removals,
    decode_versions,
    encode_removals,
    encode_versions,
)
from tests.cores import random_instance, random_version
from tests.fuzz.datagrams import vectors
from tests.fuzz.target import Target
from tests.sim.particulars import random_particulars


def _trailer(data: bytes) -> bool:
    """No trailer, or values that read the same when they are written again."""
    if not data:
        return False  # what is empty is no trailer, and never read as one
    try:
        said = decode_trailer(data)
    except MalformedFrame:
        return False
    assert decode_trailer(encode_trailer(said)) == said
    return True


def _good_trailers() -> list[bytes]:
    sent = [one for role in Role for one in vectors(role)]
    return [one[one.index(b"\xc1") :] for one in sent if b"\xc1" in one]


def _versions(data: bytes) -> bool:
    """Versions, or removals, come out as the bytes that they were."""
    versions = data[: len(data) - len(data) % VERSION_BYTES]
    assert encode_versions(decode_versions(versions)) == versions
    removals = data[: len(data) - len(data) % (7 + VERSION_BYTES)]
    assert encode_removals(decode_removals(removals)) == removals
    return bool(versions)


def _good_versions() -> list[bytes]:
    rng = Random(1)
    return [b"", *(encode_versions([random_version(rng) for _ in range(n)]) for n in range(1, 4))]


def _wide(data: bytes) -> bool:
    """Rows that fill the bytes: those that are known come out as they were."""
    if not wide.fills_rows(data):
        return False
    rows = wide.decode_wide(data)
    written = wide.encode_wide(rows)
    assert wide.fills_rows(written) and wide.decode_wide(written) == rows
    assert all(is_instance(row.instance) for row in rows)
    assert sum(wide.row_bytes(row.instance, row.particulars) for row in rows) <= len(data)
    return bool(rows)


def _good_wide() -> list[bytes]:
    rng = Random(2)
    return [
        wide.encode_wide(
            [
                wide.WideUpdate(
                    random_instance(rng),
                    random_version(rng),
                    rng.choice(list(wide.Said)),
                    particulars.encode_particulars(random_particulars(rng)),
                )
                for _ in range(count)
            ]
        )
        for count in (0, 1, 2, 3)
    ]


def _particulars(data: bytes) -> bool:
    """Particulars mean the same when they are written again; and what an operator says stands in
    them beside what the server says, and comes out again."""
    if not particulars.is_particulars(data):
        return False
    said = particulars.decode_particulars(data)
    assert particulars.decode_particulars(particulars.encode_particulars(said)) == said
    word = drain.drain_in(data)
    if word:
        assert drain.encode_drain(drain.decode_drain(word)) == word
    own = drain.own_particulars(data)
    assert drain.drain_in(own) == b""
    both = drain.with_drain(own, word)
    assert particulars.is_particulars(both) and drain.drain_in(both) == word
    particulars.credential_of(data)
    return True


def _good_particulars() -> list[bytes]:
    rng = Random(3)
    said = [particulars.encode_particulars(random_particulars(rng)) for _ in range(8)]
    word = drain.encode_drain(drain.decode_drain(b"").followed_by(60, "why"))
    return [b"", *said, *(drain.with_drain(one, word) for one in said[:2])]


def _instance(data: bytes) -> bool:
    """An instance is made again of its service and its address, which can be shown."""
    if not is_instance(data):
        return False
    one = Instance(data)
    service, address = service_of(one), address_of(one)
    assert is_usable(address[0]) and describe(one) and host_key(one)
    if len(one) == 7 or isinstance(service, str) or ":" in address[0]:
        assert make_instance(service, address) == one
    return True


def _good_instances() -> list[bytes]:
    rng = Random(4)
    return [random_instance(rng) for _ in range(20)]


def _credential(data: bytes) -> bool:
    """No credential, or one whose one form these bytes are."""
    found = decode_credential(data)
    if found is None:
        return False
    assert encode_credential(found) == data and len(data) <= CREDENTIAL_BYTES_MAX
    assert str(found) and found.may_be_at("10.0.0.1") in (True, False)
    return True


def _good_credentials() -> list[bytes]:
    hosts = (ip_network("10.0.0.0/8"), ip_network("2001:db8::/32"))
    return [
        encode_credential(one)
        for one in (
            Credential(Holder.CLIENT, "app"),
            Credential(Holder.OPERATOR, "me"),
            Credential(Holder.SERVER, "web-7", "billing", hosts),
            Credential(Holder.SERVER, "web-7", 7),
        )
    ]


def _token(data: bytes) -> bool:
    """No token, or one whose one form these characters are."""
    text = data.decode(errors="replace")
    held = held_in_token(text)
    if held is None:
        return False
    assert token_of(held) == text and decode_credential(held.credential)
    return True


def _good_tokens() -> list[bytes]:
    ring = Keyring((bytes(SECRET_BYTES),))
    return [token_of(ring.issue(one)).encode() for one in _good_credentials()]


TARGETS = [
    Target("trailers", _trailer, _good_trailers),
    Target("versions", _versions, _good_versions),
    Target("wide-rows", _wide, _good_wide),
    Target("particulars", _particulars, _good_particulars),
    Target("instances", _instance, _good_instances),
    Target("credentials", _credential, _good_credentials),
    Target("tokens", _token, _good_tokens),
]
