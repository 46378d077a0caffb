"""Sessions of two binders: they find each other, through loss and restarts, and replays do not part
them."""

from random import Random

import pytest

from prr.core.replication.peers import Peers
from prr.core.replication.sessions import KEPT_MAX, WINDOW, Belief, Sessions, Window
from prr.wire.frames import Unknown, Verify
from prr.wire.seal import Seal

pytestmark = pytest.mark.elsewhere

A, B, C = ("10.0.0.1", 2222), ("10.0.0.2", 2222), ("10.0.0.3", 2222)
FRAMES = [Unknown(), Verify()]


def end_of(rng, *peers):
    """A process that has these peers."""
    return Sessions(rng, Peers(peers))


class Pair:
    """Two processes, and all that was ever said between any of them."""

    def __init__(self, seed: int = 1) -> None:
        self.rng = Random(seed)
        self.ends = {A: end_of(self.rng, B), B: end_of(self.rng, A)}
        self.recorded: list[tuple[object, Seal]] = []
        self.believed: list[tuple[object, Seal]] = []
        self.ended: set[bytes] = set()  # processes

    def restart(self, at) -> None:
        self.ended.add(self.ends[at].sealed(FRAMES[0], other(at)).session[1:17])
        self.ends[at] = end_of(self.rng, other(at))
        self.say(at)  # a binder that starts asks its peers first

    def say(self, source, frame=FRAMES[0]) -> None:
        """One says something, and what follows is seen to."""
        self.deliver(source, self.ends[source].sealed(frame, other(source)))

    def deliver(self, source, seal: Seal) -> None:
        self.recorded.append((source, seal))
        target = other(source)
        end = self.ends[target]
        belief = end.believe(seal, source)
        if belief is Belief.FRESH:
            assert (source, seal) not in self.believed
            assert seal.session[1:17] not in self.ended
            self.believed.append((source, seal))
        elif belief is Belief.UNKNOWN:
            self.deliver(target, end.hello(seal, source))
        elif belief is Belief.HELLO:
            for frame in [*end.unheard(seal, source)]:
                self.say(target, frame)

    def replay(self) -> None:
        """Somebody says again what was said, once or more."""
        self.deliver(*self.rng.choice(self.recorded[-400:]))


def other(one):
    return B if one == A else A


def test_a_word_that_could_not_be_believed_is_said_again_and_then_is():
    pair = Pair()
    pair.say(A)
    assert len(pair.believed) == 1
    pair.say(A)
    pair.say(B)
    assert len(pair.believed) == 3


def test_no_word_is_believed_twice():
    pair = Pair()
    for _ in range(5):
        pair.say(A)
        pair.say(B)
    assert len(pair.believed) == 10
    for source, seal in [*pair.recorded]:
        pair.deliver(source, seal)
    assert len(pair.believed) == 10


@pytest.mark.parametrize("seed", range(20))
def test_restarts_and_replays_part_nobody_and_nothing_old_is_believed(seed):
    pair = Pair(seed)
    for _ in range(60):
        if pair.rng.random() < 0.3:
            pair.restart(pair.rng.choice((A, B)))
        for _ in range(pair.rng.randrange(20) if pair.recorded else 0):
            pair.replay()
        for source in (A, B):
            before = len(pair.believed)
            pair.say(source)
            assert len(pair.believed) > before
    assert len({seal.number for _, seal in pair.believed[-20:]}) > 1


def test_a_hello_counts_for_the_word_it_answers_and_once():
    pair = Pair()
    seal = pair.ends[A].sealed(FRAMES[0], B)
    assert pair.ends[B].believe(seal, A) is Belief.UNKNOWN
    hello = pair.ends[B].hello(seal, A)
    forged = Seal(hello.number + 1, session=hello.session)
    assert pair.ends[A].believe(forged, B) is Belief.STALE  # which was never said
    assert pair.ends[A].believe(hello, B) is Belief.HELLO
    assert pair.ends[A].believe(hello, B) is Belief.STALE


def test_what_is_sent_back_to_who_said_it_is_never_believed():
    ours = end_of(Random(1), B, C)
    for _ in range(5):  # whatever it says comes back as if a peer had said so
        said = ours.sealed(FRAMES[0], B)
        assert {ours.believe(said, peer) for peer in (B, C)} == {Belief.ANOTHERS}


def test_a_hello_is_for_one_peer():
    ours, other, said = end_of(Random(1), B, C), end_of(Random(2), A), []
    for peer in (B, C):
        said.append(ours.sealed(FRAMES[0], peer))
    assert other.believe(said[1], A) is Belief.UNKNOWN
    hello = other.hello(said[1], A)
    assert ours.believe(hello, B) is Belief.STALE  # it is C's, whoever says it
    assert ours.believe(hello, C) is Belief.HELLO
    assert other.believe(ours.sealed(FRAMES[0], B), A) is not Belief.FRESH


def test_nobody_stands_in_for_another_binder():
    rng = Random(8)
    a, b, c = end_of(rng, B, C), end_of(rng, A, C), end_of(rng, A, B)
    said = a.sealed(FRAMES[0], B)
    assert c.believe(said, A) is Belief.ANOTHERS  # to whom somebody sends it on
    c.sealed(FRAMES[0], A)
    hello = c.hello(said, A)  # as one says that does not know B
    assert a.believe(hello, B) is Belief.HELLO
    assert c.believe(a.sealed(FRAMES[0], B), A) is Belief.ANOTHERS
    said = c.sealed(FRAMES[0], B)
    assert b.believe(said, A) is Belief.UNKNOWN  # A never said it
    assert c.believe(b.hello(said, A), B) is Belief.ANOTHERS


def test_what_is_kept_to_be_said_again_is_bounded():
    end = end_of(Random(1), B)
    seals = [end.sealed(FRAMES[0], B) for _ in range(3 * KEPT_MAX)]
    peer = end_of(Random(2), A)
    assert peer.believe(seals[0], A) is Belief.UNKNOWN
    hello = peer.hello(seals[0], A)
    assert end.believe(hello, B) is Belief.HELLO
    assert len([*end.unheard(hello, B)]) == KEPT_MAX


def test_a_window_takes_each_number_once_in_any_order():
    rng, window = Random(3), Window()
    numbers = [*range(1, 2 * WINDOW)]
    for start in range(0, len(numbers), WINDOW // 2):
        part = numbers[start : start + WINDOW // 2]
        rng.shuffle(part)
        assert all(map(window.take, part))
        assert not any(map(window.take, part))
    assert not window.take(1)  # too long ago to know
    assert window.take(10 * WINDOW) and window.take(9 * WINDOW + 1)
    assert not window.take(9 * WINDOW + 1)


def test_what_was_said_to_one_peer_does_not_part_another():
    c = ("10.0.0.3", 2222)
    rng = Random(7)
    one, two, three = end_of(rng, B, c), end_of(rng, A), end_of(rng, A, B)  # two has no third

    def say(end, to, source, target):
        """A word that is believed, after a hello if need be."""
        seal = end.sealed(FRAMES[0], target)
        if to.believe(seal, source) is Belief.UNKNOWN:
            assert end.believe(to.hello(seal, source), target) is Belief.HELLO
            seal = end.sealed(FRAMES[0], target)
            assert to.believe(seal, source) is Belief.FRESH
        return seal

    for _ in range(2):
        said = say(one, three, A, c)
        say(three, one, c, A)
    assert two.believe(said, A) is Belief.UNKNOWN  # sent on to another binder
    hello = two.hello(said, A)
    late = one.sealed(FRAMES[0], c)
    forged = Seal(late.number, session=two.hello(late, A).session)
    assert one.believe(hello, c) is Belief.STALE  # which is sent back in the name of the first
    assert one.believe(forged, c) is Belief.STALE
    assert three.believe(one.sealed(FRAMES[0], c), A) is Belief.FRESH
    assert two.believe(one.sealed(FRAMES[0], c), c) is not Belief.FRESH
