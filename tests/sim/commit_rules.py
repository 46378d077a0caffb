"""What must hold of a store that binders share, whatever befalls it. Checked as things happen.

What was confirmed to a server was committed before, once at least. Nothing newer is overwritten by
what is older. Who owned an instance and is gone is followed by one binder. At rest every table is
as the store is, soon after that is back, and nobody writes any more.
"""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from prr.core.commits.layout import INSTANCES, instance_in, update_in
from prr.core.commits.stored import prevails, word_of
from prr.core.effects import Update
from prr.wire.instance import Instance, describe
from prr.wire.version import Version, is_newer
from tests.sim import adapter
from tests.sim.process import Process
from tests.sim.sharing import PREFIX
from tests.sim.world import Violation

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.processes import BinderProcess

BACK_WITHIN = 2.0
"""Seconds after the store's return within which each table is as the store is; and for which they
may differ over one update from then on."""

QUIET = 10.0
"""Seconds at rest in which nothing is written."""

QUIET_WITHIN = 40.0

CALM_AFTER = 15.0
"""Seconds after which all have renewed their leases, and seen that the others have."""

PLACE = (PREFIX + INSTANCES).encode()


class Committed:
    """The rules of one cluster."""

    def __init__(self, cluster: Cluster) -> None:
        assert cluster.etcd is not None
        self._cluster, self._etcd = cluster, cluster.etcd
        self._etcd.written = self._written
        self._ever: defaultdict[Instance, list[Update]] = defaultdict(list)
        self._differs: dict[tuple[str, Instance], tuple[object, float]] = {}
        self.adoptions = 0
        self._adopted: dict[tuple[Instance, Version], BinderProcess] = {}

    # While it happens.

    def _written(self, client: Process, key: bytes, was: bytes | None, value: bytes) -> None:
        """A binder writes."""
        if not key.startswith(PLACE):
            return
        instance = instance_in(key[len(PREFIX) :].decode())
        update, name = update_in(value), describe(instance)
        self._ever[instance].append(update)
        there = _update_in(was)
        if there is not None and there != update and not prevails(update, word_of(there)):
            raise Violation(f"{client.name}: overwrites what etcd has of {name}, which is newer")

    def confirmed(self, binder: BinderProcess, instance: Instance, said: Update) -> None:
        """A server is told that it is there, which was decided so when it said so."""
        if any(not is_newer(said.version, one.version) for one in self._ever[instance]):
            return
        now = binder.core.directory.update(instance)
        if now is None or now.is_present or now.version == said.version:  # else it is gone again
            name = describe(instance)
            raise Violation(f"{binder.name}: confirms {name}, which was never committed")

    def adopted(self, binder: BinderProcess, instance: Instance, before: Version | None) -> None:
        """A binder takes over what another one had at this version: nobody else does so."""
        self.adoptions += 1
        if before is None:
            return  # from its disk
        first = self._adopted.setdefault((instance, before), binder)
        if first is not binder and first.running and self._is_heard_by_all:
            what = f"{describe(instance)}, which {first.name} has adopted"
            raise Violation(f"{binder.name}: adopts {what}")

    @property
    def _is_heard_by_all(self) -> bool:
        """Each binder that runs has been able to renew its lease, and to see the others'."""
        options, healed_at = self._cluster.options.etcd, self._cluster.healed_at
        assert options is not None
        has_calmed = healed_at is not None and self._cluster.world.now > healed_at + CALM_AFTER
        return has_calmed or options.leases_go_on

    # At rest.

    def pending(self) -> str | None:
        """What is still to come before all is at rest."""
        if wrong := self.differences():
            raise Violation(wrong)
        if self._differs:  # for a moment
            (name, instance), ((stored, own), _) = min(self._differs.items())
            return f"{name} has of {describe(instance)} {own}, and etcd {stored}"
        return self.unregistered() or self.unowned()

    def differences(self) -> str | None:
        """What a table and the store have differed over for too long; None if nothing."""
        now = self._cluster.world.now
        there = {
            instance_in(key[len(PREFIX) :].decode()): _update_in(row.value)
            for key, row in self._etcd.rows.items()
            if key.startswith(PLACE) and _is_key(key)
        }
        differs: dict[tuple[str, Instance], tuple[object, float]] = {}
        for binder in self._cluster.live_binders():
            known = adapter.updates(binder.core)
            for instance in there.keys() | known.keys():
                stored, own = there.get(instance), known.get(instance)
                if stored == own or not (_is_up(stored) or _is_up(own)):
                    continue
                if own is not None and binder.core.directory.is_unheard(instance):
                    continue
                place, what = (binder.name, instance), (stored, own)
                was, since = self._differs.get(place, (None, now))
                is_told = not self._etcd.is_stalled(binder.name)  # else it has to notice that first
                differs[place] = what, since if was == what and is_told else now
        self._differs = differs
        for (name, instance), ((stored, own), since) in sorted(
            differs.items(), key=lambda item: item[0]
        ):
            if now - since > BACK_WITHIN:
                return f"{name} has of {describe(instance)} {own}, and etcd {stored}"
        return None

    def unregistered(self) -> str | None:
        """Who is registered and gone, or the other way round; None if nobody is."""
        place = f"{PREFIX}binders/".encode()
        there = {int(key[len(place) :], 16) for key in self._etcd.rows if key.startswith(place)}
        alive = {binder.core.identity for binder in self._cluster.sharing_binders()}
        return f"{there ^ alive} are registered and gone, or not" if there != alive else None

    def unowned(self) -> str | None:
        """An instance that nobody looks after; None if there is none."""
        binders = self._cluster.live_binders()
        alive = {binder.core.identity for binder in binders}
        for binder in binders:
            if lost := sorted({*binder.core.directory.owners()} - alive):
                return f"{binder.name} has what is owned by {lost[0]:x}, which is gone"
        return None

    def unquiet(self) -> str | None:
        """Let time pass; what is written without end, None if nothing is."""
        world, writes = self._cluster.world, self._etcd.writes
        until = world.now + QUIET_WITHIN
        since = world.now
        while world.now < until:
            world.run(world.now + 1.0)
            last = max((at for at, _ in writes), default=since)
            if world.now - max(last, since) >= QUIET:
                return None
        lately = [what for at, what in writes if at > since]
        return (
            f"at rest {len(lately)} transactions within {QUIET_WITHIN:g} s, the last {lately[-1]}"
        )


def _is_key(key: bytes) -> bool:
    try:
        instance_in(key[len(PREFIX) :].decode())
    except ValueError:
        return False
    return True


def _update_in(value: bytes | None) -> Update | None:
    try:
        return None if value is None else update_in(value)
    except ValueError:
        return None


def _is_up(update: Update | None) -> bool:
    return update is not None and update.is_present
