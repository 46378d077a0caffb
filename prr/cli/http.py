"""A binder's HTTP, if it is to have any: only then is anything of it loaded."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec

import gevent.socket

from prr import __version__
from prr.addresses import resolve_listen
from prr.config import BadInput, BinderConfig
from prr.shell.binder_node import BinderNode
from prr.shell.loop_lag import LoopLag
from prr.wire.instance import Address, describe_address, is_loopback

PACKAGES = ("werkzeug", "prometheus_client")
"""What the process that serves HTTP needs: whoever starts a binder is to be told at once."""


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


@contextmanager
def serving_http(
    config: BinderConfig,
    node: BinderNode,
    lag: LoopLag,
    names: dict[int, str],
    is_open: bool,
) -> Iterator[None]:
    """Have HTTP served meanwhile, if it is asked for; `is_open`: anybody may read. Raises BadInput,
    and ImportError if what serves it is not installed."""
    address = where_to_serve_http(config)
    if address is None or config.http is None:
        yield
        return
    for package in PACKAGES:
        if find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    from prr.shell.admin.authorizer import HostOnly, WithKeys
    from prr.shell.admin.calls import Settings
    from prr.shell.admin.front import Front
    from prr.shell.admin.interface import Interface
    from prr.shell.admin.listening import listen
    from prr.shell.admin.turns import Turns

    hosts = [config.http[0].lower(), socket.gethostname().lower()]
    authorizer = HostOnly() if config.key is None else WithKeys(lambda: node.keyring)
    turns = Turns()
    interface = Interface(node, lag, authorizer, turns)
    settings = Settings(__version__, hosts, names, is_open, authorizer.needs_token, 0)
    front = Front(listen(address), settings, interface, turns)
    try:
        yield
    finally:
        front.close()
