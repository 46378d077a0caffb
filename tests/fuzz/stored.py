"""What stands in an etcd that binders share: keys, values, and its answers."""

from random import Random

from google.protobuf.message import DecodeError

from prr.core.commits.layout import instance_in, key_of, update_in, value_of
from prr.core.effects import Update
from prr.shell.etcd.failures import Unavailable
from prr.shell.etcd.messages import Keys, header_of
from prr.shell.etcd.schema import RangeResponse, WatchResponse
from prr.wire.particulars import encode_particulars
from tests.cores import random_instance, random_version
from tests.fuzz.target import Target
from tests.sim.particulars import random_particulars

KEYS = Keys("/prr/")

_HEADER = {"cluster_id": -7810352074798139101, "revision": 44, "raft_term": 2}


def _key(data: bytes) -> bool:
    """A key of an instance, which has no other."""
    try:
        text = data.decode()
        instance = instance_in(text)
    except ValueError:
        return False
    assert key_of(instance) == text
    return True


def _value(data: bytes) -> bool:
    """A value that says an update, which says the same when it is written again."""
    try:
        update = update_in(data)
    except ValueError:
        return False
    assert update_in(value_of(update)) == update
    return True


def _page(data: bytes) -> bool:
    """A page of keys: whatever they and their values are, it is read, or is no page."""
    try:
        found = KEYS.found(RangeResponse.FromString(data))
    except (Unavailable, DecodeError):
        return False
    assert all(stored.is_there for stored in found.instances.values())
    return True


def _watched(data: bytes) -> bool:
    """What a watch tells: each event is of an instance, or malformed, or none of ours."""
    try:
        said = WatchResponse.FromString(data)
        header_of(said)
    except (Unavailable, DecodeError):
        return False
    instances, malformed, last = KEYS.events(said.events, {})
    assert len(instances) <= len(said.events) and malformed <= len(said.events)
    assert all(event.kv.mod_revision <= last for event in said.events)
    return True


def _good_keys() -> list[bytes]:
    rng = Random(1)
    return [key_of(random_instance(rng)).encode() for _ in range(20)]


def _good_values() -> list[bytes]:
    rng = Random(2)
    updates = [
        Update(
            random_version(rng),
            is_there,
            encode_particulars(random_particulars(rng)) if is_there else b"",
        )
        for is_there in (True, False)
        for _ in range(10)
    ]
    return [value_of(update) for update in updates]


def _good_pages() -> list[bytes]:
    rows = [
        {"key": b"/prr/" + key, "mod_revision": number + 3, "value": value}
        for number, (key, value) in enumerate(zip(_good_keys(), _good_values(), strict=True))
    ]
    return [
        RangeResponse(header=_HEADER, kvs=some, more=is_more).SerializeToString()
        for some in ([], rows[:2])
        for is_more in (False, True)
    ]


def _good_watches() -> list[bytes]:
    rows = [
        {"type": number % 2, "kv": {"key": b"/prr/" + key, "mod_revision": 9, "value": value}}
        for number, (key, value) in enumerate(zip(_good_keys(), _good_values(), strict=True))
    ]
    return [
        WatchResponse(header=_HEADER, events=some, fragment=is_part).SerializeToString()
        for some in ([], rows[:3])
        for is_part in (False, True)
    ]


TARGETS = [
    Target("etcd-keys", _key, _good_keys),
    Target("etcd-values", _value, _good_values),
    Target("etcd-pages", _page, _good_pages),
    Target("etcd-watches", _watched, _good_watches),
]
