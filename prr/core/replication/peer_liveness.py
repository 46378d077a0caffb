"""Which peers are alive: says when one falls silent, when it is back, and when none is left.

Anti-entropy is the heartbeat: a binder of ours owes its peers a comparison every second or so, and
no datagram is sent for this alone. A legacy (2016) binder says nothing while nothing changes, and
its silence means nothing. Before it calls anybody lost, a binder asks whether it was itself that
was stopped (the local health of Lifeguard: Dadgar et al., 2017).
"""

from prr.core.effects import Effect, Event, Report
from prr.core.replication.peers import GONE_AFTER, Peer, Peers, State
from prr.record import record
from prr.wire.instance import Address, describe_address

GRAIN = 0.01
"""Seconds after its patience has ended that a peer is looked at: then it is over in any clock."""

LATE = 0.1
"""Seconds by which a binder is so late with anything that it was itself stopped: what its peers
said meanwhile lies in its queue, and is read first, for as long again. No longer, since that takes
a moment only: a peer that is heard seldom may have spoken in just that moment."""


@record
class Isolation:
    """Not one of `of` peers is heard: for `seconds`, or (None) since this binder was started."""

    of: int
    seconds: float | None
    decides_alone: bool

    def __str__(self) -> str:
        """In words, as a log and `status` have them."""
        heard = "ever heard" if self.seconds is None else f"heard for {self.seconds:.0f} s"
        follows = "deciding alone" if self.decides_alone else "evicting on refusals only"
        return f"0 of {self.of} peers {heard}; {follows}"


def isolation(peers: Peers, now: float) -> Isolation | None:
    """The peers that a binder does not hear at all; None if it hears one, or has none that it
    should hear."""
    states = [(peer, peers.state(peer, now)) for peer in peers.all()]
    owing = [peer for peer, state in states if state is not State.QUIET]
    if not owing or any(state is State.UP for _, state in states):
        return None
    heard = [peer.heard_at for peer in owing if peer.heard_at is not None]
    return Isolation(len(owing), now - max(heard) if heard else None, peers.are_gone(now))


class Liveness:
    """Notices for one binder."""

    def __init__(self, peers: Peers) -> None:
        self._peers = peers
        self._lost: set[Address] = set()
        self._told: Isolation | None = None
        self._look_at: float | None = None

    def expect(self, now: float) -> None:
        """From now on there are peers to be heard, or one more."""
        self._look_by(now + self._peers.patience + GRAIN)

    def is_lost(self, peer: Peer) -> bool:
        """It was said to be lost, and has not been heard since."""
        return peer.address in self._lost

    def heard(self, peer: Peer, now: float) -> list[Effect]:
        """A peer said something, for the first time since `peer.heard_at`."""
        effects: list[Effect] = []
        if peer.address in self._lost:
            assert peer.heard_at is not None
            self._lost.remove(peer.address)
            why = f"after {now - peer.heard_at:.0f} s"
            effects.append(Report(Event.PEER_BACK, describe_address(peer.address), why))
        if self._told is not None:
            self._told = None
            why = f"it hears peer {describe_address(peer.address)}"
            effects.append(Report(Event.CONNECTED, "", why))
        self._look_by(now + self._peers.patience + GRAIN)
        return effects

    def forget(self, address: Address) -> None:
        """It is no peer any more."""
        self._lost.discard(address)

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if nothing can change but by a frame."""
        return self._look_at

    def stopped(self, now: float) -> None:
        """This binder itself was stopped until `now`: nobody is lost before it has read what
        waits."""
        if self._look_at is not None:
            self._look_at = max(self._look_at, now + LATE)

    def tick(self, now: float) -> list[Effect]:
        """See who has fallen silent by `now`. Safe to call too often."""
        if self._look_at is None or now < self._look_at:
            return []
        self._look_at = None
        effects: list[Effect] = []
        for peer in self._peers.all():
            state = self._peers.state(peer, now)
            if state is State.LOST and peer.address not in self._lost:
                assert peer.heard_at is not None
                self._lost.add(peer.address)
                why = f"nothing heard for {now - peer.heard_at:.0f} s"
                effects.append(Report(Event.PEER_LOST, describe_address(peer.address), why))
            elif state is State.UP:
                assert peer.heard_at is not None
                self._look_by(peer.heard_at + self._peers.patience + GRAIN)
        return effects + self._isolated(now)

    def _isolated(self, now: float) -> list[Effect]:
        found = isolation(self._peers, now)
        if found is None:
            self._told = None  # the peers are others than they were
            return []
        if not found.decides_alone and found.seconds is not None:
            self._look_by(now - found.seconds + GONE_AFTER + GRAIN)
        if self._told is not None and self._told.decides_alone == found.decides_alone:
            return []
        self._told = found
        return [Report(Event.ISOLATED, "", str(found))]

    def _look_by(self, when: float) -> None:
        self._look_at = when if self._look_at is None else min(when, self._look_at)
