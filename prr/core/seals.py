"""What a server seals its words with, and which answers it believes."""

from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument

from prr.core.trust import is_valid
from prr.wire.frames import Frame, Subscribed
from prr.wire.instance import Address
from prr.wire.proofs import Again, Confirmed
from prr.wire.seal import Seal

AGAIN_MAX = 3
"""Times that a binder may have the same word said again at once; then it waits for its time."""


class Seals:
    """Those of one server: for each of its binders what it has asked last, and with which ticket it
    is to say the next."""

    def __init__(self, rng: Random) -> None:
        self._rng = rng
        self._numbers: dict[Address, int] = {}
        self._agains = 0

    def begin(self) -> None:
        """A binder is asked something new."""
        self._agains = 0

    def of(self, binder: Address) -> Seal:
        """What seals a word to a binder."""
        if binder not in self._numbers:
            self._numbers[binder] = self._rng.getrandbits(64)
        return Seal(self._numbers[binder])

    def is_answer(self, frame: Frame, source: Address) -> bool:
        """A binder has sealed it, and has heard the last word to it."""
        if not is_valid(frame.seal) or frame.seal.number != self._numbers.get(source):
            return False
        if isinstance(frame, Subscribed) and isinstance(frame.trailer, Confirmed):
            self._numbers[source] = frame.trailer.ticket
        return True

    def again(self, said: Again, source: Address) -> bool:
        """A binder wants to hear it with its ticket; whether it is said so at once."""
        self._numbers[source] = said.ticket
        self._agains += 1
        return self._agains <= AGAIN_MAX
