"""Who else is at an address: the instances of each bucket side by side, in one piece of memory.

A subscription has to know, and looking at a bucket's instances one by one takes longer the more
there are.
"""

from prr.wire.instance import Instance
from prr.wire.packed import at_address, with_instance, without_instance


class AddressIndex:
    """The instances of a table, which lie in buckets by their address. As large as the table."""

    def __init__(self, buckets: int) -> None:
        """`buckets`: how many there are."""
        self._rows = [b""] * buckets

    def add(self, instance: Instance, bucket: int) -> None:
        """Put in an instance that is not in."""
        self._rows[bucket] = with_instance(self._rows[bucket], instance)

    def remove(self, instance: Instance, bucket: int) -> None:
        """Take out an instance that is in."""
        self._rows[bucket] = without_instance(self._rows[bucket], instance)

    def at_address(self, instance: Instance, bucket: int) -> list[Instance]:
        """Those at the same address as `instance`, which may be one of them."""
        return at_address(self._rows[bucket], instance)
