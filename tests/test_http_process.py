"""HTTP is a process of its own: whichever of the two dies or hangs, the other does its part."""

import os
import secrets
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import gevent
import pytest

from prr.demo.processes import plain_environment
from prr.shell.admin.front import PROGRAM
from prr.shell.admin.listening import listen
from prr.trust.keyring import SECRET_BYTES
from tests.http_of import HELLO, ask, binder_with_http, connect, front_of, watching, where
from tests.keys import write_keyring
from tests.nodes import NODE, PATIENCE, ROOT, Node, eventually
from tests.stopping import stop


def is_there(pid):
    """It runs, or is a zombie."""
    return Path(f"/proc/{pid}").exists()


def is_free(address):
    """Nobody listens there, and whoever wants to may."""
    with socket.socket() as bound:
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            bound.bind(address)
            bound.listen()
        except OSError:
            return False
    return True


def answers(node):
    try:
        return ask(node, "/healthz").status == 200
    except OSError:
        return False


@pytest.mark.smoke
@pytest.mark.parametrize("hangs", [False, True])
def test_when_the_binder_is_killed_it_is_gone_and_the_port_is_free(hangs, cluster):
    binder = binder_with_http(cluster)
    front, address = front_of(binder), where(binder)
    if hangs:
        stop(front)
    binder.kill()
    eventually(lambda: not is_there(front))
    assert is_free(address)


def test_when_it_is_killed_another_one_takes_its_place_and_no_lookup_notices(cluster, peers):
    binder = binder_with_http(cluster)
    first, client = front_of(binder), peers()
    with watching(binder) as stream:
        _, last, _ = stream.next()
        os.kill(first, signal.SIGKILL)
        assert client.ask(b"\x02\x09", binder.address) == b"\x04"
    assert ask(binder, "/healthz").status == 200  # who connects meanwhile waits for the next one
    binder.wait_for("HTTP at", 2)
    assert len(binder.matching(f"process {first} was killed by signal 9; another one starts")) == 1
    assert not is_there(first)
    with watching(binder, last=last) as stream:
        assert stream.next()[0] == "resync"
    assert client.ask(b"\x05\x02", binder.address) == b"\x06"
    assert ask(binder, "/v1/services/2").json["instances"][0]["address"] == client.name


def test_when_it_hangs_the_binder_goes_on_and_ends_with_it(cluster, peers):
    binder = binder_with_http(cluster)
    front, address = front_of(binder), where(binder)
    stop(front)
    for _ in range(300):  # more than the link holds, it is to be told of
        assert peers().ask(b"\x05\x02", binder.address) == b"\x06"
    assert peers().ask(b"\x02\x09", binder.address) == b"\x04"
    assert binder.terminate() == 0
    assert not is_there(front)
    assert is_free(address)


def test_a_binder_that_hangs_is_not_said_to_run(cluster):
    binder = binder_with_http(cluster, limits={"prr.shell.http.binder.CALL_LIMIT": 0.1})
    stop(binder.process.pid)
    try:
        assert ask(binder, "/healthz").status == 503
    finally:
        os.kill(binder.process.pid, signal.SIGCONT)
    eventually(lambda: answers(binder))


@pytest.mark.smoke
def test_if_it_hangs_for_long_it_is_killed_and_another_one_starts(cluster):
    limits = {"prr.shell.admin.front.LOOK": 0.3, "prr.shell.http.process.BEAT": 0.05}
    binder = binder_with_http(cluster, limits=limits)
    front = front_of(binder)
    os.kill(front, signal.SIGSTOP)
    binder.wait_for(f"HTTP: process {front} hangs, and is killed")
    binder.wait_for("HTTP at", 2)
    assert ask(binder, "/healthz").status == 200
    time.sleep(1.0)  # which does not happen to one that does not hang
    assert len(binder.matching("hangs")) == 1


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_what_is_sent_to_all_processes_the_binder_decides(number, cluster):
    binder = binder_with_http(cluster)
    front = front_of(binder)
    os.kill(front, number)
    assert ask(binder, "/healthz").status == 200
    assert is_there(front)
    assert not binder.matching("not served")


@pytest.mark.parametrize("is_there", [True, False])
def test_it_begins_before_it_loads_anything_and_only_if_the_binder_is_there(is_there):
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    said = """
import os, runpy, sys

def told(*_):
    print("gevent" in sys.modules)

os.sched_setscheduler = told
sys.modules["prr.shell.http.process"] = None
runpy.run_module("prr.shell.http", run_name="__main__")
"""
    with here, there:
        if not is_there:
            here.close()
        done = subprocess.run(
            [sys.executable, "-c", said, str(there.fileno())],
            cwd=ROOT,
            capture_output=True,
            text=True,
            pass_fds=[there.fileno()],
        )
    assert done.stdout == "False\n"
    assert done.returncode == (1 if is_there else 0), done.stderr  # where it would load the rest


def test_it_is_of_the_package_of_the_binder_wherever_it_is_started(tmp_path):
    """Not of another one that is installed; and a name with a colon is no list of names."""
    place = tmp_path / "a:b"
    place.symlink_to(ROOT)
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with here, there:
        here.close()
        command = [sys.executable, "-P", place / PROGRAM.relative_to(ROOT), "", str(there.fileno())]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, pass_fds=[there.fileno()])
    assert done.stderr == b""
    assert done.returncode == 0


def test_the_port_is_waited_for_a_moment_if_the_one_before_still_has_it():
    first = listen(("127.0.0.1", 0))
    address = first.getsockname()
    gevent.spawn_later(0.1, first.close)
    listen(address).close()


def test_where_memory_is_short_it_is_to_go_first(cluster):
    binder = binder_with_http(cluster)
    scores = [
        int(Path(f"/proc/{one}/oom_score_adj").read_text())
        for one in (front_of(binder), binder.process.pid)
    ]
    assert scores[0] > scores[1]


@pytest.mark.smoke
def test_a_terminal_s_interrupt_ends_both_cleanly():
    with subprocess.Popen(
        [sys.executable, *NODE, "binder", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0"],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        env=plain_environment(),
        process_group=0,
    ) as program:
        lines = []
        for line in program.stderr:
            lines.append(line)
            if "HTTP at" in line:
                os.killpg(program.pid, signal.SIGINT)
        assert program.wait(PATIENCE) == 0, lines
    assert not [line for line in lines if "not served" in line or "Traceback" in line]
    with pytest.raises(ProcessLookupError):
        os.killpg(program.pid, 0)


@pytest.mark.smoke
def test_it_has_no_key_not_even_in_its_memory(tmp_path, monkeypatch):
    secret = secrets.token_bytes(SECRET_BYTES)
    key = str(write_keyring(tmp_path, secret=secret))
    flags = ("--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--key", key)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    binder = Node("binder", *flags, program=NODE)
    try:
        front = Path(f"/proc/{front_of(binder)}")
        assert ask(binder, "/v1/status", headers={"Authorization": "Bearer x"}).status == 401
        said = (front / "environ").read_bytes() + (front / "cmdline").read_bytes()
        assert key.encode() not in said
        assert b"CREDENTIALS_DIRECTORY" not in said
        assert secret in memory_of(f"/proc/{binder.process.pid}")
        assert secret not in memory_of(front)
    finally:
        binder.close()


def memory_of(process):
    """All that a process may write to."""
    found = b""
    with (Path(process) / "maps").open() as maps, (Path(process) / "mem").open("rb", 0) as memory:
        for line in maps:
            begin, end = (int(one, 16) for one in line.split()[0].split("-"))
            if line.split()[1].startswith("rw"):
                try:
                    memory.seek(begin)
                    found += memory.read(end - begin)
                except OSError:
                    continue
    return found


def test_its_connections_are_none_of_the_binder_s_descriptors(cluster, peers):
    binder = binder_with_http(cluster)
    files = f"/proc/{binder.process.pid}/fd"
    before = len(os.listdir(files))
    with ExitStack() as stack:
        for _ in range(100):
            stack.enter_context(connect(binder)).sendall(HELLO)
        assert ask(binder, "/v1/services").status == 200
        assert len(os.listdir(files)) == before


def test_who_takes_nothing_gives_its_place_to_who_asks(cluster, peers):
    limits = {
        "prr.shell.http.server.CONNECTIONS_MAX": 4,
        "prr.shell.http.listener.PATIENCE": 0.2,
        "prr.shell.http.listener.SEND_BUFFER": 4096,
    }
    binder = binder_with_http(cluster, limits=limits)
    for _ in range(200):
        assert peers().ask(b"\x05\x02", binder.address) == b"\x06"
    with ExitStack() as stack:
        for _ in range(4):
            slow = stack.enter_context(socket.socket())
            slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
            slow.settimeout(PATIENCE)
            slow.connect(where(binder))
            slow.sendall(b"GET /v1/services/2?limit=1000 HTTP/1.1\r\nHost: localhost\r\n\r\n")
        eventually(lambda: answers(binder))
    assert b'reason="idle, for one more"' in ask(binder, "/metrics").body
