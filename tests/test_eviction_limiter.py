"""The brake: how many may be evicted by silence, of how many, in what time."""

import pytest

from prr.core.liveness.eviction_limiter import FLOOR, HELD, SETTLE, SHARE, WINDOW, EvictionLimiter
from tests.cores import at

ONE, OTHER = at(2, "10.0.0.1", 1), at(2, "10.0.0.2", 2)


def allows(eviction_limiter, instance, held, now, share=SHARE, binders=1):
    """One more of `held` may go; it goes, or is held back."""
    may_go = eviction_limiter.may_go(held, now, share, binders)
    if may_go:
        eviction_limiter.goes(instance, now)
    else:
        eviction_limiter.hold_back(instance, held, now, share)
    return may_go


def evict(eviction_limiter, held, now=0.0):
    """Evict, one after another, until the brake holds: how many went."""
    gone = 0
    while held and allows(eviction_limiter, ONE, held, now):
        held -= 1
        gone += 1
    return gone


@pytest.mark.parametrize(
    ("held", "gone"),
    [
        (0, 0),
        (1, 1),
        (FLOOR, FLOOR),
        (FLOOR + 1, FLOOR),
        (53, 7),
        (54, 8),
        (100, 15),
        (10_000, 1500),
    ],
)
def test_a_share_of_the_table_may_go_and_a_few_whatever_its_size(held, gone):
    assert evict(EvictionLimiter(), held) == gone
    assert gone <= max(FLOOR, SHARE * held + 1)


def test_what_is_refused_does_not_count_and_a_window_later_as_many_may_go():
    eviction_limiter = EvictionLimiter()
    assert evict(eviction_limiter, 100) == 15
    for now in (0.0, 1.0, WINDOW - 0.001):
        assert not allows(eviction_limiter, ONE, 85, now)
    assert evict(eviction_limiter, 85, WINDOW) == 12


def test_evictions_leave_the_window_one_by_one():
    eviction_limiter = EvictionLimiter()
    for second in range(FLOOR):
        assert allows(eviction_limiter, ONE, 20, float(second))
    assert not allows(eviction_limiter, ONE, 12, WINDOW - 0.5)
    for second in range(FLOOR):
        assert allows(eviction_limiter, ONE, 12, WINDOW + second)
        assert not allows(eviction_limiter, ONE, 12, WINDOW + second + 0.5)


def test_it_counts_in_a_bounded_number_of_steps():
    eviction_limiter = EvictionLimiter()
    for number in range(10_000):
        allows(eviction_limiter, ONE, 100, number * 0.01)
    assert eviction_limiter.sizes()["evictions"][0] <= 2 * WINDOW + 1


def test_peers_evictions_count_and_beyond_its_part_a_binder_leaves_time_to_hear_of_them():
    eviction_limiter = EvictionLimiter()
    assert all(allows(eviction_limiter, ONE, 100 - gone, 0.0, 0.5, binders=2) for gone in range(25))
    assert not allows(eviction_limiter, ONE, 75, SETTLE / 2, 0.5, binders=2)
    assert allows(eviction_limiter, ONE, 75, SETTLE, 0.5, binders=2)
    for _ in range(24):
        eviction_limiter.gone(SETTLE)
    assert not allows(eviction_limiter, ONE, 50, 1.0, 0.5, binders=2)


def test_it_says_once_that_it_holds_and_once_that_it_does_not():
    eviction_limiter = EvictionLimiter()
    assert evict(eviction_limiter, 100) == 15
    assert eviction_limiter.deadline() is None
    assert "15 of 100 instances were evicted" in eviction_limiter.tick(85, 0.0)
    assert eviction_limiter.tick(85, 0.0) is None
    assert not allows(eviction_limiter, OTHER, 85, 1.0)
    assert eviction_limiter.status(85, 2.0) == {
        "since_s": 2.0,
        "evicted": 15,
        "of": 100,
        "limit": 15,
        "held_back": 2,
    }
    eviction_limiter.release(ONE)
    assert eviction_limiter.deadline() == 1.0 + HELD
    assert "off after 7 s; it held back 2 at most" in eviction_limiter.tick(85, 1.0 + HELD)
    assert eviction_limiter.status(85, 8.0) is None
    assert eviction_limiter.deadline() is None
