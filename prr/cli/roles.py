"""The long-running roles: a binder and a server, each a core in a node."""

import logging
import random
import socket
import sys
from collections.abc import Callable
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import gevent
import gevent.socket

from prr.addresses import is_any, own_ips, resolve_listen
from prr.cli.dns import open_dns
from prr.cli.exits import NO_BINDER, YES
from prr.cli.http import serving_http, where_to_serve_http
from prr.cli.reload import NamedPeers, SettingsFollower, rereading
from prr.cli.store_text import SCHEME
from prr.config import ANY_IPV6, BadInput, BinderConfig, Require, ServerConfig
from prr.core.binder import Binder
from prr.core.keyed_server import server_class
from prr.core.lookups import FOUND_FORMS
from prr.core.replication.peers import PEERS_MAX
from prr.core.trust import Trust
from prr.particulars import particulars_of
from prr.services import names_by_number
from prr.shell.binder_node import BinderNode
from prr.shell.garbage_collection import collect_seldom
from prr.shell.log.handler import log_to_stderr
from prr.shell.loop_lag import LoopLag
from prr.shell.reachable import binders_of, where_to_listen
from prr.shell.server_node import ServerNode
from prr.shell.storage.drains_file import DrainsFile
from prr.shell.storage.store import NoStore, Store
from prr.shell.systemd.protocol import handed_over
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.steering import LANES, open_lanes, open_sockets, take_lanes
from prr.trust.describing import key_line
from prr.wire.codec import Codec
from prr.wire.frames import Role
from prr.wire.instance import (
    Address,
    describe_address,
    describe_service,
    is_ipv6_address,
    is_loopback,
)

ANYWHERE: Address = (ANY_IPV6, 0)
"""Stands for the address of a node whose settings are only checked: all peers are in reach."""

if TYPE_CHECKING:
    from prr.cli.etcd import SharedEtcd

_log = logging.getLogger("prr")


def run_binder(read: Callable[[], BinderConfig]) -> int:
    """Run a binder until a signal; returns the exit code.

    `read` reads its settings, again at SIGHUP.
    """
    config = read()
    if len(config.peers) > PEERS_MAX:
        raise BadInput(f"{len(config.peers)} peers; use {PEERS_MAX} at most")
    log_to_stderr()
    dns = open_dns(config)
    local = _open_store(config.state)
    etcd = _open_etcd(config, local)
    store = local if etcd is None else etcd.store
    handed = handed_over()
    lanes = _lanes(config, handed)
    own = _own(lanes)
    # Names may take the resolver seconds; a binder serves meanwhile.
    peers = NamedPeers(config.peers, own, bool(handed))
    core = _core(config, own, peers, store)
    first_line = _first_line("binder", config, own, bool(handed), dns.line)
    codec = Codec(Role.BINDER, FOUND_FORMS[config.wire], config.key, config.require is Require.ON)
    drains = None if config.state is None else DrainsFile(config.state)
    names = _names()
    node = BinderNode(core, codec, lanes, first_line, store, names, drains)
    dns.start(core, node)
    follower = SettingsFollower(peers, core, node)
    node.tell("unresolved", lambda: [describe_address(peer) for peer in peers.unknown()])
    lag = LoopLag()
    node.tell("loop_lag", lag.status)
    node.on_hangup(rereading(read, config, ["peers", "key"], follower.change_to))
    gevent.spawn(follower.keep_resolving)
    if etcd is not None:
        etcd.start(own, core, node, follower)
    collect_seldom()
    with serving_http(config, node, lag, names, _trust(config).takes_lookups):
        node.run()
    return YES


def _core(config: BinderConfig, own: Address, peers: NamedPeers, store: Store) -> Binder:
    """What decides for a binder that listens on `own`."""
    ips = own_ips() if is_any(own[0]) else frozenset({own[0]})
    return Binder(
        ips,
        peers.addresses(),
        identity=store.identity,
        # Of what the other one draws, an onlooker can foresee the rest.
        rng=random.SystemRandom() if config.key is not None else random.Random(),
        wire=config.wire,
        lease=config.lease,
        expects_peers=bool(peers.unknown()),
        keeps=store.keeps,
        counter=store.counter,
        trust=_trust(config),
        is_watched=config.http is not None,
        shares_store=bool(config.store),
    )


def check_binder(read: Callable[[], BinderConfig]) -> int:
    """Check a binder's settings as at SIGHUP; returns the exit code.

    Raises BadInput where a running binder would keep its old ones. Only that one knows its address.
    """
    config = read()
    where_to_serve_http(config)
    NamedPeers(config.peers, ANYWHERE)
    _open_etcd(config, NoStore(0))
    return YES


def _trust(config: BinderConfig) -> Trust:
    has_key = config.key is not None
    return Trust(has_key, config.require, config.require_lookup, config.legacy)


def _lanes(config: BinderConfig, handed: list[socket.socket]) -> list[Datagrams]:
    """A binder's sockets, opened here or by systemd."""
    if handed:
        sets = take_lanes(handed)
    else:
        sets = open_lanes(resolve_listen(config.listen, gevent.socket))
    return list(chain.from_iterable(map(_as_lanes, sets)))


def _own(lanes: list[Datagrams]) -> Address:
    """Where a node listens: on all addresses, if in both families."""
    addresses = sorted({lane.address for lane in lanes}, key=is_ipv6_address)
    if len({port for _, port in addresses}) > 1:
        names = " and ".join(map(describe_address, addresses))
        raise BadInput(f"systemd passed sockets on {names}; use one port in both families")
    return addresses[0] if len(addresses) == 1 else (ANY_IPV6, addresses[0][1])


def _as_lanes(sockets: list[socket.socket]) -> list[Datagrams]:
    """The sockets on one address."""
    if len(sockets) == 1:
        return [Datagrams(sockets[0])]
    return [Datagrams(*both) for both in zip(sockets, LANES, strict=False)]


def _open_store(path: Path | None) -> Store:
    """What keeps a binder's updates in `path`, or, without one, nothing."""
    identity = random.getrandbits(64)
    if path is None:
        return NoStore(identity)
    from prr.shell.storage.sqlite_store import SQLiteStore  # loads SQLite, which not all need

    return SQLiteStore(path, identity)


def _open_etcd(config: BinderConfig, local: Store) -> "SharedEtcd | None":
    """The etcd that it shares with others, besides its `local` store. Raises BadInput."""
    if not config.store:
        _check_no_store(config)
        return None
    from prr.cli.etcd import SharedEtcd

    return SharedEtcd(config, local)


def _check_no_store(config: BinderConfig) -> None:
    """Nothing is said about a store that is not there: whoever has forgotten to name it thinks that
    it is shared."""
    for key in ("prefix", "ca", "cert", "key", "user", "password"):
        if getattr(config, f"store_{key}") != getattr(BinderConfig(), f"store_{key}"):
            raise BadInput(f"--store-{key} needs a store; add --store {SCHEME}HOST:PORT")


def run_server(read: Callable[[], ServerConfig]) -> int:
    """Run a server until a signal, or until no binder confirms it; returns the exit code.

    `read` reads its settings, again at SIGHUP.
    """
    config = read()
    log_to_stderr()
    handed = handed_over()
    if len({one.family for one in handed}) < len(handed):
        raise BadInput(
            f"systemd passed {len(handed)} sockets; a server listens on one, or one of each family"
        )
    lanes = [Datagrams(bound) for bound in handed or open_sockets(where_to_listen(config))]
    own = _own(lanes)
    binders = binders_of(config, own, bool(handed))
    particulars = particulars_of(config)
    make = server_class(config.key is not None)
    core = make(config.type, binders, random.Random(), particulars=particulars)
    what = f"server of {describe_service(config.type)}"
    first_line = _first_line(what, config, own, bool(handed))
    node = ServerNode(core, Codec(Role.SERVER, keys=config.key), lanes, first_line, _names())

    def change(config: ServerConfig) -> None:
        core.change_binders(binders_of(config, own, bool(handed)))
        core.change_particulars(particulars_of(config))
        if config.key is not None:
            node.change_keys(config.key)

    changing = ["binders", "weight", "zone", "tags", "key"]
    node.on_hangup(rereading(read, config, changing, change))
    stop = node.run()
    if stop.in_order:
        return YES
    print(f"prr: {stop.why}; {_hint(own)}", file=sys.stderr)
    return NO_BINDER


def check_server(read: Callable[[], ServerConfig]) -> int:
    """Check a server's settings; see `check_binder`."""
    binders_of(read(), ANYWHERE)
    return YES


def _hint(own: Address) -> str:
    """What to do when no binder has confirmed a server that listens on `own`."""
    hint = "start a binder, or name one with --binder"
    if is_loopback(own[0]):
        hint += "; a binder with peers on other hosts refuses servers on loopback: use its address "
        hint += "in their network"
    return hint


def _names() -> dict[int, str]:
    """Names of numbers, for the log. An invalid file of them stops no node: it logs numbers."""
    try:
        return names_by_number()
    except BadInput as error:
        _log.warning("this log shows services as numbers: %s", error)
        return {}


def _first_line(
    what: str,
    config: BinderConfig | ServerConfig,
    own: Address,
    is_handed: bool,
    besides: str = "",
) -> str:
    """What a node is, and `besides`; on lines of their own that the settings name another address
    than systemd's socket has, and which key it has."""
    lines = [f"{what} listening on {describe_address(own)}{besides}"]
    default = BinderConfig().listen if isinstance(config, BinderConfig) else None
    if is_handed and config.listen is not None and config.listen not in (own, default):
        lines.append(
            f"listen = {describe_address(config.listen)} ignored: systemd holds the socket"
        )
    if config.key is not None:
        lines.append(key_line(config.key))
        if isinstance(config, BinderConfig):
            lines.append(f"require = {config.require}")
    return "\n".join(lines)
