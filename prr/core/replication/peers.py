"""The other binders: who they are, and when they were last heard."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from hashlib import blake2s
from math import inf

from prr.wire.instance import Address, Instance, address_keys, encode_address, is_loopback

PEERS_MAX = 64
"""Peers of one binder: each change is told to every one of them."""

SILENT_AFTER = 5.0
"""Seconds without a frame after which a peer counts as silent: five rounds of digests."""

HELLO_PAUSE = 5.0
"""Seconds before a peer that answered bare is asked with a trailer: a legacy program answers that
with one more list, so there is no hurry; one of ours would mostly have spoken up by then."""

GONE_AFTER = 60.0
"""Seconds after which a binder that hears none of its peers takes it that they are gone, and
decides alone. Longer keeps dead services as suspects longer where the last of several binders
survives; shorter has one that is cut off evict sooner what only the others can reach."""


NAME_BYTES = 8
"""Of a peer's name: that two peers ever have the same one need not be thought of."""


def name_of(peer: Address) -> bytes:
    """A peer's address as binders tell each other whom they mean; others are not to read it."""
    return blake2s(encode_address(peer), digest_size=NAME_BYTES, person=b"peername").digest()


class Kind(StrEnum):
    """What a peer has shown itself to be."""

    UNKNOWN = "unknown"  # it has said nothing yet
    OURS = "ours"  # it puts trailers behind its frames
    LAB = "lab2016"  # it answers bare


class State(StrEnum):
    """How a peer is, as far as its silence tells."""

    UP = "up"
    LOST = "lost"  # it was heard, and is not any more
    NEVER = "never heard"
    QUIET = "quiet"  # a legacy program, which says nothing while nothing changes


@dataclass(slots=True)
class Peer:
    """One peer."""

    address: Address
    kind: Kind = Kind.UNKNOWN
    identity: int | None = None
    heard_at: float | None = None
    answered_bare_at: float | None = None  # and has not shown yet what it is
    agrees: bool | None = None  # both digests were equal when they were compared last
    full_at: float | None = None  # when the last comparison ended with words there is no room for
    hinted_at: float = -inf  # when a comparison began last since it was seen to differ
    rests_until: float = 0.0  # it has told much just now, and is compared with when others were
    round_trip: float | None = None
    mended: int = 0  # updates that comparing with it has brought
    is_wide: bool = False  # it knows wide instances, as its last digest has shown


class Peers:
    """The peers of one binder, by address, in the order they were named."""

    def __init__(self, addresses: tuple[Address, ...]) -> None:
        self._by_address: dict[Address, Peer] = {}
        self.has_remote = False
        """One of them at least is on another host, or is named as if it were."""
        self._keys: set[bytes] = set()
        self._peer_names: set[bytes] = set()
        for address in addresses:
            self.add(address)
        self._turn = 0
        self._registered: frozenset[int] = frozenset()
        self._is_current = False

    def __contains__(self, address: Address) -> bool:
        return address in self._by_address

    def __len__(self) -> int:
        return len(self._by_address)

    def add(self, address: Address) -> None:
        """One more peer."""
        assert len(self._by_address) < PEERS_MAX
        self._by_address[address] = Peer(address)
        self._look_where()

    def remove(self, address: Address) -> None:
        """One peer less. No error if it was none."""
        self._by_address.pop(address, None)
        self._look_where()

    def has_none_at(self, instances: Iterable[Instance]) -> bool:
        """None of `instances` has the address of a peer."""
        return not self._keys or self._keys.isdisjoint(address_keys(instances))

    def have_named(self, name: bytes) -> bool:
        """One of them has this name, as `name_of` gives it."""
        return name in self._peer_names

    def are_at(self, where: bytes) -> bool:
        """One of them has this address, encoded."""
        return where in self._keys

    def get(self, address: Address) -> Peer | None:
        """The peer at an address."""
        return self._by_address.get(address)

    def all(self) -> list[Peer]:
        """All of them."""
        return list(self._by_address.values())

    def ours(self) -> list[Peer]:
        """Those that have shown to be ours, silent or not."""
        return [peer for peer in self.all() if peer.kind is Kind.OURS]

    def _look_where(self) -> None:
        self._keys = set(map(encode_address, self._by_address))
        self._peer_names = set(map(name_of, self._by_address))
        self.has_remote = not all(is_loopback(ip) for ip, _ in self._by_address)

    def heard_lately(self, now: float) -> list[Peer]:
        """Those of ours that are not silent."""
        return [peer for peer in self.ours() if not self.is_silent(peer, now)]

    def register(self, identities: frozenset[int], is_current: bool) -> None:
        """These binders are looked after in a store that all share: they hold a lease there, or
        somebody else is to adopt what they owned. Not `is_current`: they did so when the store was
        heard last."""
        self._registered, self._is_current = identities, is_current

    def alive(self, now: float) -> set[int]:
        """The identities of the others that are there: heard lately, or registered. While the store
        is not heard, its word holds for those alone that were never heard themselves."""
        heard = {peer.identity for peer in self.heard_lately(now) if peer.identity is not None}
        if self._is_current:
            return heard | self._registered
        return heard | self._registered.difference(peer.identity for peer in self.ours())

    def are_gone(self, now: float) -> bool:
        """Not one of ours has been heard for so long that they are rather gone than out of reach.

        Also true where none of the peers has shown to be ours: there is nobody to be asked.
        """
        return all(
            peer.heard_at is None or now - peer.heard_at > GONE_AFTER for peer in self.ours()
        )

    def none_is_heard(self, now: float) -> bool:
        """There are others of ours, as far as is known, and this binder hears none of them."""
        return bool(self.ours()) and not self.heard_lately(now) and not self.are_gone(now)

    def next(self, now: float) -> Peer | None:
        """The peer whose turn it is to be compared with; None if there is none to compare with.

        One that has only answered bare so far gets its turn too, once, to show what it is.
        """
        able = [
            peer
            for peer in self.all()
            if (peer.kind is Kind.OURS and now >= peer.rests_until)
            or (peer.answered_bare_at is not None and now > peer.answered_bare_at + HELLO_PAUSE)
        ]
        if not able:
            return None
        self._turn += 1
        return able[self._turn % len(able)]

    @property
    def patience(self) -> float:
        """Seconds within which a peer that keeps up is heard."""
        return max(SILENT_AFTER, 3.0 * len(self._by_address))

    def is_silent(self, peer: Peer, now: float) -> bool:
        """A peer that keeps up would have been heard by now."""
        return peer.heard_at is None or now - peer.heard_at > self.patience

    def state(self, peer: Peer, now: float) -> State:
        """How a peer is."""
        if peer.heard_at is None:
            return State.NEVER
        if not self.is_silent(peer, now):
            return State.UP
        return State.QUIET if peer.kind is Kind.LAB else State.LOST
