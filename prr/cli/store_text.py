"""How an etcd is named in the settings."""

from prr.config import HostPort
from prr.text import parse_peer

SCHEME = "etcd://"

PREFIX_BYTES_MAX = 200
"""Of the prefix of all keys: etcd itself sets no limit."""

SERVERS_MAX = 16
"""Of one etcd cluster: it has 3 or 5, 7 at most."""


def parse_store(text: str) -> tuple[HostPort, ...]:
    """etcd://HOST:PORT,HOST:PORT and so on. Raises ValueError."""
    if not text.startswith(SCHEME) or text == SCHEME:
        raise ValueError(
            f"{text!r} is not a store; use {SCHEME}HOST:PORT, such as {SCHEME}10.0.0.1:2379"
        )
    servers = tuple(map(parse_peer, text.removeprefix(SCHEME).rstrip("/").split(",")))
    if len(servers) > SERVERS_MAX:
        raise ValueError(f"{len(servers)} servers of etcd; use {SERVERS_MAX} at most")
    return tuple(dict.fromkeys(servers))


def parse_prefix(text: str) -> str:
    """What the keys begin with. Raises ValueError."""
    is_plain = text.isascii() and text.isprintable() and " " not in text
    if not is_plain or not text.endswith("/") or len(text) > PREFIX_BYTES_MAX:
        raise ValueError(
            f"{text!r} is not a prefix; use up to {PREFIX_BYTES_MAX} letters, digits and slashes, "
            f"a slash at the end, such as /prr/"
        )
    return text
