"""For how long a program that fails is still returned, behind an agent, while lookups go on."""

import contextlib
import os
import random
import signal
import subprocess
import sys
import threading
import time
from statistics import median

import pytest

from prr import Client, NoSuchService
from prr.demo.ports import free_port
from tests.nodes import NODE, Node, seldom_wrong
from tests.stopping import stop

INTERVAL = TIMEOUT = 0.2
SLACK = 0.5  # seconds for a busy machine
WEB = """
import http.server, pathlib, sys
class Health(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(pathlib.Path(sys.argv[2]).read_text()))
        self.end_headers()
    def log_message(self, *_): pass
http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Health).serve_forever()
"""


class Lookups:
    """Asks for a service all the time, of both binders; when it was given which address last."""

    def __init__(self, binders):
        self.last = {}
        self.count = 0
        self._client = Client([binder.name for binder in binders])
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self):
        while not self._over.wait(0.001):
            began_at = time.monotonic()
            try:
                address = self._client.lookup("web")
            except NoSuchService:
                continue
            self.count += 1
            self.last[address] = began_at  # what the binder knew then, or a little later

    def still_given(self, address, since, quiet=0.2):
        """Seconds from `since` to the last time it was given, once it has not been for a while."""
        while True:
            last = self.last.get(address, since)
            if time.monotonic() > max(last, since) + quiet + INTERVAL + TIMEOUT:
                return max(0.0, last - since)
            time.sleep(0.02)

    def close(self):
        self._over.set()
        self._thread.join()


class Web:
    """A web server behind an agent, whose health is a file."""

    def __init__(self, binders, directory, verb="run"):
        port = free_port()
        self.address = "127.0.0.1", port
        self._health = directory / f"health-{port}"
        self.says(200)
        command = [sys.executable, "-c", WEB, str(port), str(self._health)]
        flags = [word for binder in binders for word in ("--binder", binder.name)]
        flags += ["--type", "web", "--check", f"http://127.0.0.1:{port}/", "--check-interval"]
        flags += [str(INTERVAL), "--check-timeout", str(TIMEOUT)]
        self._own = None
        if verb == "run":
            places = ["--port", str(port), "--grace", "0", "--", *command]
        else:
            self._own = subprocess.Popen(command)
            places = ["--at", f"127.0.0.1:{port}"]
        self.agent = Node(verb, *flags, *places, program=NODE)
        self.agent.wait_for("INFO confirmed")

    @property
    def pid(self):
        if self._own:
            return self._own.pid
        agent = self.agent.process.pid
        with open(f"/proc/{agent}/task/{agent}/children") as children:
            return int(children.read())

    def says(self, code):
        whole = self._health.with_suffix(".new")
        whole.write_text(str(code))
        whole.rename(self._health)

    def close(self):
        if self.agent.process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                os.kill(self.pid, signal.SIGKILL)
        self.agent.close()
        if self._own:
            self._own.kill()
            self._own.wait()


def killed(web):
    os.kill(web.pid, signal.SIGKILL)


def stopped(web):
    web.agent.process.terminate()


def hung(web):
    stop(web.pid)


def ill(web):
    web.says(500)


CHECKED = INTERVAL + TIMEOUT  # a check begins within an interval, and takes as long as it may
FAULTS = [
    ("run", killed, 0.0),
    ("run", hung, CHECKED),
    ("run", ill, INTERVAL),
]
ALL_FAULTS = [*FAULTS, ("run", stopped, 0.0), ("announce", killed, INTERVAL)]


@pytest.fixture
def under_load(cluster, tmp_path):
    """Binders, lookups under way, and one server that stays."""
    binders = cluster.binders(2)
    stays = Web(binders, tmp_path)
    lookups = Lookups(binders)
    yield binders, lookups
    lookups.close()
    stays.close()


def still_given(under_load, directory, verb, fault):
    """Seconds for which a program with this fault is still returned."""
    binders, lookups = under_load
    web = Web(binders, directory, verb)
    try:
        while web.address not in lookups.last:
            time.sleep(0.01)
        time.sleep(random.uniform(0, INTERVAL))  # somewhere between two checks
        since = time.monotonic()
        fault(web)
        return lookups.still_given(web.address, since)
    finally:
        web.close()


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("faults", "count"),
    [
        (FAULTS, 1),
        *(
            pytest.param([one], 50, marks=pytest.mark.slow, id=f"{one[0]} {one[1].__name__}")
            for one in ALL_FAULTS
        ),
    ],
)
@seldom_wrong
def test_what_fails_is_returned_no_longer_than_a_check_takes(
    under_load, tmp_path, capsys, faults, count
):
    for verb, fault, most in faults:
        seconds = [still_given(under_load, tmp_path, verb, fault) for _ in range(count)]
        with capsys.disabled():
            print(
                f"\n{verb}, {fault.__name__}: still returned for {median(seconds) * 1000:.0f} ms, "
                f"at most {max(seconds) * 1000:.0f} ms, of {count}; {under_load[1].count} lookups"
            )
        assert max(seconds) < most + SLACK, fault
