"""Who else is at an address: a subscription has to know.

Looking at a bucket's instances one by one takes longer the more there are.
"""

from collections.abc import Sequence
from typing import Protocol

from prr.wire.instance import Instance, address_key, address_keys
from prr.wire.packed import at_address, with_instance, without_instance


class Index(Protocol):
    """The instances of a table, which lie in buckets by their address. As large as the table."""

    def add(self, instance: Instance, bucket: int) -> None:
        """Put in an instance that is not in."""

    def add_all(self, instances: Sequence[Instance], buckets: Sequence[int]) -> None:
        """Put in many."""

    def remove(self, instance: Instance, bucket: int) -> None:
        """Take out an instance that is in."""

    def at_address(self, instance: Instance, bucket: int) -> list[Instance]:
        """Those at the same address as `instance`."""

    def has_none_at(self, addresses: Sequence[bytes], buckets: Sequence[int]) -> bool:
        """There is certainly none at any of these addresses, which are given as keys."""


def alone_in(index: Index, instances: Sequence[Instance], buckets: Sequence[int]) -> int:
    """How many of the first are at an address where none is that is in, nor one of those before
    them."""
    addresses = address_keys(instances)
    if len({*addresses}) == len(addresses) and index.has_none_at(addresses, buckets):
        return len(addresses)  # as in a herd
    seen = set[bytes]()
    rows = zip(instances, addresses, buckets, strict=True)
    for number, (instance, address, bucket) in enumerate(rows):
        if address in seen or index.at_address(instance, bucket):
            return number
        seen.add(address)
    return len(instances)


class AddressIndex:
    """Of instances of the spec: those of each bucket side by side, in one piece of memory."""

    def __init__(self, buckets: int) -> None:
        """`buckets`: how many there are."""
        self._rows = [b""] * buckets

    def add(self, instance: Instance, bucket: int) -> None:
        self._rows[bucket] = with_instance(self._rows[bucket], instance)

    def add_all(self, instances: Sequence[Instance], buckets: Sequence[int]) -> None:
        for instance, bucket in zip(instances, buckets, strict=True):
            self._rows[bucket] = with_instance(self._rows[bucket], instance)

    def remove(self, instance: Instance, bucket: int) -> None:
        self._rows[bucket] = without_instance(self._rows[bucket], instance)

    def at_address(self, instance: Instance, bucket: int) -> list[Instance]:
        return at_address(self._rows[bucket], address_key(instance))

    def has_none_at(self, addresses: Sequence[bytes], buckets: Sequence[int]) -> bool:
        rows = zip(addresses, map(self._rows.__getitem__, buckets), strict=True)
        return True not in [address in row for address, row in rows]


class WideIndex:
    """Of wide instances, which have any length: by address."""

    def __init__(self) -> None:
        self._rows: dict[bytes, tuple[Instance, ...]] = {}

    def add(self, instance: Instance, bucket: int) -> None:
        address = address_key(instance)
        self._rows[address] = (*self._rows.get(address, ()), instance)

    def add_all(self, instances: Sequence[Instance], buckets: Sequence[int]) -> None:
        for instance, bucket in zip(instances, buckets, strict=True):
            self.add(instance, bucket)

    def remove(self, instance: Instance, bucket: int) -> None:
        address = address_key(instance)
        others = tuple(one for one in self._rows.pop(address) if one != instance)
        if others:
            self._rows[address] = others

    def at_address(self, instance: Instance, bucket: int) -> list[Instance]:
        return list(self._rows.get(address_key(instance), ()))

    def has_none_at(self, addresses: Sequence[bytes], buckets: Sequence[int]) -> bool:
        return self._rows.keys().isdisjoint(addresses)
