"""What a client's exchange ends with."""

from dataclasses import field
from typing import TypeAlias

from prr.record import record
from prr.wire.instance import Address


@record
class FoundService:
    """The lookup's answer: the service listens at `address`."""

    address: Address


@record
class Answered:
    """The service at `address` answered the call with `message`, `seconds` after it was asked."""

    message: bytes
    address: Address
    seconds: float = field(default=0.0, compare=False)


@record
class Failure:
    """The service at `address` answered that it failed at this request, and why."""

    address: Address
    why: str


@record
class UnknownService:
    """The binder knows no instance of that service."""

    binder: Address


@record
class NoBinder:
    """No binder answered within `limit` seconds."""

    asked: tuple[Address, ...]
    limit: float
    nameless: tuple[Address, ...] = ()
    """Those that did answer, but are too old for what was asked."""


@record
class NoService:
    """The service at `address` refused or did not answer, and `binder` was told."""

    address: Address
    binder: Address
    why: str


Outcome: TypeAlias = FoundService | Answered | Failure | UnknownService | NoBinder | NoService
