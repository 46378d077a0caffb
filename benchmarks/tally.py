"""What a load is, and what was seen of it. Both go from one process to another, pickled."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field

from prr.wire.address import Address, Instance, type_of
from prr.wire.codec import encode
from prr.wire.frames import Unknown
from prr.wire.runs import encode_found_instance_run, encode_found_run

Right = set[tuple[int, bytes]]


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask whom. `types` are asked in turn, `instances` are those that may be named.

    Nobody provides the `denied` types: the right answer is "no". `in_flight` look-ups at all times,
    or `rate` look-ups a second, from so many `sockets`; the first binder has subscriptions and
    verifications to do meanwhile, unless there is a `sink` that they go to. The CPU of `pids` is
    measured; `core` is where the generator itself runs.
    """

    binders: list[Address]
    types: bytes
    instances: list[Instance]
    seconds: float
    in_flight: int = 64
    sockets: int = 8
    rate: float | None = None
    subscriptions_per_second: int = 0
    verifications: int = 0
    sink: Address | None = None
    pids: list[int] = field(default_factory=list)
    core: int | None = None
    denied: bytes = b""


@dataclass(slots=True)
class Tally:
    """What was seen."""

    waits: Counter[int] = field(default_factory=Counter)  # microseconds, and how often
    asked: int = 0
    lost: int = 0
    unasked: int = 0  # answers beyond the questions
    doubtful: Counter[tuple[int | None, bytes]] = field(default_factory=Counter)
    """Answers that name none of the instances; with the type asked for, unless that is unsure."""
    subscribed: set[Instance] = field(default_factory=set)  # meanwhile
    elapsed: float = 0.0  # seconds from the first question to the last answer
    cpu: float | None = None  # seconds

    @property
    def answered(self) -> int:
        """How many look-ups were."""
        return self.waits.total()

    def wait_ms(self, share: float) -> float | None:
        """The wait that `share` of the answers did not exceed, in milliseconds."""
        left = int(share * (self.answered - 1))
        for wait in sorted(self.waits):
            left -= self.waits[wait]
            if left < 0:
                return wait / 1000
        return None

    def wrong(self, instances: Iterable[Instance], denied: bytes = b"") -> int:
        """The answers that name none of `instances` and are no "no" to one of the `denied` types,
        and those that nobody asked for."""
        right = right_answers(instances, denied)
        of_any_type = {answer for _, answer in right}
        return self.unasked + sum(
            count
            for (type_, answer), count in self.doubtful.items()
            if (answer not in of_any_type if type_ is None else (type_, answer) not in right)
        )


def right_answers(instances: Iterable[Instance], denied: bytes = b"") -> Right:
    """The datagrams that name one of them, in either wire form, or say "no" to one of the `denied`
    types; each with the type asked for."""
    right = {(type_, encode(Unknown())) for type_ in denied}
    for one in instances:
        right.add((type_of(one), encode_found_run((one,)).data))
        right.add((type_of(one), encode_found_instance_run((one,)).data))
    return right
