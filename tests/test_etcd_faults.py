"""A shared etcd fails, or binders do: lookups go on, nothing confirmed is lost, and the tables
equal etcd's soon after its return."""

import json
import os
import signal
import time
from contextlib import contextmanager
from random import Random

import pytest

from prr import Client
from prr.core.replication import sync
from prr.demo.ports import free_port
from tests.etcd import PREFIX, Proxy, needs_etcd
from tests.etcd_load import etcd_status, held, in_turn, sharing, status
from tests.nodes import PATIENCE, binder_arguments, eventually
from tests.stopping import stop

pytestmark = [needs_etcd, pytest.mark.smoke]

SOON = 2.0
"""Seconds after its return within which tables equal etcd's."""

TYPES = [*range(20, 30)]

SUSPECTED = 3.0
"""Seconds: a binder puts back in turn after 2 s what it suspects, if it has not heard by then what
became of that; on a busy host frames take a while."""

LOOKED_UP = 0.5
"""Seconds for which clients look up at least, however soon the fault is over."""

WAITING_MAX = 1000
"""Servers that wait for a binder at once: more than come in the seconds without a leader."""


@pytest.fixture
def proxies():
    """Makes ways to a node that can be cut."""
    made = []

    def make(node):
        made.append(Proxy(node))
        return made[-1]

    yield make
    for one in made:
        one.close()


def populate(servers, binders, count=30):
    """Servers that stay, all confirmed."""
    all_ = servers(*binders)
    for number in range(count):
        all_.add(TYPES[number % len(TYPES)])
    eventually(lambda: len(all_.confirmed) == count)
    eventually(lambda: all(held(binder) >= all_.confirmed for binder in binders))
    return all_


@pytest.fixture
def looking_up(lookups):
    """Meanwhile clients look up, and every lookup is answered with an instance."""

    @contextmanager
    def look_up(binders):
        asking, began_at = lookups(binders, TYPES, 300), time.monotonic()
        yield
        time.sleep(max(0.0, began_at + LOOKED_UP - time.monotonic()))
        asking.end()
        assert (asking.unknown, asking.silent) == ([], [])
        assert asking.count > 2 * len(TYPES) * len(binders)

    return look_up


def equal(etcd, binders, names):
    """All know just these."""
    return etcd.up() == names and all(held(binder) == names for binder in binders)


def are_equal(etcd, binders, all_, seconds=SOON):
    """All know just the servers that are there, within some seconds from now; how many it took."""
    began_at = time.monotonic()
    names = {one.name for one in all_.alive}
    while not equal(etcd, binders, names):
        if time.monotonic() > began_at + seconds:
            found = {"etcd": etcd.up()} | {one.name: held(one) for one in binders}
            raise AssertionError({k: (v - names, names - v) for k, v in found.items()})
        time.sleep(0.1)
    return time.monotonic() - began_at


def cpu(node):
    """Seconds of CPU that a node has used."""
    with open(f"/proc/{node.process.pid}/stat") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Storm:
    """So many subscriptions a second, of which most leave and some die, and 5 times the lookups."""

    def __init__(self, servers, lookups, binders, rate):
        self._rate = rate
        self.binders = binders
        self.all = populate(servers, binders)
        self._random = Random(16)
        self._added = []
        self.lookups = lookups(binders, TYPES, 5 * rate)

    def blow(self, seconds):
        """Go on."""
        began_at = time.monotonic()
        count = 0
        while (passed := time.monotonic() - began_at) < seconds:
            while count < self._rate * passed:
                count += 1
                if self.all.waiting > WAITING_MAX:
                    continue
                self._added.append(self.all.add(self._random.choice(TYPES)))
                if len(self._added) > 2 * self._rate and count % 4:
                    self._end(count)
            time.sleep(0.005)

    def _end(self, count):
        at = self._random.randrange(len(self._added))
        one = self._added[at]
        if one.took is not None:
            self._added[at] = self._added[-1]
            self._added.pop()
            (self.all.die if count % 5 == 0 else self.all.leave)(one)

    def end(self):
        """No lookup has failed; how long a dead one was handed out in spite of complaints."""
        self.lookups.end()
        assert (self.lookups.unknown, self.lookups.silent) == ([], [])
        assert self.lookups.dead > 5
        return self.lookups.wrong_for


def without_etcd(cluster, servers, lookups, rate):
    """How long a dead one is handed out in spite of complaints if binders tell one another."""
    storm = Storm(servers, lookups, cluster.binders(3), rate)
    storm.blow(10)
    wrong = storm.end()
    storm.all.close()
    cluster.close()
    return wrong


@pytest.mark.slow  # it needs a host that does nothing else
@pytest.mark.parametrize(("kills", "rate"), [(2, 100), (20, 200)])
def test_the_leader_is_killed_under_load(cluster, etcd, servers, lookups, kills, rate):
    base = without_etcd(cluster, servers, lookups, rate)
    made = etcd(3)
    binders = sharing(cluster, made, 3)
    storm = Storm(servers, lookups, binders, rate)
    storm.blow(3)
    for _ in range(kills):
        leader = made.leader()
        leader.kill()
        storm.blow(3)
        made.start(leader, wait=False)
        storm.blow(3)
    eventually(lambda: len(storm.all.confirmed) == len(storm.all.alive), 30)
    names = storm.all.confirmed
    eventually(lambda: names <= made.up() and all(names <= held(one) for one in binders), 40)
    # The dead whom nobody has complained about go when their leases end, not too many at once.
    took = are_equal(made, binders, storm.all, 120)
    wrong = storm.end()
    slowest = max(one.took for one in storm.all.alive)
    print(f"{base=:.3f} {wrong=:.3f} {took=:.2f} {slowest=:.2f}", vars(storm.lookups))
    assert wrong < base + SUSPECTED


def test_a_node_that_hangs_is_left(cluster, etcd, servers, looking_up):
    made = etcd(3)
    binders = sharing(cluster, made, 2)
    all_ = populate(servers, binders)
    for binder in binders:
        server = etcd_status(binder)["server"]
        node = next(one for one in made.nodes if one.address == server)
        with looking_up(binders):
            stop(node.process.pid)
            new = [all_.add(TYPES[0]) for _ in binders]
            eventually(lambda new=new: all(one.took for one in new))
            assert max(one.took for one in new) < 6
            node.send(signal.SIGCONT)
            are_equal(made, binders, all_)


def test_a_binder_that_is_cut_off_from_etcd(cluster, etcd, servers, looking_up, proxies):
    made = etcd()
    way = proxies(made.nodes[0])
    cut = cluster.binder("--store", way.url)
    others = sharing(cluster, made, 2)
    binders = [cut, *others]
    cut.wait_for("peer added", 2)
    all_ = populate(servers, binders)
    with looking_up(binders):
        way.cut()
        leaves = all_.alive[0]
        all_.binders = [one.address for one in others]
        known = all_.add(TYPES[1])
        leaves.binders = all_.binders
        all_.leave(leaves)
        eventually(lambda: known.name in held(cut))  # the others have said so
        eventually(lambda: leaves.name not in held(cut))
        all_.binders = [cut.address]
        waits = all_.add(TYPES[2])
        cut.wait_for("etcd is away .* is silent")
        assert etcd_status(cut)["away_s"] > 2
        assert waits.took is None
        made.compact()
        way.heal()
        are_equal(made, binders, all_)
        cut.wait_for("etcd at .* answers", 2)
        eventually(lambda: waits.took)


def test_history_is_compacted_while_a_binder_hears_nothing(
    cluster, etcd, servers, looking_up, proxies
):
    made = etcd()
    way = proxies(made.nodes[0])
    cut = cluster.binder("--store", way.url)
    other = cluster.binder("--store", made.url)
    all_ = populate(servers, [other], 30)
    eventually(lambda: held(cut) >= all_.confirmed)
    with looking_up([cut, other]):
        way.cut()
        cut.wait_for("etcd is away")
        all_.leave(all_.alive[0])
        all_.add(TYPES[3])
        eventually(lambda: len(all_.confirmed) == 30)
        for _ in range(3):
            made.put(PREFIX + "other", "x")
        made.compact()
        way.heal()
        are_equal(made, [cut, other], all_)
    assert status(cut)["counters"]["readings of all that is in etcd"] >= 2


def test_etcd_has_no_room_until_an_operator_makes_some(cluster, etcd, servers, looking_up):
    made = etcd(1, f"--quota-backend-bytes={4 << 20}")
    binders = sharing(cluster, made, 2)
    all_ = populate(servers, binders)
    for number in range(100):
        try:
            made.put(f"/junk/{number}", b"x" * 200_000)
        except Exception as error:  # as is meant
            assert "space" in str(error)
            break
    else:
        pytest.fail("there is room for ever")
    with looking_up(binders):
        new = [all_.add(one) for one in TYPES]
        for binder in binders:
            binder.wait_for("etcd takes no updates .*space.*alarm disarm")
            assert "takes no updates" in status(binder)["degraded"][0]
        used = sum(map(cpu, binders))
        time.sleep(3)
        used = sum(map(cpu, binders)) - used
        assert not any(one.took for one in new)
        made.make_room("/junk/")
        are_equal(made, binders, all_)
        eventually(lambda: all(one.took for one in new), SOON)
    for binder in binders:
        binder.wait_for("etcd takes updates again")
        assert not binder.matching("etcd is away")
        eventually(lambda binder=binder: status(binder)["ok"])
    assert used < 1.5, used  # of six, lookups among them


@pytest.mark.parametrize("seconds", [8, pytest.param(60, marks=pytest.mark.slow)])
def test_all_of_etcd_is_killed_for_a_while(cluster, etcd, servers, looking_up, seconds):
    made = etcd(3)
    binders = sharing(cluster, made, 2)
    all_ = populate(servers, binders)
    with looking_up(binders):
        made.kill()
        dead, leaves, *_ = all_.alive
        all_.die(dead)
        all_.leave(leaves)
        new = [all_.add(one) for one in TYPES]
        eventually(lambda: all(dead.name not in in_turn(binder) for binder in binders))
        for binder in binders:
            binder.wait_for("etcd is away")
            assert any("etcd away for" in one for one in status(binder)["degraded"])
        time.sleep(seconds)
        assert not any(one.took for one in new)
        made.start()
        took = are_equal(made, binders, all_)
        eventually(lambda: all(one.took for one in new), SOON)
    print(f"equal after {took:.2f} s")
    for binder in binders:
        assert len(binder.matching("etcd is away")) == 1


def test_etcd_is_away_and_no_binder_tries_all_the_time(cluster, etcd, servers):
    made = etcd(3)
    binders = sharing(cluster, made, 2)
    all_ = populate(servers, binders)
    made.kill()
    for _ in range(50):
        all_.add(TYPES[0])
    for binder in binders:
        binder.wait_for("etcd is away")
    used = sum(map(cpu, binders))
    time.sleep(4)
    assert sum(map(cpu, binders)) - used < 0.8  # of eight


def test_etcd_is_set_back_to_what_it_held_before(cluster, etcd, servers, looking_up, tmp_path):
    made = etcd(3)
    binders = sharing(cluster, made, 2)
    all_ = populate(servers, binders)
    leaves = all_.alive[0]
    made.kill()
    made.save(tmp_path / "copy")
    made.start()
    are_equal(made, binders, all_, 5)
    all_.leave(leaves)
    for one in TYPES:
        all_.add(one)
    eventually(lambda: len(all_.confirmed) == 39)
    are_equal(made, binders, all_)
    with looking_up(binders):
        made.kill()
        made.restore(tmp_path / "copy")
        made.start()
        took = are_equal(made, binders, all_)
        assert made.states()[leaves.name] == "gone"
        eventually(lambda: len(made.values(PREFIX + "binders/")) == 2, 5)
    print(f"equal after {took:.2f} s")


def test_an_owner_dies_and_one_other_adopts_what_it_had(cluster, etcd, servers, looking_up):
    made = etcd()
    dies, *others = sharing(cluster, made, 3, "--lease", "3")
    identity = status(dies)["identity"]
    all_ = populate(servers, [dies], 20)
    assert {one["owner"] for one in _values(made)} == {identity}
    all_.binders = [one.address for one in others]
    eventually(lambda: all(held(binder) >= all_.confirmed for binder in others))
    with looking_up(others):
        dies.kill()
        seen = set()
        ends_at = time.monotonic() + 40
        while identity in (owners := {one["owner"] for one in _values(made)}):
            seen |= owners
            assert made.up() == all_.confirmed
            assert all(held(binder) == all_.confirmed for binder in others)
            assert time.monotonic() < ends_at
            time.sleep(0.1)
        time.sleep(3)
        owners |= seen | {one["owner"] for one in _values(made)}
    assert len(owners - {identity}) == 1
    are_equal(made, others, all_)


def _values(made):
    return [json.loads(value) for value in made.values().values()]


def test_from_gossip_to_etcd_and_back_one_binder_after_the_other(cluster, etcd, servers):
    made = etcd(3)
    ports = [free_port() for _ in range(3)]
    plain = [(*binder_arguments(port, ports), "--lease", "5") for port in ports]
    # Whoever starts hears from the others first, however long that takes, and is asked meanwhile.
    limits = {f"{sync.__name__}.SYNC_WAIT": PATIENCE / 2}
    nodes = [cluster.start(*line, limits=limits) for line in plain]
    for node in nodes:
        node.wait_for("synced")
    all_ = populate(servers, nodes)
    failed, count, over = _library_lookups([f"127.0.0.1:{port}" for port in ports])
    for more in (("--store", made.url), ()):
        for number, line in enumerate(plain):
            assert nodes[number].terminate() == 0
            nodes[number] = cluster.start(*line, *more, limits=limits)
            nodes[number].wait_for("synced" if not more else "etcd at .* answers")
            eventually(lambda number=number: status(nodes[number])["synced"])
            new = all_.add(TYPES[number])
            eventually(lambda new=new: new.took)
            names = {one.name for one in all_.alive}
            eventually(lambda names=names: all(held(node) == names for node in nodes))
            if more:
                eventually(lambda names=names: made.up() == names)
    over()
    assert failed == []
    assert count() > 100


def _library_lookups(names):
    """Programs look up through the library: what failed, how many, and what ends them."""
    import threading

    over, failed, counts = threading.Event(), [], []

    def run():
        client = Client(names)
        while not over.wait(0.01):
            try:
                client.lookup(TYPES[len(counts) % len(TYPES)])
            except Exception as error:
                failed.append(str(error))
            counts.append(1)

    threads = [threading.Thread(target=run, daemon=True) for _ in range(2)]
    for thread in threads:
        thread.start()

    def end():
        over.set()
        for thread in threads:
            thread.join()

    return failed, lambda: len(counts), end
