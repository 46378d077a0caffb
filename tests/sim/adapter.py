"""How the simulator takes hold of the cores. What it assumes of them beyond the calls that the
real shell makes stands here, and nowhere else."""

from collections.abc import Callable, Iterator, Mapping
from random import Random
from typing import Any

from prr.config import Limits, WireForm
from prr.core.binder import Binder
from prr.core.deadlines import Deadlines
from prr.core.directory.directory import Directory
from prr.core.directory.ring import Ring
from prr.core.directory.table import Table
from prr.core.effects import Word
from prr.core.liveness.probes import Verifications
from prr.core.lookups import FOUND_FORMS
from prr.core.replication.peers import PEERS_MAX, Peers
from prr.core.server import Server
from prr.wire.codec import Codec
from prr.wire.frames import Role
from prr.wire.instance import Address, Instance


def make_binder(
    own: Address,
    peers: tuple[Address, ...],
    lab2016: bool,
    identity: int,
    rng: Random,
    tight: int,
    keeps: bool,
    counter: int,
) -> Binder:
    """A binder's core. `tight` is the room for verifications at once; 0: as much as usual."""
    return Binder(
        frozenset({own[0]}),
        peers,
        identity=identity,
        rng=rng,
        wire=WireForm.LAB2016 if lab2016 else WireForm.SPEC,
        limits=Limits(verifications=tight) if tight else Limits(),
        keeps=keeps,
        counter=counter,
    )


def codec(lab2016: bool) -> Codec:
    """A binder's codec."""
    return Codec(Role.BINDER, FOUND_FORMS[WireForm.LAB2016 if lab2016 else WireForm.SPEC])


def make_server(type_: int, address: Address, binders: tuple[Address, ...], rng: Random) -> Server:
    """A server's core. Every binder sees it at the same address."""
    return Server(type_, dict.fromkeys(binders, address), rng)


def instances(binder: Binder) -> list[Instance]:
    """All that a binder holds."""
    return list(binder.directory)


def words(binder: Binder) -> Mapping[Instance, Word]:
    """The last word about each instance that a binder knows or remembers."""
    return binder.directory.inspect().updates


def holds(binder: Binder, instance: Instance) -> bool:
    """A binder holds an instance, and may have to hand it out."""
    return instance in binder.directory


def is_newcomer(binder: Binder, instance: Instance) -> bool:
    """It has subscribed with a binder and has not answered it yet."""
    return instance in binder._detector._newcomers


def digest(binder: Binder) -> bytes:
    """What is equal on binders that agree."""
    return binder.directory.digest()


def snapshot(binder: Binder) -> tuple[bytes, list[Instance]]:
    """What a frame that comes twice must not change the second time."""
    return digest(binder), sorted(instances(binder))


_LIMITS: dict[type, Callable[[Any], tuple[int, int]]] = {
    Table: lambda table: (len(table), table._limits.instances),
    Verifications: lambda table: (len(table), table._rows_max),
    Deadlines: lambda table: (len(table._heap), 2 * len(table._due) + 64 + 1),
    Ring: lambda ring: (len(ring._queue), 2 * len(ring) + 64 + 1),
    Directory: lambda table: (len(table._disputed), len(table)),
    Peers: lambda peers: (len(peers), PEERS_MAX),
}
"""For each kind of table the size of one, and its limit."""


def tables(thing: object, name: str = "binder", depth: int = 3) -> Iterator[tuple[str, object]]:
    """Every table in a core that has a limit, with its name."""
    if type(thing) in _LIMITS:
        yield name, thing
    if type(thing) is dict:
        for key, value in thing.items():
            if type(value) in _LIMITS:
                yield f"{name}[{key}]", value
    elif depth and type(thing).__module__.startswith("prr.core"):
        for attribute, value in getattr(thing, "__dict__", {}).items():
            yield from tables(value, f"{name}.{attribute}", depth - 1)


def size_and_limit(table: object) -> tuple[int, int]:
    """Of one of `tables`."""
    return _LIMITS[type(table)](table)
