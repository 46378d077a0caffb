"""The timing of the legacy (2016) programs, simulated, to compare prr with.

A binder, services and clients in virtual time, on a network that takes none. A client waits 2 s for
a service; then it complains, and the binder asks the service, waits 2 s for it, and serves nobody
meanwhile. The dead one is silent, and refuses nothing. Kind to them: a complaint about what is gone
costs nothing, and a client whose lookup is not answered waits on without harm.
"""

from collections import Counter, deque
from heapq import heapify, heappop, heappush
from random import Random

CLIENT_WAIT = 2.0
BINDER_WAIT = 2.0
SERVERS = 3
CALLERS = 4
CALL_PAUSE = 0.01
"""Seconds between two calls of a client."""

LOOK_PAUSE = 0.005
"""Seconds between the lookups of one more, who only looks up."""

DEAD = 0
"""The number of the server that dies."""


def play(kills: int) -> list[Counter[str]]:
    """What is seen after so many kills: seconds from then on, and counts."""
    return [_kill(Random(number)) for number in range(kills)]


def _kill(rng: Random) -> Counter[str]:
    seen = Counter[str]()
    held, free_at = deque(range(SERVERS)), 0.0
    # When, who, and whether it complains, else it looks up: in the order in which they are served.
    due = [(rng.uniform(0, CALL_PAUSE), who, False) for who in range(CALLERS + 1)]
    heapify(due)
    while due[0][0] < CLIENT_WAIT + BINDER_WAIT + 0.2:
        asked_at, who, complains = heappop(due)
        now = max(asked_at, free_at)
        seen["nobody_served"] = max(seen["nobody_served"], now - asked_at)
        pause = CALL_PAUSE if who < CALLERS else LOOK_PAUSE
        wait = pause * rng.uniform(0.5, 1.5)  # else each would be given the same one each time
        fails = False
        if not complains:
            held.rotate()
            fails = held[0] == DEAD and who < CALLERS
            if held[0] == DEAD:
                seen["last_named"] = now
        elif DEAD in held:
            held.remove(DEAD)
            free_at = now + BINDER_WAIT
        seen["failed_calls"] += fails
        heappush(due, (now + (CLIENT_WAIT if fails else wait), who, fails))
    return seen
