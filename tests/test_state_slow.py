"""The state under load: a million services, a full disk, power cuts at any moment."""

import os
import re
import shutil
import socket
import struct
import subprocess
import threading
import time
from pathlib import Path
from random import Random

import pytest

from prr.core.effects import Update
from prr.demo.ports import free_port
from prr.shell.storage.state_directory import StateDirectory
from prr.shell.storage.state_meta import Damaged
from prr.wire.instance import make_instance
from prr.wire.version import Version
from tests.nodes import binder_arguments, eventually, wire

pytestmark = pytest.mark.slow

IP_PKTINFO = 8  # ip(7); Python has no name for it

MILLION = 1_000_000
SERVING_WITHIN = 5.0  # seconds
RSS_MAX = 350  # MB


def fill(path, count):
    """A state of `count` services of 200 types."""
    directory = StateDirectory(path)
    directory.open(77)
    for first in range(0, count, 5000):
        words = {}
        for n in range(first, first + 5000):
            address = f"10.{n >> 16 & 255}.{n >> 8 & 255}.{n & 255}", 5000
            words[make_instance(n % 200, address)] = Update(Version(n + 1, 77, 9), True)
        directory.commit(words, first + 5000, True)
    directory.leave()


def test_a_million_services_are_served_within_seconds_in_bounded_memory(cluster, peers, tmp_path):
    fill(tmp_path, MILLION)
    client = peers()
    began_at = time.monotonic()
    binder = cluster.start(*binder_arguments(free_port(), []), "--state", str(tmp_path))
    answers = {client.ask(bytes((2, type_)), binder.address)[0] for type_ in range(200)}
    took = time.monotonic() - began_at
    assert answers == {3}
    assert took < SERVING_WITHIN
    eventually(lambda: binder.matching("entries restored"), 60)
    assert binder.matching(f"{MILLION} of {MILLION} entries restored")
    status = Path(f"/proc/{binder.process.pid}/status").read_text()
    assert int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024 < RSS_MAX


class Load:
    """Subscribes ever new servers with a binder, at addresses of their own, which answer when they
    are asked; `confirmed` are those that were. One socket serves all: IP_PKTINFO tells which of
    them a datagram is for, and which one sends."""

    def __init__(self, binder):
        self.binder = binder
        self.confirmed = set()
        self._number = 0
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.IPPROTO_IP, IP_PKTINFO, 1)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 20)
        self._socket.bind(("", 0))
        self._port = self._socket.getsockname()[1]
        self._closing = False
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def subscribe(self, count):
        """Subscribe some at once, and wait a moment for their confirmations; how many came."""
        before = len(self.confirmed)
        for _ in range(count):
            self._number += 1
            self._send(b"\x05\x02", f"127.1.{self._number >> 8}.{self._number & 255}", self.binder)
        ends_at = time.monotonic() + 0.3
        while len(self.confirmed) < before + count and time.monotonic() < ends_at:
            time.sleep(0.002)
        return len(self.confirmed) - before

    def close(self):
        """They do not answer any more."""
        self._closing = True
        self._socket.sendto(b"", ("127.0.0.1", self._port))
        self._thread.join()
        self._socket.close()

    def _serve(self):
        while not self._closing:
            data, ancillary, _, source = self._socket.recvmsg(99, 99)
            here = socket.inet_ntoa(ancillary[0][2][8:12])
            if data == b"\x06":
                self.confirmed.add(wire(2, (here, self._port)))
            elif data == b"\x0b":
                self._send(b"\x0c", here, source)

    def _send(self, data, here, target):
        packed = struct.pack("i4s4s", 0, socket.inet_aton(here), bytes(4))
        self._socket.sendmsg([data], [(socket.IPPROTO_IP, IP_PKTINFO, packed)], 0, target)


@pytest.fixture
def load():
    """Makes them, one for each binder, and closes them in the end."""
    made = []

    def make(binder):
        made.append(Load(binder))
        return made[-1]

    yield make
    for one in made:
        one.close()


def kept_in(path):
    """All that a binder would restore from a directory, and what it says about losses."""
    directory = StateDirectory(path)
    try:
        _, losses = directory.open(1)
        rows = []
        while some := directory.read():
            rows += some
    except Damaged as error:
        losses.append(str(error))
    finally:
        directory.leave()
    losses = [loss for loss in losses if "in another directory" not in loss]  # a copy, that is so
    return {row[0][2:] for row in rows if row[2]}, losses


def test_power_cuts_at_any_moment_lose_nothing_that_was_confirmed(cluster, load, tmp_path):
    rng = Random(4)
    state = tmp_path / "state"
    binder = cluster.start(*binder_arguments(free_port(), []), "--state", str(state))
    load = load(binder.address)
    eventually(lambda: binder.matching("entries restored"))
    told = 0
    for number in range(40):
        load.subscribe(rng.randint(1, 40))
        before = set(load.confirmed)
        copying = subprocess.Popen(["cp", "-r", str(state), str(tmp_path / str(number))])
        load.subscribe(rng.randint(1, 40))
        assert copying.wait(10) == 0
        kept, losses = kept_in(tmp_path / str(number))
        told += bool(losses)
        assert kept >= before or losses
        shutil.rmtree(tmp_path / str(number))
    assert told < 40
    assert len(load.confirmed) > 400
    binder.kill()
    kept, losses = kept_in(state)
    assert (kept >= load.confirmed, losses) == (True, [])


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 kB."""
    if os.geteuid() != 0:
        pytest.skip("needs root, to mount a small disk")
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "none", str(path)], check=True)
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_a_full_disk_confirms_nobody_new_and_heals(cluster, peers, load, small_disk):
    arguments = [*binder_arguments(free_port(), []), "--state", str(small_disk / "state")]
    binder = cluster.start(*arguments)
    client, load = peers(), load(binder.address)
    eventually(lambda: load.subscribe(1) == 1)
    filler = small_disk / "filler"
    with filler.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    eventually(lambda: load.subscribe(20) == 0, 30)
    binder.wait_for("cannot be written to")
    for _ in range(20):
        assert client.ask(b"\x02\x02", binder.address)[0] == 3
    binder.kill()
    before = len(load.confirmed)
    binder = cluster.start(*arguments)
    binder.wait_for("entries restored")
    assert client.ask(b"\x02\x02", binder.address)[0] == 3
    eventually(lambda: load.subscribe(20) == 0, 30)  # its log may have had room for some more
    filler.unlink()
    binder.wait_for("can be written to again")
    eventually(lambda: load.subscribe(5) == 5)
    binder.kill()
    kept, losses = kept_in(small_disk / "state")
    assert (kept >= load.confirmed, losses) == (True, [])
    assert len(load.confirmed) >= before + 5 >= 6


@pytest.mark.parametrize("hours", [1, -1, 87_600, -87_600])
def test_no_decision_looks_at_the_wall_clock(hours, tmp_path, cluster, peers):
    """The times of the file itself are all of the wall clock that the disk holds."""
    server, client = peers(), peers()
    arguments = [*binder_arguments(free_port(), []), "--state", str(tmp_path)]
    binder = cluster.start(*arguments)
    server.ask(b"\x05\x02", binder.address)
    binder.kill()
    when = time.time() + hours * 3600
    for path in tmp_path.iterdir():
        os.utime(path, (max(0, when), max(0, when)))
    again = cluster.start(*arguments)
    assert client.ask(b"\x02\x02", again.address) == b"\x03" + wire(2, server.address)[1:]
