"""The peers: what each has shown itself to be, who is silent, and whose turn it is."""

import pytest

from prr.core.replication.peers import HELLO_PAUSE, PEERS_MAX, SILENT_AFTER, Kind, Peers

ADDRESSES = tuple((f"10.0.0.{number}", 2222) for number in (1, 2, 3))


def made(*kinds):
    """A peer of each kind, in order; those of ours were heard at 0 s."""
    peers = Peers(ADDRESSES[: len(kinds)])
    for peer, kind in zip(peers.all(), kinds, strict=True):
        peer.kind = kind
        peer.heard_at = 0.0
    return peers


def test_a_peer_is_unknown_until_it_has_shown_what_it_is():
    peers = Peers(ADDRESSES)
    assert [peer.address for peer in peers.all()] == list(ADDRESSES)
    assert {peer.kind for peer in peers.all()} == {Kind.UNKNOWN}
    assert (len(peers), ADDRESSES[0] in peers, ("10.0.0.1", 1) in peers) == (3, True, False)
    assert peers.get(("10.0.0.1", 1)) is None
    assert peers.ours() == peers.heard_lately(0.0) == []
    assert peers.next(1e9) is None


def test_no_more_than_the_limit_can_be_added():
    peers = Peers(tuple(("10.0.0.1", port) for port in range(PEERS_MAX)))
    with pytest.raises(AssertionError):
        peers.add(("10.0.0.1", PEERS_MAX))


def test_those_of_ours_have_their_turn_one_after_another_and_nobody_else():
    peers = made(Kind.OURS, Kind.LAB, Kind.OURS)
    rotation = [peers.next(0.0).address for _ in range(4)]
    assert rotation[:2] == rotation[2:]
    assert set(rotation) == {ADDRESSES[0], ADDRESSES[2]}


def test_one_that_answered_bare_has_its_turn_after_a_pause():
    peers = made(Kind.OURS, Kind.UNKNOWN)
    peers.all()[1].answered_bare_at = 10.0
    assert {peers.next(10.0 + HELLO_PAUSE).address for _ in range(4)} == {ADDRESSES[0]}
    assert len({peers.next(10.1 + HELLO_PAUSE).address for _ in range(4)}) == 2


def test_who_was_not_heard_for_some_rounds_is_silent_but_still_ours():
    peers = made(Kind.OURS, Kind.LAB)
    patience = max(SILENT_AFTER, 6.0)
    assert [peer.address for peer in peers.heard_lately(patience)] == [ADDRESSES[0]]
    assert peers.heard_lately(patience + 0.1) == []
    assert len(peers.ours()) == 1


def test_patience_grows_with_the_number_of_peers_since_each_is_heard_in_turn():
    many = Peers(tuple(("10.0.0.1", port) for port in range(1, 11)))
    for peer in many.all():
        peer.kind, peer.heard_at = Kind.OURS, 0.0
    assert len(many.heard_lately(30.0)) == 10
    assert many.heard_lately(30.1) == []
