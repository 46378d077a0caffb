"""Tickets: proof that who says something says it now, and says it to this binder.

A ticket is given to whoever has none, and comes back in the seal of what it says next. It holds for
the address it was given to, for one thing that is said of, for how that stands, and for a time; it
is made of a secret of this process, so that nothing is kept for those who never come back. So what
somebody else has recorded is worth nothing: from another address, to another binder, after the
instance has changed its state, or later. Accepted once, a ticket and all that were given before it
are used up.
"""

from collections.abc import Sequence
from hashlib import blake2s
from random import Random  # noqa: TID251 the type only: the RNG comes in as an argument
from struct import Struct

from prr.core.awaited import Awaited
from prr.core.directory.table_walks import state_of
from prr.core.ended import Ended

TICK = 0.1
"""Seconds between two tickets that differ."""

AGE_MAX = 400.0
"""Seconds for which any of them holds at most: a lease of those that renew as seldom as can be."""

_TICKS = 1 << 16
_TICK_BITS = 48
_GUESS_BYTES = 6
"""48 bits of it nobody can know: a million guesses a second find one in nine years."""

_GUESS = (1 << _TICK_BITS) - 1
_AGE_TICKS = int(AGE_MAX / TICK)

assert _AGE_TICKS < _TICKS

_HEAD = Struct(">BBq").pack
"""What stands in front in what is hashed: two lengths, and the tick."""


class Tickets:
    """Those of one binder's process."""

    def __init__(self, rng: Random) -> None:
        """What `rng` draws for this process nobody else can foresee."""
        secret = rng.randbytes(32)
        self._hasher = blake2s(key=secret, digest_size=_GUESS_BYTES, person=b"tickets!")
        self._used: dict[bytes, int] = {}
        self._used_before: dict[bytes, int] = {}
        self._ended = Ended()
        self._swap_at = 0.0
        self.awaited = Awaited(AGE_MAX - TICK)
        """Some that were issued, hold, and need not be computed again to show it."""

    @property
    def size(self) -> int:
        """Of how many things tickets are remembered to have been used: of those that are said
        within twice AGE_MAX, and of older ones that are not dropped yet."""
        return len(self._used) + len(self._used_before) + len(self._ended)

    def issue(self, where: bytes, about: bytes, state: bytes, now: float) -> int:
        """A ticket to say something of `about`, which stands as `state` says, from `where`, an
        encoded address. It is later than the last one that was used, if need be by a tick."""
        tick = max(int(now / TICK), self._last(about) + 1)
        return (tick % _TICKS) << _TICK_BITS | self._proof(where, about, state, tick)

    def issue_next(
        self,
        wheres: Sequence[bytes],
        abouts: Sequence[bytes],
        whose: Sequence[object],
        words: Sequence[bytes],
        now: float,
    ) -> list[int]:
        """The same for many, each another thing, which have all used one and are held with these
        words. They are awaited back from whoever it is; but for those of whom one has used several
        within a tick: such a ticket does not hold yet."""
        at, used, proof = int(now / TICK), self._used, self._proof
        tickets, latest = list[int](), at
        for where, about, word in zip(wheres, abouts, words, strict=True):
            tick = used[about] + 1
            if tick < at:
                tick = at
            elif tick > latest:
                latest = tick
            proved = proof(where, about, state_of(word), tick)
            tickets.append((tick % _TICKS) << _TICK_BITS | proved)
        if latest <= at + 1:
            self.awaited.remember(tickets, abouts, whose, words, now)
        return tickets

    def age(
        self, ticket: int, where: bytes, about: bytes, state: bytes, now: float
    ) -> float | None:
        """Seconds since it was issued for this; None if it was not, or within AGE_MAX."""
        tick = int(now / TICK) + 1
        ago = (tick - (ticket >> _TICK_BITS)) % _TICKS
        if ago > _AGE_TICKS or self._proof(where, about, state, tick - ago) != ticket & _GUESS:
            return None
        return max(0, ago - 1) * TICK

    def holds(self, ticket: int, where: bytes, about: bytes, state: bytes, now: float) -> bool:
        """It was issued for this, within AGE_MAX, and neither it nor a later one has been used."""
        issued = _issued(ticket, now)
        return (
            issued > self._last(about)
            and now / TICK - issued < _AGE_TICKS
            and self._proof(where, about, state, issued) == ticket & _GUESS
        )

    def use(self, ticket: int, about: bytes, now: float) -> bool:
        """Use up a ticket that holds for `about`; False if it, or a later one, has been used."""
        self._swap(now)
        issued = _issued(ticket, now)
        if issued <= self._last(about):
            return False
        self._used[about] = issued
        self.awaited.forget([about])
        return True

    def use_all(self, tickets: Sequence[int], abouts: Sequence[bytes], now: float) -> None:
        """The same for many that hold, each for another thing."""
        self._swap(now)
        tick = int(now / TICK) + 1
        self._used.update(
            [
                (about, tick - (tick - (ticket >> _TICK_BITS)) % _TICKS)
                for ticket, about in zip(tickets, abouts, strict=True)
            ]
        )
        self.awaited.forget(abouts)

    def _swap(self, now: float) -> None:
        """None that is too old is looked at again, but they are dropped a few at a time."""
        if now >= self._swap_at:
            self._ended.add(self._used_before)
            self._used_before, self._used = self._used, {}
            self._swap_at = now + AGE_MAX
        self._ended.drop_some()

    def _last(self, about: bytes) -> int:
        """The tick of the last ticket that was used for it, or of none."""
        last = self._used.get(about)
        return self._used_before.get(about, -1) if last is None else last

    def _proof(self, where: bytes, about: bytes, state: bytes, tick: int) -> int:
        hasher = self._hasher.copy()
        hasher.update(_HEAD(len(where), len(about), tick) + where + about + state)
        return int.from_bytes(hasher.digest(), "big")


def _issued(ticket: int, now: float) -> int:
    """The tick at which a ticket was issued, if it was so within AGE_MAX."""
    tick = int(now / TICK) + 1
    return tick - (tick - (ticket >> _TICK_BITS)) % _TICKS
