"""run and announce with real programs: found, killed, gone, back; signals, exit codes, children."""

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

import pytest

from prr.demo.ports import free_port
from tests.netns import why_not
from tests.nodes import NODE, Node, eventually, run
from tests.stopping import stop

HTTP = (sys.executable, "-m", "http.server", "--bind", "127.0.0.1")
FAST = ("--check-interval", "0.1", "--check-timeout", "2", "--grace", "0")


def listed(binder):
    """What the binder lists as up: the addresses."""
    rows = json.loads(run("list", "--output", "json", "--binder", binder.name).stdout)
    return [row["address"] for row in rows if row["state"] == "up"]


def child_of(node):
    """The process id of the program that an agent runs."""
    pid = node.process.pid
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        (child,) = children.read().split()
    return int(child)


class Agents:
    """The agents of one test, each a process of its own: they start processes themselves."""

    def __init__(self, binder):
        self.binder, self.nodes = binder, []

    def start(self, verb, *arguments, command=()):
        flags = ("--binder", self.binder.name, *FAST[: None if verb == "run" else 4])
        behind = ("--", *command) if command else ()
        node = Node(verb, *flags, *arguments, *behind, program=NODE)
        self.nodes.append(node)
        return node

    def web(self, *arguments):
        """An unchanged web server behind the name "web", confirmed; it, and its address."""
        port = str(free_port())
        node = self.start("run", "--type", "web", "--port", port, *arguments, command=(*HTTP, port))
        node.wait_for("INFO confirmed")
        return node, f"127.0.0.1:{port}"


@pytest.fixture
def agents(cluster):
    started = Agents(cluster.binder())
    yield started
    for node in started.nodes:
        if node.process.poll() is None:
            with contextlib.suppress(OSError, ValueError):
                os.kill(child_of(node), signal.SIGKILL)
        node.close()


@pytest.mark.smoke
def test_a_program_ends_with_its_agent_so_that_its_successor_has_its_port(agents):
    node, address = agents.web()
    program = child_of(node)
    node.kill()
    eventually(lambda: not os.path.exists(f"/proc/{program}/exe"))  # a zombie has none
    port = address.rpartition(":")[2]
    again = agents.start("run", "--type", "web", "--port", port, command=(*HTTP, port))
    again.wait_for("INFO confirmed")
    found = f"{address}\n"
    eventually(lambda: run("lookup", "web", "--binder", agents.binder.name).stdout == found)


def test_what_a_program_leaves_in_its_process_group_ends_with_it(agents, tmp_path):
    """Its successor would find its port taken."""
    left = tmp_path / "left"
    leaves = f"sleep 30 & echo $! >{left}; exit 3"
    node = agents.start("run", "--type", "web", "--port", "1", command=("sh", "-c", leaves))
    assert node.process.wait(10) == 3
    eventually(lambda: not os.path.exists(f"/proc/{int(left.read_text())}/exe"))


@pytest.mark.smoke
def test_an_unchanged_program_is_found_killed_gone_and_back(agents):
    node, address = agents.web("--restart")
    assert run("lookup", "web", "--binder", agents.binder.name).stdout == f"{address}\n"
    os.kill(child_of(node), signal.SIGKILL)
    node.wait_for("ended web.*: killed by signal 9; started again in 0 s")
    agents.binder.wait_for("deregistered web")  # nobody had to complain
    node.wait_for("INFO confirmed", 2)
    assert listed(agents.binder) == [address]


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("code", "status"), [("exit 7", 7), ("kill -9 $$", 137), ("exit 0", 0), ("/no/such/thing", 127)]
)
def test_the_program_s_exit_code_becomes_the_agent_s(agents, code, status, tmp_path):
    confirmed = tmp_path / "confirmed"
    node = agents.start(
        "run",
        "--type",
        "7",
        "--port",
        str(free_port()),
        "--check",
        "none",
        command=("sh", "-c", f"until [ -e {confirmed} ]; do sleep 0.05; done; {code}"),
    )
    node.wait_for("INFO confirmed")
    confirmed.touch()
    assert node.process.wait(10) == status
    assert listed(agents.binder) == []


@pytest.mark.smoke
def test_sigterm_deregisters_first_gives_calls_under_way_time_and_then_ends_the_program(agents):
    node, _ = agents.web("--grace", "1")
    child = child_of(node)
    began_at = time.monotonic()
    node.process.terminate()
    node.wait_for("deregistered")
    assert os.path.exists(f"/proc/{child}")
    assert listed(agents.binder) == []
    assert node.process.wait(10) == 128 + signal.SIGTERM
    assert time.monotonic() - began_at >= 1.0
    assert not os.path.exists(f"/proc/{child}")


@pytest.mark.smoke
def test_a_program_that_ignores_sigterm_is_killed_with_what_it_has_started(agents):
    code = "trap '' TERM; sleep 985 & echo ready; while :; do sleep 0.1; done"
    node = agents.start(
        "run",
        "--type",
        "7",
        "--port",
        str(free_port()),
        "--check",
        "none",
        "--kill-after",
        "0.3",
        command=("sh", "-c", code),
    )
    node.wait_for("INFO confirmed")
    node.process.terminate()
    assert node.process.wait(10) == 137
    # It is killed, and ends when it has its turn.
    sleeps = ["pgrep", "-f", "^sleep 985$"]
    eventually(lambda: subprocess.run(sleeps, capture_output=True).returncode == 1)


@pytest.mark.smoke
def test_signals_are_passed_on_and_output_is_the_program_s_own(agents):
    code = (
        "import signal, time\n"
        "for n in (signal.SIGUSR1, signal.SIGHUP):\n"
        "    signal.signal(n, lambda n, _: print('got', n, flush=True))\n"
        "print('ready', flush=True)\n"
        "while True: time.sleep(0.1)"
    )
    node = agents.start(
        "run",
        "--type",
        "7",
        "--port",
        str(free_port()),
        "--check",
        "none",
        command=(sys.executable, "-c", code),
    )
    node.wait_for("INFO confirmed")
    assert node.process.stdout.readline() == "ready\n"
    for number in (signal.SIGUSR1, signal.SIGHUP):
        node.process.send_signal(number)
        assert node.process.stdout.readline() == f"got {int(number)}\n"


@pytest.mark.smoke
def test_a_failing_check_takes_it_out_and_a_passing_one_brings_it_back(agents, tmp_path):
    """The health endpoint turned to an error: the file that it serves is away."""
    (tmp_path / "health").write_text("fine")
    port = str(free_port())
    health = f"http://127.0.0.1:{port}/health"
    node = agents.start(
        "run",
        "--type",
        "web",
        "--port",
        port,
        "--check",
        health,
        command=(*HTTP, "--directory", str(tmp_path), port),
    )
    node.wait_for("INFO confirmed")
    (tmp_path / "health").rename(tmp_path / "away")
    node.wait_for("check failed web.*: GET .*/health: 404")
    eventually(lambda: listed(agents.binder) == [])
    (tmp_path / "away").rename(tmp_path / "health")
    node.wait_for("INFO confirmed", 2)
    assert len(listed(agents.binder)) == 1, (agents.binder.lines, node.lines)


@pytest.mark.smoke
def test_a_program_that_hangs_is_out_of_turn(agents):
    """SIGSTOP: the kernel still accepts its connections, so it takes a check that asks it."""
    port = str(free_port())
    node = agents.start(
        "run",
        "--type",
        "web",
        "--port",
        port,
        "--check",
        f"http://127.0.0.1:{port}/",
        "--check-timeout",
        "0.2",
        command=(*HTTP, port),
    )
    node.wait_for("INFO confirmed")
    stop(child_of(node))
    node.wait_for("check failed web.*: no result within 0.2 s")
    eventually(lambda: listed(agents.binder) == [])
    os.kill(child_of(node), signal.SIGCONT)
    node.wait_for("INFO confirmed", 2)


@pytest.mark.smoke
@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs redis-server")
def test_a_program_that_somebody_else_runs_is_announced(agents):
    port = str(free_port())
    command = ["redis-server", "--port", port, "--bind", "127.0.0.1", "--save", ""]
    node = agents.start("announce", "--type", "db", "--at", f"127.0.0.1:{port}")
    redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    node.wait_for("INFO confirmed")
    redis.kill()
    redis.wait()
    node.wait_for("check failed db")
    eventually(lambda: listed(agents.binder) == [])
    redis = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        node.wait_for("INFO confirmed", 2)
        assert node.terminate() == 0
        assert listed(agents.binder) == []
    finally:
        redis.kill()
        redis.wait()


@pytest.mark.smoke
def test_it_works_over_ipv6(cluster):
    binder, port = cluster.start("binder", "--listen", "[::1]:0"), str(free_port())
    found = binder.wait_for("listening on").rpartition(" ")[2]
    node = Node(
        *("run", "--type", "web", "--port", port, "--binder", found, *FAST),
        *("--check", f"http://[::1]:{port}/", "--"),
        *(sys.executable, "-m", "http.server", "--bind", "::1", port),
        program=NODE,
    )
    try:
        node.wait_for("INFO confirmed")
        done = run("lookup", "web", "--binder", found, "--format", "url:http")
        assert done.stdout == f"http://[::1]:{port}\n"
        done = run("exec", "--binder", found, "--complain-on", "1", "web", "--", "false", "{}")
        assert done.returncode == 1
        binder.wait_for(f"complaint web at .::1.:{port}")
        binder.wait_for(f"verified web at .::1.:{port}")
    finally:
        node.terminate()
        node.close()


@pytest.mark.smoke
def test_all_of_it_may_stand_in_a_file(agents, tmp_path):
    port, path = free_port(), tmp_path / "web.toml"
    words = ", ".join(f'"{word}"' for word in (*HTTP, port))
    path.write_text(f'[run]\ncommand = [{words}]\ntype = "web"\nport = {port}\nrestart = true\n')
    node = agents.start("run", "--config", str(path))
    node.wait_for("INFO confirmed")
    os.kill(child_of(node), signal.SIGTERM)
    node.wait_for("INFO confirmed", 2)


def announce_toml(path, binder, *rows):
    """A file with a table for each of `rows`: (service, port, check)."""
    text = "".join(
        f'[[announce]]\ntype = "{type_}"\nat = "127.0.0.1:{port}"\ncheck = "{check}"\n'
        f'binders = ["{binder.name}"]\n'
        for type_, port, check in rows
    )
    path.write_text(text)
    return ("announce", "--config", str(path))


@pytest.mark.smoke
def test_one_process_announces_several_and_follows_its_file(agents, tmp_path):
    """SIGHUP: what is new comes, what is gone goes, and what stays notices nothing."""
    ports = [free_port() for _ in range(4)]
    sockets = [socket.create_server(("127.0.0.1", port)) for port in ports]
    path, binder = tmp_path / "announce.toml", agents.binder
    rows = [("stays", ports[0], "tcp"), ("goes", ports[1], "tcp"), ("changes", ports[2], "tcp")]
    node = Node(*announce_toml(path, binder, *rows), program=NODE)
    agents.nodes.append(node)
    try:
        for name, *_ in rows:
            node.wait_for(f"INFO confirmed {name}")
        rows = [rows[0], ("changes", ports[2], "none"), ("comes", ports[3], "tcp")]
        announce_toml(path, binder, *rows)
        node.process.send_signal(signal.SIGHUP)
        node.wait_for("INFO confirmed comes")
        node.wait_for("INFO confirmed changes", 2)
        node.wait_for("INFO deregistered goes")
        assert sorted(listed(binder)) == sorted(f"127.0.0.1:{row[1]}" for row in rows)
        assert not binder.matching("deregistered stays")

        path.write_text("[[announce]]\ntype = 7\n")
        node.process.send_signal(signal.SIGHUP)
        node.wait_for("settings not reloaded: no at given")
        assert node.terminate() == 0
        assert listed(binder) == []
        assert len(binder.matching("deregistered stays")) == 1
    finally:
        for one in sockets:
            one.close()


@pytest.mark.smoke
def test_two_tables_for_one_instance_are_told(cluster, tmp_path):
    binder = cluster.binder()
    done = run(*announce_toml(tmp_path / "a.toml", binder, ("a", 80, "tcp"), ("a", 80, "none")))
    assert done.returncode == 2 and "two tables [[announce]] for a at 127.0.0.1:80" in done.stderr


@pytest.mark.smoke
def test_a_port_that_is_taken_is_told(cluster):
    binder = cluster.binder()
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = str(other.getsockname()[1])
        done = run("run", "--type", "7", "--port", port, "--binder", binder.name, "--", "true")
    assert done.returncode == 2
    assert f"another program listens on 127.0.0.1:{port} already" in done.stderr


@pytest.mark.smoke
def test_a_binder_may_come_later(cluster):
    port, web = free_port(), str(free_port())
    node = Node(
        *("run", "--type", "web", "--port", web, "--binder", f"127.0.0.1:{port}", *FAST),
        *("--", *HTTP, web),
        program=NODE,
    )
    try:
        node.wait_for("no confirmation")
        cluster.start("binder", "--listen", f"127.0.0.1:{port}")
        node.wait_for("INFO confirmed")
    finally:
        node.terminate()
        node.close()


@pytest.mark.slow
def test_as_the_first_process_of_a_container_it_reaps_whatever_is_left_to_it(agents):
    if reason := why_not():
        pytest.skip(reason)
    code = "(sleep 0.1 &) ; (sleep 0.1 &) ; sleep 1; ps -e -o pid=,stat=,comm="
    done = subprocess.run(
        [
            *("unshare", "--pid", "--fork", "--mount-proc", sys.executable, *NODE, "run"),
            *("--type", "7", "--port", str(free_port()), "--check", "none"),
            *("--binder", agents.binder.name, "--", "sh", "-c", code),
        ],
        capture_output=True,
        text=True,
        timeout=20,
    )
    assert done.returncode == 0, done.stderr
    assert " Z" not in done.stdout and "sleep" not in done.stdout
    assert "sh" in done.stdout


@pytest.mark.smoke
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("run", "--type", "7", "--", "true"), "--port"),
        (("run", "--port", "80", "--", "true"), "--type"),
        (("run", "--type", "7", "--port", "80"), "-- COMMAND"),
        (("run", "--type", "7", "--port", "80", "--", "/no/such"), "/no/such"),
        (("run", "--type", "7", "--port", "80", "--check", "x", "--", "true"), "udp:HEX"),
        (("announce", "--type", "7"), "--at"),
        (("announce", "--type", "7", "--at", "192.0.2.1:80"), "not on this host"),
        (
            ("announce", "--type", "7", "--at", "127.0.0.1:80", "--binder", "192.0.2.1:2222"),
            "loopback",
        ),
    ],
)
def test_wrong_usage_is_told(arguments, said):
    done = run(*arguments)
    assert done.returncode == 2
    assert said in done.stderr and len(done.stderr.splitlines()) == 1
