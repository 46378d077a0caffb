"""What a client's exchange ends with."""

from dataclasses import dataclass, field
from typing import TypeAlias

from prr.wire.instance import Address


@dataclass(frozen=True, slots=True)
class FoundService:
    """The lookup's answer: the service listens at `address`."""

    address: Address


@dataclass(frozen=True, slots=True)
class Answered:
    """The service at `address` answered the call with `message`, `seconds` after it was asked."""

    message: bytes
    address: Address
    seconds: float = field(default=0.0, compare=False)


@dataclass(frozen=True, slots=True)
class Failure:
    """The service at `address` answered that it failed at this request, and why."""

    address: Address
    why: str


@dataclass(frozen=True, slots=True)
class UnknownService:
    """The binder knows no instance of that service."""

    binder: Address


@dataclass(frozen=True, slots=True)
class NoBinder:
    """No binder answered within `limit` seconds."""

    asked: tuple[Address, ...]
    limit: float
    nameless: tuple[Address, ...] = ()
    """Those that did answer, but are too old for what was asked."""


@dataclass(frozen=True, slots=True)
class NoService:
    """The service at `address` refused or did not answer, and `binder` was told."""

    address: Address
    binder: Address
    why: str


Outcome: TypeAlias = FoundService | Answered | Failure | UnknownService | NoBinder | NoService
