"""What a node was told, once flags, environment, file and defaults are settled.

Addresses here are what a person wrote: the host may be a name that still has to be resolved.
"""

from dataclasses import dataclass
from enum import StrEnum
from typing import TypeAlias

HostPort: TypeAlias = tuple[str, int]

DEFAULT_BINDER: HostPort = ("127.0.0.1", 2222)


class WireForm(StrEnum):
    """How a binder answers a look-up: the spec's 7 bytes, or the 8 of the programs of 2016."""

    SPEC = "spec"
    LAB2016 = "lab2016"


@dataclass(frozen=True, slots=True)
class BinderConfig:
    """A binder's settings."""

    listen: HostPort = DEFAULT_BINDER
    peers: tuple[HostPort, ...] = ()
    wire: WireForm = WireForm.SPEC


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """A server's settings; `type` is 0 to 255."""

    type: int
    listen: HostPort = ("127.0.0.1", 0)
    binders: tuple[HostPort, ...] = (DEFAULT_BINDER,)


@dataclass(frozen=True, slots=True)
class ClientConfig:
    """A client's settings; `interval` and `retry_unknown` are seconds, `type` is 0 to 255."""

    type: int
    binders: tuple[HostPort, ...] = (DEFAULT_BINDER,)
    message: str = "hello"
    count: int = 1
    interval: float = 1.0
    retry_unknown: float | None = None


class BadInput(Exception):
    """What a person wrote cannot be used. The text says what, why, and what to write instead."""
