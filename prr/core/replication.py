"""Bringing a binder up to date: the questions for the peers' lists, as rows with a deadline.

Each peer is asked until it has answered to its last page, with growing pauses, for ever: a peer
that is not up yet costs one byte every few seconds.
"""

from dataclasses import dataclass

from prr.core.deadlines import Deadlines
from prr.core.effects import Effect, Event, Report, Send
from prr.wire.address import Address, describe_address
from prr.wire.frames import ListRequest, ServiceList
from prr.wire.trailer import Trailer

PEERS_MAX = 64
"""Peers of one binder: each change is told to every one of them."""

SYNC_WAIT = 1.0
"""Seconds after which a binder that heard no peer answers "no such service" all the same."""

PAUSE_FIRST = 0.1
PAUSE_MAX = 5.0
"""Seconds between two questions to a peer that is silent: they double from first to max."""


@dataclass(slots=True)
class _Row:
    cursor: bytes | None = None
    nonce: int | None = None  # tells the page that is waited for from a late copy of another
    pause: float = PAUSE_FIRST
    reported_silent: bool = False


class PeerSync:
    """The peers whose list is still awaited."""

    def __init__(self) -> None:
        self._rows: dict[Address, _Row] = {}
        self._deadlines: Deadlines[Address] = Deadlines()

    def ask(self, peer: Address, now: float) -> Send:
        """Start to ask a peer for its list, from the beginning."""
        assert len(self._rows) < PEERS_MAX
        self._rows[peer] = _Row()
        return self._question(peer, now)

    def awaits(self, peer: Address) -> bool:
        """This peer has not sent its whole list yet."""
        return peer in self._rows

    def heard(self, peer: Address, frame: ServiceList, now: float) -> list[Effect]:
        """Hear a page of a peer's list: the question for the next one, or that it was the last.

        A page nobody waits for any more has no effect here.
        """
        row = self._rows.get(peer)
        trailer = frame.trailer or Trailer()
        if row is None or row.nonce != trailer.nonce:
            return []
        if trailer.cursor:
            row.cursor, row.pause = trailer.cursor, PAUSE_FIRST
            row.nonce = (row.nonce or 0) + 1
            return [self._question(peer, now)]
        del self._rows[peer]
        self._deadlines.cancel(peer)
        return [Report(Event.SYNCED, f"peer {describe_address(peer)}", "it sent its whole list")]

    def tick(self, now: float) -> list[Effect]:
        """Ask again whoever owes an answer by `now`."""
        effects: list[Effect] = []
        while (peer := self._deadlines.pop_due(now)) is not None:
            row = self._rows[peer]
            row.pause = min(2 * row.pause, PAUSE_MAX)
            if row.pause > SYNC_WAIT and not row.reported_silent:
                row.reported_silent = True
                why = f"no list from it; it is asked again every {PAUSE_MAX:g} s at the latest"
                effects.append(Report(Event.PEER_SILENT, describe_address(peer), why))
            effects.append(self._question(peer, now))
        return effects

    def deadline(self) -> float | None:
        """When `tick` has something to do; None if every peer has answered."""
        return self._deadlines.first()

    def _question(self, peer: Address, now: float) -> Send:
        row = self._rows[peer]
        self._deadlines.set(peer, now + row.pause)
        # The first question is the spec's bare byte: the peer may be a program of 2016.
        trailer = Trailer(cursor=row.cursor, nonce=row.nonce) if row.cursor else None
        return Send(ListRequest(trailer=trailer), peer)
