"""Where a node listens so that others reach it, and where they see it."""

import gevent.socket

from prr.addresses import (
    families_of,
    family_of,
    hosts_towards,
    is_ip,
    listening_towards,
    resolve_any,
    resolve_listen,
    seen_from,
)
from prr.config import ANY_IPV6, BadInput, ServerConfig
from prr.wire.instance import Address, describe_address, is_loopback


def where_to_listen(config: ServerConfig) -> Address:
    """Where a server listens: as configured, or where its binders can reach it."""
    if config.listen is None:
        return listening_towards(resolve_any(config.binders, gevent.socket))
    return resolve_listen(config.listen, gevent.socket)


def binders_of(
    config: ServerConfig, own: Address, is_handed: bool = False
) -> dict[Address, Address]:
    """The binders that a server's settings name, and where each of them sees this server, which
    listens on `own`; `is_handed`: systemd has opened that.

    Raises BadInput if not one of the names can be resolved, or if one of them is not on loopback
    while the server is: it would give others an address at which only this host finds the server;
    or if one is of a family in which the server does not listen.
    """
    for named in config.binders:
        if is_ip(named[0]):
            check_family("binder", named, own, is_handed)
    binders = resolve_any(config.binders, gevent.socket, families_of(own))
    for binder in binders:
        if is_loopback(own[0]) and not is_loopback(binder[0]):
            port = own[1] if is_handed or config.listen is None else config.listen[1]
            raise BadInput(
                f"{own[0]} is a loopback address, and binder {describe_address(binder)} would "
                f"name it to clients on other hosts; use {where_reached(port, binder, is_handed)}"
            )
    return {binder: seen_from(own, binder) for binder in binders}


def check_family(what: str, other: Address, own: Address, is_handed: bool) -> None:
    """Raises BadInput if a node that listens on `own` can send nothing to `other`."""
    if family_of(other) in families_of(own):
        return
    both = describe_address((ANY_IPV6, own[1]))
    instead = "sockets of both families in its socket unit" if is_handed else f"--listen {both}"
    raise BadInput(
        f"{what} {describe_address(other)} cannot be reached from {describe_address(own)}: one is "
        f"an address of IPv6, the other is not; use {instead}"
    )


def where_reached(port: int, other: Address, is_handed: bool) -> str:
    """What to use so that a node listens on `port` where `other` can reach it."""
    hosts = hosts_towards(other)
    if is_handed:
        return f"ListenDatagram={hosts[0]}:{port} in its socket unit"
    return " or ".join(f"--listen {host}:{port}" for host in hosts)
