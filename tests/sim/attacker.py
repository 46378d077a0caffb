"""Somebody on every path at once, as Dolev and Yao have him: he hears all that is said, and says
what he likes from any address to any other, sooner than whoever is asked.

What he has heard he says again, later, elsewhere, back to who said it, altered, cut off or glued
to something else. What he makes up he seals with a secret that he guesses, or with one that was
pruned, and with a credential where he has stolen one. He forges what a host says that refuses a
question. In some runs he withholds datagrams, and lets some of these go later.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import replace
from math import inf
from random import Random
from typing import TYPE_CHECKING

from prr.trust.credential import Holder
from prr.trust.keyring import Held, Keyring, secret_id
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.forms import FORM_OF
from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    Found,
    Frame,
    ListRequest,
    Lookup,
    Removed,
    Role,
    ServiceList,
    Subscribe,
    Subscribed,
    Unknown,
    Verify,
)
from prr.wire.inquiries import DrainQuery
from prr.wire.instance import Address, Instance, make_instance, service_of
from prr.wire.messages import (
    AgentAnnouncement,
    Challenge,
    Plain,
    Presence,
    Started,
    Suspicion,
    Versioned,
)
from prr.wire.proofs import Again, Confirmed, Proof
from prr.wire.seal import Seal, read_seal
from prr.wire.trailer import Question
from prr.wire.version import Version, encode_versions
from tests.cores import decode
from tests.sim.keys import PRUNED, SECRET, STRANGE, issue, role_of

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster
    from tests.sim.processes import ServerProcess

LAIR: Address = ("10.0.6.6", 666)
"""Where he is himself."""

HEARD_MAX = 2000
"""Datagrams that he remembers: of all alike, whenever they were said."""

SOON = 0.00002
"""Seconds that his datagrams take: less than anybody else's."""

REACTS = 0.3
"""Share of the questions that he hears to which he says something at once."""

TAKES_BACK = 0.5
"""Share of the datagrams withheld that he lets go later, and the seconds until then."""
LATER = (0.01, 3.0)

PARTED = (1.0, 6.0)
"""Seconds for which he withholds what one server says to one binder, and for which he has a third
binder stand in for one of two."""

BRINGS_BACK = 0.2
"""Share of those words of servers that have ended which he says at last, whenever he does."""

QUESTION_CODE, ANSWER_CODE, LOOKUP_CODE, LIST_CODE = (
    FORM_OF[one].code for one in (Verify, Alive, Lookup, ServiceList)
)


class Attacker:
    """Attacks one cluster until `end`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world, self._network = cluster.world, cluster.network
        self._options = cluster.options
        self._rng = Random(f"{cluster.options.seed}/attacker")
        self._heard: list[tuple[Address, Address, bytes]] = []
        self._count = 0
        self._number = 0
        self._sessions: list[tuple[bytes, int]] = []  # of binders, as they said them last
        self._said: dict[tuple[Address, Address], tuple[Codec, Frame]] = {}
        self._withheld: list[tuple[Address, Address, bytes]] = []
        self._homes: dict[Address, Address] = {}  # the binder that a server spoke to last
        self._unheard: deque[tuple[Address, Address, bytes]] = deque(maxlen=50)
        self._parted: tuple[Address, Address] | None = None
        self._parted_until = 0.0
        self._stands_in: tuple[Address, ...] = ()  # for the second of three, to the first
        self._stands_until = 0.0
        self._starts: dict[Instance, int] = {}
        self._relayed: dict[Address, Address] = {}  # who asks, and about whom
        self._sealers = list(self._make_sealers())
        self._bare = Codec(Role.SERVER)
        self._over = False

    def start(self) -> None:
        """Begin."""
        self._network.tap = self._hear
        self._wait()

    def end(self) -> None:
        """He is gone, with what he holds back."""
        self._over = True
        self._network.tap = None

    def _make_sealers(self) -> list[Codec]:
        """What he seals with that he should have no use for."""
        anybody = self._options.types
        sealers = [Codec(Role.CLIENT), Codec(Role.BINDER), Codec(Role.SERVER)]
        for secret in (STRANGE, PRUNED):
            ring = Keyring((secret,))
            sealers.append(Codec(Role.BINDER, keys=ring))
            for holder in Holder:
                service = anybody[0] if holder is Holder.SERVER else None
                held = issue(holder, "attacker", service, ring)
                sealers.append(Codec(role_of(holder), keys=held))
        stolen = self._stolen()
        return sealers + [Codec(Role.SERVER, keys=stolen)] * (10 if stolen else 0)

    def _stolen(self) -> Held | None:
        match self._options.stolen:
            case "client":
                return issue(Holder.CLIENT, "app")
            case "server":
                return issue(Holder.SERVER, "stolen", self._options.types[0])
        return None

    # What he hears.

    def _hear(self, source: Address, target: Address, data: bytes) -> bool:
        """A datagram is sent; whether he withholds it."""
        self._remember((source, target, data))
        rng = self._rng
        self._have_another_stand_in(source, target, data)
        if data[:1] == bytes((QUESTION_CODE,)):
            self._hear_question(source, target, data)
        elif data[:1] == bytes((ANSWER_CODE,)):
            self._hear_server(source, target, data)
        elif data[:1] == bytes((LIST_CODE,)) and (target, source) in self._said:
            trailer = self._trailer(data, Role.BINDER)
            if isinstance(trailer, Again):
                self._say_with(trailer.ticket, target, source)
        elif data[:1] == bytes((LOOKUP_CODE,)) and rng.random() < REACTS:
            self._say(target, source, self._answer(Found, Unknown))
        if self._is_parted(source, target):
            self._unheard.append((source, target, data))
            return True
        if rng.random() >= self._options.withheld:
            return False
        self._withheld = [*self._withheld[-49:], (source, target, data)]
        if rng.random() < TAKES_BACK:
            self._world.after(rng.uniform(*LATER), self._let_go, source, target, data)
        return True

    def _have_another_stand_in(self, source: Address, target: Address, data: bytes) -> None:
        """What one binder says to a second he has a third hear, sooner, and what this one says to
        the first he says to it in the second's name."""
        if self._world.now >= self._stands_until and len(self._binders) > 2:
            self._stands_in = tuple(map(self._cluster.as_peer, self._rng.sample(self._binders, 3)))
            self._stands_until = self._world.now + self._rng.uniform(*PARTED)
        one, other, third = self._stands_in or (LAIR,) * 3
        if (source, target) == (one, other):
            self._say(one, third, data)
        elif (source, target) == (third, one):
            self._say(other, one, data)

    def _is_parted(self, source: Address, target: Address) -> bool:
        """For some seconds no word of a server reaches its binder: what of it is never heard may be
        worth something later."""
        if not self._options.withheld:
            return False
        if self._world.now >= self._parted_until and self._homes:
            self._parted = self._rng.choice([*self._homes.items()])
            self._parted_until = self._world.now + self._rng.uniform(*PARTED)
        return (source, target) == self._parted

    def _remember(self, one: tuple[Address, Address, bytes]) -> None:
        self._count += 1
        if len(self._heard) < HEARD_MAX:
            self._heard.append(one)
        elif (place := self._rng.randrange(self._count)) < HEARD_MAX:
            self._heard[place] = one
        read = read_seal(one[2])
        if read is not None and read.who[:1] == b"\0":
            self._sessions = [*self._sessions[-7:], (read.who[1:], read.number)]

    def _hear_question(self, source: Address, target: Address, data: bytes) -> None:
        """To a server: who it is, or to say something again."""
        trailer = self._trailer(data)
        if isinstance(trailer, Again):
            self._say_with(trailer.ticket, target, source)
            if self._rng.random() < REACTS:  # a server seals what nonce it is asked with
                for instance in (one for one in self._live() if self._speaker(one) == target):
                    asked = Challenge(nonce=trailer.ticket, instance=instance, padding=bytes(304))
                    self._say(source, target, self._bare.encode(Verify(trailer=asked)))
            return
        if isinstance(trailer, Challenge):
            self._ask_neighbours(source, target, trailer.nonce)
        if self._rng.random() < REACTS:
            self._network.refuse_soon(target, source, SOON)
        if self._rng.random() < REACTS:
            old = self._an_old(Alive, target) if self._rng.random() < REACTS else None
            self._say(target, source, old or self._proof(trailer, target))

    def _say_with(self, ticket: int, source: Address, target: Address) -> None:
        """A binder has given a ticket for what he has said last."""
        if (said := self._said.pop((source, target), None)) is not None:
            codec, frame = said
            self._say(source, target, codec.encode(replace(frame, seal=Seal(ticket))))

    def _ask_neighbours(self, source: Address, target: Address, nonce: int) -> None:
        """Have others on the same host prove that they are there, to whom asked about this one."""
        self._relayed[source] = target
        for other in self._live():
            if (at := self._speaker(other)) != target and at[0] == target[0]:
                asked = Challenge(nonce=nonce, instance=other, padding=bytes(304))
                self._say(source, at, self._bare.encode(Verify(trailer=asked)))

    def _hear_server(self, source: Address, target: Address, data: bytes) -> None:
        """It proves that it is there, or says so unasked."""
        if (asked := self._relayed.get(target)) is not None and asked != source:
            self._say(asked, target, data)
        said = self._trailer(data, Role.BINDER)
        if isinstance(said, AgentAnnouncement):
            self._starts[Instance(said.instance)] = said.start
            self._homes[source] = target
            if self._rng.random() < REACTS:  # the same, sooner and from elsewhere
                self._say((source[0], self._rng.randint(1024, 9999)), target, data)

    def _trailer(self, data: bytes, reader: Role = Role.SERVER) -> object:
        try:
            return decode(data, reader).trailer
        except MalformedFrame:
            return None

    def _let_go(self, source: Address, target: Address, data: bytes) -> None:
        if not self._over:
            self._say(source, target, data)

    # What he says.

    def _wait(self) -> None:
        self._world.after(self._rng.expovariate(self._options.attacked), self._act)

    def _act(self) -> None:
        if self._over:
            return
        acts: tuple[Callable[[], object], ...] = (
            self._replay,
            self._replay,
            self._replay_of_binders,
            self._bring_back,
            self._reflect,
            self._alter,
            self._glue,
            self._forge,
            self._forge,
            self._forge_peer,
            self._answer_binder,
        )
        if self._heard:
            self._rng.choice(acts)()
        self._wait()

    def _replay(self) -> None:
        said = self._withheld if self._withheld and self._rng.random() < 0.3 else self._heard
        source, target, data = self._rng.choice(said)
        if self._rng.random() < 0.3:
            source = self._rng.choice((LAIR, self._rng.choice(self._heard)[0]))
        if self._rng.random() < 0.3:
            target = self._rng.choice(self._heard)[1]
        self._say(source, target, data)

    def _replay_of_binders(self) -> None:
        """Words between binders, and most of all the first ones of a process."""
        binders = {binder[0] for binder in self._binders}
        words = [one for one in self._heard if one[0][0] in binders and one[1][0] in binders]
        for word in self._rng.sample(words, min(3, len(words))):
            self._say(*word)

    def _bring_back(self) -> None:
        """What one that has ended said to a binder that has not heard it, sooner or later."""
        started = {one.speaks_from: one.started_at for one in self._live_servers()}
        words = self._cluster.truth.sealed.words
        for word in [*self._unheard]:
            server, _, data = word
            has_ended = started.get(server, inf) > words[data].said_at
            if has_ended and self._rng.random() < BRINGS_BACK:
                self._unheard.remove(word)
                self._say(*word)

    def _reflect(self) -> None:
        source, target, data = self._rng.choice(self._heard)
        self._say(target, source, data)

    def _alter(self) -> None:
        source, target, data = self._rng.choice(self._heard)
        bent = bytearray(data)
        for _ in range(self._rng.randint(1, 3)):
            bent[self._rng.randrange(len(bent))] ^= 1 << self._rng.randrange(8)
        cut = len(bent) if self._rng.random() < 0.7 else self._rng.randrange(len(bent))
        self._say(source, target, bytes(bent[:cut]))

    def _glue(self) -> None:
        """The front of one, and the end of another: its trailer or its tag."""
        source, target, data = self._rng.choice(self._heard)
        other = self._rng.choice(self._heard)[2]
        at = self._rng.choice((min(len(data), 33), self._rng.randrange(len(data) + 1)))
        self._say(source, target, data[:-at] + other[-at:])

    def _forge(self) -> None:
        """Something of a server, a client or an operator, to a binder."""
        codec, binder = self._rng.choice(self._sealers), self._rng.choice(self._binders)
        frame, source = self._word()
        self._said[source, binder] = codec, frame
        number = self._rng.choice((self._rng.getrandbits(64), self._next_number()))
        self._say(source, binder, self._encode(codec, replace(frame, seal=Seal(number))))

    def _word(self) -> tuple[Frame, Address]:
        rng, live = self._rng, self._live()
        fake = make_instance(rng.choice(self._options.types), LAIR)
        about = rng.choice((*live, fake))
        source = rng.choice((LAIR, self._speaker(about), rng.choice(self._heard)[0]))
        drain = DrainQuery(question=Question.DRAIN, nonce=1, seconds=9, text=b"x", last=1)
        service = service_of(fake)
        return rng.choice(
            (
                (self._announcement(fake), LAIR),
                (self._announcement(about), self._speaker(about)),
                (Subscribe(service if isinstance(service, int) else 1), LAIR),
                (Subscribe(1, trailer=Started(start=9)), LAIR),
                (Removed(about), self._speaker(about)),
                (Removed(about), self._speaker(about)),
                (Complaint(about), source),
                (ListRequest(trailer=replace(drain, instance=about)), source),
                (Added(about), source),
                (Lookup(1, trailer=Plain()), source),
            )
        )

    def _forge_peer(self) -> None:
        """Something of a binder, to another one, in a session of which he has heard."""
        rng = self._rng
        codec = Codec(Role.BINDER, keys=Keyring((rng.choice((STRANGE, PRUNED)),)))
        binder = rng.choice(self._binders)
        peer = rng.choice([one for one in self._binders if one != binder] or [LAIR])
        ends = self._cluster.as_peer(peer), self._cluster.as_peer(binder)
        instance = rng.choice((*self._live(), make_instance(self._options.types[0], LAIR)))
        version = encode_versions([Version(rng.getrandbits(63), rng.getrandbits(32), 1)])
        said = Versioned(binder=rng.getrandbits(32), versions=version)
        doubt = Suspicion(binder=said.binder, versions=version, doubt=1)
        frame = rng.choice(
            (
                Added(instance, trailer=said),
                Added(instance, trailer=doubt),
                Removed(instance, trailer=said),
                ListRequest(),
                ServiceList(()),
                Alive(),
            )
        )
        session, number = rng.choice(self._sessions or [(bytes(25), 0)])
        seal = Seal(number + rng.randint(1, 99), session=session)
        self._say(*ends, self._encode(codec, replace(frame, seal=seal)))

    def _answer_binder(self) -> None:
        """Something of a binder's, to a server."""
        if live := self._live():
            instance = self._rng.choice(live)
            answer = self._answer(Subscribed, Removed, about=instance)
            self._say(self._rng.choice(self._binders), self._speaker(instance), answer)

    def _answer(self, *frames: type[Frame], about: Instance | None = None) -> bytes:
        """Of a binder, sealed as well as he can."""
        rng, kind = self._rng, self._rng.choice(frames)
        if rng.random() < REACTS and (old := self._an_old(kind)):
            return old
        seal = Seal(self._next_number(), b"\2\3app", secret_id(STRANGE))
        codec = rng.choice((Codec(Role.BINDER), Codec(Role.BINDER, keys=Keyring((STRANGE,)))))
        said: Frame = Unknown(trailer=Plain(), seal=seal)
        if kind is Found:
            said = Found(LAIR, trailer=Plain(), seal=seal)
        elif kind is Subscribed:
            said = Subscribed(trailer=Confirmed(ticket=rng.getrandbits(64)), seal=seal)
        elif kind is Removed and about is not None:
            said = Removed(about, trailer=None, seal=seal)
        return self._encode(codec, said)

    def _proof(self, trailer: object, target: Address) -> bytes:
        """That an instance is there, as he can seal it, which is in vain."""
        known = [one for one in self._starts if self._speaker(one) == target]
        if not isinstance(trailer, Challenge) or not known:
            return self._bare.encode(Alive())
        instance = known[-1]
        service, start = service_of(instance), self._starts[instance]
        if trailer.instance is None and isinstance(service, int):
            there = Presence(nonce=trailer.nonce, types=bytes((service,)), start=start)
            return self._bare.encode(Alive(trailer=there))
        proof = Proof(instance=instance, start=start)
        frame = Alive(trailer=proof, seal=Seal(trailer.nonce))
        servers = [one for one in self._sealers if one.role is Role.SERVER]
        return self._encode(self._rng.choice(servers), frame)

    def _an_old(self, kind: type[Frame], source: Address | None = None) -> bytes | None:
        code = FORM_OF[kind].code
        old = [one for one in self._heard if one[2][:1] == bytes((code,))]
        old = [one for one in old if source is None or one[0] == source]
        return self._rng.choice(old)[2] if old else None

    def _encode(self, codec: Codec, frame: Frame) -> bytes:
        """With the id of the secret that counts, mostly: it is no secret."""
        data = codec.encode(frame)
        if self._rng.random() < 0.7:
            data = data.replace(secret_id(STRANGE), secret_id(SECRET))
        return data

    def _announcement(self, instance: Instance) -> Frame:
        start = self._rng.getrandbits(32)
        return Alive(trailer=AgentAnnouncement(instance=instance, start=start, padding=bytes(40)))

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _live(self) -> list[Instance]:
        return sorted(one.instance for one in self._live_servers())

    def _speaker(self, instance: Instance) -> Address:
        return self._cluster.truth.speaker(instance)

    def _live_servers(self) -> list[ServerProcess]:
        return self._cluster.live_servers()

    @property
    def _binders(self) -> tuple[Address, ...]:
        return self._cluster.binder_addresses

    def _say(self, source: Address, target: Address, data: bytes) -> None:
        """No host takes its own name, of either family, from outside."""
        here = self._network.host_at(target[0])
        if data and (here is None or here is not self._network.host_at(source[0])):
            self._network.inject(source, target, data, SOON)
