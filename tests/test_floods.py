"""One who floods harms no other: a real binder, flooded from one host and from a thousand."""

import socket
from itertools import product
from statistics import median

import pytest

from prr.core.liveness.just_asked import JUST_ASKED
from tests.flooding import Onlookers, flooding
from tests.nodes import Cluster

KINDS = ("complaints", "subscriptions", "both")
SOURCES = (1, 1000)

QUESTIONS = 1 / JUST_ASKED
"""A second, that complaints bring an instance which answers."""

MORE_QUESTIONS = 2
"""In one second: its edges, and the question for a new one."""

ROUNDS = 3
"""A host that stands still for a second harms more than a flood, but not each time."""

IN_TURN = 0.8
"""Of its turns an accused instance has at least: it is out of turn for the milliseconds of a
question, now and then; and chance."""


@pytest.fixture
def onlookers(request):
    """A binder with servers that are proved, and a client. The parameter, if there is one, is
    `limits` as in `fork`."""
    cluster = Cluster()
    limits = getattr(request, "param", None)
    binder = cluster.start("binder", "--listen", "127.0.0.1:0", limits=limits)
    watching = Onlookers(binder.address)
    watching.watch(1.0, 100)
    yield watching
    watching.close()
    for node in cluster.nodes:
        node.close()


def flooded(onlookers, kind, sources, rate, seconds, lookups, sink=None):
    """What others see while somebody floods the binder, or a `sink`."""
    target = sink or onlookers.binder
    flooder = flooding(target, kind, sources, rate, seconds + 60.0, onlookers.accused)
    try:
        onlookers.watch(0.5, lookups)
        return onlookers.watch(seconds, lookups)
    finally:
        flooder.kill()
        flooder.wait()
        onlookers.watch(0.3, lookups)  # what lies in the queues


def unharmed(seen, onlookers):
    """Nobody is. How much the accused is asked does not depend on how busy this host is."""
    assert max(seen.asked.values()) <= QUESTIONS + MORE_QUESTIONS
    is_served = seen.lost == seen.unconfirmed == 0 and seen.found.total() > 0
    return is_served and seen.turns(onlookers.accused) >= IN_TURN


@pytest.mark.slow  # it needs a host that does nothing else
@pytest.mark.parametrize(("kind", "sources"), [("complaints", 1000), ("both", 1)])
def test_a_flood_harms_no_other(onlookers, kind, sources):
    for _ in range(ROUNDS):
        calm = onlookers.watch(1.0, 300)
        seen = flooded(onlookers, kind, sources, 2000, 2.0, 300)
        is_accused = sum(seen.asked.values()) >= 1
        is_soon = unharmed(seen, onlookers) and seen.wait_ms(0.5) < 5 * calm.wait_ms(0.5) + 20
        if is_accused and is_soon:
            return
    pytest.fail(f"harmed {ROUNDS} times: {seen}")


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "sources"), [*product(KINDS, SOURCES)])
def test_a_longer_flood_harms_no_other(onlookers, kind, sources):
    """Calm and flood in turn; what is told is the median of the rounds. In the calm a socket that
    nobody reads is flooded: whoever floods takes as much of this host then."""
    calm, during, flood = [], [], (onlookers, kind, sources, 1000, 3.0, 1000)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sink:
        sink.bind(("127.0.0.1", 0))
        for _ in range(5):
            calm.append(flooded(*flood, sink=sink.getsockname()))
            during.append(flooded(*flood))
    for seen in during:
        assert unharmed(seen, onlookers)
    for share in (0.5, 0.9, 0.99):
        told = [median(seen.wait_ms(share) for seen in row) for row in (calm, during)]
        print(f"{kind} from {sources}: lookups {share:.0%}: {told[0]:.3f} -> {told[1]:.3f} ms")
    told = [median(wait for seen in row for wait in seen.renewals) for row in (calm, during)]
    print(f"renewals: {1000 * told[0]:.3f} -> {1000 * told[1]:.3f} ms (median)")
    turns = min(seen.turns(onlookers.accused) for seen in during)
    most = max(max(seen.asked.values()) for seen in during)
    print(
        f"the accused has {turns:.2f} of its turns, and is asked {most} times in a second at most"
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "onlookers", [{"prr.core.liveness.just_asked.JUST_ASKED": 0.0}], indirect=True
)
def test_it_is_noticed_where_nothing_bounds_the_questions(onlookers):
    seen = flooded(onlookers, "complaints", 1000, 2000, 2.0, 300)
    assert max(seen.asked.values()) > 2 * (QUESTIONS + MORE_QUESTIONS)
    assert seen.turns(onlookers.accused) < IN_TURN
