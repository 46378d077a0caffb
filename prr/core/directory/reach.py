"""Which addresses a binder may hand out: those that mean the same to all who may be told.

A loopback address means the host that reads it. It is good in a cluster that lies on one host, and
poison in any other: clients elsewhere fail, complain, have the instance evicted, and learn of it
again from the host where it answers.

All binders of one cluster must come to the same answer, or their tables would differ for ever. They
do if no binder has peers of both kinds: two that name each other by loopback addresses listen there
and on one host; two that do not are both `wide`. `NamedPeers` refuses a mixture.
"""

from collections.abc import Iterable

from prr.core.replication.peers import Peers
from prr.wire.instance import Instance, is_loopback, is_on_loopback


class Reach:
    """How far the words of one binder go."""

    def __init__(self, own_ips: frozenset[str], peers: Peers, shares_store: bool = False) -> None:
        """`own_ips`: where it listens; empty where that is not known. With `shares_store` others
        read what it knows, on other hosts unless it listens on loopback only."""
        are_local = [*map(is_loopback, own_ips)]
        is_local = all(are_local) if shares_store else any(are_local)
        self._listens_elsewhere = bool(own_ips) and not is_local
        self._peers = peers

    @property
    def is_wide(self) -> bool:
        """Other hosts may be told: it listens beyond loopback only, or has peers elsewhere."""
        return self._listens_elsewhere or self._peers.has_remote

    def excludes(self, instance: Instance) -> bool:
        """An instance must not be in the table."""
        return is_on_loopback(instance) and self.is_wide

    def excludes_any(self, instances: Iterable[Instance]) -> bool:
        """One of `instances` must not be in the table."""
        return self.is_wide and any(map(is_on_loopback, instances))
