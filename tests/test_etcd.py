"""Binders that share a real etcd: what is decided at one is known at all, and stands in etcd."""

import statistics
import time
from itertools import islice

import pytest

from prr.core.commits.layout import value_of
from prr.core.effects import Update
from prr.demo.ports import free_port
from prr.wire.version import Version
from tests.etcd import PREFIX, Etcd, needs_etcd, text
from tests.etcd_load import etcd_status, held, sharing, status
from tests.nodes import (
    PATIENCE,
    UNASKED,
    binder_arguments,
    eventually,
    seldom_late,
    seldom_wrong,
)

pytestmark = needs_etcd

VISIBLE = 0.05
"""Seconds within which, in the median, all binders know what one has confirmed."""


@pytest.fixture(scope="module")
def one_node(tmp_path_factory):
    """An etcd of one node, for several tests: each has a prefix of its own."""
    etcd = Etcd(tmp_path_factory.mktemp("etcd"))
    etcd.start()
    yield etcd
    etcd.close()


def until_known(client, type_, binders):
    """Seconds until every binder hands out the one instance of a type."""
    began_at = time.monotonic()
    for binder in binders:
        while client.ask(bytes((2, type_)), binder.address)[0] != 3:
            assert time.monotonic() < began_at + PATIENCE
    return time.monotonic() - began_at


def check_visible(cluster, etcd, peers, count, prefix):
    binders = sharing(cluster, etcd, count, prefix=prefix, limits=UNASKED)
    client, types = peers(), iter(range(100, 205))

    def visible_after():
        took = []
        for type_ in islice(types, 21):
            server = peers()
            assert server.ask(bytes((5, type_)), binders[type_ % count].address) == b"\x06"
            assert f"{type_}/{server.name}" in etcd.up(prefix)  # before it was confirmed
            took.append(until_known(client, type_, binders))
        return statistics.median(took)

    seldom_late(visible_after, VISIBLE)
    assert etcd.up(prefix) == held(binders[0])


def test_two_binders_over_one_node(cluster, one_node, peers):
    check_visible(cluster, one_node, peers, 2, "/two/")


@pytest.mark.smoke
@pytest.mark.parametrize(("count", "nodes"), [(5, 1), (2, 3), (5, 3)])
def test_more_binders_and_nodes(cluster, etcd, peers, count, nodes):
    check_visible(cluster, etcd(nodes), peers, count, "/prr/")


@pytest.mark.smoke
def test_what_others_wrote_below_the_prefix_is_counted_and_skipped(cluster, one_node, peers):
    key = "/odd/instances/"
    one_node.put(key + "2/127.0.0.1:1", "no JSON")
    one_node.put(key + "3/127.0.0.1:01", '{"state":"up"}')
    one_node.put(key + "no such/127.0.0.1:1", "{}")
    one_node.put(key.encode() + b"\xff\xfe", b"\xff")
    one_node.put("/odd/binders/zz", "[]")
    one_node.put("/odd/binders/00000000000000aa", '{"address": 7}')
    one_node.put("/odd/binders/00000000000000ab", '{"address": "999.0.0.1:1"}')
    (binder,) = sharing(cluster, one_node, 1, prefix="/odd/", limits=UNASKED)
    eventually(lambda: status(binder)["synced"])
    one_node.put(key + "4/127.0.0.1:1", "[" * 5000)
    one_node.put(key + "2/127.0.0.1:1", '{"state":"up","counter":"1"}')
    server = peers()
    one_node.put(key + f"9/{server.name}", "what is meant for this key takes the place of this")
    assert server.ask(b"\x05\x09", binder.address) == b"\x06"
    malformed = "malformed keys or values in etcd"
    eventually(lambda: status(binder)["counters"].get(malformed, 0) == 7)
    assert b'"state":"up"' in one_node.values(key)[f"9/{server.name}"]
    assert held(binder) == {f"9/{server.name}"}
    assert etcd_status(binder)["away_s"] is None
    time.sleep(1.2)  # it has looked at who is registered once more
    assert not binder.matching("not registered")


def test_a_binder_that_is_registered_where_no_other_host_reaches_it_says_so(cluster, one_node):
    binder = cluster.start("binder", "--listen", "0.0.0.0:0", "--store", one_node.url)
    port = binder.address[1]
    binder.wait_for(f"etcd names this binder to others as 127.0.0.1:{port}.*use --listen")


@pytest.mark.smoke
def test_what_an_operator_deletes_is_put_back_if_it_lives(cluster, one_node, servers, lookups):
    binders = sharing(cluster, one_node, 2, prefix="/deleted/")
    all_ = servers(*binders)
    for _ in range(4):
        all_.add(7)
    eventually(lambda: len(all_.confirmed) == 4)
    one, *_ = names = sorted(all_.confirmed)
    asking = lookups(binders, [7], 200)
    one_node.delete(f"/deleted/instances/{one}")
    eventually(lambda: one_node.up("/deleted/") == {*names}, 5)
    end = "/deleted0"
    one_node.call("/v3/kv/deleterange", {"key": text("/deleted/"), "range_end": text(end)})
    eventually(lambda: one_node.up("/deleted/") == {*names}, 5)
    eventually(lambda: len(one_node.values("/deleted/binders/")) == 2, 5)
    assert not asking.end().unknown and not asking.silent
    assert all(held(binder) == {*names} for binder in binders)


@pytest.mark.smoke
def test_one_that_dies_and_one_that_leaves_are_gone_everywhere(cluster, one_node, servers, lookups):
    binders = sharing(cluster, one_node, 2, prefix="/gone/")
    all_ = servers(*binders)
    dead, left, lives = [all_.add(7) for _ in range(3)]
    eventually(lambda: len(all_.confirmed) == 3)
    asking = lookups(binders, [7], 200)
    all_.leave(left)
    all_.die(dead)
    eventually(lambda: one_node.up("/gone/") == {lives.name}, 8)
    eventually(lambda: all(held(binder) == {lives.name} for binder in binders), 2)
    assert one_node.states("/gone/") == {
        lives.name: "up", left.name: "gone", dead.name: "gone"
    }  # fmt: skip
    assert not asking.end().unknown


@pytest.mark.smoke
def test_one_that_starts_while_etcd_is_away_serves_what_its_disk_has(
    cluster, etcd, peers, servers, tmp_path
):
    made, client = etcd(), peers()
    port = free_port()
    line = [*binder_arguments(port, []), "--store", made.url, "--state", str(tmp_path / "state")]
    binder = cluster.start(*line)
    all_ = servers(binder)
    old = all_.add(9)
    eventually(lambda: all_.confirmed == {old.name})
    assert binder.terminate() == 0
    made.kill()
    binder = cluster.start(*line)
    binder.wait_for("1 of 1 entries restored")
    assert client.ask(b"\x02\x09", binder.address)[:1] == b"\x03"
    client = peers()  # which has asked once, and nothing that is answered
    client.send(b"\x02\x0a", binder.address)
    assert client.hears_nothing(1.5)  # rather than "no"
    new = all_.add(11)
    assert peers().ask(b"\x02\x0b", binder.address)[:1] == b"\x03"  # it serves
    binder.wait_for("etcd is away")
    said = etcd_status(binder)
    assert said["away_s"] > 2 and "refused" in said["why"]
    assert new.took is None  # but nobody is confirmed
    made.start()
    assert client.receive() == b"\x04"  # now it knows
    eventually(lambda: all_.confirmed == {old.name, new.name}, 2)
    assert held(binder) == made.up() == {old.name, new.name}


@pytest.mark.smoke
@pytest.mark.parametrize(("mark_after", "readings"), [(1.0, 1), (60.0, 2)])
@seldom_wrong  # a binder that is late by SILENCE reads all once more
def test_the_history_of_a_busy_etcd_is_compacted_while_nothing_happens_here(
    cluster, etcd, peers, mark_after, readings
):
    """Whose mark is younger than what is compacted goes on watching; else all is read again."""
    made, server = etcd(), peers()
    limits = UNASKED | {
        "prr.shell.etcd.watcher.MARK_AFTER": mark_after,
        "prr.shell.etcd.http2.SILENCE": 1.5,
    }
    line = ("binder", "--listen", "127.0.0.1:0", "--store", made.url)
    binders = [cluster.start(*line, limits=limits) for _ in range(2)]
    assert server.ask(b"\x05\x09", binders[0].address) == b"\x06"
    eventually(lambda: held(binders[1]) == {f"9/{server.name}"})
    for number in range(20):
        made.put(f"/others/{number}", "x")
    if mark_after == 1.0:
        eventually(lambda: last_revision_of(made, PREFIX + "mark") == made.revision())
        time.sleep(1.0)  # until both have heard of it
    made.compact()
    time.sleep(2.5 * limits["prr.shell.etcd.http2.SILENCE"])  # the watch is opened again
    changed_at = time.monotonic()
    update = Update(Version(1 << 20, 1, 2), True)
    made.put(f"{PREFIX}instances/9/{peers().name}", value_of(update))
    eventually(lambda: all(len(held(binder)) == 2 for binder in binders))
    assert time.monotonic() < changed_at + 1.0
    for binder in binders:
        assert status(binder)["counters"]["readings of all that is in etcd"] == readings


def last_revision_of(etcd, key):
    """That at which a key was written; 0 if it is not there."""
    rows = etcd.call("/v3/kv/range", {"key": text(key)}).get("kvs", [])
    return int(rows[0]["mod_revision"]) if rows else 0
