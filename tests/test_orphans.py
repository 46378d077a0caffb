"""What a peer made up and then was gone: how fast it is cleared, and what lookups feel of it."""

import re
import socket
import subprocess
import sys
import time
from random import Random

import pytest

from prr.core.binder import Binder
from prr.wire.frames import Added, Lookup
from prr.wire.instance import make_instance
from prr.wire.version import Version
from tests.cores import Net, encode, say
from tests.nodes import Cluster

pytestmark = pytest.mark.elsewhere

A, B = ("10.0.0.1", 2222), ("10.0.0.2", 2222)
GONE = ("10.0.0.9", 2222)
OWNER = 9
LEASE = 5.0


def made_up(count, ips="10.9"):
    """What was never there, at ports where nobody listens, and the peer's words."""
    fakes = [make_instance(7, (f"{ips}.{n // 250}.1", 20_000 + n % 250)) for n in range(count)]
    words = [say(Added, one, Version(n, OWNER, 0), binder=OWNER) for n, one in enumerate(fakes)]
    return fakes, words


def cleared_at(net, core, share):
    """When so much is left of what a binder holds."""
    until = net.now + 60.0
    held = len(core.directory)
    while len(core.directory) > share * held and net.now < until:
        net.run(net.now + 0.05)
    return net.now


@pytest.mark.smoke
@pytest.mark.parametrize("binders", [(A,), (A, B)])
def test_thousands_a_second_are_cleared_when_their_home_is_gone(binders):
    net = Net(
        {
            own: Binder(frozenset(), (*(b for b in binders if b != own), GONE), number, Random(1))
            for number, own in enumerate(binders, 1)
        }
    )
    net.start()
    net.run(2.0)
    fakes, words = made_up(4000)
    net.refusing = set(fakes)
    for word in words:
        net.say(A, word, GONE)
    core = net.binders[A]
    assert len(core.directory) == 4000
    began_at = cleared_at(net, core, 0.95)
    ended_at = cleared_at(net, core, 0.05)
    assert 0.85 * 4000 / (ended_at - began_at) > 2000


@pytest.mark.slow
def test_fifteen_thousand_are_cleared_in_seconds_by_a_real_binder(capsys):
    """Beside 400 lookups a second for what nobody gives; it writes the rate, and their p99."""
    cluster = Cluster()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as peer:
        peer.bind(("127.0.0.1", 0))
        try:
            name = f"127.0.0.1:{peer.getsockname()[1]}"
            binder = cluster.binder("--peer", name, "--lease", f"{LEASE:g}")
            for number, word in enumerate(made_up(15_000, "127.9")[1]):
                peer.sendto(encode(word), binder.address)
                if number % 50 == 0:
                    time.sleep(0.01)  # its socket's buffer is no deeper
            peer.close()
            quiet, _ = latencies(binder, 2.0)
            assert held(binder) == 15_000
            latencies(binder, 60.0, until=14_000)
            busy, rate = latencies(binder, 60.0, until=1_000)
        finally:
            cluster.close()
    with capsys.disabled():
        print(f"\n{rate:.0f} a second; p99 {quiet:.1f} ms before, {busy:.1f} ms meanwhile")
    assert rate > 1000


def latencies(binder, seconds, until=0):
    """The p99 in ms of lookups for so long, or until so many are left; those gone a second."""
    times, began_at, before = [], time.monotonic(), held(binder)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client:
        client.connect(binder.address)
        client.settimeout(1.0)
        now = left = began_at
        while now < began_at + seconds and (not until or (left := held(binder)) > until):
            for _ in range(200):
                asked_at = time.perf_counter()
                client.send(encode(Lookup(8)))
                client.recv(99)
                times.append(time.perf_counter() - asked_at)
                time.sleep(0.0025)
            now = time.monotonic()
    gone = before - left if until else 0
    return 1000 * sorted(times)[int(0.99 * len(times))], gone / (now - began_at)


def held(binder):
    """How many instances it holds."""
    command = [sys.executable, "node.py", "status", "--binder", binder.name, "--output", "json"]
    told = subprocess.run(command, capture_output=True, text=True, check=False).stdout
    return int(re.search(r'"instances": (\d+)', told)[1])
