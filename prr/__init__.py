"""prr, a redundant service binder. For programs: `Client`, `Service`, `announce`, and
what they raise.

They are loaded when they are asked for: a node, which is to be back at once, needs none of them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prr.client.announcement import announce
    from prr.client.api import Client
    from prr.client.errors import (
        CannotServe,
        NoBinderAnswered,
        NoSuchService,
        PrrError,
        ServiceDidNotAnswer,
        ServiceFailed,
    )
    from prr.client.service import Service

__version__ = "0.1.0"

_ROOMS = {"Client": "api", "Service": "service", "announce": "announcement"}

__all__ = [
    "CannotServe",
    "Client",
    "NoBinderAnswered",
    "NoSuchService",
    "PrrError",
    "Service",
    "ServiceDidNotAnswer",
    "ServiceFailed",
    "announce",
]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"prr.client.{_ROOMS.get(name, 'errors')}"), name)
