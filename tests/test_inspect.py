"""What a binder tells a person: status and why, from real processes."""

import json
import os
import re
import signal
import subprocess
import sys
from collections import Counter

import pytest

from prr.cli import inspect
from prr.client import pages as listing
from prr.core.effects import Event
from prr.core.metrics import METRIC_OF, Metric, by_key
from prr.core.pacing import LEASE
from tests.nodes import ROOT, UNASKED, eventually, run, seldom_wrong, wire
from tests.stopping import stop

SOON = {f"{listing.__name__}.PAGE_LIMIT": 0.3, f"{inspect.__name__}.AGAIN": 0.1}
"""Seconds until a silent binder is given up, and until those that differ are asked once more."""


def status(binder):
    done = run("status", "--binder", binder.name, "--output", "json")
    assert done.returncode in (0, 6), done.stderr
    return json.loads(done.stdout)


@pytest.mark.smoke
def test_status_tells_of_types_and_peers_and_whether_they_agree(cluster):
    first, second = cluster.binders(2)
    cluster.server(2, first)
    cluster.server(2, second)
    eventually(lambda: [row["up"] for row in status(first)["types"]] == [2])
    # The first renewals bring the servers' start numbers: until then the digests still change.
    eventually(lambda: status(first)["digest"] == status(second)["digest"])
    eventually(lambda: status(first)["peers"][0]["agrees"])
    told = status(first)
    assert told["instances"] == 2
    assert told["synced"]
    assert told["types"] == [
        {"service": "2", "type": 2, "up": 2, "drained": 0, "suspect": 0, "being_verified": 0}
    ]
    (peer,) = told["peers"]
    assert (peer["address"], peer["kind"]) == (second.name, "ours")
    assert peer["identity"] == status(second)["identity"]
    assert 0 < peer["round_trip_ms"] < 1000
    assert told["counters"]["subscribed"] == 1
    text = run("status", "--binder", first.name).stdout
    assert "TYPE  NAME  UP  DRAINED  SUSPECT  BEING VERIFIED" in text
    assert text.startswith(f"OK\nbinder {first.name} (")
    assert f"{second.name}  ours  up " in text


@pytest.mark.smoke
@seldom_wrong  # it takes a second
def test_status_counts_who_is_being_verified(cluster, peers):
    binder, silent, client = cluster.binder(), peers(), peers()
    assert silent.ask(b"\x05\x02", binder.address) == b"\x06"
    client.send(b"\x04" + wire(2, silent.address), binder.address)
    assert silent.receive() == b"\x0b"
    (row,) = status(binder)["types"]
    assert row == {
        "service": "2",
        "type": 2,
        "up": 0,
        "drained": 0,
        "suspect": 1,
        "being_verified": 1,
    }


@pytest.mark.smoke
def test_a_status_of_more_than_one_datagram_comes_whole(cluster, peers):
    binder = cluster.binder(limits=UNASKED)
    for type_ in range(256):  # each at an address of its own: one new type there doubts the others
        assert peers().ask(bytes([5, type_]), binder.address) == b"\x06"
    assert [row["type"] for row in status(binder)["types"]] == list(range(256))


@pytest.mark.smoke
def test_why_tells_what_happened_to_one_instance_each_with_its_reason(cluster, peers):
    binder, client = cluster.binder(limits=UNASKED), peers()
    server = cluster.server(2, binder)
    server.kill()
    client.send(b"\x04" + wire(2, server.address), binder.address)
    binder.wait_for("evicted")
    done = run("why", "2", server.name, "--binder", binder.name)
    assert done.returncode == 0
    assert f"type 2 (time) at {server.name}, on binder {binder.name}: not listed" in done.stdout
    answer = json.loads(
        run("why", "2", server.name, "--binder", binder.name, "--output", "json").stdout
    )
    events = [event["event"] for event in answer["events"]]
    assert events == ["subscribed", "complaint", "asked", "asked", "evicted"]
    assert client.name in answer["events"][1]["why"]
    assert "refused 2 questions" in answer["events"][-1]["why"]
    assert not answer["held"]


@pytest.mark.smoke
def test_why_and_list_tell_how_it_is_and_which_binder_hears_it(cluster, peers):
    first, second = cluster.binders(2)
    server = cluster.server(2, first)
    eventually(lambda: status(second)["instances"] == 1)
    eventually(lambda: status(second)["peers"][0]["agrees"])
    asked = ["why", "2", server.name, "--binder", first.name, "--binder", second.name]
    here, there = run(*asked).stdout.split("\n\ntype 2")
    assert re.search(
        r"listed; its lease owner is this binder, asked here unless .* \d+\.\d s", here
    )
    assert f"listed; its lease owner is {first.name}, not heard here" in there
    told = json.loads(run(*asked, "--output", "json").stdout)
    assert (told["owner"], told["is_owner"]) == (status(first)["identity"], True)
    assert 0 < told["lease_s"] <= LEASE
    silent, client = peers(), peers()
    assert silent.ask(b"\x05\x02", first.address) == b"\x06"
    client.send(b"\x04" + wire(2, silent.address), first.address)

    def states():
        rows = run("list", "--binder", first.name).stdout.splitlines()
        return {row.split()[2]: row.split()[3] for row in rows}

    # The silent one is gone some seconds later, so it is one look that has to show both.
    expected = {"ADDRESS": "STATE", server.name: "up", silent.name: "suspect"}
    eventually(lambda: states() == expected)


@pytest.mark.smoke
def test_why_says_no_record_of_what_was_never_heard_and_prints_no_table(cluster, peers):
    binder, silent = cluster.binder(), peers()
    done = run("why", "2", "127.0.0.1:9", "--binder", binder.name)
    assert done.returncode == 1
    assert done.stdout == f"no record of type 2 (time) at 127.0.0.1:9 on binder {binder.name}\n"
    for arguments in (["why", "2", "127.0.0.1:9"], ["status"]):
        done = run(*arguments, "--binder", silent.name, limits=SOON)
        assert done.returncode == 3
        assert "is a binder running there?" in done.stderr


@pytest.mark.smoke
def test_health_is_one_line_and_one_code_and_nothing_heard_is_not_well(cluster, peers):
    first, second = cluster.binders(2)
    silent = peers()
    for binder in (first, second):
        eventually(lambda binder=binder: status(binder)["ok"])
    both = [word for binder in (first, second) for word in ("--binder", binder.name)]
    done = run("health", *both)
    assert (done.returncode, done.stdout) == (0, f"OK: {first.name}, {second.name}\n")
    done = run("health", *both, "--binder", silent.name, limits=SOON)
    assert (done.returncode, done.stdout) == (1, f"DEGRADED: {silent.name}: no answer\n")
    assert run("health", "--binder", silent.name, limits=SOON).returncode == 3
    lonely = cluster.binder("--peer", silent.name)
    done = run("health", "--binder", lonely.name)
    assert (done.returncode, done.stdout.count("\n")) == (1, 1)
    assert "0 of 1 peers ever heard; deciding alone" in done.stdout


@pytest.mark.slow
def test_peers_that_are_frozen_are_told_of_in_the_log_and_by_status(cluster):
    first, second = cluster.binders(2)
    eventually(lambda: status(first)["ok"])
    stop(second.process.pid)
    first.wait_for(f"WARNING peer lost {second.name}: nothing heard for ")
    first.wait_for("WARNING isolated: 0 of 1 peers heard")
    done = run("status", "--binder", first.name)
    assert done.returncode == 6
    assert re.match(
        r"DEGRADED: 0 of 1 peers heard for \d+ s; evicting on refusals only\n", done.stdout
    )
    assert " LOST " in done.stdout
    second.process.send_signal(signal.SIGCONT)
    first.wait_for(f"INFO peer back {second.name}: after ")
    eventually(lambda: status(first)["ok"])
    assert second.matching("peer lost|isolated") == []  # it was stopped itself


@pytest.mark.smoke
def test_status_and_list_ask_every_binder_and_mark_where_they_differ(cluster, peers):
    first, second, silent = cluster.binder(), cluster.binder(), peers()
    server = cluster.server(2, first)
    all_of_them = [w for one in (silent, first, second) for w in ("--binder", one.name)]
    done = run("status", *all_of_them, limits=SOON)
    assert done.returncode == 6
    assert done.stdout.startswith(f"DEGRADED: {silent.name}: no answer\n")
    rows = {line.split()[0]: line for line in done.stdout.splitlines()[2:]}
    assert "no answer" in rows[silent.name]
    assert rows[first.name].endswith("yes")
    assert rows[second.name].endswith("DIFFERS")
    done = run("list", *all_of_them, limits=SOON)
    assert done.returncode == 0
    assert f"no list from {silent.name}" in done.stderr
    assert done.stdout.splitlines()[1].split() == ["2", "time", server.name, "up", second.name]
    (row,) = json.loads(run("list", *all_of_them, "--output", "json", limits=SOON).stdout)
    known = {"service": "time", "type": 2, "name": "time", "address": server.name}
    said = {"weight": 1, "zone": None, "tags": {}}
    said |= {"drained_until": None, "drained_why": None}
    assert row == known | said | {"state": "up", "not_at": [second.name]}
    looked_up = run("lookup", "2", "--binder", first.name, "--output", "json")
    assert json.loads(looked_up.stdout) == known


@pytest.mark.smoke
def test_output_that_nobody_takes_is_no_success_and_a_closed_pipe_no_noise(cluster):
    binder = cluster.binder()
    node = [sys.executable, str(ROOT / "node.py")]
    command = [*node, "list", "--binder", binder.name]
    for closing in (command, [*node, "--help"]):
        closed = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *closing], capture_output=True)
        assert closed.returncode == 5
        assert closed.stderr.startswith(b"prr: cannot write to stdout")
    reading, writing = os.pipe()
    os.close(reading)
    cut = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE)
    os.close(writing)
    assert (cut.returncode, cut.stderr) == (5, b"")


def test_every_event_is_counted_by_a_metric_of_its_own():
    assert {METRIC_OF[event].key for event in Event} == set(map(str, Event))
    assert len({metric.key for metric in Metric}) == len(Metric)
    assert by_key(Counter({Metric.LATE: 2, Metric.BRAKE: 1, Metric.KEPT: 0})) == {
        str(Event.BRAKE): 1,
        str(Event.LATE): 2,
    }
