"""A load and its tally: what both generators take, and what they print.

Either generator, `generator.py` and `generator.c`, is run as

    GENERATOR HOW TARGETS SECONDS SOCKETS IN_FLIGHT RATE HELLO QUESTIONS EXPECTED DIFFERENT

RATE 0 is a closed loop. Then come bytes in hexadecimal ("-": none): what to say first on a
connection, the questions, which are asked in turn, and what the answer must hold before it begins;
and how many different answers are to be told apart. It prints `began`; and, when all is over,
`ended` and the numbers of TALLY in their order, a line `wait MICROSECONDS COUNT` for each wait,
and a line `answer QUESTION ANSWER COUNT` for each answer (QUESTION is -1 where losses have left
that unsure).
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence, Set
from dataclasses import dataclass, field, replace

from prr.core.wanted import Wanted
from prr.trust.keyring import Held, Key
from prr.wire.codec import Codec
from prr.wire.frames import Found, FoundInstance, Lookup, Role, Unknown
from prr.wire.instance import NAMED, Address, Instance, Service, describe_address, service_of
from prr.wire.query import Query
from prr.wire.questions import Asked
from prr.wire.seal import NUMBER_BYTES, Seal
from prr.wire.sealed_questions import SealedAsked, found_sealed_run

_CLIENT = Codec(Role.CLIENT)
_BINDERS = [Codec(Role.BINDER, found) for found in (Found, FoundInstance)]

ANSWER_BYTES = 44
"""Of an answer, that are kept: the right ones have no more."""

WRONG_MAX = 4096
"""Different answers that are told apart beside the right ones."""

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
    how: str = "udp"  # or tcp, or h2; flood: over UDP, answered or not, `in_flight` at once
    question: bytes = b""  # instead of lookups
    expected: bytes = b""  # the answer to it has this in it
    hello: bytes = b""  # what a connection has to begin with
    writes: int = 1  # that a question stands for
    inside: tuple[str, ...] = ()  # a command that enters where the target is, if it has to

    def arguments(self) -> list[str]:
        """A generator's command-line arguments."""
        codec = _CLIENT if self.held is None else Codec(Role.CLIENT, keys=self.held)
        questions = [codec.encode(self._lookup(*one)) for one in enumerate(self.types)]
        right = Counter(map(service_of, self.instances))
        return [
            self.how,
            ",".join(map(describe_address, self.targets)),
            *map(str, (self.seconds, max(self.sockets, len(self.targets)), self.in_flight)),
            str(self.rate or 0),
            self.hello.hex() or "-",
            ",".join(one.hex() for one in questions or [self.question]),
            self.expected.hex() or "-",
            str(WRONG_MAX + sum(right[self.service(type_)] for type_ in self.types)),
        ]

    def right(self, instances: Collection[Instance]) -> list[set[bytes]]:
        """The right answers to each question, if there are these instances."""
        if self.held is not None:
            key = self.held.key()
            return [self._sealed(number, instances, key) for number in range(len(self.types))]
        right = right_answers(instances, self.denied, self._read)
        return [right.get(self.service(type_), set()) for type_ in self.types]

    def _sealed(self, number: int, instances: Collection[Instance], key: Key) -> set[bytes]:
        """Each question has a number, which its answers repeat."""
        type_ = self.types[number]
        found = [one for one in instances if service_of(one) == self.service(type_)]
        asked = SealedAsked(Asked(type_), key, number.to_bytes(NUMBER_BYTES, "big"))
        return {*found_sealed_run(found, [asked] * len(found)).datagrams()}

    def service(self, type_: int) -> Service:
        """What is asked for as one of the types."""
        return name_for(type_) if self.by_name else type_

    @property
    def _read(self) -> Asked | None:
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
    answers: Counter[tuple[int | None, bytes]] = field(default_factory=Counter)
    """How often each came, by the number of the question, unless that is unsure."""
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

    def wrong(self, right: Sequence[Set[bytes]]) -> int:
        """The answers that are none of the right ones to their question, and those that nobody
        asked for."""
        of_any = set[bytes]().union(*right)
        return (
            self.unasked
            + self.odd
            + sum(
                count
                for (number, answer), count in self.answers.items()
                if answer not in (of_any if number is None else right[number])
            )
        )

    def lines(self) -> Iterator[str]:
        """What a generator prints at the end."""
        yield " ".join(["ended", *(str(getattr(self, name)) for name in TALLY)])
        yield from (f"wait {wait} {count}" for wait, count in self.waits.items())
        for (number, answer), count in self.answers.items():
            yield f"answer {-1 if number is None else number} {answer.hex() or '-'} {count}"

    def read(self, line: str) -> None:
        """Take one of those lines."""
        kind, *words = line.split()
        if kind == "ended":
            for name, word in zip(TALLY, words, strict=True):
                setattr(self, name, type(getattr(self, name))(word))
        elif kind == "wait":
            self.waits[int(words[0])] = int(words[1])
        else:
            number = None if words[0] == "-1" else int(words[0])
            self.answers[number, bytes.fromhex(words[1].strip("-"))] = int(words[2])


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
