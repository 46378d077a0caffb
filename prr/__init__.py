"""prr, a redundant service binder. For programs: `Client`, and what it raises.

They are loaded when they are asked for: a node, which is to be back at once, needs none of them.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from prr.client.api import (
        Client,
        NoBinderAnswered,
        NoSuchService,
        PrrError,
        ServiceDidNotAnswer,
    )

__version__ = "0.1.0"

__all__ = ["Client", "NoBinderAnswered", "NoSuchService", "PrrError", "ServiceDidNotAnswer"]


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from prr.client import api

    return getattr(api, name)
