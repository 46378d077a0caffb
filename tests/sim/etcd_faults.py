"""What befalls an etcd, its data and the ways to it, and how much of that a seed has."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

from prr.core.commits.layout import INSTANCES
from tests.sim.sharing import PREFIX

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

LASTS = (0.2, 8.0)
"""Seconds of most of it: from what nobody need notice to what ends leases."""

JUNK = (b"", b"{}", b"\xff\xfe", b"[" * 2000, b'{"state":"up","counter":"0"}', b"{" + b" " * 5000)

AT_ONCE = 3  # keys that are deleted or overwritten, at most

AT_ONCE_BACK = 0.5
"""Share of the restores that no binder need notice, since some server always answers: the name
leads to an older copy from now on."""

BACK_MAX = 40  # revisions by which a restored state is older, at most

EXTRA_KEYS = (b"instances/7/10.0.1.1", b"instances/x y/10.0.1.1:1", b"instances/7/[::1]:65536")


class EtcdFaults:
    """They come and go until `end`."""

    def __init__(self, cluster: Cluster) -> None:
        assert cluster.etcd is not None
        assert cluster.options.etcd is not None
        self._cluster, self._etcd, self._options = cluster, cluster.etcd, cluster.options.etcd
        self._world = cluster.world
        self._rng = Random(f"{cluster.options.seed}/etcd/faults")
        self._over = False
        self._ends: list[Callable[[], object]] = []

    def start(self) -> None:
        """Begin."""
        options, etcd = self._options, self._etcd
        etcd.lost_answers, etcd.late = options.lost_answers, options.late
        for rate, action in (
            (options.outages, self._outage),
            (options.restores, self._restore),
            (options.servers_lost, self._lose_server),
            (options.cuts, self._cut),
            (options.stalls, self._stall),
            (options.compactions, etcd.compact),
            (options.deletions, self._delete),
            (options.junk, self._spoil),
            (options.leases_lost, self._end_lease),
            (options.full, self._fill),
        ):
            if rate:
                self._world.after(self._rng.expovariate(rate), self._repeat, rate, action)

    def end(self) -> None:
        """All is well again, but for what is under way."""
        self._over = True
        ends, self._ends = self._ends, []
        for end in ends:
            end()
        self._etcd.lost_answers = self._etcd.late = 0.0
        self._etcd.watch_delay = 0.003

    def _repeat(self, rate: float, action: Callable[[], object]) -> None:
        if not self._over:
            action()
            self._world.after(self._rng.expovariate(rate), self._repeat, rate, action)

    def _for_a_while(self, what: str, end: Callable[[], object]) -> None:
        low, high = LASTS
        lasts = low * (high / low) ** self._rng.random()
        self._world.note("etcd", f"{what} for {lasts:.3f} s")
        self._ends.append(end)
        self._world.after(lasts, self._end, end)

    def _end(self, end: Callable[[], object]) -> None:
        if end in self._ends:
            self._ends.remove(end)
            end()

    def _doors(self) -> list[int]:
        return [*range(self._options.servers)]

    def _outage(self) -> None:
        if self._rng.random() < 0.5:
            for door in self._doors():
                self._etcd.end_server(door)
        else:
            self._etcd.hung |= {*self._doors()}
        self._for_a_while("is away", lambda: self._etcd.return_servers(self._doors()))

    def _restore(self) -> None:
        for door in self._doors():
            self._etcd.end_server(door)
        back, is_another = self._rng.randint(1, BACK_MAX), self._rng.random() < 0.5

        def restore() -> None:
            self._etcd.restore(back, is_another)
            self._etcd.return_servers(self._doors())

        if self._rng.random() < AT_ONCE_BACK:
            self._world.note("etcd", f"is {back} revisions back")
            restore()
        else:
            self._for_a_while(f"is away, to be {back} revisions back", restore)

    def _lose_server(self) -> None:
        door = self._rng.choice(self._doors())
        if self._rng.random() < 0.5:
            self._etcd.end_server(door)
        else:
            self._etcd.hung.add(door)
        self._for_a_while(f"lacks server {door}", lambda: self._etcd.return_servers([door]))

    def _cut(self) -> None:
        number = self._rng.randint(1, self._cluster.options.binders)
        name, is_refused = f"binder {number}", self._rng.random() < 0.3
        self._etcd.cut[name] = is_refused
        if is_refused:
            self._etcd.break_streams(lambda watch: watch.client.name == name)
        self._for_a_while(f"is out of reach for {name}", lambda: self._etcd.cut.pop(name, None))

    def _stall(self) -> None:
        share = self._rng.choice((0.5, 1.0))
        self._etcd.stall(lambda watch: self._rng.random() < share)

    def _some_keys(self) -> list[bytes]:
        begin = (PREFIX + INSTANCES).encode()
        there = sorted(key for key in self._etcd.rows if key.startswith(begin))
        return self._rng.sample(there, min(len(there), self._rng.randint(1, AT_ONCE)))

    def _delete(self) -> None:
        if keys := self._some_keys():
            self._world.note("etcd", f"somebody deletes {keys}")
            self._etcd.delete(keys)

    def _spoil(self) -> None:
        keys = self._some_keys() if self._rng.random() < 0.7 else []
        keys = keys or [PREFIX.encode() + self._rng.choice(EXTRA_KEYS)]
        self._world.note("etcd", f"somebody spoils {keys}")
        self._etcd.put([(key, self._rng.choice(JUNK), 0) for key in keys])

    def _end_lease(self) -> None:
        if leases := self._etcd.leases:
            lease = self._rng.choice(leases)
            self._world.note("etcd", f"somebody revokes lease {lease}")
            self._etcd.end_lease(lease)

    def _fill(self) -> None:
        self._etcd.is_full = True
        self._for_a_while("is full", self._make_room)

    def _make_room(self) -> None:
        self._etcd.is_full = False
