"""What an exchange runs, with whatever it waits."""

from typing import Protocol, TypeVar

from prr.core.effects import ClientEffect
from prr.wire.frames import Frame
from prr.wire.instance import Address

O_co = TypeVar("O_co", covariant=True)
"""What the exchange ends with."""


class Core(Protocol[O_co]):
    """What an exchange runs; `now` is in seconds of a clock that never goes back."""

    @property
    def outcome(self) -> O_co | None: ...
    def start(self, now: float) -> list[ClientEffect]: ...
    def handle(self, frame: Frame, source: Address, now: float) -> list[ClientEffect]: ...
    def refused(self, target: Address, now: float) -> list[ClientEffect]: ...
    def deadline(self) -> float | None: ...
    def tick(self, now: float) -> list[ClientEffect]: ...
