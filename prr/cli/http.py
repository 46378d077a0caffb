"""A binder's HTTP server, if it is to have one: only then is anything of it loaded."""

import logging
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

import gevent
import gevent.socket

from prr import __version__
from prr.addresses import resolve_listen
from prr.config import BadInput, BinderConfig
from prr.shell.binder_node import BinderNode
from prr.shell.loop_lag import LoopLag
from prr.wire.instance import Address, describe_address, is_loopback

if TYPE_CHECKING:
    from prr.shell.http.server import HttpServer

_log = logging.getLogger("prr")


def where_to_serve_http(config: BinderConfig) -> Address | None:
    """The address; None if nowhere. Raises BadInput where that would be open to others unasked."""
    if config.http is None:
        return None
    address = resolve_listen(config.http, gevent.socket)
    if not is_loopback(address[0]) and not config.http_open and config.key is None:
        raise BadInput(
            f"--http {describe_address(config.http)}: other hosts reach that, and without keys it "
            f"would be open to all of them; use --http 127.0.0.1:{address[1]}, a --key, or add "
            f"--http-open"
        )
    return address


def _start(server: "HttpServer") -> None:
    server.start()
    _log.info("HTTP at http://%s", describe_address(server.address))


@contextmanager
def serving_http(
    config: BinderConfig,
    node: BinderNode,
    lag: LoopLag,
    names: Mapping[int, str],
    is_open: bool,
) -> Iterator[None]:
    """Serve HTTP meanwhile, if it is asked for; `is_open`: anybody may read. Raises BadInput."""
    address = where_to_serve_http(config)
    if address is None or config.http is None:
        yield
        return
    from prr.shell.http.authorizer import HostOnly, WithKeys
    from prr.shell.http.server import HttpServer

    hosts = frozenset({config.http[0].lower(), socket.gethostname().lower()})
    authorizer = HostOnly() if config.key is None else WithKeys(lambda: node.keyring)
    server = HttpServer(address, node, lag, authorizer, names, hosts, __version__, is_open)
    gevent.spawn(_start, server)  # once the node runs, and has said where it listens
    try:
        yield
    finally:
        server.close()
