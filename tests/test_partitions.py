"""A partition of a real network: binders in two halves, each of which loses sight of the other's
servers, are equal and right soon after it has healed."""

import pytest

from tests.netns import Network, why_not
from tests.partitions import Parted

PARTED = 25.0
"""Seconds: long enough that the larger half has evicted the other's servers, or begins to."""

RIGHT_WITHIN = 3.0
"""Seconds: 0.2 is usual, and whoever runs the tests may be busy."""


@pytest.mark.smoke
def test_two_halves_are_right_soon_after_they_have_healed():
    if reason := why_not():
        pytest.skip(reason)
    with Network(3) as network:
        play = Parted(network, "halves", 60)
        try:
            play.part(PARTED, until=lambda: any(play.lacking()))
            assert play.detector() < RIGHT_WITHIN
        finally:
            play.close()
