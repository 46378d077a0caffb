"""Watching from a program and from the command line: all that is there, then every change."""

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from prr import Client, NoBinderAnswered
from prr.client import watch as watching
from tests.http_of import ask, binder_with_http, where
from tests.nodes import NODE, PATIENCE, ROOT, UNASKED, eventually, run, wire


def http_of(node):
    return "{}:{}".format(*where(node))


def watch(binder, service, *more):
    return Client(binder.name).watch(service, http=[http_of(binder), *more])


@pytest.mark.smoke
def test_what_is_there_comes_first_and_then_each_change_of_it(cluster, peers):
    binder = binder_with_http(cluster, limits=UNASKED)
    servers = [cluster.server(2, binder) for _ in range(2)]
    cluster.server(3, binder)
    changes = watch(binder, "time")
    there = [next(changes) for _ in range(2)]
    assert {change.address for change in there} == {server.address for server in servers}
    assert {(c.service, c.state, c.event) for c in there} == {(2, "up", "listed")}
    servers[0].kill()
    peers().send(b"\x04" + wire(2, servers[0].address), binder.address)
    suspect, gone = next(changes), next(changes)
    assert (suspect.state, suspect.event) == ("suspect", "complaint")
    assert (gone.state, gone.event, gone.address) == ("gone", "evicted", servers[0].address)
    assert "refused 2 questions" in gone.why
    changes.close()
    eventually(lambda: b"prr_http_watchers 0.0" in ask(binder, "/metrics").body)


@pytest.mark.smoke
def test_all_services_may_be_watched_at_once_and_long_lists(cluster, peers, monkeypatch):
    monkeypatch.setattr("prr.client.event_stream.PAGE_ROWS", 2)
    binder = binder_with_http(cluster)
    subscribed = [(type_, peers()) for type_ in (7, 7, 7, 7, 7, 8)]
    for type_, peer in subscribed:
        assert peer.ask(bytes([5, type_]), binder.address) == b"\x06"
    flags = ("--type", "billing", "--binder", binder.name)
    named = cluster.start("server", *flags)
    named.wait_for("confirmed")
    changes = watch(binder, None)
    told = {(change.service, change.address) for change, _ in zip(changes, range(7), strict=False)}
    expected = {(type_, peer.address) for type_, peer in subscribed}
    assert told == expected | {("billing", named.address)}


@pytest.mark.smoke
def test_when_a_binder_is_gone_the_next_is_watched_and_nothing_is_told_twice(cluster):
    first, second = cluster.binders(2, "--http", "127.0.0.1:0")
    server = cluster.server(2, second)
    eventually(lambda: server.name in run("list", "--binder", first.name).stdout)
    changes = watch(first, 2, http_of(second))
    assert next(changes).address == server.address
    first.kill()
    again = cluster.server(2, second)
    change = next(changes)
    assert (change.address, change.state) == (again.address, "up")


@pytest.mark.smoke
def test_a_binder_that_comes_back_tells_what_is_not_there_any_more(cluster):
    binder = binder_with_http(cluster)
    server = cluster.server(2, binder)
    address = http_of(binder)
    changes = watch(binder, 2)
    with ThreadPoolExecutor(1) as pool:  # one thread has it all: with gevent it has to
        assert pool.submit(next, changes).result(PATIENCE).state == "up"
        server.kill()
        binder.kill()
        waited = pool.submit(next, changes)
        cluster.start("binder", "--listen", "127.0.0.1:0", "--http", address).wait_for("HTTP at")
        change = waited.result(PATIENCE)
    assert (change.state, change.event, change.address) == ("gone", "not listed", server.address)


@pytest.mark.smoke
def test_nobody_there_is_told_in_the_end(monkeypatch, peers):
    monkeypatch.setattr(watching, "GIVE_UP", 0.3)
    silent = peers()  # of UDP: no TCP port is open there
    with pytest.raises(NoBinderAnswered, match=silent.name):
        next(Client(silent.name).watch(2, http=silent.name))


@pytest.mark.smoke
def test_what_refuses_is_named_in_the_end(cluster, monkeypatch):
    monkeypatch.setattr(watching, "GIVE_UP", 0.3)
    binder = binder_with_http(cluster, limits={"prr.shell.http.watchers.WATCHERS_MAX": 0})
    with pytest.raises(NoBinderAnswered, match="ask another binder"):
        next(watch(binder, 2))


def test_wrong_arguments_are_told_at_once():
    client = Client("127.0.0.1:1")
    for service, http in ((2, "127.0.0.1"), (2, []), (256, "127.0.0.1:1"), ("No", "127.0.0.1:1")):
        with pytest.raises(ValueError):
            client.watch(service, http=http)


IN_GEVENT = """
import gevent, sys
from prr import Client
ticks = []
def tick():
    while True:
        gevent.sleep(0.01)
        ticks.append(1)
gevent.spawn(tick)
changes = Client("127.0.0.1:1").watch(2, http=sys.argv[1])
print(next(changes).state, flush=True)
print(next(changes).state, len(ticks) > 5, flush=True)
"""


@pytest.mark.smoke
def test_in_a_gevent_program_the_others_run_meanwhile(cluster):
    binder = binder_with_http(cluster)
    cluster.server(2, binder)
    with subprocess.Popen(
        [sys.executable, "-c", IN_GEVENT, http_of(binder)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as program:
        try:
            assert program.stdout.readline() == "up\n"
            with ThreadPoolExecutor(1) as pool:
                line = pool.submit(program.stdout.readline)
                with pytest.raises(TimeoutError):
                    line.result(0.3)
                cluster.server(2, binder)
                assert line.result(PATIENCE) == "up True\n"
        finally:
            program.kill()


@pytest.mark.smoke
def test_the_command_prints_a_line_for_each_and_ends_as_it_is_told(cluster):
    binder = binder_with_http(cluster)
    server = cluster.server(2, binder)
    command = [sys.executable, *NODE, "watch", "time", "--http", http_of(binder)]
    for output in ("table", "json"):
        with subprocess.Popen(
            [*command, "--output", output], cwd=ROOT, stdout=subprocess.PIPE, text=True
        ) as program:
            line = program.stdout.readline()
            if output == "json":
                said = json.loads(line)
                assert (said["service"], said["address"], said["state"]) == (2, server.name, "up")
            else:
                assert line.split()[1:] == ["time", server.name, "up", "(listed)"]
            program.send_signal(signal.SIGINT)
            assert program.wait(PATIENCE) == 130


@pytest.mark.smoke
def test_the_command_says_what_it_lacks(peers):
    done = run("watch", "2")
    assert done.returncode == 2
    assert "--http" in done.stderr
    done = run("watch", "2", "--http", peers().name, limits={f"{watching.__name__}.GIVE_UP": 0.1})
    assert done.returncode == 3
    assert "--http?" in done.stderr
