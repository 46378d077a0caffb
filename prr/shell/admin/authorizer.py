"""Who may change something, and see what is for operators only."""

from collections.abc import Callable
from typing import Protocol

from prr.trust.keyring import Keyring
from prr.trust.token import operator_of
from prr.wire.instance import is_loopback


class Authorizer(Protocol):
    """Knows the operators of one binder."""

    needs_token: bool
    """An operator is known by a token; else by where the request comes from."""

    def operator(self, token: str | None, source_ip: str) -> str | None:
        """Who asks, as the log shows it: an operator with `token`, the bearer token of the request,
        if it has one, from `source_ip`, "" where a proxy stands between; None: no operator."""


class HostOnly:
    """Without keys, whoever is on the binder's own host is an operator, as with the commands."""

    needs_token = False

    def operator(self, token: str | None, source_ip: str) -> str | None:
        """A token proves nothing where there are no keys."""
        return "this host" if source_ip and is_loopback(source_ip) else None


class WithKeys:
    """With keys, an operator is who has the token of one, wherever the request comes from: a proxy
    on the binder's own host is none."""

    needs_token = True

    def __init__(self, keyring: Callable[[], Keyring | None]) -> None:
        """`keyring`: the one that holds now."""
        self._keyring = keyring

    def operator(self, token: str | None, source_ip: str) -> str | None:
        """By the token alone."""
        keyring = self._keyring()
        name = None if token is None or keyring is None else operator_of(token, keyring)
        return None if name is None else f"operator {name}"
