"""DNS over real sockets: UDP and TCP, as dig, unbound and the C library ask."""

import json
import os
import re
import resource
import shutil
import socket
import subprocess
import sys
import threading
import time
from contextlib import ExitStack, suppress
from statistics import median

import gevent
import pytest
from dnslib import DNSRecord

from prr.core.replication import sync
from prr.demo.ports import free_port
from prr.shell.dns import streams
from prr.shell.dns.queries import QUERY_BYTES_MAX
from prr.shell.dns.streams import CONNECTIONS_MAX, Streams
from tests.dns import code_of, query, read, told
from tests.families import needs_ipv6
from tests.keys import write_keyring
from tests.nodes import NODE, PATIENCE, ROOT, Cluster, Node, eventually, run


def dns_of(node):
    """Where a binder answers DNS, from its second line."""
    line = node.wait_for("^DNS of ")
    assert node.lines.index(line) == 1
    ip, port = re.search(r"on \[?([\da-f.:]+?)\]?:(\d+)$", line).groups()
    return ip, int(port)


@pytest.fixture
def binder(cluster):
    """One that answers DNS."""
    node = cluster.binder("--dns", "127.0.0.1:0")
    node.wait_for("state in memory")
    return node


def udp(address, data, timeout=PATIENCE):
    """What comes back for a datagram; None if nothing does."""
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as asking:
        asking.settimeout(timeout)
        asking.sendto(data, address)
        try:
            return asking.recv(2000)
        except TimeoutError:
            return None


def framed(data):
    """A message as it goes over TCP."""
    return len(data).to_bytes(2, "big") + data


def receive(connection, count=1):
    """So many messages from a connection; fewer if it ends, or is reset."""
    found = []
    with connection.makefile("rb") as reading, suppress(ConnectionResetError):
        while len(found) < count and (head := reading.read(2)):
            found.append(reading.read(int.from_bytes(head, "big")))
    return found


def connect(address):
    """A connection."""
    return socket.create_connection(address, timeout=PATIENCE)


def dns_status(node):
    """What `status` says of DNS."""
    return json.loads(run("status", "--binder", node.name, "--output", "json").stdout)["dns"]


@pytest.mark.smoke
def test_a_server_is_found_over_udp_and_tcp_and_gone_when_it_has_left(cluster, binder):
    address = dns_of(binder)
    server = cluster.server(7, binder)
    data = query("_7._udp.prr", "SRV")
    expected = [f"0 1 {server.address[1]} 127-0-0-1.ip.prr."]
    assert told(read(udp(address, data))) == expected
    with connect(address) as connection:
        connection.sendall(framed(data))
        assert [told(read(one)) for one in receive(connection)] == [expected]
    assert code_of(read(udp(address, query("8.prr")))) == "NXDOMAIN"
    server.terminate()
    assert code_of(read(udp(address, data))) == "NXDOMAIN"
    said = dns_status(binder)
    assert (said["NOERROR"], said["NXDOMAIN"], said["dropped by the kernel"]) == (2, 2, 0)


def test_several_queries_of_a_connection_are_answered_in_their_order(binder):
    """However they are cut into segments."""
    data = b"".join(framed(query(f"n{number}.prr", number=number)) for number in range(20))
    with connect(dns_of(binder)) as connection:
        for at in range(0, len(data), 7):
            connection.sendall(data[at : at + 7])
        found = receive(connection, 20)
    assert [int.from_bytes(one[:2], "big") for one in found] == [*range(20)]


@pytest.mark.smoke
@pytest.mark.parametrize(
    "data",
    [
        framed(bytes(QUERY_BYTES_MAX + 1)),
        framed(b""),
        framed(b"\x12\x34\x81\x00" + bytes(8)),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
    ids=["too long", "empty", "an answer", "another protocol"],
)
def test_what_is_no_query_ends_the_connection(binder, data):
    with connect(dns_of(binder)) as connection:
        connection.sendall(data)
        assert receive(connection) == []
    assert code_of(read(udp(dns_of(binder), query("prr")))) == "NOERROR"


@pytest.mark.smoke
def test_whoever_holds_all_connections_keeps_nobody_out(binder):
    address, data = dns_of(binder), query("prr", "SOA")
    with ExitStack() as held:
        kept = held.enter_context(connect(address))
        silent = []
        for _ in range(CONNECTIONS_MAX + 20):
            silent.append(held.enter_context(connect(address)))
            if len(silent) % 40 == 0:
                kept.sendall(framed(data))
                assert len(receive(kept)) == 1
        with connect(address) as another:
            another.sendall(framed(data))
            assert len(receive(another)) == 1
        assert receive(silent[0]) == []  # it was closed
        kept.sendall(framed(data))
        assert len(receive(kept)) == 1
        assert dns_status(binder)["connections"] <= CONNECTIONS_MAX
    eventually(lambda: dns_status(binder)["connections"] == 0)


def trickle(connection):
    """A query, too slowly; never all of it."""
    for byte in framed(bytes(20))[:-1]:
        time.sleep(0.05)
        connection.sendall(bytes((byte,)))


def test_all_connections_together_have_one_answer_before_lookups_have_their_turn():
    """However many there are, and however many queries each has sent."""
    loop, rounds = gevent.get_hub().loop, []

    def answer(data, most):
        rounds.append(loop.iteration)
        return data

    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    answering = Streams(answer)
    serving = gevent.spawn(answering.listen, listening)
    with ExitStack() as held:
        for _ in range(10):
            connection = held.enter_context(connect(listening.getsockname()))
            connection.sendall(framed(bytes(20)) * 10)
        with gevent.Timeout(PATIENCE):
            while len(rounds) < 100:
                gevent.sleep(0.01)
    assert len(set(rounds)) == 100
    serving.kill()
    while answering.size[0]:
        gevent.sleep(0.01)


@pytest.mark.smoke
@pytest.mark.parametrize(
    "misbehave",
    [
        lambda connection: None,
        lambda connection: connection.sendall(b"\0"),
        trickle,
        lambda connection: connection.sendall(framed(bytes(20)) * 500),
    ],
    ids=["silent", "silent in a query", "slow", "reads nothing"],
)
def test_a_connection_that_keeps_others_waiting_is_closed(monkeypatch, misbehave):
    monkeypatch.setattr(streams, "IDLE", 0.2)
    listening = socket.create_server(("127.0.0.1", 0))
    listening.setblocking(False)
    answering = Streams(lambda data, most: bytes(60000))
    serving = gevent.spawn(answering.listen, listening)
    with socket.create_connection(listening.getsockname(), timeout=PATIENCE) as connection:

        def use():
            with suppress(OSError):
                misbehave(connection)

        misbehaving = threading.Thread(target=use)
        misbehaving.start()
        seen, ends_at = 0, time.monotonic() + PATIENCE
        while not seen or answering.size[0]:
            seen |= answering.size[0]
            assert time.monotonic() < ends_at
            gevent.sleep(0.01)
        misbehaving.join(PATIENCE)
    serving.kill()


@pytest.mark.smoke
def test_a_process_without_descriptors_goes_on_answering(binder):
    address, data = dns_of(binder), query("prr", "SOA")
    pid = binder.process.pid
    limit = len(os.listdir(f"/proc/{pid}/fd")) + 10
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, limit))
    with ExitStack() as held:
        for _ in range(30):
            held.enter_context(connect(address))
        eventually(lambda: dns_status(binder)["connections"] >= 5)
        assert len(read(udp(address, data)).rr) == 1
    with connect(address) as connection:
        connection.sendall(framed(data))
        assert len(receive(connection)) == 1


@pytest.mark.smoke
def test_junk_gets_an_error_or_nothing_and_the_next_is_answered(binder):
    address = dns_of(binder)
    assert udp(address, b"\0" * 5, timeout=0.2) is None
    assert udp(address, b"\x12\x34\x81\x00" + bytes(30), timeout=0.2) is None
    assert code_of(DNSRecord.parse(udp(address, b"\x12\x34\x01\x00" + bytes(30)))) == "FORMERR"
    assert code_of(read(udp(address, query("prr")))) == "NOERROR"


@needs_ipv6
def test_both_families_are_answered_on_one_port(cluster):
    binder = cluster.start("binder", "--listen", "127.0.0.1:0", "--dns", "[::]:0")
    _, port = dns_of(binder)
    for ip in ("127.0.0.1", "::1"):
        assert code_of(read(udp((ip, port), query("prr")))) == "NOERROR"
        with connect((ip, port)) as connection:
            connection.sendall(framed(query("prr")))
            assert len(receive(connection)) == 1


@pytest.mark.smoke
def test_a_binder_that_waits_for_its_peers_denies_nothing(cluster):
    peer = f"127.0.0.1:{free_port()}"
    held = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    held.bind(("127.0.0.1", int(peer.partition(":")[2])))  # there, and silent
    with held:
        flags = ("--dns", "127.0.0.1:0", "--peer", peer)
        binder = cluster.binder(*flags, limits={f"{sync.__name__}.SYNC_WAIT": 2.5})
        assert code_of(read(udp(dns_of(binder), query("7.prr")))) == "SERVFAIL"
        binder.wait_for("synced|silent|isolated")
        eventually(lambda: code_of(read(udp(dns_of(binder), query("7.prr")))) == "NXDOMAIN")


@pytest.mark.smoke
@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, socket.SOCK_STREAM])
def test_a_port_that_is_taken_is_told(kind):
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        where = f"127.0.0.1:{taken.getsockname()[1]}"
        done = run("binder", "--listen", "127.0.0.1:0", "--dns", where)
    assert done.returncode == 2
    assert f"cannot listen on {where}: another program has that port" in done.stderr


@pytest.mark.smoke
def test_where_lookups_need_a_key_nobody_gets_around_that_by_dns(cluster, tmp_path):
    arguments = ("binder", "--listen", "127.0.0.1:0", "--dns", "127.0.0.1:0")
    key = ("--key", str(write_keyring(tmp_path)))
    done = run(*arguments, *key, "--require-lookup")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--dns answers anybody" in done.stderr
    open_to_all = cluster.start(*arguments, *key)
    assert code_of(read(udp(dns_of(open_to_all), query("prr")))) == "NOERROR"


@pytest.mark.smoke
def test_without_dnslib_it_is_told_what_to_install_and_without_dns_it_is_not_loaded():
    asked = "sys.exit(main(['binder', '--listen', '127.0.0.1:0', '--dns', '127.0.0.1:0']))"
    script = f"import sys; sys.modules['dnslib'] = None\nfrom prr.cli.main import main\n{asked}"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert "cannot load the package dnslib" in done.stderr and "pip install" in done.stderr
    script = "import sys, prr.cli.roles, prr.shell.binder_node\nprint(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    loaded = done.stdout.split()
    assert "prr.cli.dns" in loaded
    assert not [name for name in loaded if "dnslib" in name or name.startswith("prr.shell.dns")]


@pytest.mark.smoke
def test_lookups_are_answered_while_queries_flood_in(cluster, binder):
    server = cluster.server(7, binder)
    address, over = dns_of(binder), threading.Event()

    def flood():
        data = query("_7._udp.prr", "SRV")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            while not over.is_set():
                sending.sendto(data, address)

    flooding = threading.Thread(target=flood)
    flooding.start()
    try:
        eventually(lambda: dns_status(binder)["dropped by the kernel"] > 0)
        before = dns_status(binder)
        took = [lookup(binder, server.address) for _ in range(50)]
        eventually(lambda: dns_status(binder)["NOERROR"] > before["NOERROR"] + 50)
    finally:
        over.set()
        flooding.join()
    assert median(took) < 0.5


def lookup(binder, expected):
    """Ask for type 7 with a frame; seconds until the answer is there."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        asking.settimeout(PATIENCE)
        began_at = time.monotonic()
        asking.sendto(b"\2\7", binder.address)
        answer = asking.recv(100)
    assert (".".join(map(str, answer[1:5])), answer[5] | answer[6] << 8) == expected
    return time.monotonic() - began_at


# With the programs that others use.


def needs(*tools):
    """A mark: skipped, with the reason, where a program is missing."""
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


def dig(address, *words):
    """What dig prints."""
    where = [f"@{address[0]}", "-p", str(address[1]), "+tries=1", "+time=5"]
    done = subprocess.run(["dig", *where, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout


@pytest.mark.smoke
@needs("dig")
def test_dig_takes_the_answers_without_a_warning(cluster, binder):
    address = dns_of(binder)
    ports = sorted(cluster.server(7, binder).address[1] for _ in range(3))
    for words in (["+tcp"], ["+notcp"], ["+noedns"], ["+bufsize=512"], ["+cookie", "+nsid"]):
        said = dig(address, "_7._udp.prr", "SRV", "+norecurse", *words)
        assert "status: NOERROR" in said and "ANSWER: 3" in said
        assert sorted(map(int, re.findall(r"SRV\t0 1 (\d+) 127-0-0-1", said))) == ports
        assert not re.search("WARNING|malformed|bad|extra", said, re.IGNORECASE)


@needs("dig")
@pytest.mark.parametrize(
    ("words", "status"),
    [
        (["none.prr"], "NXDOMAIN"),
        (["example.com"], "REFUSED"),
        (["CH", "TXT", "version.bind"], "REFUSED"),
        (["+opcode=notify", "prr"], "NOTIMP"),
        (["+opcode=update", "prr"], "NOTIMP"),
        (["+header-only"], "FORMERR"),
        (["+edns=1", "+noednsneg", "prr"], "BADVERS"),
        (["_udp.prr"], "NOERROR"),
        (["prr", "TYPE65280"], "NOERROR"),
    ],
    ids=str,
)
def test_dig_reads_every_refusal(binder, words, status):
    assert f"status: {status}" in dig(dns_of(binder), "+norecurse", *words)


@pytest.mark.smoke
@needs("dig")
def test_nobody_gets_a_transfer(binder):
    assert "Transfer failed" in dig(dns_of(binder), "prr", "AXFR")
    assert dns_status(binder)["REFUSED"] == 1


@pytest.mark.smoke
@needs("dig", "unbound", "unshare", "ip")
@pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
def test_the_c_library_finds_services_through_unbound(tmp_path):
    namespaces = ["unshare", "--net", "--mount", "--fork", "--pid", "--mount-proc", "--kill-child"]
    script = [sys.executable, "-m", "tests.resolving", tmp_path]
    done = subprocess.run([*namespaces, *script], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    both = [{"127.0.0.1", "127.0.0.2"}] * 4
    assert [set(one) for one in found["library"]] == both
    assert found["target"] == ["127.0.0.2"]
    assert found["after one has left"] == ["127.0.0.2"]
    assert found["no such name"] == ["Name or service not known"]
    for key, domain in (("srv", "prr"), ("stub", "other")):
        pattern = rf"0 1 \d+ 127-0-0-[12]\.ip\.{domain}\."
        assert len(found[key]) == 2 and all(re.fullmatch(pattern, one) for one in found[key])


@pytest.mark.smoke
@needs("dnsperf")
def test_dnsperf_gets_an_answer_to_every_query(tmp_path):
    asked = tmp_path / "queries"
    asked.write_text("_7._udp.prr SRV\n7.prr A\n7.prr AAAA\nnone.prr A\nexample.com A\n")
    cluster = Cluster()
    try:
        binder = Node("binder", "--listen", "127.0.0.1:0", "--dns", "127.0.0.1:0", program=NODE)
        cluster.nodes.append(binder)
        for _ in range(3):
            cluster.server(7, binder)
        ip, port = dns_of(binder)
        for mode in ("udp", "tcp"):
            words = ["-s", ip, "-p", str(port), "-m", mode, "-d", asked, "-n", "100", "-q", "50"]
            done = subprocess.run(["dnsperf", *words], capture_output=True, text=True)
            assert re.search(r"Queries completed: +500 \(100.00%\)", done.stdout), done.stdout
            assert re.search(r"NOERROR 300.*REFUSED 100.*|NXDOMAIN 100", done.stdout)
    finally:
        cluster.close()


@needs("unbound-checkconf")
def test_the_resolver_s_settings_that_are_shown_are_valid(tmp_path):
    text = (ROOT / "docs" / "dns.md").read_text()
    (shown,) = re.findall(r"^```conf\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    path = tmp_path / "unbound.conf"
    path.write_text(f'{shown}server:\n    chroot: ""\n    directory: "{tmp_path}"\n')
    done = subprocess.run(["unbound-checkconf", path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
