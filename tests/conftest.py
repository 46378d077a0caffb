"""Fixtures: what a test started is gone when it ends."""

import pytest

from tests.nodes import Cluster, Peer


@pytest.fixture
def cluster():
    """Real nodes as processes."""
    started = Cluster()
    yield started
    started.close()


@pytest.fixture
def peers():
    """Makes bare sockets."""
    made = []

    def make(ip="127.0.0.1"):
        made.append(Peer(ip))
        return made[-1]

    yield make
    for peer in made:
        peer.close()
