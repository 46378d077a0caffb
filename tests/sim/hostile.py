"""A peer faulty: it speaks our trailer, is believed as a binder of ours, and says what it likes.

Counters from all round the circle, in its own name and in others'; that the living are gone and
that there is what never was; digests that nobody has, and pages that never end. Nothing it says
can be refused for its form. For a time; then it is gone, and what is left has to become equal and
right without it.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    Frame,
    ListRequest,
    Removed,
    Role,
    ServiceList,
    Unknown,
)
from prr.wire.instance import Address, Instance, is_wide, make_instance
from prr.wire.messages import DigestRequest, Message, OpinionRequest, Page
from prr.wire.particulars import Particulars, encode_particulars
from prr.wire.trailer import DIGEST_BYTES, GROUPS
from prr.wire.version import LEFT, Version, decode_versions, encode_removals, encode_versions
from prr.wire.wide import Said, WideUpdate, encode_wide
from tests.cores import behind
from tests.sim.network import Host, Socket, read
from tests.sim.particulars import random_particulars
from tests.sim.process import Process
from tests.sim.world import Clock

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

BUDGET = 150.0
"""Virtual seconds after a hostile peer's end in which all binders are equal and right: a lease
until its silence counts, and the brake, which lets three unheard-of go every half a minute where
nobody confirms that they are silent."""

REFUSED, SILENT = 24, 6
"""Instances it makes up: so many at hosts that refuse a question, and at hosts that are not there.
The latter are bound by the brake on silence, whatever else is done."""

WORDS_MAX = 20  # in one list
WIDE_WORDS_MAX = 4  # likewise, beside them: there is room for so many

HALF = 1 << 63

LIFT, LIFT_STEPS = 1 << 31, 8  # how far one honest-looking step goes, and how many it takes


class Hostile(Process):
    """One hostile peer at one address."""

    role = Role.BINDER

    def __init__(self, cluster: Cluster, host: Host, clock: Clock, address: Address) -> None:
        super().__init__(cluster, host, clock)
        self._rng = Random(f"{cluster.options.seed}/hostile")
        self._identity = self._rng.getrandbits(32)
        self._binders = cluster.binder_addresses
        self._heard = {self._identity: 0}  # identities, and the last counter of each
        self._made_up = [self._make_up("10.0.2.1", n + 1) for n in range(REFUSED)]
        self._made_up += [self._make_up("10.0.7.7", n + 1) for n in range(SILENT)]
        self._socket = Socket(cluster.network, address, self, self.receive)
        self.sockets.append(self._socket)

    def start(self) -> None:
        self.world.note(self.name, "starts")
        self._go_on()

    def receive(self, data: bytes, source: Address) -> None:
        frame = read(data, self.role)
        if frame is None:
            return
        trailer = frame.trailer
        if trailer is not None and trailer.binder is not None:
            for version in decode_versions(trailer.values().get("versions", b"")):
                self._heard[version.owner] = version.counter
            self._heard.setdefault(trailer.binder, 0)
        match frame:
            case ListRequest():
                if self._rng.random() < 0.8:
                    self._send(self._list(trailer), source)
            case Complaint(trailer=OpinionRequest()):
                opinion = self._rng.choice((Alive, Unknown))
                self._send(self._say(opinion(), nonce=trailer.nonce), source)
            case ServiceList(trailer=Page(cursor=cursor)) if cursor:
                self._send(self._question(), source)

    def act(self, effects: list) -> None:
        raise AssertionError("it has no core")

    def _go_on(self) -> None:
        say = self._rng.choice(
            (self._added, self._suspicion, self._removed, self._question, self._complaint)
        )
        told = self._binders if self._rng.random() < 0.3 else [self._rng.choice(self._binders)]
        for binder in told:
            self._send(say(), binder)
        if self._rng.random() < 0.1:
            self._lift(self._rng.choice(self._binders))
        pause = self._rng.expovariate(self.cluster.options.hostile)
        self.at(self.world.now + pause, self._go_on)

    # What it says.

    def _added(self) -> Frame:
        words = {"versions": encode_versions(self._some(1)), "particulars": self._particulars()}
        return self._say(Added(self._anybody()), **words)

    def _suspicion(self) -> Frame:
        return self._say(Added(self._anybody()), versions=encode_versions(self._some(1)), doubt=1)

    def _removed(self) -> Frame:
        return self._say(Removed(self._anybody()), versions=encode_versions(self._some(1)))

    def _lift(self, binder: Address) -> None:
        """Lead one binder away from the others in steps, each of which might be an honest one."""
        counter = max(self._heard.values())
        for step in range(1, LIFT_STEPS + 1):
            version = Version((counter + step * LIFT) % (2 * HALF), self._identity, 0)
            word = self._say(Added(self._anybody()), versions=encode_versions([version]))
            self._send(word, binder)

    def _complaint(self) -> Frame:
        """About one that lives: it asks for an opinion, and never hears it."""
        return self._say(Complaint(self._anybody()), nonce=self._rng.getrandbits(64))

    def _question(self) -> Frame:
        rng = self._rng
        if rng.random() < 0.5:
            return self._say(ListRequest(), nonce=1, digest=rng.randbytes(DIGEST_BYTES))
        cursor = self._anybody() if rng.random() < 0.5 else None
        group, buckets = rng.randrange(GROUPS), rng.getrandbits(64)
        return self._say(ListRequest(), nonce=2, group=group, buckets=buckets, cursor=cursor)

    def _list(self, asked: Message | None) -> Frame:
        """The answer to a question: digests that nobody has, or words, and always more of them."""
        rng = self._rng
        if asked is None:
            return self._say(ServiceList(()))
        words: dict[str, object] = {"nonce": asked.nonce}
        if isinstance(asked, DigestRequest):
            words["digest"] = rng.choice((asked.digest, rng.randbytes(DIGEST_BYTES)))
            words["digests"] = rng.choice((None, rng.randbytes(DIGEST_BYTES * GROUPS)))
            return self._say(ServiceList(()), **words)
        there = tuple(self._anybody() for _ in range(rng.randrange(WORDS_MAX)))
        gone = [self._anybody() for _ in range(rng.randrange(WORDS_MAX))]
        spec = [one for one in there if not is_wide(one)]
        gone_spec = [one for one in gone if not is_wide(one)]
        words["versions"] = encode_versions(self._some(len(spec)))
        versions = self._some(len(gone_spec))
        words["removals"] = encode_removals(list(zip(gone_spec, versions, strict=True)))
        words |= {"group": asked.group, "buckets": rng.getrandbits(64), "cursor": self._anybody()}
        words["others"] = encode_wide(
            [
                WideUpdate(instance, self._version(), rng.choice(list(Said)), self._particulars())
                for instance in rng.sample((*there, *gone), len(there) + len(gone))
            ][:WIDE_WORDS_MAX]
        )
        return self._say(ServiceList(tuple(spec)), **words)

    def _some(self, count: int) -> list[Version]:
        return [self._version() for _ in range(count)]

    def _version(self) -> Version:
        rng = self._rng
        owner = rng.choice((*self._heard, self._identity, rng.getrandbits(64)))
        seen = rng.choice(list(self._heard.values()))
        step = rng.choice((0, 1, -1, 1 << 16, HALF - 1, HALF, HALF + 1, rng.getrandbits(64)))
        counter = rng.choice((0, 1, 2**64 - 1, rng.getrandbits(64), (seen + step) % 2**64))
        return Version(counter, owner, rng.choice((0, LEFT, 2, rng.getrandbits(32))))

    def _particulars(self) -> bytes:
        said = random_particulars(self._rng) if self._rng.random() < 0.5 else Particulars()
        return encode_particulars(said)

    def _anybody(self) -> Instance:
        """One that lives, or died, or never was."""
        known = sorted(self.cluster.truth.up)
        if known and self._rng.random() < 0.5:
            return self._rng.choice(known)
        return self._rng.choice(self._made_up)

    def _make_up(self, ip: str, port: int) -> Instance:
        return make_instance(self._rng.choice(self.cluster.options.types), (ip, port))

    def _say(self, frame: Frame, **words: object) -> Frame:
        """The frame with these words, mostly in its own name, now and then in another binder's."""
        identity = self._identity
        if self._rng.random() < 0.1:
            identity = self._rng.choice(list(self._heard))
        said = {key: value for key, value in words.items() if value is not None}
        return behind(frame, binder=identity, **said)

    def _send(self, frame: Frame, target: Address) -> None:
        self.trace("->", frame, target)
        self._socket.send(self.encode(frame), target)
