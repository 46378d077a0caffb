"""How often Python collects garbage: seldom, since a full collection blocks every lookup meanwhile.

What a node drops is freed at once, by reference counting; the collector is for what refers to
itself in a circle. While 38,000 instances were evicted there were no such circles but twenty from
the start, and a full collection walks through the rotation and deadlines of all instances: 40 ms
for a million. So what is there at the start is left out of it, and the rest is collected a tenth as
often as Python would. It is not turned off: a circle that a later change makes is found all the
same.
"""

import gc

FULL_COLLECTION_AFTER = 100
"""Collections of the younger objects, each after 7,700 more of them are there than before, between
two full ones: minutes under load. Python waits longer where the old objects are many (until they
have grown by a quarter)."""


def collect_seldom() -> None:
    """Set this process up so, once it has all that it starts with."""
    gc.collect()
    gc.freeze()
    youngest, younger, _ = gc.get_threshold()
    gc.set_threshold(youngest, younger, FULL_COLLECTION_AFTER)
