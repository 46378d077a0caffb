"""Asks several binders at once, so that a dead one does not delay the others."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from threading import Thread
from typing import Generic, TypeVar

from prr.addresses import resolve
from prr.config import BadInput, HostPort
from prr.wire.instance import Address, describe_address

T = TypeVar("T")


@dataclass(slots=True)
class Said(Generic[T]):
    """What one binder answered."""

    binder: str
    """HOST:PORT as it was given."""
    answer: T | None = None
    why: str = "no answer"
    """Why there is no answer, if there is none."""


def ask_each(binders: tuple[HostPort, ...], ask: Callable[[Address], T | None]) -> list[Said[T]]:
    """Call `ask` for each of `binders`, in a thread each; returns what they answered, in order.

    Raises BadInput if none of their names can be resolved.
    """
    said = [Said[T](describe_address(binder)) for binder in binders]
    failures: list[BadInput] = []

    def one(binder: HostPort, row: Said[T]) -> None:
        try:
            row.answer = ask(resolve(binder))
        except BadInput as error:
            row.why = "no address"
            failures.append(error)

    threads = [
        Thread(target=one, args=both, daemon=True) for both in zip(binders, said, strict=True)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if len(failures) == len(binders):
        raise failures[0]
    return said


def complain(said: list[Said[T]], what: str, hint: str) -> None:
    """Report on stderr who did not answer: no `what` from them; `hint` says what to check."""
    names = ", ".join(row.binder for row in said if row.answer is None)
    if names:
        print(f"prr: no {what} from {names}; is a binder running there? {hint}", file=sys.stderr)
