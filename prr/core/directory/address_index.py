"""Who else is at an address: a subscription has to know.

Looking at a bucket's instances one by one takes longer the more there are.
"""

from typing import Protocol

from prr.wire.instance import Instance, address_key
from prr.wire.packed import at_address, with_instance, without_instance


class Index(Protocol):
    """The instances of a table, which lie in buckets by their address. As large as the table."""

    def add(self, instance: Instance, bucket: int) -> None:
        """Put in an instance that is not in."""

    def remove(self, instance: Instance, bucket: int) -> None:
        """Take out an instance that is in."""

    def at_address(self, instance: Instance, bucket: int) -> list[Instance]:
        """Those at the same address as `instance`."""


class AddressIndex:
    """Of instances of the spec: those of each bucket side by side, in one piece of memory."""

    def __init__(self, buckets: int) -> None:
        """`buckets`: how many there are."""
        self._rows = [b""] * buckets

    def add(self, instance: Instance, bucket: int) -> None:
        self._rows[bucket] = with_instance(self._rows[bucket], instance)

    def remove(self, instance: Instance, bucket: int) -> None:
        self._rows[bucket] = without_instance(self._rows[bucket], instance)

    def at_address(self, instance: Instance, bucket: int) -> list[Instance]:
        return at_address(self._rows[bucket], address_key(instance))


class WideIndex:
    """Of wide instances, which have any length: by address."""

    def __init__(self) -> None:
        self._rows: dict[bytes, tuple[Instance, ...]] = {}

    def add(self, instance: Instance, bucket: int) -> None:
        address = address_key(instance)
        self._rows[address] = (*self._rows.get(address, ()), instance)

    def remove(self, instance: Instance, bucket: int) -> None:
        address = address_key(instance)
        others = tuple(one for one in self._rows.pop(address) if one != instance)
        if others:
            self._rows[address] = others

    def at_address(self, instance: Instance, bucket: int) -> list[Instance]:
        return list(self._rows.get(address_key(instance), ()))
