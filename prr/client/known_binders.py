"""The binders of a client: where they are, as far as that is known."""

import time
from types import ModuleType

from prr.addresses import can_take_ipv6, resolve_any
from prr.config import BadInput, HostPort
from prr.wire.instance import Address

KNOWN_FOR = 10.0
"""Seconds for which what was found out is taken to be true. A name's address, and whether there is
a way to IPv6 addresses, change seldom."""


class KnownBinders:
    """Safe to share between threads: at worst two find out the same."""

    def __init__(self, endpoints: tuple[HostPort, ...]) -> None:
        self.endpoints = endpoints
        self._known: tuple[tuple[Address, ...], bool] | None = None
        self._until = 0.0

    def known(self) -> tuple[tuple[Address, ...], bool] | None:
        """Their addresses, and whether an instance at an IPv6 address will do; None: `find`."""
        return self._known if time.monotonic() < self._until else None

    def find(self, sockets: ModuleType) -> tuple[tuple[Address, ...], bool]:
        """The same, found out with `sockets`, which may take as long as name servers do. What was
        known before holds on where they do not answer.

        Raises BadInput if nothing was, and none of their names has an address.
        """
        try:
            addresses = resolve_any(self.endpoints, sockets)
            self._known = addresses, can_take_ipv6(addresses)
        except BadInput:
            if self._known is None:
                raise
        self._until = time.monotonic() + KNOWN_FOR
        assert self._known is not None
        return self._known
