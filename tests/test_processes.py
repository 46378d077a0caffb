"""The spec's table of tests, with real processes on real sockets, row by row.

Row 2, that a crashed node is started again at once, is systemd's: see test_units.
"""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from prr.core import server as server_core
from prr.core.client import BINDER_LIMIT
from prr.core.replication import sync
from prr.demo.ports import free_port
from prr.wire.frames import Alive, Role, ServiceList, Subscribe
from prr.wire.instance import make_instance
from prr.wire.messages import Page, Presence, Started
from prr.wire.version import Version, encode_removals
from tests.cores import decode, encode
from tests.nodes import NODE, PATIENCE, Node, binder_arguments, eventually, run, seldom_late, wire

ALONE_SOON = {f"{sync.__name__}.SYNC_WAIT": 0.1}
"""Seconds until a binder goes on that hears no peer."""

NEXT_SOON = {f"{server_core.__name__}.BINDER_WAIT": 0.2}
"""Seconds until a server asks the next binder."""

LOOKUP_2 = b"\x02\x02"
UNKNOWN = b"\x04"
DEAD = ("127.0.0.1", 9)  # the discard port, where nothing listens


def known(binder: Node) -> list[str]:
    """The addresses a binder lists."""
    done = run("list", "--binder", binder.name, "--output", "json")
    assert done.returncode == 0, done.stderr
    return sorted(row["address"] for row in json.loads(done.stdout))


def found(address: tuple[str, int]) -> bytes:
    """The spec's answer to a lookup."""
    return b"\x03" + wire(0, address)[1:]


def test_row_1_the_binder_is_chosen_at_random(peers):
    binders = [peers() for _ in range(3)]
    flags = [word for binder in binders for word in ("--binder", binder.name)]
    with ThreadPoolExecutor() as pool:
        for _ in range(10):  # 30 runs: all three are asked first but once in 10**5
            runs = [pool.submit(run, "lookup", "2", *flags) for _ in range(3)]
            while not all(one.done() for one in runs):
                for binder in binders:
                    binder.socket.settimeout(0.01)
                    try:
                        question = binder.receive()
                    except TimeoutError:
                        continue
                    assert question == LOOKUP_2
                    binder.asked = True
                    binder.send(found(binder.address), binder.source)
            assert all(one.result().returncode == 0 for one in runs)
            if all(hasattr(binder, "asked") for binder in binders):
                return
    raise AssertionError("a binder of the list was never asked")


@pytest.mark.smoke
def test_row_3_a_binder_that_restarts_is_brought_up_to_date(cluster):
    ports = [free_port(), free_port()]
    first = cluster.start(*binder_arguments(ports[0], ports), limits=ALONE_SOON)
    first.wait_for("synced")
    servers = [cluster.server(type_, first) for type_ in (1, 2, 2)]
    second = cluster.start(*binder_arguments(ports[1], ports))
    second.wait_for("synced: full list")
    assert known(second) == known(first) == sorted(server.name for server in servers)
    first.kill()
    again = cluster.start(*binder_arguments(ports[0], ports))
    again.wait_for("synced: full list")
    assert known(again) == known(second)


@pytest.mark.smoke
def test_row_4_an_unknown_service_stops_the_client_or_has_it_ask_again(cluster):
    binder = cluster.binder()
    assert run("client", "--type", "7", "--binder", binder.name).returncode == 1
    waiting = cluster.start(
        "client", "--type", "7", "--binder", binder.name, "--retry-unknown", "0.1"
    )
    waiting.wait_for("trying again", 2)
    cluster.server(7, binder)
    assert waiting.process.wait(5) == 0
    assert waiting.process.stdout.read() == "hello\n"


@pytest.mark.smoke
def test_row_5_a_binder_answers_only_with_services_that_exist(cluster, peers):
    binder, client = cluster.binder(), peers()
    assert client.ask(LOOKUP_2, binder.address) == UNKNOWN
    server = cluster.server(2, binder)
    assert client.ask(LOOKUP_2, binder.address) == found(server.address)
    assert client.ask(b"\x02\x03", binder.address) == UNKNOWN
    assert server.terminate() == 0
    assert client.ask(LOOKUP_2, binder.address) == UNKNOWN


@pytest.mark.smoke
def test_row_6_a_client_reports_a_service_that_is_not_there(cluster, peers):
    binder = peers()
    client = cluster.start("client", "--type", "2", "--binder", binder.name)
    assert binder.receive() == LOOKUP_2
    asked_from = binder.source
    binder.send(found(DEAD), asked_from)
    assert binder.receive() == b"\x04" + wire(2, DEAD)
    assert client.process.wait(5) == 4
    client.wait_for("prr: service of type 2 at 127.0.0.1:9: .*was told")


@pytest.mark.smoke
def test_row_6_a_silent_service_is_asked_again_and_then_reported(cluster, peers):
    binder, silent = peers(), peers()
    client = cluster.start("client", "--type", "2", "--binder", binder.name, "--message", "hi")
    assert binder.receive() == LOOKUP_2
    binder.send(found(silent.address), binder.source)
    began = time.monotonic()
    assert [silent.receive() for _ in range(4)] == [b"\x00\x02hi"] * 4
    assert binder.receive() == b"\x04" + wire(2, silent.address)
    assert client.process.poll() is None, "it is told before the call is over"
    assert client.process.wait(PATIENCE) == 4
    assert time.monotonic() - began > 1.8


@pytest.mark.smoke
def test_row_7_after_a_report_every_binder_forgets_the_dead(cluster, peers):
    binders = cluster.binders(3)
    dead, living = cluster.server(2, binders[0]), cluster.server(2, binders[1])
    for binder in binders:
        eventually(lambda binder=binder: known(binder) == sorted([dead.name, living.name]))
    dead.kill()
    client = peers()
    client.send(b"\x04" + wire(2, dead.address), binders[0].address)
    binders[0].wait_for(f"evicted type 2 at {dead.name}")
    for binder in binders[1:]:
        binder.wait_for(f"removed type 2 at {dead.name}")
    for binder in binders:
        assert known(binder) == [living.name]
        for _ in range(3):
            assert client.ask(LOOKUP_2, binder.address) == found(living.address)


def test_row_8_services_of_one_type_are_handed_out_in_turn_exactly(cluster, peers):
    binder, client = cluster.binder(), peers()
    services = [peers() for _ in range(5)]
    for service in services:
        assert service.ask(b"\x05\x02", binder.address) == b"\x06"
        assert service.ask(b"\x05\x02", binder.address) == b"\x06"  # twice is one entry
    rotation = [client.ask(LOOKUP_2, binder.address) for _ in range(20)]
    assert rotation == [found(service.address) for service in services] * 4


@pytest.mark.smoke
def test_row_9_two_reports_of_one_dead_service_make_one_verification(cluster, peers):
    binder, silent, clients = cluster.binder(), peers(), [peers(), peers()]
    assert silent.ask(b"\x05\x02", binder.address) == b"\x06"
    complaint = b"\x04" + wire(2, silent.address)
    for client in clients:  # at the same instant
        client.send(complaint, binder.address)
    assert silent.receive() == b"\x0b"
    binder.wait_for("evicted")
    assert [silent.receive() for _ in range(2)] == [b"\x0b"] * 2  # three questions in all
    clients[1].send(complaint, binder.address)  # one second after the first
    assert clients[1].ask(LOOKUP_2, binder.address) == UNKNOWN
    assert silent.hears_nothing(0.3)
    assert len(binder.matching("complaint")) == 1
    assert binder.process.poll() is None


@pytest.mark.smoke
def test_row_10_a_verification_holds_up_nobody(cluster, peers):
    binder, client, silent = cluster.binder(), peers(), peers()
    living = cluster.server(2, binder)
    assert silent.ask(b"\x05\x02", binder.address) == b"\x06"
    client.send(b"\x04" + wire(2, silent.address), binder.address)
    assert silent.receive() == b"\x0b"  # if not for that, then as a newcomer
    binder.wait_for("complaint")
    answers = []
    while not binder.matching("evicted"):
        answers.append(client.ask(LOOKUP_2, binder.address))
    # Whoever waits for the service answers one between two questions to it, of which there are few.
    assert len(answers) > 10
    assert set(answers) == {found(living.address)}


def test_an_answer_puts_a_suspect_back_in_turn(cluster, peers):
    binder, client, accused = cluster.binder(), peers(), peers()
    assert accused.ask(b"\x05\x02", binder.address) == b"\x06"
    client.send(b"\x04" + wire(2, accused.address), binder.address)
    assert accused.receive() == b"\x0b"
    assert accused.source != binder.address  # asked from a fresh socket
    # The last of its type stays in turn while it is being verified.
    assert client.ask(LOOKUP_2, binder.address) == found(accused.address)
    accused.send(b"\x0c", accused.source)
    binder.wait_for("verified type 2")
    assert client.ask(LOOKUP_2, binder.address) == found(accused.address)


def test_whoever_a_peer_calls_gone_is_asked_each_time_anew(cluster, peers):
    """With a peer that says so without end, and a whole binder: it goes on after the first time."""
    peer, server = peers(), peers()
    binder = cluster.start(*binder_arguments(free_port(), []), "--peer", peer.name)
    assert server.ask(encode(Subscribe(7, trailer=Started(start=9))), binder.address)[0] == 6
    one = make_instance(7, server.address)
    for turn in (1, 2, 3):
        gone = encode_removals([(one, Version(turn << 40, 2, 9))])
        page = Page(binder=2, group=0, nonce=1, removals=gone)
        peer.send(encode(ServiceList((), trailer=page)), binder.address)
        asked = decode(server.receive(), Role.SERVER)
        words = Presence(nonce=asked.trailer.nonce, types=bytes([7]), start=9)
        server.send(encode(Alive(trailer=words)), server.source)
        binder.wait_for("gone, but it answered", turn)


@pytest.mark.smoke
def test_a_server_that_leaves_is_in_no_table_when_it_has_exited(cluster, peers):
    binders, client = cluster.binders(3), peers()
    server = cluster.server(2, *binders)
    for binder in binders:
        eventually(lambda b=binder: client.ask(LOOKUP_2, b.address) == found(server.address))
    assert server.terminate() == 0
    for binder in binders:
        assert client.ask(LOOKUP_2, binder.address) == UNKNOWN


@pytest.mark.smoke
def test_a_server_asks_the_next_binder_and_stops_only_when_none_confirms(cluster, peers):
    silent, binder = peers(), cluster.binder()
    server = cluster.start("server", "--type", "2", "--binder", silent.name)
    assert [silent.receive() for _ in range(4)] == [b"\x05\x02"] * 4
    assert server.process.wait(5) == 3
    server.wait_for(r"\(end\)")
    assert server.lines[-2].startswith("prr: no binder confirmed the subscription")
    assert len(server.matching("no binder confirmed")) == 1
    # From either binder of the list it ends up with the one that answers.
    flags = ("--binder", silent.name, "--binder", binder.name)
    for _ in range(2):
        server = cluster.start("server", "--type", "2", *flags, limits=NEXT_SOON)
        server.wait_for(f"confirmed .*{binder.name}")


@pytest.mark.slow
def test_no_binder_means_exit_3_when_the_limit_is_over(peers):
    silent = peers()

    def given_up_after():
        began = time.monotonic()
        done = run("client", "--type", "2", "--binder", silent.name)
        took = time.monotonic() - began
        assert done.returncode == 3
        assert took > BINDER_LIMIT - 0.1
        assert f"no binder answered within {BINDER_LIMIT:g} s" in done.stderr
        assert [silent.receive() for _ in range(5)] == [LOOKUP_2] * 5
        return took

    seldom_late(given_up_after, BINDER_LIMIT + 2)


def test_lists_are_for_peers_and_the_own_host_and_additions_for_peers(cluster, peers):
    friend, stranger = peers(), peers()
    binder = cluster.binder("--peer", friend.name)
    new = wire(2, stranger.address)
    stranger.send(b"\x09" + new, binder.address)
    assert stranger.ask(b"\x07", binder.address) == b"\x08\x00"
    friend.send(b"\x09" + new, binder.address)
    assert friend.ask(b"\x02\x02", binder.address)[:1] == b"\x07"  # it wants our list first
    eventually(lambda: stranger.ask(b"\x07", binder.address) == b"\x08\x01" + new)
    friend.send(b"\x0a" + new, binder.address)
    eventually(lambda: stranger.ask(b"\x07", binder.address) == b"\x08\x00")


@pytest.mark.smoke
def test_signals_end_every_role_in_good_order(cluster):
    for number in (signal.SIGTERM, signal.SIGINT):
        binder = cluster.binder()
        server = cluster.server(2, binder)
        for node in (server, binder):
            node.process.send_signal(number)
            assert node.process.wait(5) == 0
            assert node.wait_for("stopped")
    assert not any("Traceback" in line for node in cluster.nodes for line in node.lines)


@pytest.mark.smoke
def test_a_port_that_is_taken_is_one_line_and_exit_2(cluster):
    binder = cluster.binder()
    for arguments in (["binder"], ["server", "--type", "2"]):
        done = run(*arguments, "--listen", binder.name)
        assert done.returncode == 2
        assert done.stdout == ""
        assert done.stderr.count("\n") == 1
        assert done.stderr.startswith(f"prr: cannot listen on {binder.name}: another program")


@pytest.mark.smoke
def test_a_log_that_nobody_reads_holds_up_nothing(peers):
    reading, writing = os.pipe()
    port = free_port()
    binder = subprocess.Popen(
        [sys.executable, *NODE, "binder", "--listen", f"127.0.0.1:{port}"], stderr=writing
    )
    try:
        client = peers()
        eventually(lambda: client.ask(LOOKUP_2, ("127.0.0.1", port)) == UNKNOWN)
        os.set_blocking(writing, False)
        with pytest.raises(BlockingIOError):
            while True:
                os.write(writing, bytes(1000))
        os.set_blocking(writing, True)  # for the binder too
        for type_ in range(2, 60):  # a line each
            assert peers().ask(bytes([5, type_]), ("127.0.0.1", port)) == b"\x06"
        assert client.ask(LOOKUP_2, ("127.0.0.1", port)) != UNKNOWN
        binder.terminate()
        assert binder.wait(5) == 0
    finally:
        binder.kill()
        binder.wait()
        os.close(reading)
        os.close(writing)
