"""prr, a redundant service binder. For programs: `Client`, and what it raises."""

from prr.shell.library import (
    Client,
    NoBinderAnswered,
    NoSuchService,
    PrrError,
    ServiceDidNotAnswer,
)

__all__ = ["Client", "NoBinderAnswered", "NoSuchService", "PrrError", "ServiceDidNotAnswer"]
