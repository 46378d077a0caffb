"""When Python searches for garbage: seldom, since a search holds up every look-up meanwhile.

What a node drops is freed at once, by counting references; a search is for what refers to itself in
a circle. While 38,000 instances were evicted there were no such circles but twenty from the start,
and a full search walks through the turns and deadlines of all instances: 40 ms for a million. So
what is there at the start is left out of it, and the rest is searched a tenth as often as Python
would. It is not turned off: a circle that a later change makes is found all the same.
"""

import gc

FULL_SEARCH_AFTER = 100
"""Searches among the younger objects, each after 7,700 more of them are there than before, between
two full ones: minutes under load. Python waits longer where the old objects are many (until they
have grown by a quarter)."""


def search_seldom() -> None:
    """Set this process up so, once it has all that it starts with."""
    gc.collect()
    gc.freeze()
    youngest, younger, _ = gc.get_threshold()
    gc.set_threshold(youngest, younger, FULL_SEARCH_AFTER)
