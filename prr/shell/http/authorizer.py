"""Who may change something, and see what is for operators only."""

from typing import Protocol

from prr.wire.instance import is_loopback


class Authorizer(Protocol):
    """Knows the operators of one binder."""

    needs_token: bool
    """An operator is known by a token; else by where the request comes from, so that a request that
    somebody else's web page makes a browser on this host send has to be told from one's own."""

    def operator(self, token: str | None, source_ip: str) -> str | None:
        """Who asks, as the log shows it: an operator with `token`, the bearer token of the request,
        if it has one, from `source_ip`, "" where a proxy stands between; None: no operator."""


class HostOnly:
    """Without keys, whoever is on the binder's own host is an operator, as with the commands."""

    needs_token = False

    def operator(self, token: str | None, source_ip: str) -> str | None:
        """A token proves nothing where there are no keys."""
        return "this host" if source_ip and is_loopback(source_ip) else None
