"""The roles that stay: a binder and a server, each a core on a socket."""

import logging
import random
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import gevent
import gevent.socket

from prr.cli.exits import NO_BINDER, YES
from prr.config import BadInput, BinderConfig, HostPort, ServerConfig
from prr.core.binder import Binder
from prr.core.peers import PEERS_MAX
from prr.core.server import Server
from prr.shell.addresses import is_ip, own_ips, resolve, resolve_any, seen_from
from prr.shell.datagrams import Datagrams
from prr.shell.lanes import PRIORITIES, open_lanes, open_socket
from prr.shell.log import log_to_stderr
from prr.shell.node import Node
from prr.wire.address import Address, describe_address
from prr.wire.frames import Role

if TYPE_CHECKING:
    from prr.shell.state import State

RESOLVE_PAUSE = 5.0
"""Seconds before a peer's name that could not be resolved is tried again."""

_log = logging.getLogger("prr")


def run_binder(config: BinderConfig) -> int:
    """Be a binder until a signal; the exit code."""
    if len(config.peers) > PEERS_MAX:
        raise BadInput(f"{len(config.peers)} peers; write {PEERS_MAX} at most")
    log_to_stderr()
    state = _open_state(config.state)
    sockets = open_lanes(resolve(config.listen, gevent.socket))
    lanes = [Datagrams(*lane) for lane in zip(sockets, PRIORITIES, strict=False)]
    own = lanes[0].address
    # Names may take the resolver seconds; a binder serves meanwhile.
    named = tuple(peer for peer in config.peers if not is_ip(peer[0]))
    peers = _other_nodes([peer for peer in config.peers if is_ip(peer[0])], own)
    ips = own_ips() if own[0] == "0.0.0.0" else frozenset({own[0]})
    core = Binder(
        ips,
        tuple(peers),
        identity=state.identity if state else random.getrandbits(64),
        rng=random.Random(),
        wire=config.wire,
        lease=config.lease,
        expects_peers=bool(named),
        keeps=state is not None,
    )
    if state is not None:
        state.attach(core)
    node = Node(core, Role.BINDER, lanes, f"binder listening on {describe_address(own)}", state)
    gevent.spawn(_resolve_peers, list(named), own, core, node)
    node.run()
    return YES


def _open_state(path: Path | None) -> "State | None":
    """What is kept in `path`; None if nothing is to be kept."""
    if path is None:
        return None
    from prr.shell.state import State

    return State(path, random.getrandbits(64))


def run_server(config: ServerConfig) -> int:
    """Be a server until a signal, or until no binder confirms; the exit code."""
    log_to_stderr()
    binders = resolve_any(config.binders, gevent.socket)
    datagrams = Datagrams(open_socket(resolve(config.listen, gevent.socket)))
    own = datagrams.address
    seen_at = {binder: seen_from(own, binder) for binder in binders}
    core = Server(config.type, seen_at, random.Random())
    first_line = f"server of type {config.type} listening on {describe_address(own)}"
    stop = Node(core, Role.SERVER, [datagrams], first_line).run()
    if stop.in_order:
        return YES
    print(f"prr: {stop.why}; start a binder, or name one with --binder", file=sys.stderr)
    return NO_BINDER


def _other_nodes(addresses: list[Address], own: Address) -> list[Address]:
    """Without this node's own address: one list of peers may serve all the binders."""
    return [address for address in addresses if not _is_own(address, own)]


def _is_own(address: Address, own: Address) -> bool:
    listens_on_all = own[0] == "0.0.0.0" and address[1] == own[1]
    return address == own or (listens_on_all and address[0] in own_ips())


def _resolve_peers(peers: list[HostPort], own: Address, core: Binder, node: Node) -> None:
    """Make peers of those that were given by name, as soon as the names can be resolved."""
    while peers:
        unresolved: list[HostPort] = []
        for peer in peers:
            try:
                address = resolve(peer, gevent.socket)
            except BadInput as error:
                _log.info("unreachable peer %s: %s", describe_address(peer), error)
                unresolved.append(peer)
                continue
            for other in _other_nodes([address], own):
                node.act(core.add_peer(other, time.monotonic()))
        peers = unresolved
        gevent.sleep(RESOLVE_PAUSE)
