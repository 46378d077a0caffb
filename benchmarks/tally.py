"""A load and its tally: what both generators take, and what they print.

Either generator, `generator.py` and `generator.c`, is run as

    GENERATOR HOW TARGETS SECONDS SOCKETS IN_FLIGHT RATE HELLO QUESTIONS EXPECTED

with the right answers on stdin, a row of ROW_BYTES each: the number of the question, the size of
the answer, the answer. It prints `began`; and, when all is over, `ended` and the numbers of TALLY
in their order, a line `wait MICROSECONDS COUNT` for each wait there was, and a line `doubtful
QUESTION ANSWER COUNT` for each answer that is none of the right ones (QUESTION is -1 where losses
have left that unsure).
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace

from prr.core.wanted import Wanted
from prr.trust.keyring import Held
from prr.wire.codec import Codec
from prr.wire.frames import Found, FoundInstance, Lookup, Role, Unknown
from prr.wire.instance import NAMED, Address, Instance, Service, describe_address, service_of
from prr.wire.query import FOUND_IPV6_BYTES, Query
from prr.wire.questions import Asked
from prr.wire.seal import NUMBER_BYTES, Seal
from prr.wire.sealed_questions import SealedAsked, found_sealed_run

Right = set[tuple[int, bytes]]

_CLIENT = Codec(Role.CLIENT)
_BINDERS = [Codec(Role.BINDER, found) for found in (Found, FoundInstance)]

ROW_BYTES = 2 + FOUND_IPV6_BYTES

SEEN_BYTES = ROW_BYTES - 2
"""Of an answer, that a generator looks at: a sealed one is longer by most of its tag."""

BATCH = 64
"""Questions that one socket sends at once; the kernel makes no more segments of one send."""

TALLY = ("asked", "lost", "unasked", "odd", "elapsed", "asking", "asked_by_first", "heard_by_first")
"""What stands behind `ended`."""


@dataclass(frozen=True, slots=True)
class Load:
    """What to ask whom: lookups of `types` in turn, or one `question` of another system.

    `instances` may be named, and nobody provides the `denied` types, where the right answer is
    "no". `in_flight` questions at all times, or `rate` questions a second, from so many `sockets`.
    """

    targets: list[Address]
    types: bytes = b""
    instances: list[Instance] = field(default_factory=list)
    seconds: float = 1.0
    in_flight: int = 64
    sockets: int = 8
    rate: float | None = None
    denied: bytes = b""
    by_name: bool = False  # the services of the types have names, and are asked for by these
    wide: bool = False  # by who takes IPv6
    held: Held | None = None  # by who has this credential, each under a seal of its own
    zone: str = ""  # that is asked for
    subscriptions_per_second: int = 0  # that the first target has to do meanwhile,
    verifications: int = 0
    sink: Address | None = None  # unless they go here
    pids: list[int] = field(default_factory=list)  # whose CPU is measured
    core: int | None = None  # where the generator runs
    how: str = "udp"  # or tcp, or h2; flood: over UDP, answered or not
    question: bytes = b""  # instead of lookups
    expected: bytes = b""  # the answer to it has this in it
    hello: bytes = b""  # what a connection has to begin with
    inside: tuple[str, ...] = ()  # a command that enters where the target is, if it has to

    def arguments(self) -> list[str]:
        """A generator's command-line arguments."""
        codec = _CLIENT if self.held is None else Codec(Role.CLIENT, keys=self.held)
        questions = [codec.encode(self._lookup(*one)) for one in enumerate(self.types)]
        questions = questions or [self.question]
        sockets = max(self.sockets, len(self.targets))
        return [
            self.how,
            ",".join(map(describe_address, self.targets)),
            *map(str, (self.seconds, sockets, self.in_flight, self.rate or 0)),
            self.hello.hex() or "-",
            ",".join(one.hex() for one in questions),
            self.expected.hex() or "-",
        ]

    def rows(self) -> bytes:
        """The right answers, as a generator reads them."""
        if self.held is not None:
            return b"".join(self._sealed_rows(self.held))
        right = right_answers(self.instances, self.denied, self.read)
        return b"".join(
            _row(number, answer)
            for number, type_ in enumerate(self.types)
            for answer in right.get(self.service(type_), ())
        )

    def _sealed_rows(self, held: Held) -> Iterator[bytes]:
        """Each question has a number, which its answers repeat."""
        key = held.key()
        for number, type_ in enumerate(self.types):
            named = [one for one in self.instances if service_of(one) == self.service(type_)]
            asked = SealedAsked(Asked(type_), key, number.to_bytes(NUMBER_BYTES, "big"))
            for answer in found_sealed_run(named, [asked] * len(named)).datagrams():
                yield _row(number, answer)

    def service(self, type_: int) -> Service:
        """What is asked for as one of the types."""
        return name_for(type_) if self.by_name else type_

    @property
    def read(self) -> Asked | None:
        """What the trailers of the lookups say; None if they have none."""
        asked = Asked(name_for(0) if self.by_name else 0, self.zone, self.wide)
        return None if asked == Asked(0) else asked

    def _lookup(self, number: int, type_: int) -> Lookup:
        service = NAMED if self.by_name else type_
        if self.held is not None:
            asked = Wanted(service, takes_ipv6=False, is_keyed=True).question(self.targets[0])
            return replace(asked, seal=Seal(number))
        return Lookup(service, trailer=Query.about(self.service(type_), self.wide, self.zone))


@dataclass(slots=True)
class Tally:
    """What was measured."""

    waits: Counter[int] = field(default_factory=Counter)  # microseconds, and how often
    asked: int = 0
    lost: int = 0
    unasked: int = 0  # answers beyond the questions
    odd: int = 0  # answers of another length than the first one, which was right
    doubtful: Counter[tuple[int | None, bytes]] = field(default_factory=Counter)
    """Answers that name none of the instances; with the type asked for, unless that is unsure."""
    elapsed: float = 0.0  # seconds from the first question to the last answer
    asking: float = 0.0  # and to the last question
    asked_by_first: int = 0  # of a flood, whose other answers nobody sees
    heard_by_first: int = 0
    cpu: float | None = None  # seconds
    subscribed: set[Instance] = field(default_factory=set)  # meanwhile

    @property
    def answered(self) -> int:
        """How many questions were answered."""
        return self.waits.total()

    def wait_ms(self, share: float) -> float | None:
        """The wait that `share` of the answers did not exceed, in milliseconds."""
        left = int(share * (self.answered - 1))
        for wait in sorted(self.waits):
            left -= self.waits[wait]
            if left < 0:
                return wait / 1000
        return None

    def wrong(
        self, instances: Iterable[Instance], denied: bytes = b"", read: Asked | None = None
    ) -> int:
        """The answers that name none of `instances` and are no "no" to one of the `denied` types,
        and those that nobody asked for; `read` as of the load."""
        right = right_answers(instances, denied, read)
        of_any_type = set().union(*right.values())
        return (
            self.unasked
            + self.odd
            + sum(
                count
                for (type_, answer), count in self.doubtful.items()
                if answer not in (of_any_type if type_ is None else right.get(type_, ()))
            )
        )

    def lines(self) -> Iterator[str]:
        """What a generator prints at the end."""
        yield " ".join(["ended", *(str(getattr(self, name)) for name in TALLY)])
        yield from (f"wait {wait} {count}" for wait, count in self.waits.items())
        for (number, answer), count in self.doubtful.items():
            yield f"doubtful {-1 if number is None else number} {answer.hex() or '-'} {count}"

    def read(self, line: str, services: Sequence[Service]) -> None:
        """Take one of those lines; `types` are those that were asked for."""
        kind, *words = line.split()
        if kind == "ended":
            for name, word in zip(TALLY, words, strict=True):
                setattr(self, name, type(getattr(self, name))(word))
        elif kind == "wait":
            self.waits[int(words[0])] = int(words[1])
        else:
            number = int(words[0])
            answer = bytes.fromhex(words[1].strip("-"))
            self.doubtful[None if number < 0 else services[number], answer] += int(words[2])


def _row(number: int, answer: bytes) -> bytes:
    """A right answer to the question of this number."""
    return bytes((number, len(answer))) + answer[:SEEN_BYTES].ljust(SEEN_BYTES, b"\0")


ZONES = ("eu", "us")
"""Of the instances of a service in turn, where they are in zones."""


def zones_of(instances: Sequence[Instance], services: int) -> dict[Instance, str]:
    """In which zone each of them is, which are of so many services in turn."""
    return {one: ZONES[number // services % 2] for number, one in enumerate(instances)}


def name_for(type_: int) -> str:
    """The name of a service, where one stands for a type. All are equally long: questions leave as
    segments of one send."""
    return f"service-{type_:03}"


def right_answers(
    instances: Iterable[Instance], denied: bytes = b"", read: Asked | None = None
) -> dict[Service, set[bytes]]:
    """For each service the datagrams that name one of them, in either wire form; for one of the
    `denied` types that says "no". They answer lookups without a trailer, or with one that was
    `read`."""
    right: dict[Service, set[bytes]] = {type_: {_BINDERS[0].encode(Unknown())} for type_ in denied}
    for one in instances:
        answers = right.setdefault(service_of(one), set())
        answers |= {codec.found(one, read) for codec in _BINDERS}
    return right
