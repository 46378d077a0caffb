"""Real instances are drained while real clients call them, at every binder."""

import subprocess
import sys
import threading
import time
import urllib.request

import pytest

from prr import Client
from prr.client.control import fetch_listings
from prr.demo.ports import free_port
from prr.wire.instance import address_of, describe_address, service_of
from prr.wire.trailer import Listed
from tests.forks import ROOT
from tests.nodes import NODE, Node, eventually, run

WHO = """
import sys
from prr import Service
def answer(message):
    return "{}:{}".format(*service.address).encode()
with Service("who", answer, binders=sys.argv[1:]) as service:
    sys.stdin.read()
"""
"""A service that answers with its own address."""

SPREADS = 1.0
"""Seconds after which no call may begin at what is drained."""

WATCHED = 0.5
"""Seconds for which that is looked at."""


class Calls(threading.Thread):
    """Calls one service all the time, by one binder: when each call began, and who answered."""

    def __init__(self, binder, call):
        super().__init__()
        self.done, self.failed = [], []
        self._call, self._client = call, Client(binder.name)
        self._over = threading.Event()
        self.start()

    def run(self):
        while not self._over.wait(0.005):
            began_at = time.monotonic()
            try:
                self.done.append((began_at, self._call(self._client)))
            except Exception as error:
                self.failed.append(repr(error))

    def by(self, name, since):
        """How many calls that began since then this one answered."""
        return sum(began_at > since and who == name for began_at, who in self.done)

    def close(self):
        self._over.set()
        self.join()


def ask(client):
    return client.call("who", b"").decode()


def fetch(client):
    ip, port = client.lookup("web")
    with urllib.request.urlopen(f"http://{ip}:{port}/", timeout=5) as answer:
        answer.read()
    return f"{ip}:{port}"


@pytest.fixture
def calls(cluster, tmp_path):
    """Two binders, two instances each of a service of ours and of an unchanged program, and calls
    of both by either binder."""
    binders = cluster.binders(2)
    services = [
        subprocess.Popen(
            [sys.executable, "-c", WHO, *(binder.name for binder in binders)],
            cwd=ROOT,
            stdin=subprocess.PIPE,
        )
        for _ in range(2)
    ]
    flags = [word for binder in binders for word in ("--binder", binder.name)]
    agents = []
    for _ in range(2):
        port = str(free_port())
        web = [sys.executable, "-m", "http.server", "--bind", "127.0.0.1", "-d", str(tmp_path)]
        own = ["--type", "web", "--port", port, "--grace", "0", "--check-interval", "0.2"]
        agents.append(Node("run", *flags, *own, "--", *web, port, program=NODE))
    try:
        eventually(lambda: all(len(listed(binder)) == 4 for binder in binders))
        threads = [Calls(binder, call) for binder in binders for call in (ask, fetch)]
        try:
            yield binders, threads
        finally:
            for thread in threads:
                thread.close()
    finally:
        for service in services:
            service.communicate()
        for agent in agents:
            agent.terminate()
            agent.close()


def listed(binder):
    """How each instance is: by the name of its service, and its address."""
    found = fetch_listings(binder.address) or {}
    return {
        (service_of(one), describe_address(address_of(one))): said.state
        for one, said in found.items()
    }


@pytest.mark.smoke
def test_no_call_begins_at_what_is_drained_and_none_fails(calls):
    binders, threads = calls
    everybody = sorted(listed(binders[0]))
    drained = [next(one for one in everybody if one[0] == service) for service in ("who", "web")]
    for (service, address), binder in zip(drained, binders, strict=True):
        eventually(lambda address=address: any(thread.by(address, 0) for thread in threads))
        done = run("drain", service, address, "--for", "60s", "--binder", binder.name)
        assert done.returncode == 0, done.stderr
    returned_at = time.monotonic()
    time.sleep(SPREADS + WATCHED)
    others = {address for _, address in everybody} - {address for _, address in drained}

    def by_others(thread):
        return sum(thread.by(other, returned_at + SPREADS) for other in others)

    eventually(lambda: all(by_others(thread) > 5 for thread in threads))
    for thread in threads:
        assert not any(thread.by(address, returned_at + SPREADS) for _, address in drained)
    for binder in binders:  # it is still there, at either
        assert {one for one, state in listed(binder).items() if state is Listed.DRAINED} == {
            *drained
        }
    for (service, address), binder in zip(drained, reversed(binders), strict=True):
        assert run("undrain", service, address, "--binder", binder.name).returncode == 0
    undrained_at = time.monotonic()
    for thread in threads:
        eventually(lambda one=thread: any(one.by(who, undrained_at) for _, who in drained))
    assert [thread.failed for thread in threads] == [[]] * len(threads)
