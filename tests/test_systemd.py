"""What a node takes from systemd and tells it: sockets, readiness, signs of life, reloading."""

import os
import re
import signal
import socket
import subprocess
import sys
import time

import pytest
from gevent.event import Event

from prr.config import BadInput
from prr.core import server as server_core
from prr.core.replication import sync
from prr.demo.ports import free_port
from prr.shell.systemd import protocol as systemd
from prr.shell.systemd.notifier import Notifier
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.reader import Reader
from prr.shell.udp.steering import LANES, LANES_BEFORE, open_lanes, open_sockets, take_lanes
from prr.shell.worker_pool import WorkerPool
from tests.families import needs_ipv6, udp
from tests.nodes import NODE, PATIENCE, ROOT, Node
from tests.turns import go_on, until

HAND_OVER = """
import os, sys
os.environ.update(LISTEN_PID=str(os.getpid()), LISTEN_FDS=sys.argv[1], LISTEN_FDNAMES="x")
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""
"""Says whom the descriptors are for, as systemd does, and becomes the node."""


class Listener:
    """The other end of NOTIFY_SOCKET."""

    def __init__(self, path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(PATIENCE)

    def next(self, start: str = "") -> str:
        """The next message that begins so."""
        while not (text := self.socket.recv(4096).decode()).startswith(start):
            pass
        return text

    def hears(self, start: str, seconds: float) -> int:
        """How many messages that begin so come within some seconds."""
        count, ends_at = 0, time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            self.socket.settimeout(left)
            try:
                count += self.socket.recv(4096).decode().startswith(start)
            except TimeoutError:
                break
        self.socket.settimeout(PATIENCE)
        return count


@pytest.fixture
def listener(tmp_path, monkeypatch):
    """Somebody who listens to what is told."""
    listener = Listener(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    yield listener
    listener.socket.close()


class HandedOver(Node):
    """A node whose sockets somebody else has opened, and keeps."""

    def __init__(self, sockets, *arguments: str) -> None:
        self._popen = subprocess.Popen
        numbers = [one.fileno() for one in sockets]

        def put_in_place() -> None:
            kept = [os.dup(number) for number in numbers]  # none of them is in the way then
            for place, number in enumerate(kept, systemd.FIRST_FD):
                os.dup2(number, place)

        subprocess.Popen = lambda command, **rest: self._popen(
            [sys.executable, "-c", HAND_OVER, str(len(numbers)), *command[1:]],
            preexec_fn=put_in_place,
            close_fds=False,
            **rest,
        )
        try:
            super().__init__(*arguments, program=NODE)
        finally:
            subprocess.Popen = self._popen


def test_nothing_is_taken_that_is_for_another_process(monkeypatch):
    for pid, count in ((str(os.getpid() + 1), "1"), ("", "1"), (str(os.getpid()), "many")):
        monkeypatch.setenv("LISTEN_PID", pid)
        monkeypatch.setenv("LISTEN_FDS", count)
        assert systemd.handed_over() == []
        assert "LISTEN_FDS" not in os.environ


def test_news_are_told_to_a_path_and_to_an_abstract_name_and_never_fail(listener, monkeypatch):
    systemd.notify("READY=1", "STATUS=well")
    assert listener.next() == "READY=1\nSTATUS=well"
    name = f"prr-test-{os.getpid()}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as abstract:
        abstract.bind("\0" + name)
        monkeypatch.setenv("NOTIFY_SOCKET", f"@{name}")
        systemd.notify("WATCHDOG=1")
        assert abstract.recv(99) == b"WATCHDOG=1"
    systemd.notify("nobody listens any more")
    monkeypatch.delenv("NOTIFY_SOCKET")
    assert not systemd.is_told()
    systemd.notify("nobody ever did")


def test_signs_of_life_are_due_twice_as_often_as_is_asked(monkeypatch):
    assert systemd.watchdog_pause() is None
    monkeypatch.setenv("WATCHDOG_USEC", "2000000")
    assert systemd.watchdog_pause() == 1.0
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert systemd.watchdog_pause() == 1.0
    monkeypatch.setenv("WATCHDOG_PID", "1")
    assert systemd.watchdog_pause() is None
    monkeypatch.delenv("WATCHDOG_PID")
    for nonsense in ("", "0", "soon"):
        monkeypatch.setenv("WATCHDOG_USEC", nonsense)
        assert systemd.watchdog_pause() is None


@pytest.mark.parametrize("count", [2, 7])
def test_a_binder_takes_one_socket_or_one_for_each_lane(count):
    assert count not in (1, *LANES_BEFORE, len(LANES))
    (lanes,) = open_lanes(("127.0.0.1", 0))
    try:
        assert take_lanes(lanes) == [lanes]
        assert take_lanes(lanes[:1]) == [lanes[:1]]
        for before in LANES_BEFORE:
            assert take_lanes(lanes[:before]) == [lanes[:before]]
        with pytest.raises(BadInput, match=f"passed {count} sockets"):
            take_lanes((2 * lanes)[:count])
    finally:
        for lane in lanes:
            lane.close()


@needs_ipv6
def test_a_binder_takes_as_many_on_an_address_of_the_other_family():
    both = [one for lanes in open_lanes(("::", 0)) for one in lanes]
    try:
        there, here = take_lanes(both[::-1])
        assert {one.family for one in there} == {socket.AF_INET6}
        assert {one.family for one in here} == {socket.AF_INET}
        assert len(there) == len(here) == len(LANES)
        with pytest.raises(BadInput, match="passed 8 sockets"):
            take_lanes(both[:8])
    finally:
        for lane in both:
            lane.close()


@pytest.mark.smoke
@needs_ipv6
@pytest.mark.parametrize("role", ["binder", "server"])
def test_a_node_takes_a_socket_of_each_family_on_one_port_and_none_that_is_both(cluster, role):
    flags = ["--type", "7", "--binder", cluster.binder().name] if role == "server" else []
    opened = open_sockets(("::", 0))
    with opened[0], opened[1], socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as one_for_both:
        one_for_both.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        one_for_both.bind(("::", 0))
        node = HandedOver(opened, role, *flags)
        try:
            port = opened[0].getsockname()[1]
            assert node.address == ("::", port)
            if role == "server":
                assert re.search(f"127.0.0.1:{port}", node.wait_for("confirmed"))
        finally:
            node.close()
        for sockets, why in (
            ([one_for_both], "use BindIPv6Only=ipv6-only"),
            ([opened[0], udp("127.0.0.1")], "use one port in both families"),
        ):
            node = HandedOver(sockets, role, *flags)
            node.wait_for(why)
            node.close()
            sockets[-1].close()


@pytest.mark.smoke
def test_what_waited_in_the_sockets_is_answered_by_whoever_takes_them(peers):
    (lanes,) = open_lanes(("127.0.0.1", 0))
    client = peers()
    address = lanes[0].getsockname()
    nodes = []
    try:
        for _ in range(2):
            client.send(b"\x02\x09", address)
            node = HandedOver(lanes, "binder", "--listen", "127.0.0.1:1")
            nodes.append(node)
            assert client.receive() == b"\x04"
            assert client.source == address == node.address
            node.wait_for("listen = 127.0.0.1:1 ignored: systemd holds the socket")
            node.kill()
    finally:
        for closing in (*nodes, *lanes):
            closing.close()


@pytest.mark.smoke
def test_a_server_takes_its_socket_too(cluster):
    binder = cluster.binder()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        node = HandedOver([bound], "server", "--type", "7", "--binder", binder.name)
        try:
            node.wait_for("confirmed")
            assert node.address == bound.getsockname()
        finally:
            node.close()


@pytest.mark.smoke
def test_a_socket_of_another_kind_is_refused_in_one_line(cluster):
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as bound:
        node = HandedOver([bound], "binder")
        try:
            node.wait_for(r"^prr: systemd passed .*; use ListenDatagram=")
            assert node.process.wait(PATIENCE) == 2
        finally:
            node.close()


@pytest.mark.smoke
def test_it_says_that_it_is_ready_only_once_it_has_heard_its_peers_or_waited(listener, cluster):
    began_at = time.monotonic()
    node = cluster.binder("--peer", f"127.0.0.1:{free_port()}")
    assert "synced; 0 instances of 0 services, 0 of 1 peers heard" in listener.next(
        "READY=1\nSTATUS="
    )
    assert time.monotonic() - began_at > 1.0
    assert node.terminate() == 0
    assert listener.next().startswith("STOPPING=1")


@pytest.mark.smoke
@pytest.mark.parametrize("keeps", [True, False], ids=["with a state", "without one"])
def test_a_binder_alone_is_ready_at_once(keeps, listener, cluster, tmp_path):
    node = cluster.binder(*(("--state", str(tmp_path / "state")) if keeps else ()))
    assert "synced; 0 instances of 0 services, 0 of 0 peers heard" in listener.next(
        "READY=1\nSTATUS="
    )
    assert node.terminate() == 0


def test_a_server_is_ready_once_a_binder_has_confirmed_it(cluster, listener):
    binder = cluster.binder()
    assert "synced" in listener.next("READY=1")
    cluster.server(7, binder)
    assert f"providing type 7, confirmed by binder {binder.name}" in listener.next("READY=1")


@pytest.mark.smoke
def test_hang_up_reads_the_peers_again_and_a_mistake_changes_nothing(listener, cluster, tmp_path):
    path = tmp_path / "prr.toml"
    ports = [free_port(), free_port()]
    path.write_text(f'[binder]\npeers = ["127.0.0.1:{ports[0]}"]')
    alone_soon = {f"{sync.__name__}.SYNC_WAIT": 0.1}
    arguments = ["binder", "--listen", "127.0.0.1:0", "--config", str(path)]
    node = cluster.start(*arguments, limits=alone_soon)
    assert "of 1 peers" in listener.next("READY=1")
    for text, line, peers in (
        (f'peers = ["localhost:{ports[1]}"]\nlease = 9', f"peer added 127.0.0.1:{ports[1]}", 1),
        ("wire = 7", "settings not reloaded: key wire", 1),
        ("", f"peer removed 127.0.0.1:{ports[1]}", 0),
    ):
        path.write_text(f"[binder]\n{text}")
        node.process.send_signal(signal.SIGHUP)
        assert "MONOTONIC_USEC=" in listener.next("RELOADING=1")
        assert f"of {peers} peers" in listener.next("READY=1")
        node.wait_for(line)
    assert node.matching(f"peer removed 127.0.0.1:{ports[0]}")
    assert node.matching("need a restart to change: lease")


@pytest.mark.smoke
def test_hang_up_has_a_server_renew_with_the_binders_named_now(cluster, tmp_path):
    first, second = cluster.binder(), cluster.binder()
    path = tmp_path / "prr.toml"
    path.write_text(f'[server]\ntype = 7\nbinders = ["{first.name}"]')
    renews_soon = {f"{server_core.__name__}.RENEWAL_FIRST": 0.1}
    node = cluster.start("server", "--config", str(path), limits=renews_soon)
    node.wait_for("confirmed")
    path.write_text(f'[server]\ntype = 7\nbinders = ["{second.name}"]')
    node.process.send_signal(signal.SIGHUP)
    second.wait_for("subscribed type 7")


@pytest.fixture
def vitals(listener, monkeypatch):
    """Signs of life of one reader in this process, ten a second; and its socket."""
    monkeypatch.setenv("WATCHDOG_USEC", "200000")
    bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    bound.bind(("127.0.0.1", 0))
    datagrams, workers, may_read = Datagrams(bound), WorkerPool(), Event()
    may_read.set()

    def serve_next(reader: Reader) -> None:
        reader.at += 1
        may_read.wait()

    reader = Reader(datagrams, workers, serve_next)
    vitals = Notifier([reader], workers, lambda seconds: "well")
    reader.start()
    vitals.start()
    yield reader, may_read, bound
    vitals.close()
    reader._greenlet.kill()
    datagrams.close()


def signs(listener, seconds: float = 0.0) -> int:
    """Signs of life since, and within some seconds more, in which this process's loop runs."""
    go_on(seconds)
    listener.socket.setblocking(False)
    count = 0
    while True:
        try:
            count += listener.socket.recv(99) == b"WATCHDOG=1"
        except BlockingIOError:
            return count


@pytest.mark.smoke
def test_signs_of_life_come_out_of_the_loop_and_not_out_of_one_that_is_stuck(listener, vitals):
    for _ in range(2):
        for _ in range(3):
            until(lambda: signs(listener))
        time.sleep(0.5)  # the loop is stuck
        with pytest.raises(BlockingIOError):
            listener.socket.recv(99)


@pytest.mark.smoke
def test_no_signs_of_life_once_a_reader_has_died(listener, vitals):
    reader, _, _ = vitals
    until(lambda: signs(listener))
    reader._greenlet.kill()
    signs(listener)  # one may have been due while it was dying
    assert signs(listener, 0.5) == 0


@pytest.mark.smoke
def test_no_signs_of_life_while_what_has_come_is_not_taken(listener, vitals):
    _, may_read, bound = vitals
    may_read.clear()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        for _ in range(2):
            sender.sendto(b"x", bound.getsockname())
            go_on(0.05)  # the first is taken, and keeps the reader
    signs(listener, 0.25)
    assert signs(listener, 0.4) == 0
    may_read.set()
    until(lambda: signs(listener))


@pytest.mark.smoke
def test_the_roles_that_stay_load_nothing_of_the_library():
    code = "import sys, prr.cli.roles; print('prr.client.api' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.stdout == "False\n"
