"""Reloads what a running node can change: a binder's peers, or a server's binders.

Names are resolved again, too: all of them at SIGHUP, otherwise those that failed so far.
"""

import logging
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import fields
from typing import TypeVar

import gevent
import gevent.socket

from prr.addresses import families_of, family_of, is_any, is_ip, own_ips, resolve
from prr.config import BadInput, BinderConfig, HostPort, ServerConfig
from prr.core.binder import Binder
from prr.core.replication.peers import PEERS_MAX
from prr.shell.binder_node import BinderNode
from prr.shell.reachable import check_family, where_reached
from prr.trust.describing import key_line
from prr.wire.instance import Address, describe_address, is_loopback

RESOLVE_PAUSE = 5.0
"""Seconds before a peer's name that could not be resolved is tried again."""

FOUND_FOR = 60.0
"""Seconds for which a binder is a peer that is found no longer: as long as one that is silent is
waited for, see `GONE_AFTER`."""

_log = logging.getLogger("prr")

C = TypeVar("C", BinderConfig, ServerConfig)


class NamedPeers:
    """The peers that a binder's settings name, and the address of each, once it is known."""

    def __init__(self, named: Iterable[HostPort], own: Address, is_handed: bool = False) -> None:
        """`own`: where the binder listens, which is left out: one list may serve all of them.
        `is_handed`: systemd has opened that.

        Raises BadInput as `change_to` does.
        """
        self._own = own
        self._is_handed = is_handed
        self._known: dict[HostPort, Address | None] = {}
        self.change_to(named)

    def change_to(self, named: Iterable[HostPort]) -> None:
        """Replace the names.

        Raises BadInput if they are more than PEERS_MAX, or cannot be in one cluster.
        """
        known = {peer: peer if is_ip(peer[0]) else self._known.get(peer) for peer in named}
        if len(known) > PEERS_MAX:
            raise BadInput(f"{len(known)} peers; use {PEERS_MAX} at most")
        self._check_where([peer for peer in known if is_ip(peer[0]) and not self._is_own(peer)])
        self._known = known

    def addresses(self) -> tuple[Address, ...]:
        """The addresses that are known, each once.

        Names may have brought together what `change_to` refuses: then those on loopback are left
        out, as on a host whose own name is 127.0.1.1 there.
        """
        known = [address for address in self._known.values() if address]
        found = [address for address in dict.fromkeys(known) if not self._is_own(address)]
        remote = [address for address in found if not is_loopback(address[0])]
        return tuple(remote or found)

    def unknown(self) -> list[HostPort]:
        """Those that could not be resolved yet."""
        return [peer for peer, address in self._known.items() if address is None]

    def resolve(self) -> None:
        """Resolve the names that could not be resolved yet."""
        self._resolve(self.unknown())

    def resolve_again(self) -> None:
        """Resolve all names. One that fails now keeps the address that it had."""
        self._resolve([peer for peer in self._known if not is_ip(peer[0])])

    def _resolve(self, peers: list[HostPort]) -> None:
        for peer in peers:
            try:
                address = resolve(peer, gevent.socket, families_of(self._own))
            except BadInput as error:
                _log.warning("unreachable peer %s: %s", describe_address(peer), error)
                continue
            if peer in self._known:  # still: the settings may have been read meanwhile
                self._known[peer] = address

    def _check_where(self, peers: list[Address]) -> None:
        """A cluster is on loopback altogether or not at all: see `prr.core.directory.reach`."""
        here = next((peer for peer in peers if is_loopback(peer[0])), None)
        away = next((peer for peer in peers if not is_loopback(peer[0])), None)
        for peer in peers:
            check_family("peer", peer, self._own, self._is_handed)
        if here and away:
            raise BadInput(
                f"peers {describe_address(here)} and {describe_address(away)} cannot be in one "
                f"cluster: each host takes {here[0]} for itself; use an address that every one of "
                f"them can reach for the first"
            )
        if away and is_loopback(self._own[0]) and away[0] not in own_ips():
            raise BadInput(
                f"peer {describe_address(away)} cannot be reached from {self._own[0]}, which is a "
                f"loopback address; use {where_reached(self._own[1], away, self._is_handed)}"
            )

    def _is_own(self, address: Address) -> bool:
        listens_on_all = is_any(self._own[0]) and address[1] == self._own[1]
        is_here = is_any(address[0]) or is_loopback(address[0]) or address[0] in own_ips()
        is_reached = family_of(address) in families_of(self._own)
        return address == self._own or (listens_on_all and is_here and is_reached)


class SettingsFollower:
    """Keeps a running binder's peers and keys the ones that its settings name."""

    def __init__(self, peers: NamedPeers, core: Binder, node: BinderNode) -> None:
        self._peers = peers
        self._core = core
        self._node = node
        self._found: dict[Address, float] = {}

    def keep_resolving(self) -> None:
        """Try again and again the names that could not be resolved. Never ends."""
        while True:
            if self._peers.unknown():
                self._peers.resolve()
                self._follow()
            gevent.sleep(RESOLVE_PAUSE)

    def change_to(self, config: BinderConfig) -> None:
        """Follow new settings: the peers named there, at the addresses they have now, and the keys.

        Raises BadInput, and goes on as before, if they are too many.
        """
        self._peers.change_to(config.peers)
        self._peers.resolve_again()
        self._follow()
        if config.key is not None:
            self._node.change_keys(config.key)

    def found(self, addresses: Collection[Address]) -> None:
        """Follow binders that have been found, too, as long as they are; and for a time beyond
        that, since whoever cannot register any more may be there all the same."""
        now = time.monotonic()
        self._found |= dict.fromkeys(addresses, now)
        self._found = {one: at for one, at in self._found.items() if now - at < FOUND_FOR}
        self._follow()

    def _follow(self) -> None:
        named = self._peers.addresses()
        more = [one for one in self._found if one not in named]
        wanted = [*named, *more[: PEERS_MAX - len(named)]]
        for peer in self._core.peers.all():
            if peer.address not in wanted:
                self._core.remove_peer(peer.address)
                _log.info("peer removed %s: no longer named", describe_address(peer.address))
        for address in wanted:
            if address not in self._core.peers:
                self._node.step(self._core.add_peer, address)
                how = "it is in the settings" if address in named else "it has registered"
                _log.info("peer added %s: %s", describe_address(address), how)


def rereading(
    read: Callable[[], C], began_with: C, changing: Sequence[str], change: Callable[[C], None]
) -> Callable[[], None]:
    """What a node does at SIGHUP: read its settings, and `change` what it can, the keys `changing`.

    An error in them is logged, and the node keeps its old ones.
    """

    def reread() -> None:
        try:
            config = read()
            if (config.key is None) != (began_with.key is None):
                raise BadInput("a key comes, or goes, only with a restart")
            change(config)
        except BadInput as error:
            _log.warning("settings not reloaded: %s", error)
            return
        keys = [one.name for one in fields(config) if one.name not in changing]
        differing = [key for key in keys if getattr(config, key) != getattr(began_with, key)]
        if differing:
            _log.warning("these settings need a restart to change: %s", ", ".join(differing))
        _log.info("settings reloaded: %s", ", ".join(changing))
        if config.key is not None:
            _log.info("%s", key_line(config.key))

    return reread
