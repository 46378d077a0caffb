"""How long a client waits before it complains: a multiple of what the service usually takes."""

import pytest

from prr.core.patience import MULTIPLE, PATIENCE_MAX, PATIENCE_MIN, Patience


def test_of_what_is_not_known_it_is_the_longest():
    assert Patience().of(7) == PATIENCE_MAX


@pytest.mark.parametrize(
    ("takes", "waits"), [(0.001, PATIENCE_MIN), (0.05, 0.05 * MULTIPLE), (1.0, PATIENCE_MAX)]
)
def test_it_is_a_multiple_of_what_is_usual_within_its_bounds(takes, waits):
    patience = Patience()
    for _ in range(100):
        patience.answered(7, takes)
    assert patience.of(7) == pytest.approx(waits)
    assert patience.of(8) == PATIENCE_MAX, "of each type its own"


def test_it_follows_a_service_that_has_become_slower():
    patience = Patience()
    for _ in range(100):
        patience.answered(7, 0.001)
    for _ in range(30):
        patience.answered(7, 0.1)
    assert patience.of(7) == pytest.approx(0.4, rel=0.05)
