"""Who is there: binders, servers and clients, each on an ip of its own, and what is really so.

A test may use it as a stage: start, crash and pause whom it likes, let time pass, and ask what
is still missing before the cluster is at rest.
"""

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from itertools import product, starmap
from random import Random

from prr.core.client import (
    BINDER_LIMIT,
    SERVICE_LIMIT,
    Answered,
    Client,
    FoundService,
    UnknownService,
)
from prr.core.effects import Stop
from prr.wire.instance import (
    Address,
    Instance,
    Service,
    describe,
    is_ipv6,
    make_instance,
    service_of,
)
from prr.wire.particulars import Particulars, encode_particulars
from prr.wire.questions import Asked
from tests.sim import adapter
from tests.sim.checkers import SETTLED, SETTLED_LAB2016, Truth
from tests.sim.commit_rules import Committed
from tests.sim.disk import Disk
from tests.sim.etcd import Etcd, channels
from tests.sim.faults import Options
from tests.sim.hostile import Hostile
from tests.sim.keys import Keys
from tests.sim.lab2016 import LabBinder, make_lab_server
from tests.sim.loops import Loops
from tests.sim.network import Cut, Host, Network, ipv6_of
from tests.sim.particulars import ZONES, misunderstood, random_particulars
from tests.sim.process import Process
from tests.sim.processes import AgentProcess, BinderProcess, ClientProcess, ServerProcess
from tests.sim.proofs import check_outcome
from tests.sim.trace import Trace
from tests.sim.turns import uneven
from tests.sim.world import Clock, World

BINDER_PORT = 2222
SERVER_PORT = 9000  # and up: server 3 listens on 9003
CLIENT_HOSTS = 3

ACQUAINTED = 10.0
"""Seconds after which binders of ours know each other, however shy: before that two may each be
home to a server, and a bare subscription of its successor is news to neither."""

SUPERVISED = 1.0
"""Seconds after which a supervisor starts a server again that gave up."""

CLIENT_LIMIT = BINDER_LIMIT + SERVICE_LIMIT + 0.5
"""Seconds in which an exchange has its outcome."""

TWINS = 0.005
"""Share of the datagrams to binders that are handled twice in a row, to see that nothing more
comes of it."""


class Cluster:
    """The nodes, the network between them and the truth about them."""

    def __init__(self, options: Options, trace: Trace) -> None:
        self.options = options
        self.world = World(trace)
        self.network = Network(self.world, options)
        self.truth = Truth()
        self.keys = Keys(options)
        self.dice = Random(f"{options.seed}/shells")
        self._rng = Random(f"{options.seed}/cluster")
        self.healed = False
        self.healed_at: float | None = None
        self.binders: list[BinderProcess | None] = [None] * options.binders
        self.lab_binders: list[LabBinder | None] = [None] * options.lab_binders
        self.servers: list[ServerProcess | None] = [None] * options.servers
        self.clients: list[ClientProcess] = []
        self.etcd = self.rules = None
        if options.etcd is not None:
            self.loops = Loops(self.world, options.seed)
            self.etcd = Etcd(self.world, options.seed, options.etcd)
            self.rules = Committed(self)
            if options.etcd.apart:
                ips = frozenset(ip for ip, _ in self.binder_addresses)
                self.network.cut(Cut(ips, ips, is_for_good=True))
        self._disks: dict[int, Disk] = {}
        self._is_copied = options.copied
        self._starts = 0
        places = {
            "binder": options.binders,
            "lab binder": options.lab_binders,
            "hostile": int(options.hostile > 0),
            "server": options.servers,
        }
        for place, count in places.items():
            for index in range(count):
                if (ip := self._ip(place, index)) not in self.network.hosts:
                    self.network.add_host(ip, f"{place} {index + 1}")
        for index in range(CLIENT_HOSTS):
            self.network.add_host(self._ip("client", index), f"client {index + 1}")

    # Who is there.

    @property
    def binder_addresses(self) -> tuple[Address, ...]:
        """Where all binders listen when they are up."""
        return tuple((self._ip("binder", i), BINDER_PORT) for i in range(len(self.binders)))

    @property
    def ipv6_binder_addresses(self) -> tuple[Address, ...]:
        """The same in the other family."""
        return tuple((ipv6_of(ip), port) for ip, port in self.binder_addresses)

    @property
    def lab_binder_addresses(self) -> tuple[Address, ...]:
        """The same of the binders of 2016."""
        return tuple((self._ip("lab binder", i), BINDER_PORT) for i in range(len(self.lab_binders)))

    def peers_of(self, binder: Address) -> tuple[Address, ...]:
        """The other binders, ours first, as one knows them that listens on `binder`."""
        everybody = (*self.binder_addresses, *self.lab_binder_addresses)
        if self.options.hostile:
            everybody += ((self._ip("hostile", 0), BINDER_PORT),)
        others = [self.as_peer(address) for address in everybody if address != binder]
        return tuple(others)

    def shares(self, index: int) -> bool:
        """This binder shares the etcd, if there is one."""
        options = self.options.etcd
        is_last = 0 < index == len(self.binders) - 1
        return options is not None and not (options.outsider and is_last)

    def named_peers_of(self, binder: Address) -> tuple[Address, ...]:
        """Those of them that it is told of, and need not find."""
        finds = self.options.etcd is not None and self.options.etcd.found
        return () if finds else self.peers_of(binder)

    def as_peer(self, binder: Address) -> Address:
        """The address by which the binder that listens on `binder` is known to its peers."""
        is_known = self.options.ipv6_peers and binder in self.binder_addresses
        return (ipv6_of(binder[0]), binder[1]) if is_known else binder

    def addresses_of(self, binder: BinderProcess) -> tuple[Address, Address]:
        """Where servers find one, in either family."""
        ip, port = binder.address
        return binder.address, (ipv6_of(ip), port)

    def live_binders(self) -> list[BinderProcess]:
        """The binders that run."""
        return [binder for binder in self.binders if binder and binder.running]

    def sharing_binders(self) -> list[BinderProcess]:
        """Those of them that share the etcd; all, if there is none."""
        return [one for one in self.live_binders() if one.sharing or self.etcd is None]

    def live_servers(self) -> list[ServerProcess]:
        """The servers that run and are not about to leave."""
        return [server for server in self.servers if server and server.running]

    def start_binder(self, index: int) -> None:
        """A new binder process, if none runs there."""
        if (old := self.binders[index]) is not None and old.running:
            return
        host = self._up("binder", index)
        address = host.ip, BINDER_PORT
        identity, rng = self._identity()
        disk = self._disk(index, identity) if self.options.disk else None
        core = adapter.make_binder(
            frozenset({host.ip, host.ipv6}),
            self.named_peers_of(address),
            self.options.lab2016,
            disk.identity if disk else identity,
            rng,
            self.options.tight,
            flooded=self.options.flood > 0,
            keeps=disk is not None or self.shares(index),
            counter=disk.counter if disk else 0,
            trust=self.keys.trust,
            shares_store=self.shares(index),
        )
        binder = BinderProcess(self, host, self._clock(), core, address, disk, self.shares(index))
        self.binders[index] = binder
        binder.start()

    def start_lab_binder(self, index: int) -> None:
        """A new binder process of 2016, if none runs there."""
        if (old := self.lab_binders[index]) is not None and old.running:
            return
        host = self._up("lab binder", index)
        address = host.ip, BINDER_PORT
        binder = LabBinder(self, host, self._clock(), address, self.peers_of(address))
        self.lab_binders[index] = binder
        binder.start()

    def start_hostile(self) -> Hostile:
        """A hostile peer, which runs until it is ended."""
        host = self._up("hostile", 0)
        hostile = Hostile(self, host, self._clock(), (host.ip, BINDER_PORT))
        hostile.start()
        return hostile

    def start_server(self, index: int, type_: Service) -> None:
        """A new server process, if none runs there."""
        if (old := self.servers[index]) is not None and old.running:
            return
        host = self._up("server", index)
        address = host.ip, SERVER_PORT + index + 1
        _, rng = self._identity()
        is_of_2016 = index < self.options.lab_servers * self.options.servers
        is_of_2016 = is_of_2016 and self.options.has_lab_servers
        may_swap = self.options.swapped and self.world.now > ACQUAINTED
        if may_swap and self._rng.random() < self.options.swapped:
            is_of_2016 = not is_of_2016
        # Who knows no names gives no service that has one.
        is_of_2016 = is_of_2016 and isinstance(type_, int)
        binders = self.binder_addresses + self.lab_binder_addresses
        if Random(f"{self.options.seed}/ipv6/{index}").random() < self.options.ipv6:
            is_of_2016, binders = False, self.ipv6_binder_addresses
            address = host.ipv6, address[1]
        if is_of_2016:
            held, said = None, Particulars()
            core = make_lab_server(type_, address, binders, rng)
        else:
            held, said = self.keys.of_server(index, type_), self._particulars(index)
            is_keyed, is_agent = held is not None, self._is_agent(index)
            core = adapter.make_server(type_, address, binders, rng, said, is_keyed, is_agent)
        instance = make_instance(type_, address)
        self.truth.left_at.pop(instance, None)
        self.truth.sealed.ended_at.pop(instance, None)
        make = AgentProcess if not is_of_2016 and self._is_agent(index) else ServerProcess
        server = make(self, host, self._clock(), core, instance, held)
        self.truth.up[instance] = server
        server.particulars = encode_particulars(said)
        self.servers[index] = server
        server.start()

    def _is_agent(self, index: int) -> bool:
        return Random(f"{self.options.seed}/agents/{index}").random() < self.options.agents

    def _particulars(self, index: int) -> Particulars:
        """What a server that starts says of itself, which may be something else than before."""
        rng = Random(f"{self.options.seed}/particulars/{index}/{self._starts}")
        if rng.random() >= self.options.particular:
            return Particulars()
        return random_particulars(rng)

    def start_client(
        self,
        type_: Service,
        message: bytes | None,
        binders: tuple[Address, ...],
        takes_ipv6: bool = False,
        zone: str = "",
    ) -> ClientProcess:
        """A client begins one exchange."""
        host = self.network.hosts[self._ip("client", self._rng.randrange(CLIENT_HOSTS))]
        _, rng = self._identity()
        held = self.keys.of_client(self._starts)
        core = Client(
            type_,
            message,
            binders,
            rng,
            takes_ipv6=takes_ipv6,
            zone=zone,
            is_keyed=held is not None,
        )
        client = ClientProcess(self, host, self._clock(), core, type_, takes_ipv6, held)
        self.clients.append(client)
        client.start()
        return client

    def crash(self, process: Process, whole_host: bool) -> None:
        """kill -9, or the power fails: then its host refuses nothing any more."""
        self.world.note(process.name, "loses power" if whole_host else "is killed")
        process.end()
        process.host.up = not whole_host

    def server_stopped(self, server: ServerProcess, stop: Stop) -> None:
        """A server ended by its own decision; one that gave up is started again."""
        if not stop.in_order:
            index = self.servers.index(server)
            again = service_of(server.instance)
            self.world.after(SUPERVISED, self.start_server, index, again)

    def client_ended(self, client: ClientProcess) -> None:
        """A client has its outcome."""
        self.clients.remove(client)
        check_outcome(self, client)

    def shells(self) -> AbstractContextManager[None]:
        """What the loops of shells need while they run."""
        if self.etcd is None:
            return nullcontext()
        return self.loops.installed(channels(self.etcd), self.etcd.is_small)

    # What the shells ask for.

    def wants_twin(self) -> bool:
        """This datagram is to be handled twice."""
        return self.dice.random() < TWINS

    def cannot_send(self) -> bool:
        """There is no socket to be had for a question."""
        unsent = self.network.conditions.unsent
        return bool(unsent) and self.dice.random() < unsent

    def preempts(self) -> bool:
        """The process that has just sent a question is not to run for a while."""
        share = 0.0 if self.healed else self.options.preempted
        return bool(share) and self.dice.random() < share

    def all_could_ask(self, binder: BinderProcess, server: ServerProcess, settled: float) -> bool:
        """Every other binder could have told this one, for a while, that the server lives."""
        others = [other for other in self.binders if other is not binder]
        paths = self.options.conditions
        if self.healed or not others:
            return False
        if paths.loss or paths.corrupted or paths.truncated or paths.unsent:
            return False
        if paths.delay_mean > 0.01 or self.network.clogged or self.options.tight:
            return False
        since = self.world.now - settled
        for process in (binder, server, *others):
            if process is None or not process.running or process.paused:
                return False
            if process.changed_at > since:
                return False
        ways = [(other, end) for other in others for end in (binder, server)]
        return not any(self._were_parted(one, two, since) for one, two in ways)

    def could_tell(self, teller: BinderProcess, told: BinderProcess, since: float) -> bool:
        """What one binder has said since then has reached another, which knew it as a peer."""
        paths = self.options.conditions
        if self.options.etcd is not None and self.options.etcd.found:
            return False  # it may not have found it yet
        is_lossy = paths.loss or paths.corrupted or paths.truncated or self.options.clogs
        is_lossy = is_lossy or self.options.withheld
        if is_lossy or paths.delay_mean > 0.01:
            return False
        settled = SETTLED_LAB2016 if self.options.lab2016 else SETTLED
        have_run = (
            one.running and not one.paused and one.changed_at < since - settled
            for one in (teller, told)
        )
        return all(have_run) and not self._were_parted(teller, told, since - settled)

    # The end of the faults, and what has to be so after it.

    def heal(self) -> None:
        """No more faults: what is dead stays dead, everybody else can go on in peace."""
        self.healed, self.healed_at = True, self.world.now
        self.world.note("world", "heals")
        self.network.heal()
        for process in (*self.binders, *self.servers):
            if process is not None:
                process.resume()
        if not self.sharing_binders():
            self.start_binder(0)

    def pending(self) -> str | None:
        """What is still missing before the cluster is at rest; None if it is."""
        alive = {server.instance for server in self.live_servers() if not server.leaving}
        for server in self.live_servers():
            if server.leaving:
                return f"{server.name} is still about to leave"
        for binder in self.live_binders():
            if difference := self._difference(binder, alive):
                return difference
        if self.rules is not None and (missing := self.rules.pending()):
            return missing
        digests = {binder.name: adapter.digest(binder.core) for binder in self.live_binders()}
        if len(set(digests.values())) > 1:
            return f"digests differ: {digests}"
        for client in self.clients:
            if self.world.now - client.started_at > CLIENT_LIMIT:
                return f"{client.name} still has no outcome, of type {client.type}"
        return None

    def audit(self) -> str | None:
        """Ask every binder for every type, through clients; what is wrong with the answers."""
        types = (*self.options.types, _unused(self.options.types), "nobody-gives-this")
        families = (False, True) if self.options.ipv6 else (False,)
        asked = [
            self.start_client(type_, b"audit", (binder.address,), takes_ipv6)
            for binder in self.live_binders()
            for type_ in types
            for takes_ipv6 in families
        ]
        until = self.world.now + CLIENT_LIMIT
        while self.world.now < until and any(client.core.outcome is None for client in asked):
            self.world.run(self.world.now + 0.01)
        alive = {server.instance for server in self.live_servers()}
        for client in asked:
            outcome, found = client.core.outcome, client.found()
            given = any(
                service_of(one) == client.type and (client.takes_ipv6 or not is_ipv6(one))
                for one in alive
            )
            good = isinstance(outcome, Answered | FoundService) and found in alive
            if not (good if given else isinstance(outcome, UnknownService)):
                state = "given" if given else "not given"
                return f"at rest a client of type {client.type}, which is {state}, got {outcome}"
        return self._uneven(types)

    def _uneven(self, services: Iterable[Service]) -> str | None:
        """Go through a round of every view, at every binder; what is wrong with the turns."""
        for binder in self.live_binders():
            for asked in starmap(Asked, product(services, ZONES, (False, True))):
                if wrong := uneven(binder.core, asked):
                    return f"{binder.name} {wrong}"
        return None

    def _difference(self, binder: BinderProcess, alive: set[Instance]) -> str | None:
        held = adapter.instances(binder.core)
        for instance in (one for one in held if adapter.is_drained(binder.core, one)):
            return f"{binder.name} still has {describe(instance)} drained"
        if wrong := misunderstood(binder.core, self.live_servers()):
            return f"{binder.name} {wrong}"
        for instance in sorted(alive.difference(held)):
            return f"{binder.name} misses {describe(instance)}"
        for instance in sorted(set(held) - alive):
            why = "never subscribed"
            if instance in self.truth.subscribed:
                why = "has left" if instance in self.truth.left_at else "is dead"
            return f"{binder.name} still holds {describe(instance)}, which {why}"
        return None

    def _were_parted(self, one: Process | None, two: Process | None, since: float) -> bool:
        assert one is not None
        assert two is not None
        ips = one.host.ip, two.host.ip
        was_cut = self.network.was_cut
        return was_cut(*ips, since) or was_cut(*reversed(ips), since)

    def _up(self, place: str, index: int) -> Host:
        host = self.network.hosts[self._ip(place, index)]
        host.up = True
        return host

    def _disk(self, index: int, identity: int) -> Disk:
        rng = Random(f"{self.options.seed}/disk/{index}")
        twin = self._disks.get(1 - index) if self._is_copied else None
        made = Disk(twin.identity if twin else identity, rng, self.options.old_copies)
        disk = self._disks.setdefault(index, made)
        disk.open()
        return disk

    def part_twins(self) -> str | None:
        """Two binders have one identity: an operator who reads that in a log stops one, removes its
        disk, and starts it again. What is wrong if no log says so."""
        twins = self.binders[:2]
        if not any(twin.ledger.has_told_twin for twin in twins if twin):
            return "two binders have one identity, and neither says so"
        if twins[1] is not None and twins[1].running:
            self.crash(twins[1], whole_host=False)
        self._is_copied = False
        del self._disks[1]
        self.start_binder(1)
        return None

    def _identity(self) -> tuple[int, Random]:
        """What makes one process's core different from every other's."""
        self._starts += 1
        rng = Random(f"{self.options.seed}/process/{self._starts}")
        return rng.getrandbits(32), rng

    def _clock(self) -> Clock:
        drift = self.options.drift
        return Clock(self._rng.uniform(0, 1e6), 1 + self._rng.uniform(-drift, drift))

    def _ip(self, place: str, index: int) -> str:
        network = {"binder": 0, "server": 1, "client": 2, "lab binder": 3, "hostile": 4}[place]
        house = self.options.housed if place == "server" else 1
        return f"10.0.{network}.{index // house + 1}"


def _unused(types: tuple[Service, ...]) -> int:
    return next(type_ for type_ in range(256) if type_ not in types)
