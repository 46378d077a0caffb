"""One binder's end of a shared etcd: the shell's own, put together as `prr.cli.etcd` does it."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prr.core.directory.directory import Directory
from prr.core.effects import Persist, Update
from prr.core.replication.peers import PEERS_MAX
from prr.shell.etcd.endpoints import Endpoints
from prr.shell.etcd.messages import Keys
from prr.shell.etcd.registration import Registered, Registration
from prr.shell.etcd.store import EtcdStore
from prr.shell.storage.store import Learn, NoStore
from prr.wire.frames import Frame, Subscribed
from prr.wire.instance import Address, Instance
from prr.wire.version import Version

if TYPE_CHECKING:
    from tests.sim.processes import BinderProcess

PREFIX = "/prr/"

FOUND_FOR = 60.0
"""As in `prr.cli.reload`."""


class LocalStore(NoStore):
    """What the process keeps on its own disk: that is seen to beside this."""

    def __init__(self, process: BinderProcess) -> None:
        super().__init__(process.core.identity)
        self._process = process

    def load(self, directory: Directory, learn: Learn) -> None:
        """Likewise."""
        if self._process.disk is not None:
            self._process.disk.load(learn)


class Sharing:
    """What a binder process has of etcd."""

    def __init__(self, process: BinderProcess) -> None:
        cluster = process.cluster
        assert cluster.etcd is not None
        assert cluster.rules is not None
        self.process = process
        self.has_read = False
        self._rules = cluster.rules
        self._found: dict[Address, float] = {}
        self._versions: dict[Instance, tuple[Version | None, Version | None]] = {}
        """Of each instance the last two."""
        doors = tuple((f"etcd-{number}", number) for number in range(cluster.etcd.servers))
        endpoints = Endpoints(doors, cluster.dice.randrange(len(doors)))
        registration = Registration(
            endpoints,
            PREFIX,
            process.core.identity,
            lambda: process.cluster.as_peer(process.address),
            process.core.directory.owners,
            self._follow,
        )
        self.store = EtcdStore(LocalStore(process), endpoints, Keys(PREFIX))
        self.store.share(self._hear, self._all_is_read, registration)

    def load(self, learn: Learn) -> None:
        """Begin."""
        self.process.cluster.loops.process = self.process
        self.store.load(self.process.core.directory, learn)

    def persist(self, changes: Persist) -> None:
        """As the node does."""
        for instance, update in changes.updates.items():
            _, before = self._versions.get(instance, (None, None))
            self._versions[instance] = before, update and update.version
        self.store.persist(changes)

    def adopted(self, instance: Instance) -> None:
        """It has just taken over what another one had."""
        before, _ = self._versions[instance]
        self._rules.adopted(self.process, instance, before)

    def confirm(self, instance: Instance, frame: Frame, answer: Callable[[], None]) -> None:
        """As the node does."""
        process = self.process
        said = process.core.directory.update(instance) if isinstance(frame, Subscribed) else None
        asked_at = process.now

        def act() -> None:
            if not process.running:
                return
            if said is not None:
                self._rules.confirmed(process, instance, said)
            process.ledger.answers_as_of = asked_at
            answer()
            process.ledger.answers_as_of = None

        self.store.confirm(instance, act)

    def leave(self) -> None:
        """SIGTERM: the lease is ended, if etcd hears it."""
        etcd = self.process.cluster.etcd
        assert etcd is not None
        if not self.store.reachability.is_away:
            key = f"{PREFIX}binders/{self.process.core.identity:016x}".encode()
            etcd.world.after(0.001, etcd.hear_leave, self.process, key)

    def _hear(self, updates: list[tuple[Instance, Update]]) -> None:
        process = self.process
        if process.running:
            process.ledger.hears_of(instance for instance, _ in updates)
            process.act(process.decide(process.core.shared_store.heard, updates, process.now))

    def _all_is_read(self) -> None:
        process = self.process
        commits = self.store._commits
        self.has_read |= commits is not None and commits.may_write
        if process.running:
            process.core.shared_store.has_read()
            process.act(process.decide(process.core.tick, process.now))

    def _follow(self, seen: Registered) -> None:
        """As `prr.cli.etcd` does, and `SettingsFollower.found`."""
        process = self.process
        core, now = process.core, process.now
        core.shared_store.register(seen.looked_after.union(seen.binders), seen.is_current)
        own = process.cluster.as_peer(process.address)
        self._found |= {one: now for one in seen.binders.values() if one != own}
        self._found = {one: at for one, at in self._found.items() if now - at < FOUND_FOR}
        named = process.cluster.named_peers_of(process.address)
        more = [one for one in self._found if one not in named]
        wanted = [*named, *more[: PEERS_MAX - len(named)]]
        for peer in core.peers.all():
            if peer.address not in wanted:
                core.remove_peer(peer.address)
        for address in wanted:
            if address not in core.peers and process.running:
                process.act(process.decide(core.add_peer, address, process.now))
