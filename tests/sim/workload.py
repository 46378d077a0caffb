"""What the nodes are made to do: come and go in every way, ask, complain, and be annoyed.

A binder of another make joins here, too: start it in place of one of the cluster's own.
"""

from collections.abc import Callable
from functools import partial
from random import Random

from prr.config import Require
from prr.wire.codec import Codec
from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    Frame,
    ListRequest,
    Lookup,
    Removed,
    Role,
    ServiceList,
    Subscribe,
    Verify,
)
from prr.wire.inquiries import ListQuery
from prr.wire.instance import (
    NAMED,
    Address,
    Instance,
    Service,
    address_of,
    is_wide,
    make_instance,
    service_of,
)
from prr.wire.messages import Announcement, Started, Suspicion
from prr.wire.particulars import encode_particulars
from prr.wire.query import Query
from prr.wire.seal import Seal
from prr.wire.version import encode_version
from tests.sim.checkers import VICTIMS
from tests.sim.cluster import CLIENT_HOSTS, SERVER_PORT, Cluster
from tests.sim.drains import Operators
from tests.sim.network import Cut
from tests.sim.particulars import ZONES, random_particulars
from tests.sim.process import Process

_CLIENT, _SERVER, _BINDER = Codec(Role.CLIENT), Codec(Role.SERVER), Codec(Role.BINDER)

STAGGER = 2.0  # seconds within which the servers are started

AWAY = (0.05, 5.0)
"""Seconds until one that crashed or left comes back: shorter than a verification, or longer."""

PAUSE = (0.05, 5.0)  # seconds

LAG_APART = (0.01, 0.5)  # seconds for which an overloaded binder runs between two lags

UNSEEN = (1.0, 5.0)  # seconds for which a binder does not see a server

RETURNS = 0.7  # share of those who come back

KILLED_WITHIN = 3  # binders killed at one stroke, at most

STRANGER = "10.0.9.9"

FLOODED_SECONDS = 3.0  # for which complaints are about the same one

FLOODED_NEW = 0.05  # subscriptions, for each complaint

OF_2016 = 0.3  # share of the calls that go to a binder of 2016 alone, where there is one


class Workload:
    """Drives one cluster until `end`."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._world = cluster.world
        self._options = cluster.options
        self._rng = Random(f"{cluster.options.seed}/workload")
        self._ipv6 = Random(f"{cluster.options.seed}/ipv6/workload")
        self._zones = Random(f"{cluster.options.seed}/zones")
        self._operators = Operators(cluster)
        self._complainer = Codec(Role.CLIENT, keys=cluster.keys.of_anybody)
        self._floods = Random(f"{cluster.options.seed}/floods")
        self._over = False

    def start(self) -> None:
        """Begin."""
        options, rng = self._options, self._rng
        for index in range(options.binders):
            self._world.at(rng.uniform(0, 0.5), self._cluster.start_binder, index)
        for index in range(options.lab_binders):
            self._world.at(0.0, self._cluster.start_lab_binder, index)
        for index in range(options.servers):
            type_ = rng.choice(options.types)
            self._world.at(rng.uniform(0, STAGGER), self._cluster.start_server, index, type_)
        for rate, action in (
            (options.calls, self._call),
            (options.binder_crashes, self._crash_binders),
            (options.server_crashes, self._crash_server),
            (options.leaves, self._leave),
            (options.pauses, self._pause),
            (options.false_complaints, self._complain),
            (options.estranged, self._estrange),
            (options.strangers, self._annoy),
            (options.forged, self._forge),
            (options.suspicious, self._suspect),
            (options.flood, self._flood),
        ):
            if rate:
                self._world.after(rng.expovariate(rate), self._repeat, rate, action)
        if options.lagging:
            self._world.after(STAGGER, self._lag)
        if options.restated and options.particular:
            self._world.after(STAGGER, self._restate)
        self._operators.start()

    def end(self) -> None:
        """Nobody comes or goes any more; clients call on, unless the run is to be quiet."""
        self._over = True
        self._operators.end()

    def _repeat(self, rate: float, action: Callable[[], object]) -> None:
        if self._over and (self._options.quiet or action != self._call):
            return
        action()
        self._world.after(self._rng.expovariate(rate), self._repeat, rate, action)

    def _call(self) -> None:
        rng, cluster = self._rng, self._cluster
        type_ = rng.choice(self._options.types) if rng.random() < 0.95 else rng.randrange(256)
        message = rng.randbytes(rng.choice((0, 4, 60))) if rng.random() < 0.7 else None
        binders = cluster.binder_addresses
        if cluster.lab_binders and rng.random() < OF_2016:
            binders = (rng.choice(cluster.lab_binder_addresses),)
        takes_ipv6 = self._ipv6.random() < self._options.ipv6
        if takes_ipv6 and self._ipv6.random() < 0.5 and len(binders) > 1:
            binders = cluster.ipv6_binder_addresses
        is_particular = self._zones.random() < self._options.particular
        zone = self._zones.choice(ZONES) if is_particular else ""
        cluster.start_client(type_, message, binders, takes_ipv6, zone)

    def _restate(self) -> None:
        """A server says something else of itself from now on."""
        if self._over:
            return
        there = [one for one in self._cluster.live_servers() if one.particulars]
        if there:
            said = encode_particulars(random_particulars(self._zones))
            self._zones.choice(there).restate(said)
        self._world.after(self._zones.expovariate(self._options.restated), self._restate)

    def _crash_binders(self) -> None:
        rng, live = self._rng, self._cluster.live_binders()
        count = rng.choice((1, 1, 1, KILLED_WITHIN))
        for binder in rng.sample(live, min(count, len(live))):
            index = self._cluster.binders.index(binder)
            if rng.random() < 0.3 and not binder.paused:
                binder.stop()
            else:
                self._cluster.crash(binder, rng.random() < self._options.host_share)
            if rng.random() < RETURNS or not self._cluster.live_binders():
                self._world.after(self._away(), self._return_binder, index)

    def _return_binder(self, index: int) -> None:
        if not self._over:
            self._cluster.start_binder(index)

    def _crash_server(self) -> None:
        if live := self._cluster.live_servers():
            server = self._rng.choice(live)
            self._cluster.crash(server, self._rng.random() < self._options.host_share)
            self._plan_return(server)

    def _leave(self) -> None:
        live = self._cluster.live_servers()
        if staying := [server for server in live if not server.leaving and not server.paused]:
            server = self._rng.choice(staying)
            server.stop()
            self._plan_return(server)

    def _plan_return(self, server: Process) -> None:
        if self._rng.random() >= RETURNS:
            return
        index = self._cluster.servers.index(server)
        type_ = service_of(server.instance)
        if self._rng.random() < self._options.retyped:
            type_ = self._rng.choice(self._options.types)
        self._world.after(self._away(), self._return_server, index, type_)

    def _return_server(self, index: int, type_: Service) -> None:
        if not self._over:
            self._cluster.start_server(index, type_)

    def _pause(self) -> None:
        live = [*self._cluster.live_binders(), *self._cluster.live_servers()]
        if live:
            process = self._rng.choice(live)
            process.pause()
            low, high = PAUSE
            self._world.after(low * (high / low) ** self._rng.random(), process.resume)

    def _lag(self) -> None:
        """The first binder's event loop has too much to do in one turn, and after it again."""
        binder, lasts = self._cluster.binders[0], self._options.lagging
        if self._over:
            return
        if binder is not None:
            binder.pause()
            self._world.after(lasts, binder.resume)
        self._world.after(lasts + self._rng.uniform(*LAG_APART), self._lag)

    def _estrange(self) -> None:
        """A binder loses sight of one server or all, and hears from clients that they are gone."""
        rng, cluster = self._rng, self._cluster
        hosts = [server.host.ip for server in cluster.servers if server is not None]
        if not hosts or not (live := cluster.live_binders()):
            return
        binder = rng.choice(live)
        unseen = hosts if rng.random() < 0.5 else [rng.choice(hosts)]
        self._world.note("workload", f"{binder.name} does not see {' '.join(unseen)}")
        cut = Cut(frozenset((binder.host.ip,)), frozenset(unseen))
        cluster.network.cut(cut)
        self._world.after(rng.uniform(*UNSEEN), cluster.network.mend, cut)
        for server in cluster.servers:
            if server is not None and server.host.ip in unseen and rng.random() < 0.8:
                complaint, at = self._complaint(server.instance), rng.uniform(0, 0.5)
                send = partial(cluster.network.send, self._client(), binder.address, complaint)
                self._world.after(at, send)

    def _complain(self) -> None:
        """A false complaint, mostly about one that lives."""
        rng = self._rng
        index = rng.randrange(self._options.servers)
        server = self._cluster.servers[index]
        is_known = server is not None and rng.random() < 0.9
        accused = server.instance if is_known else self._anybody()
        self._send_bytes(self._complaint(accused), self._client())

    def _annoy(self) -> None:
        """A stranger sends what only others may send, or nonsense."""
        rng = self._rng
        source = STRANGER, rng.randint(1024, 65535)
        server = rng.choice(self._cluster.servers)
        known = server.instance if server else self._anybody()
        frame = rng.choice(
            (
                ListRequest(),
                ListRequest(trailer=ListQuery()),
                Added(self._anybody()),
                Removed(known),
                ServiceList(tuple(one for one in (self._anybody(), known) if not is_wide(one))),
                Complaint(self._anybody()),
                _look_up(rng.randrange(256)),
                Verify(),
                Alive(),
            )
        )
        self._send(frame, source)
        junk = bytes((rng.randint(6, 255),)) + rng.randbytes(rng.randint(0, 40))  # 5: Subscribe
        target = rng.choice(self._cluster.binder_addresses)
        self._cluster.network.send(source, target, junk)

    def _forge(self) -> None:
        """Somebody sends what only a server may, in the name of a host that knows nothing of it;
        and complains about what is not there."""
        rng = self._rng
        source = f"{VICTIMS}{rng.randint(1, 3)}", rng.randint(1, 3)
        type_ = rng.choice(self._options.types)
        instance = make_instance(type_, source)
        self._pretend(instance)
        first, renewal = _subscriptions(type_, rng.randint(2, 9))
        said = rng.choice((first, first, renewal, Removed(instance), None))
        binder = rng.choice(self._cluster.binder_addresses)
        data = _SERVER.encode(said) if said else self._complaint(instance)
        self._cluster.network.send(source if said else self._client(), binder, data)

    def _flood(self) -> None:
        """Somebody floods in forged names: with complaints about one that lives, another one every
        few seconds, and with subscriptions, where their owners go on to ask them: what these leave
        behind is silent, and goes no faster than the eviction limiter lets it."""
        rng, cluster = self._floods, self._cluster
        live = [one for one in cluster.live_servers() if not one.leaving]
        if not live:
            return
        accused = live[int(self._world.now / FLOODED_SECONDS) % len(live)].instance
        binder = rng.choice(cluster.binder_addresses)
        complaint = self._complaint(accused)
        cluster.network.send(_one_of_many(4, rng), binder, complaint)
        if self._options.binders_go_on and not self._options.tight and rng.random() < FLOODED_NEW:
            instance = make_instance(rng.choice(self._options.types), _one_of_many(5, rng))
            self._pretend(instance)
            first, _ = _subscriptions(service_of(instance), 2)
            cluster.network.send(address_of(instance), binder, _SERVER.encode(first))

    def _pretend(self, instance: Instance) -> None:
        """It is said that it is there, and may be believed unless that has to be proved."""
        if self._options.require is not Require.ON:
            self._cluster.truth.subscribed.add(instance)

    def _suspect(self) -> None:
        """A binder says to another that a server is in doubt, mostly one that lives."""
        rng, cluster = self._rng, self._cluster
        live = cluster.live_binders()
        if len(live) < 2 or not cluster.truth.up:
            return
        faulty, told = rng.sample(live, 2)
        instance = rng.choice(sorted(cluster.truth.up))
        version = told.core.directory.version(instance)
        if version is not None:
            doubt = Suspicion(
                binder=faulty.core.identity, versions=encode_version(version), doubt=1
            )
            data = _BINDER.encode(Added(instance, trailer=doubt))
            ends = cluster.as_peer(faulty.address), cluster.as_peer(told.address)
            cluster.network.send(*ends, data)

    def _client(self) -> Address:
        """A port of a client's that nobody listens on any more."""
        return f"10.0.2.{self._rng.randint(1, CLIENT_HOSTS)}", self._rng.randint(1024, 9999)

    def _anybody(self) -> Instance:
        """An instance that never subscribes."""
        rng = self._rng
        return make_instance(rng.choice(self._options.types), ("10.0.8.8", rng.randint(1, 99)))

    def _complaint(self, instance: Instance) -> bytes:
        """One that is believed."""
        return self._complainer.encode(Complaint(instance, seal=Seal(self._world.steps)))

    def _send(self, frame: Frame, source: Address) -> None:
        self._send_bytes(_CLIENT.encode(frame), source)

    def _send_bytes(self, data: bytes, source: Address) -> None:
        """From a socket of nobody's, to a binder, or now and then to a server."""
        targets = list(self._cluster.binder_addresses)
        targets += [(f"10.0.1.{i + 1}", SERVER_PORT + i + 1) for i in range(len(targets) // 3)]
        self._cluster.network.send(source, self._rng.choice(targets), data)

    def _away(self) -> float:
        low, high = AWAY
        return low * (high / low) ** self._rng.random()


def _look_up(number: int) -> Lookup:
    """A lookup by number, or, now and then, by a name that leaves no room for the answer."""
    return Lookup(number, trailer=Query(name=b"a") if number == NAMED else None)


def _one_of_many(net: int, rng: Random) -> Address:
    """An address of one of a thousand hosts, in whose name somebody floods."""
    return f"10.{net}.{rng.randrange(4)}.{rng.randrange(250)}", rng.randint(1024, 9999)


def _subscriptions(service: Service, start: int) -> tuple[Frame, Frame]:
    """How a server subscribes first, and renews."""
    if isinstance(service, int):
        return Subscribe(service), Subscribe(service, trailer=Started(start=start))
    said = Alive(trailer=Announcement.of_server(service, start))
    return said, said
