"""The brake: how many may be evicted by silence, of how many, in what time."""

import pytest

from prr.core.brake import FLOOR, SHARE, WINDOW, Brake


def evict(brake, held, now=0.0):
    """Evict, one after another, until the brake holds: how many went."""
    gone = 0
    while held and brake.allows(held, now):
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
    assert evict(Brake(), held) == gone
    assert gone <= max(FLOOR, SHARE * held + 1)


def test_what_is_refused_does_not_count_and_a_window_later_as_many_may_go():
    brake = Brake()
    assert evict(brake, 100) == 15
    for now in (0.0, 1.0, WINDOW - 0.001):
        assert not brake.allows(85, now)
    assert evict(brake, 85, WINDOW) == 12


def test_evictions_leave_the_window_one_by_one():
    brake = Brake()
    for second in range(FLOOR):
        assert brake.allows(20, float(second))
    assert not brake.allows(12, WINDOW - 0.5)
    for second in range(FLOOR):
        assert brake.allows(12, WINDOW + second)
        assert not brake.allows(12, WINDOW + second + 0.5)


def test_it_remembers_no_more_than_it_allows():
    brake = Brake()
    for number in range(10_000):
        brake.allows(100, number * 0.01)
    assert len(brake._evictions) <= 20
