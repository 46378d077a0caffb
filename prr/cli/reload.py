"""What a running node takes over from its settings when they are read again: whom it talks to.

Names are resolved again, too: at SIGHUP all of them, otherwise those that could not be so far.
"""

import logging
import time
from collections.abc import Callable, Iterable
from dataclasses import fields
from typing import TypeVar

import gevent
import gevent.socket

from prr.config import BadInput, BinderConfig, HostPort, ServerConfig
from prr.core.binder import Binder
from prr.core.peers import PEERS_MAX
from prr.shell.addresses import is_ip, own_ips, resolve, resolve_any, seen_from
from prr.shell.node import Node
from prr.wire.address import Address, describe_address

RESOLVE_PAUSE = 5.0
"""Seconds before a peer's name that could not be resolved is tried again."""

_log = logging.getLogger("prr")

C = TypeVar("C", BinderConfig, ServerConfig)


class NamedPeers:
    """The peers that a binder's settings name, and the address of each, once it is known."""

    def __init__(self, named: Iterable[HostPort], own: Address) -> None:
        """`own`: where the binder listens, which is left out: one list may serve all of them.

        Raises BadInput as `change_to` does.
        """
        self._own = own
        self._known: dict[HostPort, Address | None] = {}
        self.change_to(named)

    def change_to(self, named: Iterable[HostPort]) -> None:
        """These are named from now on. Raises BadInput if they are more than PEERS_MAX."""
        known = {peer: peer if is_ip(peer[0]) else self._known.get(peer) for peer in named}
        if len(known) > PEERS_MAX:
            raise BadInput(f"{len(known)} peers; write {PEERS_MAX} at most")
        self._known = known

    def addresses(self) -> tuple[Address, ...]:
        """The addresses that are known, each once."""
        found = dict.fromkeys(address for address in self._known.values() if address)
        return tuple(address for address in found if not self._is_own(address))

    def unknown(self) -> list[HostPort]:
        """Those whose name could not be resolved yet."""
        return [peer for peer, address in self._known.items() if address is None]

    def resolve(self) -> None:
        """Ask for the names that could not be resolved yet."""
        self._resolve(self.unknown())

    def resolve_again(self) -> None:
        """Ask for all names. One that has no answer now keeps the address that it had."""
        self._resolve([peer for peer in self._known if not is_ip(peer[0])])

    def _resolve(self, peers: list[HostPort]) -> None:
        for peer in peers:
            try:
                address = resolve(peer, gevent.socket)
            except BadInput as error:
                _log.info("unreachable peer %s: %s", describe_address(peer), error)
                continue
            if peer in self._known:  # still: the settings may have been read meanwhile
                self._known[peer] = address

    def _is_own(self, address: Address) -> bool:
        listens_on_all = self._own[0] == "0.0.0.0" and address[1] == self._own[1]
        return address == self._own or (listens_on_all and address[0] in own_ips())


class PeersFollower:
    """Has a running binder talk to the peers that its settings name."""

    def __init__(self, peers: NamedPeers, core: Binder, node: Node) -> None:
        self._peers = peers
        self._core = core
        self._node = node

    def keep_resolving(self) -> None:
        """Try again and again the names that could not be resolved. Never ends."""
        while True:
            if self._peers.unknown():
                self._peers.resolve()
                self._follow()
            gevent.sleep(RESOLVE_PAUSE)

    def change_to(self, config: BinderConfig) -> None:
        """Talk to the peers that are named now, under the addresses that they have now.

        Raises BadInput, and goes on as before, if they are too many.
        """
        self._peers.change_to(config.peers)
        self._peers.resolve_again()
        self._follow()

    def _follow(self) -> None:
        wanted = self._peers.addresses()
        for peer in self._core.peers.all():
            if peer.address not in wanted:
                self._core.remove_peer(peer.address)
                _log.info(
                    "peer dropped %s: the settings do not name it", describe_address(peer.address)
                )
        for address in wanted:
            if address not in self._core.peers:
                self._node.act(self._core.add_peer(address, time.monotonic()))
                _log.info("peer added %s: the settings name it", describe_address(address))


def binders_of(config: ServerConfig, own: Address) -> dict[Address, Address]:
    """The binders that a server's settings name, and where each of them sees this server.

    Raises BadInput if not one of the names can be resolved.
    """
    binders = resolve_any(config.binders, gevent.socket)
    return {binder: seen_from(own, binder) for binder in binders}


def rereading(
    read: Callable[[], C], began_with: C, changing: str, change: Callable[[C], None]
) -> Callable[[], None]:
    """What a node does at SIGHUP: read its settings, and `change` what it can, the key `changing`.

    A mistake in them is logged, and the node goes on with what it had.
    """

    def reread() -> None:
        try:
            config = read()
            change(config)
        except BadInput as error:
            _log.info("settings not read again: %s", error)
            return
        keys = [one.name for one in fields(config) if one.name != changing]
        differing = [key for key in keys if getattr(config, key) != getattr(began_with, key)]
        if differing:
            _log.info("not changed without a restart: %s", ", ".join(differing))
        _log.info("settings read again: %s", changing)

    return reread
