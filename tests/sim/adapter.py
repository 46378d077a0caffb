"""How the simulator takes hold of the cores. What it assumes of them beyond the calls that the
real shell makes stands here, and nowhere else."""

from collections.abc import Mapping
from dataclasses import replace
from random import Random

from prr.config import Limits, WireForm
from prr.core.binder import Binder
from prr.core.effects import AskAgain, ConfirmSealed, Update
from prr.core.keyed_server import server_class
from prr.core.lookups import FOUND_FORMS
from prr.core.server import Server
from prr.core.trust import Trust
from prr.trust.credential import encode_credential
from prr.trust.keyring import Keyring
from prr.wire import drain
from prr.wire.codec import Codec
from prr.wire.drain import drain_in
from prr.wire.frames import Frame, Role, Subscribed, Verify
from prr.wire.instance import Address, Instance, Service
from prr.wire.particulars import Particulars, encode_particulars
from prr.wire.proofs import Again, Confirmed
from prr.wire.seal import Seal
from prr.wire.version import LEFT

NEWCOMERS, NEWCOMERS_PER_SECOND = 48, 4.0
"""In a cluster of twenty servers, some of which come back once a second."""


def make_binder(
    own_ips: frozenset[str],
    peers: tuple[Address, ...],
    lab2016: bool,
    identity: int,
    rng: Random,
    tight: int,
    flooded: bool,
    keeps: bool,
    counter: int,
    trust: Trust,
    shares_store: bool = False,
) -> Binder:
    """A binder's core. `tight` is the room for verifications at once; 0: as much as usual. One that
    is `flooded` reaches its quotas soon."""
    limits = Limits(verifications=tight) if tight else Limits()
    if flooded:
        limits = replace(limits, newcomers=NEWCOMERS, newcomers_per_second=NEWCOMERS_PER_SECOND)
    return Binder(
        own_ips,
        peers,
        identity=identity,
        rng=rng,
        wire=WireForm.LAB2016 if lab2016 else WireForm.SPEC,
        limits=limits,
        keeps=keeps,
        counter=counter,
        trust=trust,
        is_watched=True,
        shares_store=shares_store,
    )


def codec(lab2016: bool, keys: Keyring | None) -> Codec:
    """A binder's codec."""
    form = FOUND_FORMS[WireForm.LAB2016 if lab2016 else WireForm.SPEC]
    return Codec(Role.BINDER, form, keys)


def make_server(
    type_: Service,
    address: Address,
    binders: tuple[Address, ...],
    rng: Random,
    particulars: Particulars | None = None,
    is_keyed: bool = False,
    is_agent: bool = False,
) -> Server:
    """A server's core. Every binder sees it at the same address."""
    said = encode_particulars(particulars or Particulars())
    seen_at = dict.fromkeys(binders, address)
    return server_class(is_keyed)(type_, seen_at, rng, particulars=said, is_agent=is_agent)


def instances(binder: Binder) -> list[Instance]:
    """All that a binder holds."""
    return list(binder.directory)


def updates(binder: Binder) -> Mapping[Instance, Update]:
    """The last update about each instance that a binder knows or remembers."""
    return binder.inspect().directory.updates


def holds(binder: Binder, instance: Instance) -> bool:
    """A binder holds an instance, and may have to hand it out."""
    return instance in binder.directory


def is_out_of_turn(binder: Binder, instance: Instance) -> bool:
    """A binder hands an instance that it holds out only while its type has no other."""
    return binder.directory.is_suspect(instance)


def drain_word(binder: Binder, instance: Instance) -> bytes:
    """The last word of an operator on an instance that a binder knows, encoded; b"" if none. Of one
    that it holds it is among the particulars, else it comes to nothing."""
    if instance in binder.directory:
        return drain_in(binder.directory.particulars(instance))
    return binder.inspect().drains.get(instance, b"")


def is_drained(binder: Binder, instance: Instance) -> bool:
    """What a binder holds of an instance says drained."""
    return drain.is_drained(binder.directory.particulars(instance))


def is_proved(binder: Binder, instance: Instance) -> bool:
    """An instance that a binder holds has answered a question, there or elsewhere."""
    version = binder.directory.version(instance)
    is_known = version is not None and version.start != LEFT
    return is_known and not is_newcomer(binder, instance)


def is_newcomer(binder: Binder, instance: Instance) -> bool:
    """It has subscribed with a binder and has not answered it yet."""
    return instance in binder.inspect().newcomers


def owns(binder: Binder, instance: Instance) -> bool:
    """The binder is the lease owner of an instance that it holds, which had not left before: else
    it has to answer first."""
    version = binder.directory.version(instance)
    return version is not None and version.owner == binder.identity and version.start != LEFT


def digest(binder: Binder) -> bytes:
    """What is equal on binders that agree."""
    return binder.directory.digest()


def snapshot(binder: Binder) -> tuple[bytes, list[Instance]]:
    """What a frame that comes twice must not change the second time."""
    return digest(binder), sorted(instances(binder))


def sizes(binder: Binder) -> Mapping[str, tuple[int, int]]:
    """Of every container with a limit how many entries it has, and the limit."""
    return binder.inspect().sizes


def frames_of(effect: ConfirmSealed | AskAgain) -> list[tuple[Instance, Frame]]:
    """The frames that are sent for those who are answered together, and to whom."""
    found: list[tuple[Instance, Frame]] = []
    for one, ticket in zip(effect.said, effect.tickets, strict=True):
        credential, key, _ = one.holder
        seal = Seal(one.number, encode_credential(credential), key.secret_id)
        frame: Frame = Verify(trailer=Again(ticket=ticket), seal=seal)
        if isinstance(effect, ConfirmSealed):
            said = Confirmed(ticket=ticket, renewal=effect.renewal)
            frame = Subscribed(trailer=said, seal=seal)
        found.append((one.instance, frame))
    return found
