"""The roles that stay: a binder and a server, each a core on a socket."""

import logging
import random
import sys
import time

import gevent
import gevent.socket

from prr.cli.exits import NO_BINDER, YES
from prr.config import BadInput, BinderConfig, HostPort, ServerConfig
from prr.core.binder import Binder
from prr.core.replication import PEERS_MAX
from prr.core.server import Server
from prr.shell.addresses import is_own_ip, resolve, seen_from
from prr.shell.datagrams import Datagrams, open_socket
from prr.shell.log import log_to_stderr
from prr.shell.node import Node
from prr.wire.address import Address, describe_address
from prr.wire.frames import Role

RESOLVE_PAUSE = 5.0
"""Seconds before a peer's name that could not be resolved is tried again."""

_log = logging.getLogger("prr")


def run_binder(config: BinderConfig) -> int:
    """Be a binder until a signal; the exit code."""
    if len(config.peers) > PEERS_MAX:
        raise BadInput(f"{len(config.peers)} peers; write {PEERS_MAX} at most")
    log_to_stderr()
    datagrams = _listen(config.listen)
    own = datagrams.address
    _first_line(f"binder listening on {describe_address(own)}")
    peers, unresolved = _resolve_peers(config.peers, own)
    core = Binder(own[0], tuple(peers), config.wire)
    node = Node(core, Role.BINDER, datagrams)
    if unresolved:
        gevent.spawn(_resolve_later, unresolved, own, core, node)
    node.run()
    return YES


def run_server(config: ServerConfig) -> int:
    """Be a server until a signal, or until no binder confirms; the exit code."""
    log_to_stderr()
    binders = tuple(resolve(binder, gevent.socket) for binder in config.binders)
    datagrams = _listen(config.listen)
    _first_line(f"server of type {config.type} listening on {describe_address(datagrams.address)}")
    own = seen_from(datagrams.address, binders[0])
    core = Server(config.type, own, binders, random.Random())
    stop = Node(core, Role.SERVER, datagrams).run()
    if stop.in_order:
        return YES
    print(f"prr: {stop.why}; start a binder, or name one with --binder", file=sys.stderr)
    return NO_BINDER


def _listen(listen: HostPort) -> Datagrams:
    return Datagrams(open_socket(resolve(listen, gevent.socket)))


def _first_line(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _resolve_peers(
    peers: tuple[HostPort, ...], own: Address
) -> tuple[list[Address], list[HostPort]]:
    """The peers' addresses without this binder's own, and the peers that have none yet."""
    resolved: dict[Address, None] = {}
    unresolved: list[HostPort] = []
    for peer in peers:
        try:
            address = resolve(peer, gevent.socket)
        except BadInput as error:
            _log.info("unreachable peer %s: %s", describe_address(peer), error)
            unresolved.append(peer)
            continue
        if address[1] != own[1] or not is_own_ip(address[0]):  # one list may serve all binders
            resolved[address] = None
    return list(resolved), unresolved


def _resolve_later(peers: list[HostPort], own: Address, core: Binder, node: Node) -> None:
    while peers:
        gevent.sleep(RESOLVE_PAUSE)
        resolved, peers = _resolve_peers(tuple(peers), own)
        for address in resolved:
            node.act(core.add_peer(address, time.monotonic()))
