"""Look-ups that a binder cannot answer yet, since it has not heard its peers."""

from prr.wire.address import Address

WAITING_MAX = 16384
"""Look-ups kept, some 3 MB: all that a queue of 8 MiB held while the binder was down. Those beyond
are asked again by their clients."""


class WaitingLookups:
    """Who asked for what, in the order they came."""

    def __init__(self) -> None:
        self._asked: list[tuple[int, Address]] = []

    def add(self, type_: int, source: Address) -> None:
        """One more, or not, if there are too many."""
        if len(self._asked) < WAITING_MAX:
            self._asked.append((type_, source))

    def take_all(self) -> list[tuple[int, Address]]:
        """All of them, which wait no longer."""
        taken, self._asked = self._asked, []
        return taken
