"""Asks all the binders that are named, at once: one that is dead costs the others nothing."""

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
    """What one binder said."""

    binder: str
    """As it was named."""
    answer: T | None = None
    why: str = "no answer"
    """Why there is none."""


def ask_each(binders: tuple[HostPort, ...], ask: Callable[[Address], T | None]) -> list[Said[T]]:
    """What each of `binders` says to `ask`, in their order; `ask` is called in a thread for each.

    Raises BadInput where not one of their names has an address.
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
    """Say on stderr that there is no `what` from those that did not answer; `hint`: what to do."""
    names = ", ".join(row.binder for row in said if row.answer is None)
    if names:
        print(f"prr: no {what} from {names}; is a binder running there? {hint}", file=sys.stderr)
