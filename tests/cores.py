"""What the tests of the cores share: frames in, effects out, and time that only the test moves."""

from random import Random

from prr.core.effects import Effect, Event, Probe, Report, Send
from prr.wire.address import Address, Instance, make_instance
from prr.wire.frames import TABLE, Form, Frame
from prr.wire.trailer import Trailer


def at(type_: int, ip: str, port: int) -> Instance:
    """An instance, as a table or a script writes it."""
    return make_instance(type_, (ip, port))


def sent(effects: list[Effect]) -> list[tuple[Frame, Address]]:
    """The frames among `effects` and whom they go to, in order."""
    return [(effect.frame, effect.target) for effect in effects if isinstance(effect, Send)]


def probes(effects: list[Effect]) -> list[Probe]:
    """The questions to instances among `effects`."""
    return [effect for effect in effects if isinstance(effect, Probe)]


def events(effects: list[Effect]) -> list[Event]:
    """What `effects` report."""
    return [effect.event for effect in effects if isinstance(effect, Report)]


def run(core, until: float) -> list[tuple[float, Effect]]:
    """Let time pass until `until`, waking the core when it wants: what it did, and when."""
    done: list[tuple[float, Effect]] = []
    for _ in range(10_000):
        when = core.deadline()
        if when is None or when > until:
            return done
        done += [(when, effect) for effect in core.tick(when)]
    raise AssertionError("the core wants to be woken again and again")


def effects_of(timed: list[tuple[float, Effect]]) -> list[Effect]:
    """What `run` gives, without the times."""
    return [effect for _, effect in timed]


def random_address(rng: Random) -> Address:
    """Any address at all."""
    return ".".join(str(byte) for byte in rng.randbytes(4)), rng.getrandbits(16)


def random_instance(rng: Random) -> Instance:
    """Any instance at all."""
    return Instance(rng.randbytes(7))


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
    return form.frame(*values, trailer=random_trailer(rng) if trailer else None)


def random_trailer(rng: Random) -> Trailer | None:
    """Any trailer, or none."""
    cursors = (None, b"", rng.randbytes(7))
    nonces = (None, 0, rng.getrandbits(64))
    return rng.choice((None, Trailer(cursor=rng.choice(cursors), nonce=rng.choice(nonces))))


def forms_for(role) -> list[Form]:
    """The forms that may reach `role`."""
    return [form for form in TABLE if role in {receiver for _, receiver in form.routes}]
