"""Whose the instances of a table are: how many each host has, each credential, and each binder.

They are counted as they come into the table and leave it, for whatever reason, so that each count
is that of the table whoever has said what: also after a restart, and of what peers have told.
"""

from collections import Counter
from collections.abc import Sequence
from itertools import repeat
from operator import add
from typing import TypeVar

from prr.wire.instance import Instance, host_key, host_keys
from prr.wire.particulars import credential_of
from prr.wire.version import OWNER, VERSION_BYTES, decode_owner, owner_in

_Key = TypeVar("_Key")


class Holdings:
    """Counts. A row of some 90 bytes for each host, credential and binder that has an instance: no
    more of each than there are instances."""

    def __init__(self) -> None:
        self._by_host: Counter[bytes] = Counter()
        self._by_credential: Counter[bytes] = Counter()
        self._by_owner: Counter[int] = Counter()

    def of_host(self, instance: Instance) -> int:
        """How many the host of an instance has; of IPv6 the network, see `host_key`."""
        return self._by_host[host_key(instance)]

    def of_fullest_host(self, coming: Sequence[Instance]) -> int:
        """How many that of these instances' hosts would have which had most, were they added."""
        more = Counter(host_keys(coming))
        there = map(self._by_host.get, more, repeat(0))
        return max(map(add, there, more.values()), default=0)

    def of_credential(self, credential: bytes) -> int:
        """How many have subscribed with a credential."""
        return self._by_credential[credential]

    def owners(self) -> list[int]:
        """The binders that are lease owner of at least one."""
        return list(self._by_owner)

    def has_other_owner(self, owner: int) -> bool:
        """A binder other than `owner` is lease owner of one."""
        return len(self._by_owner) > (owner in self._by_owner)

    def add(self, instance: Instance, data: bytes) -> None:
        """An instance is in the table now. `data` is its version, encoded, and its particulars."""
        _add_one(self._by_host, host_key(instance))
        _add_one(self._by_owner, owner_in(data))
        if credential := _credential_in(data):
            _add_one(self._by_credential, credential)

    def add_all(self, instances: Sequence[Instance], data: Sequence[bytes]) -> None:
        """The same for many, in half of the time."""
        self._by_host.update(host_keys(instances))
        for owner, count in Counter([one[OWNER] for one in data]).items():
            self._by_owner[decode_owner(owner)] += count
        others = [one for one in data if len(one) > VERSION_BYTES]
        self._by_credential.update(filter(None, map(_credential_in, others)))

    def change(self, instance: Instance, before: bytes, data: bytes) -> None:
        """An instance that was in with another `data` is in with this one."""
        is_plain = len(before) == len(data) == VERSION_BYTES
        if not is_plain or before[OWNER] != data[OWNER]:
            self.remove(instance, before)
            self.add(instance, data)

    def remove(self, instance: Instance, data: bytes) -> None:
        """An instance, which was in with this `data`, is not any more."""
        _take_one(self._by_host, host_key(instance))
        _take_one(self._by_owner, owner_in(data))
        if credential := _credential_in(data):
            _take_one(self._by_credential, credential)


def _credential_in(data: bytes) -> bytes:
    return credential_of(data[VERSION_BYTES:]) if len(data) > VERSION_BYTES else b""


def _add_one(counts: Counter[_Key], key: _Key) -> None:
    counts[key] = counts.get(key, 0) + 1  # Counter's own way takes twice as long for a new one


def _take_one(counts: Counter[_Key], key: _Key) -> None:
    counts[key] -= 1
    if not counts[key]:
        del counts[key]
