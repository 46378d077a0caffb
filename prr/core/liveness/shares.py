"""Who holds how many of the places for verifications, and who may have one more.

Whoever complains can have every place taken: a thousand complaints about silent instances take all
of them for a second. So the last places are kept for accusations between those who hold few. Half
of these go by address, which keeps apart the programs of one host; half by ip, so that a host
gains nothing by asking from many ports.
"""

from collections import Counter

from prr.wire.instance import Address, Instance, address_of

KEPT_SHARE = 8
"""One place in so many is kept: 64 of 512. A refusal gives its place back after 50 ms, so that
these alone settle a thousand accusations a second where servers were killed."""

FEW = 8
"""Places that one source, and one accused host, may hold and still get one of those kept."""


class Shares:
    """Counts the places in use by source and by accused host."""

    def __init__(self, places: int) -> None:
        self._places = places
        self._kept = places // KEPT_SHARE
        self._used = 0
        self._by_key: Counter[Address | str] = Counter()

    @property
    def are_open(self) -> bool:
        """There are places beside those that are kept."""
        return self._places - self._used > self._kept

    @property
    def are_open_to_disputes(self) -> bool:
        """There is a place for what a peer says is gone and was heard here; half of those that are
        kept stay for accusations."""
        return self._places - self._used > self._kept // 2

    def has_room(self, instance: Instance, accuser: Address) -> bool:
        """There is a place for `instance`, which `accuser` has put in doubt."""
        free = self._places - self._used
        if free > self._kept:
            return True
        if free > self._kept // 2:
            return self._by_key[accuser] < FEW
        return free > 0 and all(self._by_key[key] < FEW for key in _ips(instance, accuser))

    def take(self, instance: Instance, accuser: Address | None) -> None:
        """A place is taken."""
        self._used += 1
        self._by_key.update(_keys(instance, accuser))

    def give_back(self, instance: Instance, accuser: Address | None) -> None:
        """The place that was taken with these is free again."""
        self._used -= 1
        for key in _keys(instance, accuser):
            self._by_key[key] -= 1
            if not self._by_key[key]:
                del self._by_key[key]


def _ips(instance: Instance, accuser: Address | None) -> list[str]:
    accused = f"to {address_of(instance)[0]}"
    return [accused] if accuser is None else [accused, f"by {accuser[0]}"]


def _keys(instance: Instance, accuser: Address | None) -> list[Address | str]:
    ips = _ips(instance, accuser)
    return [*ips] if accuser is None else [*ips, accuser]
