"""What the tests of the cores share: frames in, effects out, and time that only the test moves."""

from collections.abc import Iterator
from dataclasses import replace
from heapq import heappop, heappush
from ipaddress import IPv6Address
from itertools import chain, count, takewhile
from random import Random

from prr.core.binder import Binder
from prr.core.effects import (
    Answer,
    Effect,
    Event,
    Outcome,
    Probe,
    ProbeAll,
    Report,
    ReportAll,
    Send,
)
from prr.core.liveness.just_asked import JUST_ASKED
from prr.wire.codec import Codec
from prr.wire.forms import TABLE, Form
from prr.wire.frames import Added, Complaint, FoundInstance, Frame, Removed, Role, messages_of
from prr.wire.instance import (
    INSTANCE_BYTES,
    Address,
    Instance,
    Service,
    encode_address,
    make_instance,
)
from prr.wire.message import message_in
from prr.wire.messages import Versioned
from prr.wire.particulars import DRAIN_SECONDS_MAX, WEIGHT_MAX, Particulars, encode_particulars
from prr.wire.seal import blank
from prr.wire.trailer import ERROR_BYTES_MAX, GROUPS
from prr.wire.version import Version, encode_removals, encode_version, encode_versions
from prr.wire.wide import Said, WideUpdate, encode_wide


def at(service: Service, ip: str, port: int) -> Instance:
    """An instance, as a table or a script writes it."""
    return make_instance(service, (ip, port))


CODECS = {role: Codec(role) for role in Role}
CODEC_2016 = Codec(Role.BINDER, FoundInstance)
"""A codec for each role, and that of a binder which answers lookups as those of 2016 do."""

_MESSAGES = {form.frame: messages_of(form.frame) for form in TABLE}


def rows_in(datagrams: list[bytes], first: bytes, least: int, most: int) -> Iterator[bytes]:
    """As prr.shell.udp.mmsg.Received.rows has it, from the first on."""
    return takewhile(lambda one: one[:1] == first and least <= len(one) <= most, datagrams)


def encode(frame: Frame) -> bytes:
    """The datagram for a frame, whoever sends it."""
    return CODECS[Role.BINDER].encode(frame)


def decode(data: bytes, receiver: Role) -> Frame:
    """The frame in a datagram that reached `receiver`."""
    return CODECS[receiver].decode(data)


def sent(effects: list[Effect], codec: Codec = CODECS[Role.BINDER]) -> list[tuple[Frame, Address]]:
    """The frames among `effects` and whom they go to, in order; `codec` is the binder's."""
    answers = [
        Send(decode(codec.found(effect.found, effect.asked), Role.CLIENT), effect.target)
        if isinstance(effect, Answer)
        else effect
        for effect in effects
    ]
    return [(effect.frame, effect.target) for effect in answers if isinstance(effect, Send)]


def probes(effects: list[Effect]) -> list[Probe]:
    """The questions to instances among `effects`."""
    return [effect for effect in effects if isinstance(effect, Probe)]


def questions(effects: list[Effect]) -> list[Instance]:
    """Whom `effects` ask, alone or together with others."""
    together = [effect.instances for effect in effects if isinstance(effect, ProbeAll)]
    return [probe.instance for probe in probes(effects)] + [*chain.from_iterable(together)]


def events(effects: list[Effect]) -> list[Event]:
    """What `effects` report, but for the questions, which are effects themselves."""
    reports = [effect.event for effect in one_by_one(effects) if isinstance(effect, Report)]
    return [event for event in reports if event is not Event.ASKED]


def one_by_one(effects: list[Effect]) -> Iterator[Effect]:
    """`effects`, with a Report for each where many are told of at once."""
    for effect in effects:
        yield from effect.each() if isinstance(effect, ReportAll) else [effect]


def run(core, until: float) -> list[tuple[float, Effect]]:
    """Let time pass until `until`, waking the core when it wants: what it did, and when."""
    done: list[tuple[float, Effect]] = []
    for _ in range(10_000):
        when = core.deadline()
        if when is None or when > until:
            return done
        done += [(when, effect) for effect in core.tick(when)]
    raise AssertionError("the core wants to be woken again and again")


def has_answered(binder: Binder, instance: Instance, now: float) -> None:
    """A newcomer was asked, since a client complained, and answers: it is no newcomer any more, and
    the next complaint about it is heard."""
    asked = binder.handle(Complaint(instance), ("10.0.9.9", 9), now - JUST_ASKED)
    for probe in probes(asked):
        binder.probed(probe, Outcome.ALIVE, now)
    assert instance not in binder.inspect().newcomers


def effects_of(timed: list[tuple[float, Effect]]) -> list[Effect]:
    """What `run` gives, without the times."""
    return [effect for _, effect in timed]


def random_address(rng: Random) -> Address:
    """Any address at all."""
    return ".".join(str(byte) for byte in rng.randbytes(4)), rng.getrandbits(16)


def random_ipv6_address(rng: Random) -> Address:
    """An IPv6 address that an instance may have."""
    low = rng.choice((0, 1, rng.getrandbits(64), rng.getrandbits(80)))
    return IPv6Address((0x20010DB8 << 96) + low).compressed, rng.getrandbits(16)


def random_wide_instance(rng: Random) -> Instance:
    """One that has a name, or an IPv6 address, or both."""
    service = rng.choice((rng.randrange(256), random_name(rng)))
    is_ipv6 = isinstance(service, int) or rng.random() < 0.5
    return make_instance(service, (random_ipv6_address if is_ipv6 else random_address)(rng))


def random_name(rng: Random) -> str:
    """Any name of a service, from the shortest to the longest."""
    size = rng.choice((1, 2, 7, 63))
    return "".join(rng.choice("abz") for _ in range(size))


def random_instance(rng: Random) -> Instance:
    """Any instance at all."""
    return Instance(rng.randbytes(INSTANCE_BYTES))


_RANDOM_VALUES = {
    "type": lambda rng: rng.getrandbits(8),
    "address": random_address,
    "instance": random_instance,
    "message": lambda rng: rng.randbytes(rng.choice((0, 1, 4, 255))),
    "instances": lambda rng: tuple(random_instance(rng) for _ in range(rng.choice((0, 1, 2, 100)))),
}


def random_frame(rng: Random, form: Form, trailer: bool = True) -> Frame:
    """A frame of `form` with random values; with or without a trailer, unless never with one."""
    values = [_RANDOM_VALUES[field.attribute](rng) for field in form.fields]
    frame, keys = form.frame(*values), random_keys(rng) if trailer else None
    return frame if keys is None else behind(frame, **keys)


def random_seal(rng: Random) -> bytes:
    """The value of a seal, whoever it is of; behind all else it is in its place."""
    return blank(rng.randbytes(rng.randrange(20)), rng.getrandbits(64), rng.choice((1, 2)))


RANDOM_KEYS = {
    "cursor": lambda rng: rng.choice((b"", random_instance(rng))),
    "nonce": lambda rng: rng.choice((0, rng.getrandbits(64))),
    "binder": lambda rng: rng.choice((0, 77, rng.getrandbits(64))),
    "digest": lambda rng: rng.randbytes(8),
    "digests": lambda rng: rng.choice((bytes(8 * GROUPS), rng.randbytes(8 * GROUPS))),
    "group": lambda rng: rng.randrange(GROUPS),
    "buckets": lambda rng: rng.choice((0, 2**64 - 1, rng.getrandbits(64))),
    "versions": lambda rng: encode_versions([random_version(rng) for _ in range(rng.randrange(4))]),
    "removals": lambda rng: encode_removals(
        [(random_instance(rng), random_version(rng))] * rng.randrange(2)
    ),
    "types": lambda rng: rng.randbytes(rng.choice((1, 2, 50))),
    "start": lambda rng: rng.randint(2, 2**32 - 1),
    "question": lambda rng: rng.randint(1, 2),
    "offset": lambda rng: rng.getrandbits(32),
    "text": lambda rng: rng.randbytes(rng.randrange(20)),
    "cause": lambda rng: 1,
    "doubt": lambda rng: 1,
    "renewal": lambda rng: rng.randint(1, 127),
    "states": lambda rng: bytes(rng.choices(range(3), k=rng.randrange(4))),
    "name": lambda rng: random_name(rng).encode(),
    "instance": lambda rng: rng.choice((random_wide_instance, random_instance))(rng),
    "padding": lambda rng: bytes(rng.randrange(20)),
    "full": lambda rng: rng.randbytes(8),
    "wide": lambda rng: 1,
    "others": lambda rng: encode_wide(
        [
            WideUpdate(
                random_wide_instance(rng),
                random_version(rng),
                rng.choice(list(Said)),
            )
            for _ in range(rng.randrange(3))
        ]
    ),
    "address": lambda rng: encode_address(random_ipv6_address(rng)),
    "zone": lambda rng: random_name(rng).encode(),
    "particulars": lambda rng: encode_particulars(random_particulars(rng)),
    "error": lambda rng: rng.randbytes(rng.randrange(ERROR_BYTES_MAX + 1)),
    "seconds": lambda rng: rng.randrange(DRAIN_SECONDS_MAX + 1),
    "last": lambda rng: 1,
    "seal": random_seal,
    "ticket": lambda rng: rng.getrandbits(64),
}


def random_particulars(rng: Random) -> Particulars:
    """What a server may say of itself."""
    return Particulars(
        weight=rng.choice((1, 2, WEIGHT_MAX)),
        zone=rng.choice(("", "eu", "us-1")),
        tags={rng.choice("abc"): rng.choice(("", "1", "a=b é")) for _ in range(rng.randrange(3))},
        ask_at=rng.choice((None, random_address(rng))),
    )


def rising() -> Iterator[Version]:
    """Versions, each higher than the one before, of three homes."""
    return (Version(1 + number // 3, number % 3, number % 5) for number in count())


def random_version(rng: Random) -> Version:
    """A version, most often one that is easily compared, sometimes one from the future."""
    counter = rng.choice((rng.randrange(100), rng.randrange(10_000), rng.getrandbits(64)))
    return Version(counter, rng.choice((1, 2, rng.getrandbits(64))), rng.choice((0, 1, 2, 3)))


def random_keys(rng: Random) -> dict[str, object] | None:
    """A trailer of a few keys, by field, or none: the longest fits behind the longest frame."""
    names = rng.sample(list(RANDOM_KEYS), rng.randrange(5))
    return rng.choice((None, {name: RANDOM_KEYS[name](rng) for name in names}))


def behind(frame: Frame, **keys: object) -> Frame:
    """The frame with a trailer of these keys behind it, as it is read when it arrives."""
    return replace(frame, trailer=message_in(keys, _MESSAGES[type(frame)]))


def forms_for(role) -> list[Form]:
    """The forms that may reach `role`."""
    return [form for form in TABLE if role in {route.receiver for route in form.routes}]


def say(
    frame: type[Added] | type[Removed], instance: Instance, version: Version, binder: int = 77
) -> Frame:
    """A binder's word about an instance, with its version."""
    return frame(instance, trailer=Versioned(binder=binder, versions=encode_version(version)))


class Net:
    """Binders that talk to each other in bytes, through a network with seeded faults.

    `alive` are the instances that answer a question, `refusing` those whose host refuses it; all
    others are silent. `cut` are the binders that nobody reaches, and who reach nobody.
    """

    def __init__(self, binders: dict[Address, Binder], rng: Random | None = None) -> None:
        self.binders = binders
        self.rng = rng or Random(0)
        self.loss = self.doubles = 0.0
        self.delays = (0.001, 0.001)  # seconds, from least to most: more than once means reordered
        self.alive: set[Instance] = set()
        self.refusing: set[Instance] = set()
        self.cut: set[Address] = set()
        self.now = 0.0
        self.done: list[tuple[float, Address, Effect]] = []
        self._post: list[tuple[float, int, Address, tuple[object, ...]]] = []
        self._order = 0

    def start(self, *addresses: Address) -> None:
        """Start some binders, or all of them."""
        for address in addresses or self.binders:
            self.act(address, self.binders[address].start(self.now))

    def say(self, target: Address, frame: Frame, source: Address) -> list[Effect]:
        """A frame from somebody outside, which arrives at once."""
        effects = self.binders[target].handle(frame, source, self.now)
        self.act(target, effects)
        return effects

    def act(self, address: Address, effects: list[Effect]) -> None:
        """Do what a binder has decided."""
        for effect in effects:
            self.done.append((self.now, address, effect))
            match effect:
                case Send(frame=frame, target=target) if target in self.binders:
                    if self.rng.random() >= self.loss and not {address, target} & self.cut:
                        for _ in range(1 + (self.rng.random() < self.doubles)):
                            self._later(target, (encode(frame), address))
                case Probe(instance=instance) if address not in self.cut:
                    if instance in self.alive:
                        self._later(address, (effect, Outcome.ALIVE))
                    elif instance in self.refusing:
                        self._later(address, (effect, Outcome.REFUSED))
                case ProbeAll(instances=instances) if address not in self.cut:
                    self._later(address, (effect, [one for one in instances if one in self.alive]))

    def run(self, until: float) -> None:
        """Let time pass."""
        dues = {address: core.deadline() for address, core in self.binders.items()}
        for _ in range(1_000_000):
            wakes = [(max(when, self.now), a) for a, when in dues.items() if when is not None]
            first = min(wakes, default=(until + 1, None))
            if self._post and self._post[0][0] <= first[0]:
                when, _, address, letter = self._post[0]
                if when > until:
                    break
                heappop(self._post)
                self.now = when
                self._deliver(address, letter)
            elif first[0] > until:
                break
            else:
                self.now, address = first
                self.act(address, self.binders[address].tick(self.now))
            dues[address] = self.binders[address].deadline()
        else:
            raise AssertionError("they never come to rest")
        self.now = until

    def sent(self, since: float = 0.0) -> list[tuple[Address, Send]]:
        """What binders sent each other since then, lost or not, and which one sent it."""
        return [
            (address, effect)
            for when, address, effect in self.done
            if when >= since and isinstance(effect, Send) and effect.target in self.binders
        ]

    def reports(self, event: Event) -> list[tuple[float, Address]]:
        """When, and where, that was reported."""
        return [(at, a) for at, a, e in self.done if isinstance(e, Report) and e.event is event]

    def agree(self) -> bool:
        """All of them know the same."""
        return len({core.directory.digest() for core in self.binders.values()}) == 1

    def _later(self, address: Address, letter: tuple[object, ...]) -> None:
        self._order += 1
        when = self.now + self.rng.uniform(*self.delays)
        heappush(self._post, (when, self._order, address, letter))

    def _deliver(self, address: Address, letter: tuple) -> None:
        core = self.binders[address]
        if isinstance(letter[0], ProbeAll):
            self.act(address, core.answered_all(*letter, self.now))
        elif isinstance(letter[0], Probe):
            self.act(address, core.probed(*letter, self.now))
        else:
            data, source = letter
            self.act(address, core.handle(decode(data, Role.BINDER), source, self.now))
