"""Fixtures: what a test started is gone when it ends."""

import signal

import pytest

from tests.ahead import Ahead, is_elsewhere, is_late
from tests.etcd import Etcd
from tests.etcd_load import Lookups, Servers
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


@pytest.fixture
def etcd(tmp_path):
    """Makes an etcd of its own for one test, which may break it."""
    made = []

    def make(nodes=1, *flags, **more):
        made.append(Etcd(tmp_path / f"etcd-{len(made)}", nodes, *flags, **more))
        made[-1].start()
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def servers():
    """Makes servers."""
    made = []

    def make(*binders):
        made.append(Servers(one.address for one in binders))
        return made[-1]

    yield make
    for one in made:
        one.close()


@pytest.fixture
def lookups():
    """Makes clients."""
    made = []

    def make(*about):
        made.append(Lookups(*about))
        return made[-1]

    yield make
    for one in made:
        one.close()


def pytest_configure():
    """Whoever is started in the background by a shell ignores SIGINT, and so does all that it
    starts: nothing that a test interrupts would end."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items):
    """What other processes compute is waited for last."""
    items.sort(key=is_late)


def pytest_pyfunc_call(pyfuncitem):
    """A test that runs elsewhere is over when it is over there."""
    if not is_elsewhere(pyfuncitem):
        return None
    pyfuncitem._request.getfixturevalue("_ahead").finish(pyfuncitem)
    return True


@pytest.fixture(scope="session", autouse=True)
def _ahead(request):
    """What is computed for tests that come later."""
    begun = Ahead(request.session.items)
    yield begun
    begun.close()


@pytest.fixture
def ahead(_ahead, request):
    """What the test's mark `ahead` names."""
    return _ahead.results(request.node)
