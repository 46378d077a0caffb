"""A binder's flag `--dns`: the port is opened with its own, and served beside it."""

import logging
import socket
from typing import NamedTuple

import gevent.socket

from prr.addresses import LOOPBACKS, interfaces, is_any, resolve_listen
from prr.config import BadInput, BinderConfig
from prr.core.binder import Binder
from prr.services import numbers_by_name
from prr.shell.binder_node import BinderNode
from prr.shell.udp.names import address_from
from prr.wire.instance import describe_address

_log = logging.getLogger("prr")


class DnsPort(NamedTuple):
    """The sockets of a port, none where DNS is not answered, and what is said at the start."""

    config: BinderConfig
    datagrams: list[socket.socket]
    streams: list[socket.socket]
    line: str

    def start(self, core: Binder, node: BinderNode) -> None:
        """Answer from what `core` knows, from when the node runs on."""
        if not self.datagrams:
            return
        from prr.shell.dns.answers import Answers
        from prr.shell.dns.server import DnsServer
        from prr.shell.dns.zone import Zone

        ip = _ip_of(self.datagrams[0])
        zone = Zone(self.config.dns_domain, self.config.dns_ttl, ip, core, _numbers())
        server = DnsServer(Answers(zone), self.datagrams, self.streams)
        node.tell("dns", server.status)
        server.start()


def open_dns(config: BinderConfig) -> DnsPort:
    """Open the port that is configured, if any is.

    Raises BadInput if that cannot be, and ImportError if dnslib is not there.
    """
    if config.dns is None:
        return DnsPort(config, [], [], "")
    if config.require_lookup:
        raise BadInput(
            "--dns answers anybody, --require-lookup only who has a key; use one of them"
        )
    import dnslib  # noqa: F401 before anything is opened

    from prr.shell.dns.sockets import open_port

    datagrams, streams = open_port(resolve_listen(config.dns, gevent.socket))
    where = describe_address(address_from(datagrams[0].getsockname()))
    return DnsPort(config, datagrams, streams, f"\nDNS of {config.dns_domain} on {where}")


def _ip_of(bound: socket.socket) -> str:
    """An address at which it is reached from elsewhere, if there is any."""
    ip, _ = address_from(bound.getsockname())
    if not is_any(ip):
        return ip
    return next(iter(interfaces().values()), LOOPBACKS[ip])


def _numbers() -> dict[str, int]:
    """The names that stand for numbers. An invalid file of them stops no binder."""
    try:
        return numbers_by_name()
    except BadInput as error:
        _log.warning("DNS knows services of the spec by number only: %s", error)
        return {}
