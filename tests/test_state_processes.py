"""The state of real binders: kill -9, all of them at once, a second one, a disk that fails."""

import errno
import select
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from functools import partial
from random import Random

import gevent
import pytest
from gevent.hub import get_hub

from prr.core.binder import Binder
from prr.core.effects import Confirm, ConfirmAll, Persist
from prr.core.metrics import Metric
from prr.demo.ports import free_port
from prr.shell.confirmations import Confirmations
from prr.shell.storage import sqlite_store
from prr.shell.storage.sqlite_store import SQLiteStore
from prr.shell.storage.state_directory import StateDirectory
from prr.shell.storage.state_meta import Failing
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.outbox import Outbox
from prr.wire.frames import Removed, Role, Subscribe, Subscribed
from prr.wire.instance import address_of
from tests.cores import CODECS, at
from tests.nodes import PATIENCE, binder_arguments, eventually, run, wire
from tests.turns import until

CONFIRMED = b"\x06"


def subscribe(peer, type_, binder):
    """Subscribe, bare, and have it confirmed."""
    assert peer.ask(bytes((5, type_)), binder.address) == CONFIRMED


# Real processes.


@pytest.mark.smoke
def test_what_was_confirmed_is_answered_by_the_next_process(cluster, peers, tmp_path):
    server, client = peers(), peers()
    arguments = [*binder_arguments(free_port(), []), "--state", str(tmp_path / "state")]
    binder = cluster.start(*arguments)
    subscribe(server, 2, binder)
    binder.kill()
    again = cluster.start(*arguments)
    assert client.ask(b"\x02\x02", again.address) == b"\x03" + wire(2, server.address)[1:]
    again.wait_for("1 of 1 entries restored")
    assert client.ask(b"\x02\x03", again.address) == b"\x04"
    assert again.terminate() == 0
    assert not (tmp_path / "state" / "binder.sqlite-wal").exists()


def test_all_binders_are_killed_at_once_and_nothing_is_lost(cluster, peers, tmp_path):
    ports = [free_port() for _ in range(3)]
    lines = [
        [*binder_arguments(port, ports), "--state", str(tmp_path / str(port))] for port in ports
    ]
    binders = [cluster.start(*line) for line in lines]
    servers = [peers() for _ in range(9)]
    for number, server in enumerate(servers):
        subscribe(server, 2, binders[number % 3])
    for binder in binders:
        binder.process.send_signal(signal.SIGKILL)
    for binder in binders:
        binder.process.wait(10)
    again = [cluster.start(*line) for line in lines]
    expected = {b"\x03" + wire(2, server.address)[1:] for server in servers}
    client = peers()

    def found(binder):
        for server in servers:  # each is asked whether it is still there
            while select.select([server.socket], [], [], 0)[0]:
                if server.receive()[:1] == b"\x0b":
                    server.send(b"\x0c", server.source)
        return {client.ask(b"\x02\x02", binder.address) for _ in range(9)}

    for binder in again:
        assert found(binder) <= expected
        eventually(lambda binder=binder: found(binder) == expected)


@pytest.mark.smoke
def test_a_leave_that_was_acknowledged_is_not_undone(cluster, peers, tmp_path):
    server, client = peers(), peers()
    arguments = [*binder_arguments(free_port(), []), "--state", str(tmp_path)]
    binder = cluster.start(*arguments)
    subscribe(server, 2, binder)
    leave = b"\x0a" + wire(2, server.address)
    assert server.ask(leave, binder.address) == leave
    binder.kill()
    again = cluster.start(*arguments)
    assert client.ask(b"\x02\x02", again.address) == b"\x04"


@pytest.mark.smoke
def test_a_second_binder_in_the_same_directory_is_told_who_has_it(cluster, tmp_path):
    binder = cluster.binder("--state", str(tmp_path))
    ended = run("binder", "--listen", "127.0.0.1:0", "--state", str(tmp_path))
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert f"in use by the binder with process id {binder.process.pid}; stop" in ended.stderr


@pytest.mark.smoke
def test_a_damaged_file_is_set_aside_and_the_peers_fill_the_new_one(cluster, peers, tmp_path):
    server, client = peers(), peers()
    ports = [free_port(), free_port()]
    lines = [
        [*binder_arguments(port, ports), "--state", str(tmp_path / str(port))] for port in ports
    ]
    one, two = (cluster.start(*line) for line in lines)
    subscribe(server, 2, one)
    answer = b"\x03" + wire(2, server.address)[1:]
    eventually(lambda: client.ask(b"\x02\x02", two.address) == answer)
    one.terminate()
    path = tmp_path / str(ports[0]) / "binder.sqlite"
    path.write_bytes(path.read_bytes()[:5000])
    for name, pattern in (("1", "set aside"), ("2", "1 of 1 entries restored")):
        one = cluster.start(*lines[0])
        one.wait_for(pattern)
        assert client.ask(b"\x02\x02", one.address) == answer, name
        health = run("health", "--binder", one.name).stdout
        assert ("the state on disk was damaged: " in health) == (name == "1")
        one.wait_for("synced")
        one.terminate()


def test_without_a_state_the_binder_says_that_it_keeps_nothing(cluster):
    cluster.binder().wait_for("state in memory only: started without --state DIR")


@pytest.mark.smoke
def test_status_tells_of_the_state(cluster, tmp_path):
    kept, plain = cluster.binder("--state", str(tmp_path)), cluster.binder()
    kept.wait_for("entries restored")
    assert "all on disk" in run("status", "--binder", kept.name).stdout
    assert "nothing kept on disk" in run("status", "--binder", plain.name).stdout


@pytest.mark.smoke
def test_sqlite_is_only_loaded_for_a_state():
    code = "import sys, prr.cli.roles; sys.exit('sqlite3' in sys.modules)"

    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# A disk that fails, in this process.


class FailingDirectory(StateDirectory):
    """The directory of a `Disk`, which fails when that one is in trouble."""

    def __init__(self, disk, path):
        self._disk_of = disk
        super().__init__(path)

    def commit(self, words, *rest, **named):
        if self._disk_of.trouble is not None:
            raise self._disk_of.trouble
        self._disk_of.groups.append(len(words))
        super().commit(words, *rest, **named)


class Disk:
    """A state, its binder, and a disk that can be told to fail."""

    def __init__(self, path, monkeypatch):
        monkeypatch.setattr(sqlite_store, "RETRY_PAUSE", 0.005)
        self.trouble = None
        self.groups = []
        monkeypatch.setattr(sqlite_store, "StateDirectory", partial(FailingDirectory, self))
        self.store = SQLiteStore(path, 77)
        self.binder = Binder(
            frozenset(), (), self.store.identity, Random(1), keeps=True, counter=self.store.counter
        )
        self.confirmed = []
        self.store.load(self.binder.directory, self.learn)
        self.act(self.binder.start(time.monotonic()))
        self.groups.clear()

    def learn(self, present, gone):
        self.act(self.binder.learn(present, gone, time.monotonic()))

    def act(self, effects):
        for effect in effects:
            if isinstance(effect, Persist):
                self.store.persist(effect)
            elif isinstance(effect, Confirm):
                self.store.confirm(effect.instance, partial(self.confirmed.append, effect.instance))

    def say(self, frame, instance):
        self.act(self.binder.handle(frame, address_of(instance), time.monotonic()))

    def close(self):
        if self.store is not None:
            self.store.close()
            self.store = None


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """Makes one in tmp_path; again, once the one before is closed."""
    made = []

    def make():
        made.append(Disk(tmp_path, monkeypatch))
        return made[-1]

    yield make
    made[-1].trouble = None
    made[-1].close()


ONE, TWO = at(2, "10.0.0.1", 1), at(2, "10.0.0.1", 2)


def test_a_confirmation_leaves_after_the_commit_and_changes_are_committed_in_groups(disk):
    one = disk()
    many = [at(2, "10.0.0.1", number + 1) for number in range(100)]
    for instance in many:
        one.say(Subscribe(2), instance)
    assert one.confirmed == []
    until(lambda: len(one.confirmed) == 100)
    assert len(one.groups) <= 3
    one.say(Subscribe(2), many[0])  # a renewal, of which everything is on disk
    assert one.confirmed == [*many, many[0]]


def test_what_comes_while_more_waits_to_be_read_is_committed_together(disk, monkeypatch):
    monkeypatch.setattr("prr.shell.storage.disk_thread.GATHER", 60)  # this process may be stopped
    one, reading = disk(), get_hub().loop.timer(0)
    many = [at(2, "10.0.0.1", number + 1) for number in range(20)]
    for instance in many:
        one.say(Subscribe(2), instance)
        for _ in range(5):
            get_hub().wait(reading)  # as a reader lets others have their turn
    until(lambda: len(one.confirmed) == 20)
    assert one.groups == [20]


def test_nobody_waits_longer_for_the_disk_than_changes_are_gathered(disk):
    one, reading, began = disk(), get_hub().loop.timer(0), time.monotonic()
    one.say(Subscribe(2), ONE)
    while not one.confirmed and time.monotonic() < began + PATIENCE:
        get_hub().wait(reading)
    assert one.confirmed == [ONE]


def test_a_single_change_is_committed_at_once(disk, monkeypatch):
    monkeypatch.setattr("prr.shell.storage.disk_thread.GATHER", 60)
    one = disk()
    one.say(Subscribe(2), ONE)
    until(lambda: one.confirmed)


def test_runs_that_have_waited_for_one_commit_are_told_together(disk, monkeypatch):
    one, sent = disk(), []
    monkeypatch.setattr(
        Datagrams, "send_all", lambda lane, data, instances: sent.append((data, instances)) or 8
    )
    with closing(Datagrams(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))) as lane:
        outbox = Outbox([lane], lambda: None, Counter())
        confirmations = Confirmations(one.store, CODECS[Role.BINDER], outbox, outbox.send)
        many = [at(2, "10.0.0.1", number + 1) for number in range(8)]
        for instance in many:
            one.say(Subscribe(2), instance)
            confirmations.give(ConfirmAll([instance], Subscribed()))
        until(lambda: sent)
    assert sent == [(b"\x06", many)]


def test_a_commit_looks_at_those_alone_that_were_committed(disk, monkeypatch):
    one, looked_at = disk(), []
    is_unsaved = SQLiteStore._is_unsaved

    def counting(self, instance):
        looked_at.append(instance)
        return is_unsaved(self, instance)

    many = [at(2, "10.0.0.1", number + 1) for number in range(300)]
    monkeypatch.setattr(sqlite_store, "GROUP_MAX", 10)
    for instance in many:
        one.say(Subscribe(2), instance)
    monkeypatch.setattr(SQLiteStore, "_is_unsaved", counting)
    until(lambda: len(one.confirmed) == 300)
    assert len(looked_at) == 300


def test_a_subscription_that_comes_twice_is_not_confirmed_before_the_commit(disk):
    one = disk()
    one.say(Subscribe(2), ONE)
    one.say(Subscribe(2), ONE)
    assert one.confirmed == []
    until(lambda: one.confirmed)
    gevent.sleep(0.01)
    assert one.confirmed == [ONE]


def test_while_the_disk_fails_nobody_new_is_confirmed_and_when_it_is_back_the_next_is(disk, caplog):
    caplog.set_level("INFO", "prr")
    one = disk()
    one.say(Subscribe(2), ONE)
    until(lambda: one.confirmed)
    one.trouble = Failing("database or disk is full")
    one.say(Subscribe(2), TWO)
    until(lambda: one.store.counts[Metric.CONFIRMATIONS_FAILING])
    assert one.binder.handle(Subscribe(2), address_of(ONE), 0.0)[-1].instance == ONE
    one.say(Subscribe(2), ONE)  # nothing new: confirmed
    assert one.confirmed == [ONE, ONE]
    failing = {"unsaved": 1, "failing": "database or disk is full", "damaged": None}
    assert one.store.status() == failing
    gevent.sleep(0.03)  # several attempts
    one.trouble = None
    until(lambda: one.store.failing is None)
    one.say(Subscribe(2), TWO)
    until(lambda: TWO in one.confirmed)
    said = [record.getMessage() for record in caplog.records]
    assert len([line for line in said if "cannot be written to (database" in line]) == 1
    assert len([line for line in said if "can be written to again" in line]) == 1
    one.close()
    assert set(disk().binder.directory.instances(b"", 9)[0]) == {ONE, TWO}


def test_a_file_that_is_lost_under_way_is_written_anew_with_all_that_is_known(disk, tmp_path):
    one = disk()
    one.say(Subscribe(2), ONE)
    until(lambda: one.confirmed)
    (tmp_path / "binder.sqlite").unlink()
    one.say(Subscribe(2), TWO)
    until(lambda: TWO in one.confirmed and not one.store.unsaved and one.store.is_whole)
    one.close()
    again = disk()
    assert set(again.binder.directory.instances(b"", 9)[0]) == {ONE, TWO}
    assert again.binder.identity == one.binder.identity


def test_whoever_is_confirmed_is_found_at_the_next_start_when_the_file_was_replaced(
    disk, tmp_path, monkeypatch
):
    one = disk()
    many = [at(number % 9, "10.0.0.1", number + 1) for number in range(20)]
    for instance in many:
        one.say(Subscribe(instance[0]), instance)
    until(lambda: len(one.confirmed) == 20)
    for say in (many[0], TWO):  # a renewal, and one that is new
        one.confirmed.clear()
        (tmp_path / "binder.sqlite").replace(tmp_path / "elsewhere")
        (tmp_path / "binder.sqlite").write_bytes((tmp_path / "elsewhere").read_bytes())
        one.say(Subscribe(say[0]), say)
        until(lambda: one.confirmed)
        copy = tmp_path.with_name(f"{tmp_path.name}-copy")
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(tmp_path, copy)  # as a kill at this moment leaves it
        directory = StateDirectory(copy)
        directory.open(1)
        found = {row[0][2:] for row in directory.read()}
        directory.leave()
        assert found == {*many, say}


def test_more_changes_than_can_wait_for_a_disk_are_written_anew(disk, monkeypatch):
    monkeypatch.setattr(sqlite_store, "PENDING_MAX", 10)
    one = disk()
    one.say(Subscribe(2), ONE)
    until(lambda: one.confirmed)
    one.trouble = Failing("no")
    many = [at(3, "10.0.0.1", number + 1) for number in range(40)]
    for instance in many:
        one.say(Subscribe(3), instance)
        assert one.store.unsaved <= 11
    one.say(Removed(ONE), ONE)
    one.say(Subscribe(3), many[0])
    assert one.confirmed == [ONE]
    one.trouble = None
    until(lambda: not one.store.unsaved and one.store.is_whole)
    one.close()
    again = disk()
    directory = again.binder.directory
    assert set(directory.instances(b"", 99)[0]) == set(many)
    assert directory.removal(ONE)


def test_the_counter_rises_beyond_all_that_was_used_even_uncommitted(disk):
    counters = []
    for _ in range(3):
        one = disk()
        one.trouble = Failing("no")
        one.say(Subscribe(2), ONE)
        counters.append(one.binder.directory.version(ONE).counter)
        one.close()
    assert sorted(set(counters)) == counters


def test_a_disk_that_is_full_at_the_start_does_not_keep_the_binder_from_serving(
    tmp_path, monkeypatch
):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("prr.shell.storage.state_directory.create", full)
        one = Disk(tmp_path, monkeypatch)
        one.say(Subscribe(2), ONE)
        until(lambda: one.store.counts[Metric.CONFIRMATIONS_FAILING])
    until(lambda: not one.store.failing)
    one.say(Subscribe(2), ONE)
    until(lambda: one.confirmed == [ONE])
    one.close()


def test_a_disk_that_is_full_at_the_start_is_read_all_the_same(tmp_path, monkeypatch):
    one = Disk(tmp_path, monkeypatch)
    one.say(Subscribe(2), ONE)
    until(lambda: one.confirmed)
    one.close()

    def full(*_):
        raise Failing("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr("prr.shell.storage.state_file.StateFile.commit", full)
        again = Disk(tmp_path, monkeypatch)
        assert ONE in again.binder.directory
        again.say(Subscribe(2), TWO)
        until(lambda: again.store.counts[Metric.CONFIRMATIONS_FAILING])
    until(lambda: not again.store.failing)
    again.close()
    third = Disk(tmp_path, monkeypatch)
    assert set(third.binder.directory.instances(b"", 9)[0]) == {ONE, TWO}
    third.close()
