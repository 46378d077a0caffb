"""Who else is at an address: the instances of each bucket side by side, in one piece of memory.

A subscription has to know, and looking at a bucket's instances one by one takes longer the more
there are. A search through 250 of them that lie in a row takes about a microsecond, whatever their
types, and the row costs 7 bytes an instance.
"""

from prr.wire.instance import ADDRESS_BYTES, INSTANCE_BYTES, Instance


class AddressIndex:
    """The instances of a table, which lie in buckets by their address. As large as the table."""

    def __init__(self, buckets: int) -> None:
        """`buckets`: how many there are."""
        self._rows = [b""] * buckets

    def add(self, instance: Instance, bucket: int) -> None:
        """Put in an instance that is not in."""
        self._rows[bucket] += instance

    def remove(self, instance: Instance, bucket: int) -> None:
        """Take out an instance that is in."""
        row = self._rows[bucket]
        at = row.find(instance)
        while at % INSTANCE_BYTES:  # the end of one and the start of the next
            at = row.find(instance, at + 1)
        self._rows[bucket] = row[:at] + row[at + INSTANCE_BYTES :]

    def at_address(self, instance: Instance, bucket: int) -> list[Instance]:
        """Those at the same address as `instance`, which may be one of them."""
        row, address = self._rows[bucket], instance[-ADDRESS_BYTES:]
        found: list[Instance] = []
        at = row.find(address)
        while at >= 0:
            if at % INSTANCE_BYTES == 1:
                found.append(Instance(row[at - 1 : at + ADDRESS_BYTES]))
            at = row.find(address, at + 1)
        return found
