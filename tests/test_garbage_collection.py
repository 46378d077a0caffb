"""Python's garbage collection: seldom, never off, and with nothing to walk through in a table."""

import gc
import subprocess
import sys
from random import Random

import pytest

from prr.core.binder import Binder
from prr.wire.frames import Subscribe
from prr.wire.messages import Started

CHILD = """
import gc
from prr.shell.garbage_collection import FULL_COLLECTION_AFTER, collect_seldom
from prr.wire.messages import Started

class Circle:
    def __init__(self):
        self.own = self

full = []
gc.callbacks.append(lambda phase, info: full.append(info) if info["generation"] == 2 else None)
usual = gc.get_threshold()
collect_seldom()
assert gc.get_freeze_count() > 1000, "the start is left out"
gc.collect(1)
full.clear()
kept = [[Circle()] for _ in range(usual[0] * usual[1] * 50)]
assert gc.isenabled() and full == [], "seldom"
del kept
for _ in range(FULL_COLLECTION_AFTER * 2):
    gc.collect(1)
kept = [[] for _ in range(usual[0] * usual[1] * 2)]
assert sum(info["collected"] for info in full) > 100_000, "but not never"
"""


def test_a_full_search_is_seldom_and_finds_what_there_is():
    told = subprocess.run([sys.executable, "-c", CHILD], capture_output=True, text=True)
    assert told.returncode == 0, told.stderr


def tracked() -> int:
    """How many objects a full search has to walk through."""
    for _ in range(3):  # plain tuples, and dicts of plain things, are left out once seen
        gc.collect()
    return len(gc.get_objects())


@pytest.mark.smoke
@pytest.mark.parametrize("peers", [(), (("127.0.0.1", 2223),)])
def test_instances_are_nothing_to_walk_through(peers):
    binder = Binder(frozenset(), peers, 1, Random(1))
    before = tracked()
    for number in range(5000):
        address = (f"10.0.{number >> 8}.{number & 255}", 4242)
        binder.handle(Subscribe(1, trailer=Started(start=7)), address, 1.0)
    assert len(binder.directory) == 5000
    assert tracked() - before < 500, "a tenth of one each: what else this process does"
