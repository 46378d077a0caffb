"""From no keys to where all is to be proved, and from one secret to the next, one process at a time
and under load, in the simulator: no lookup fails, and no subscription waits for long."""

from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from prr.config import Require
from prr.core.outcomes import FoundService
from prr.core.trust import NO_KEYS, Trust
from prr.trust.credential import Holder
from prr.trust.keyring import Held, Keyring
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Role, Subscribed, Verify
from prr.wire.instance import Address, Service, address_of
from tests.cores import decode
from tests.sim.cluster import Cluster
from tests.sim.faults import calmed, options_for
from tests.sim.keys import PRUNED, SECRET, Keys, issue
from tests.sim.processes import ClientProcess
from tests.sim.trace import Trace

pytestmark = pytest.mark.elsewhere

SERVICES: tuple[Service, ...] = (7, "web")
PAUSE = 1.2
"""Seconds between two processes that are started anew, or read their keyrings again."""

CALLS = 20.0  # lookups a second

SENT_MAX = 2
"""Times that a word to a binder that runs is sent until it answers: once, and once again."""


class Moving(Keys):
    """Those of a cluster that gets other ones as time goes by."""

    issuer: Keyring | None = None

    def of_server(self, index: int, service: Service) -> Held | None:
        return self.issuer and issue(Holder.SERVER, f"server-{index}", service, self.issuer)

    def of_client(self, number: int) -> Held | None:
        return self.issuer and issue(Holder.CLIENT, "app", None, self.issuer)


class Migration:
    """One cluster on its way."""

    def __init__(self, seed: int) -> None:
        options = replace(calmed(options_for(seed)), binders=3, servers=6, lab_servers=0.0)
        options = replace(options, types=SERVICES, ipv6=0.0, lab2016=False, require=None)
        self.cluster = Cluster(options, Trace())
        self.keys = self.cluster.keys = Moving(options)
        self.keys.ring, self.keys.trust = None, NO_KEYS
        self.failed: list[object] = []
        self.found = 0
        self.most: Counter[tuple[Address, Address]] = Counter()
        self._rng = Random(seed)
        self._unanswered: Counter[tuple[Address, Address]] = Counter()
        self._calling: list[ClientProcess] = []
        self.cluster.network.tap = self._hear
        for index in range(3):
            self.cluster.start_binder(index)
        for index in range(6):
            self.cluster.start_server(index, SERVICES[index % 2])
        self.run(2.0)
        self._call()

    def run(self, seconds: float) -> None:
        """Let time go by."""
        self.cluster.world.run(self.cluster.world.now + seconds)

    def restart_binders(self, ring: Keyring, require: Require) -> None:
        """One by one, with these keys."""
        self.keys.ring, self.keys.trust = ring, Trust(is_keyed=True, require=require)
        for index in self._rng.sample(range(3), 3):
            binder = self.cluster.binders[index]
            binder.stop()
            self.run(0.05)
            self.cluster.start_binder(index)
            self.run(PAUSE)

    def reread(self, ring: Keyring) -> None:
        """Each binder reads its keyring again."""
        self.keys.ring = ring
        for index in self._rng.sample(range(3), 3):
            self.cluster.binders[index].codec.change_keys(ring)
            self.run(PAUSE)

    def restart_servers(self, issuer: Keyring) -> None:
        """One by one, with keys that this one issues; and all clients from now on."""
        self.keys.issuer = issuer
        for index in self._rng.sample(range(6), 6):
            self.cluster.servers[index].stop()
            self.run(0.1)
            self.cluster.start_server(index, SERVICES[index % 2])
            self.run(PAUSE)

    def _call(self) -> None:
        for client in [one for one in self._calling if one.core.outcome is not None]:
            self._calling.remove(client)
            self.found += 1
            if not isinstance(client.core.outcome, FoundService):
                self.failed.append((self.cluster.world.now, client.core.outcome))
        binders = self.cluster.binder_addresses
        service = self._rng.choice(SERVICES)
        self._calling.append(self.cluster.start_client(service, None, binders))
        self.cluster.world.after(self._rng.expovariate(CALLS), self._call)

    def _hear(self, source: Address, target: Address, data: bytes) -> bool:
        servers = {address_of(one.instance) for one in self.cluster.live_servers()}
        binders = {one.address for one in self.cluster.live_binders()}
        if source in servers and target in binders and data[:1] in (b"\5", b"\x0c"):
            self._unanswered[source, target] += 1
            self.most[source, target] = max(
                self.most[source, target], self._unanswered[source, target]
            )
        elif source in binders and target in servers and _is_answer(data):
            self._unanswered[target, source] = 0
        elif source in servers:
            self._unanswered[source, target] = 0  # to who does not run
        return False


def _is_answer(data: bytes) -> bool:
    try:
        return isinstance(decode(data, Role.SERVER), Subscribed | Verify)
    except MalformedFrame:
        return False


def migrated(seed: int) -> Migration:
    """All the way."""
    old, both, new = Keyring((PRUNED,)), Keyring((SECRET, PRUNED)), Keyring((SECRET,))
    on_its_way = Migration(seed)
    on_its_way.restart_binders(old, Require.OFF)
    on_its_way.restart_binders(old, Require.LOG)
    on_its_way.restart_servers(old)
    on_its_way.restart_binders(old, Require.ON)
    on_its_way.reread(both)
    on_its_way.restart_servers(both)
    on_its_way.reread(new)
    on_its_way.run(20.0)
    return on_its_way


@pytest.mark.parametrize(
    "seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 40))]
)
def test_keys_come_and_change_and_nobody_notices(seed, monkeypatch):
    done = migrated(seed)
    assert not done.failed
    assert done.found > 500
    assert max(done.most.values()) <= SENT_MAX
    assert done.cluster.pending() is None


def test_keys_that_change_in_the_wrong_order_are_noticed():
    wrong = Migration(1)
    wrong.restart_binders(Keyring((PRUNED,)), Require.ON)  # before anybody has a credential
    wrong.run(40.0)
    assert wrong.cluster.pending() is not None
