"""Keys under fire: a hundred thousand forgeries against binders that run, and what they come to."""

import json
import re
import time
from collections import Counter
from contextlib import ExitStack, closing
from dataclasses import replace
from statistics import median

import gevent
import pytest

from benchmarks.figures import figures_of
from benchmarks.generate import generate
from benchmarks.nodes import make_instances, start_full_binders
from benchmarks.proc import cpu_seconds, resident_kib
from benchmarks.tally import Load
from prr import Client
from prr.client.control import fetch_text
from prr.demo.ports import free_port
from prr.trust.credential import Credential, Holder
from prr.wire.codec import Codec
from prr.wire.frames import Complaint, Role
from prr.wire.instance import make_instance
from prr.wire.seal import Seal
from prr.wire.trailer import Question
from tests.forging import KINDS, STRANGE_SECRET, Ear, Known, Mouth, forgeries, why_not
from tests.keys import APP, BILLING, ME, held, write_credential, write_keyring
from tests.nodes import Peer, binder_arguments, eventually, run

pytestmark = pytest.mark.skipif(why_not != "", reason=why_not)

LIST = b"\x07"

AT_ONCE = 250
"""Forgeries that leave before it is seen whether they have been read: a queue holds so many."""

LINES_MAX = 20
"""Of one kind at once, and one a second then: see `log.throttle`."""

CHANGES = "subscribed|deregistered|evicted|removed|drained|learned|refused"
"""What the log says of a table that changes."""

MORE_KIB = 8192
"""That a binder may have grown by: what it remembers of those it has answered has a bound."""


class Fortress:
    """Two binders that require keys, servers of two services, and all that was said among them."""

    def __init__(self, cluster, directory, ports, ear, mouth):
        self.keyring = write_keyring(directory)
        self.keys = {
            one.id: str(write_credential(directory, one))
            for one in (BILLING, APP, ME, Credential(Holder.SERVER, "web-1", "web"))
        }
        self.ear, self.mouth = ear, mouth
        ports, server_ports = ports[:2], ports[2:]
        key = ("--key", str(self.keyring))
        self.binders = [cluster.start(*binder_arguments(port, ports), *key) for port in ports]
        for binder in self.binders:
            binder.wait_for("synced")
        self.addresses = [("127.0.0.1", port) for port in ports]

        def of(key):
            return ("--key", self.keys[key])

        to = [word for one in self.binders for word in ("--binder", one.name)]
        self.servers = [
            cluster.start("server", "--type", type_, *to, *of(key), "--listen", f"127.0.0.1:{port}")
            for type_, key, port in zip(
                ("billing", "web", "billing"),
                ("web-7", "web-1", "web-7"),
                server_ports,
                strict=True,
            )
        ]
        for server in self.servers:
            server.wait_for("confirmed")
        self.live = [
            make_instance(type_, ("127.0.0.1", port))
            for type_, port in (("billing", server_ports[0]), ("web", server_ports[1]))
        ]
        eventually(lambda: [len(rows) for rows in self.lists()] == [3, 3])
        self._talk(to)
        self.servers.pop().terminate()  # what it said is known from now on
        self.client = Client([one.name for one in self.binders], key=held(APP))

    def _talk(self, to):
        """Have everything said once that can be."""
        client = Client([one.name for one in self.binders], key=held(APP))
        for service in ("billing", "web"):
            client.lookup(service)
            client.complain(service, client.lookup(service), "slow")
        where = f"127.0.0.1:{self.servers[1].address[1]}"
        for verb in (["drain", "--last"], ["undrain"]):
            done = run(*verb, "web", where, *to, "--key", self.keys["me"])
            assert done.returncode == 0, done.stderr
        time.sleep(5.2)  # each server renews

    def lists(self):
        """What each binder holds."""
        found = []
        for binder in self.binders:
            rows = json.loads(run("list", "--binder", binder.name, "--output", "json").stdout)
            found.append([(one["service"], one["address"], one["state"]) for one in rows])
        return found

    def wait_until_read(self):
        """Nothing is left in the queues: who asks for a list waits behind all that came before."""
        with closing(Peer()) as asking:
            for address in self.addresses:
                asking.ask(LIST, address)

    def counts(self, number):
        """The counters of a binder."""
        return json.loads(fetch_text(self.addresses[number], Question.STATUS))["counters"]

    def read(self):
        """How many datagrams both have read, valid or not."""
        return sum(
            self.counts(number).get(name, 0)
            for number in range(2)
            for name in ("frames received", "malformed datagrams dropped", "not believed")
        )


@pytest.fixture
def fortress(cluster, tmp_path):
    ports = [free_port() for _ in range(5)]
    with closing(Ear(ports)) as ear, closing(Mouth()) as mouth:
        yield Fortress(cluster, tmp_path, ports, ear, mouth)


class Siege:
    """What so many forgeries have come to."""

    def __init__(self, fortress, count):
        self._fortress = fortress
        self._pids = [one.process.pid for one in fortress.binders]
        self.heard = fortress.ear.heard()
        self.sent = dict.fromkeys(KINDS, 0)
        self.lookups = []
        lists, read, memory = fortress.lists(), fortress.read(), resident_kib(self._pids)
        lines = [len(one.lines) for one in fortress.binders]
        cpu, began = cpu_seconds(self._pids), time.monotonic()
        self._send(count)
        self.seconds = time.monotonic() - began
        self.cpu = cpu_seconds(self._pids) - cpu
        self.read = fortress.read() - read
        self.more_kib = resident_kib(self._pids) - memory
        self.lines = [
            one.lines[before:] for one, before in zip(fortress.binders, lines, strict=True)
        ]
        eventually(lambda: fortress.lists() == lists)

    def _send(self, count):
        fortress = self._fortress
        made = forgeries(Known(fortress.addresses, fortress.live, self.heard))
        for number, (kind, one) in zip(range(1, count + 1), made, strict=False):
            fortress.mouth.say(*one)
            self.sent[kind] += 1
            if number % AT_ONCE == 0:
                began = time.monotonic()
                fortress.client.lookup("billing")
                self.lookups.append(time.monotonic() - began)
                fortress.client.lookup("web")
                fortress.wait_until_read()

    def matching(self, pattern):
        """Lines of either binder since it began."""
        return [line for lines in self.lines for line in lines if re.search(pattern, line)]

    def check(self):
        """What must hold, however busy this host is."""
        count = sum(self.sent.values())
        assert self.read > 0.9 * count  # else they were never tried
        assert not self.matching(f"(INFO|WARNING) ({CHANGES}) ")
        assert self.more_kib < MORE_KIB
        for lines in self.lines:
            kinds = Counter(line.split()[2] for line in lines)
            assert max(kinds.values()) <= LINES_MAX + 2 + self.seconds, kinds
        assert self.matching("not believed")
        assert max(self.lookups) < 4


@pytest.mark.smoke
def test_no_forgery_is_believed(fortress):
    siege = Siege(fortress, 3000)
    siege.check()
    assert {*siege.sent.values()} == {300}


@pytest.mark.slow
def test_of_a_hundred_thousand_forgeries_none_is_believed(fortress):
    siege = Siege(fortress, 100_000)
    siege.check()
    waits = sorted(siege.lookups)
    each = 1e6 * siege.cpu / siege.read
    print(f"{siege.read} read, {each:.1f} us each, {siege.more_kib} KiB more")
    print(f"{sum(map(len, siege.lines))} lines in {siege.seconds:.1f} s")
    half, most = 1000 * waits[len(waits) // 2], 1000 * waits[-1]
    print(f"lookups meanwhile: {half:.2f} ms, {most:.2f} at most")


FLOOD_SECONDS = 2.0
ROUNDS = 3
FORGERIES = 1e9
"""A second: as many as one core sends, which is more than five times what a binder can read."""


def overloaded(address, instances, garbage):
    """What lookups come to while garbage floods their binder; None: none does."""
    asking = Load([address], b"\x07", instances, FLOOD_SECONDS, in_flight=64, sockets=64)
    if garbage is None:
        return figures_of(generate(asking))
    flood = Load(
        [address], seconds=2 * FLOOD_SECONDS, rate=FORGERIES, question=garbage, how="flood"
    )
    flooding = gevent.spawn(generate, flood)
    gevent.sleep(FLOOD_SECONDS / 2)
    found = figures_of(generate(asking))
    flooding.get()
    return found


@pytest.mark.slow
def test_forgeries_cost_lookups_no_more_than_what_bears_no_seal(tmp_path):
    """Alternately, in one run; what is told is the median. All of it is from a legacy network, so
    that what bears no seal is read and believed, as it is without keys."""
    key = write_keyring(tmp_path)
    with ExitStack() as processes:
        filled = make_instances(100, b"\x07")
        arguments = [f"--key={key}", "--legacy=127.0.0.1/32"]
        (address,) = start_full_binders(1, filled, processes, arguments=arguments)
        complaint = Complaint(make_instance(7, ("127.0.7.7", 4000)))
        sealed = Codec(Role.CLIENT, keys=held(APP, STRANGE_SECRET))
        floods = {
            "none": None,
            "unsealed": Codec(Role.CLIENT).encode(complaint),
            "forged": sealed.encode(replace(complaint, seal=Seal(1))),
        }
        found = {name: [] for name in floods}
        for _ in range(ROUNDS):
            for name, garbage in floods.items():
                found[name].append(overloaded(address, filled, garbage))
    goodput = {
        name: median(one["lookups_per_second"] for one in rows) for name, rows in found.items()
    }
    print(goodput, {name: [one["p99_ms"] for one in rows] for name, rows in found.items()})
    assert goodput["forged"] > 0.8 * goodput["unsealed"]
