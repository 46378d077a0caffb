"""The other systems: how each is started on loopback, and its closest question to a lookup.

Each has one name with three instances, and runs on one core as its documentation recommends.
"""

import importlib.util
import json
import os
import shutil
import socket
import struct
import sys
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from benchmarks.arguments import HERE, Trouble
from benchmarks.proc import cores
from benchmarks.processes import LIMIT, Started, until
from benchmarks.tally import Load
from prr.demo.ports import free_port

PORTS = (4001, 4002, 4003)
ADDRESSES = [f"{HERE}:{port}" for port in PORTS]
PATH = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"  # root's too


class Stage:
    """Where one system runs: a folder, a port and its processes, which end with `stack`."""

    def __init__(self, stack: ExitStack, folder: Path) -> None:
        folder.mkdir()
        self._stack = stack
        self.folder = folder
        self.port = free_port()
        self.pids: list[int] = []
        self.inside: tuple[str, ...] = ()  # a command that enters where the server is, if it has to

    def run(self, *command: object, **environment: str) -> Started:
        """Start a server on the core of what is measured."""
        found = cores()
        where = {"folder": self.folder, "core": found[1][0] if found else None}
        server = Started(self._stack, *command, **where, PATH=PATH, **environment)
        self.pids.append(server.pid)
        return server

    def write(self, name: str, text: str) -> Path:
        """A file of the system's settings."""
        path = self.folder / name
        path.write_text(text)
        return path

    def connect(self) -> socket.socket:
        """A connection to its port, once it takes one."""
        where = (HERE, self.port)
        made = until(lambda: socket.create_connection(where, 5), "it took no connection")
        return self._stack.enter_context(made)

    def tell(self, data: bytes) -> None:
        """Say something to it, and wait for its answer."""
        with self.connect() as server:
            server.sendall(data)
            server.recv(1000)

    def in_turn(self, question: bytes, expected: bytes, hello: bytes = b"") -> Load:
        """One question at a time on each of 64 connections."""
        return replace(self.at_once("tcp", question, expected, hello), sockets=64)

    def at_once(self, how: str, question: bytes, expected: bytes, hello: bytes = b"") -> Load:
        """Eight questions at a time on each of 8 sockets."""
        return Load([(HERE, self.port)], how=how, question=question, expected=expected, hello=hello)


@dataclass(frozen=True, slots=True)
class System:
    """One of the others."""

    name: str
    more: str  # what it does more, or less, for a question
    needs: tuple[str, ...]  # programs, and packages of Python in brackets
    start: Callable[[Stage], Load]

    def missing(self) -> str | None:
        """What is not installed here."""
        for need in self.needs:
            package = need.strip("()")
            if package != need and importlib.util.find_spec(package) is None:
                return f"the Python package {package}"
            if package == need and which(need) is None:
                return need
        return None


SYSTEMS: list[System] = []


def system(name: str, more: str, *needs: str) -> Callable[[Callable], Callable]:
    """Adds a system to SYSTEMS; the function starts it and returns the load for it."""

    def put(start: Callable[[Stage], Load]) -> Callable:
        SYSTEMS.append(System(name, more, needs, start))
        return start

    return put


def which(program: str) -> str | None:
    """Where a program is, in the folders of root's path too."""
    return shutil.which(program, path=PATH)


# Python's own.


@system("RPyC registry", "gives all instances, sorted by age, those too old left out", "(rpyc)")
def _rpyc(stage: Stage) -> Load:
    from rpyc.core import brine

    program = "import sys; from rpyc.utils.registry import UDPRegistryServer as Server; "
    program += f"Server('{HERE}', int(sys.argv[1])).start()"
    stage.run(sys.executable, "-c", program, stage.port)
    with socket.socket(type=socket.SOCK_DGRAM) as server:
        server.settimeout(0.1)
        server.connect((HERE, stage.port))
        for port in PORTS:
            said = brine.dump(("RPYC", "REGISTER", (("ECHO",), port)))
            until(lambda said=said: server.send(said) and server.recv(1500), "it took no server")
    return stage.at_once("udp", brine.dump(("RPYC", "QUERY", ("ECHO",))), HERE.encode())


@system("Pyro5 name server", "an object call, by TCP; gives one URI", "(Pyro5)")
def _pyro(stage: Stage) -> Load:
    from Pyro5 import api, protocol, serializers

    program = f"from Pyro5.nameserver import start_ns_loop as ns; ns('{HERE}', {stage.port}, False)"
    stage.run(sys.executable, "-c", program, PYRO_SERVERTYPE="multiplex")
    stage.connect().close()  # an idle one would hold it up
    names = api.Proxy(f"PYRO:Pyro.NameServer@{HERE}:{stage.port}")
    names.register("echo", f"PYRO:echo@{ADDRESSES[0]}")
    names._pyroRelease()
    serpent = serializers.serializers["serpent"]
    hello = serpent.dumps({"handshake": "hello", "object": "Pyro.NameServer"})
    call = serpent.dumpsCall("Pyro.NameServer", "lookup", ("echo",), {})
    connect, invoke = (
        protocol.SendingMessage(kind, 0, 1, serpent.serializer_id, data).data
        for kind, data in ((protocol.MSG_CONNECT, hello), (protocol.MSG_INVOKE, call))
    )
    return stage.in_turn(invoke, b"4001", connect)


# One datagram in, one out.


@system(
    "rpcbind",
    "unpacks an RPC call; gives a port, no address, of one instance only",
    "rpcbind",
    "unshare",
    "nsenter",
    "ip",
)
def _rpcbind(stage: Stage) -> Load:
    """It has one port, 111, and one folder under /run: it gets a network and a /run of its own."""
    if os.geteuid() != 0:
        raise Trouble("it wants port 111, for which a network of its own is made: run this as root")
    script = "ip link set lo up && mount -t tmpfs none /run && exec rpcbind -f"
    server = stage.run("unshare", "--net", "--mount", "sh", "-c", script)
    stage.inside = ("nsenter", "--net", f"--target={server.pid}")
    stage.port = 111
    comm = Path(f"/proc/{server.pid}/comm")
    server.until(lambda: comm.read_text() == "rpcbind\n", "it did not start")
    # call 1: RPC 2, program 100000 (itself) version 2, GETPORT, no credentials; of itself by TCP
    call = struct.pack(">10I", 1, 0, 2, 100000, 2, 3, 0, 0, 0, 0)
    asked = struct.pack(">4I", 100000, 2, socket.IPPROTO_TCP, 0)
    return stage.at_once("udp", call + asked, struct.pack(">I", 111))


def _start_memcached(stage: Stage) -> bytes:
    """The value that it gives then."""
    user = ["-u", "root"] if os.geteuid() == 0 else []
    ports = ["-l", HERE, "-p", stage.port, "-U", stage.port]
    stage.run("memcached", *ports, "-t", "1", *user)
    value = ADDRESSES[0].encode()
    stage.tell(b"set echo 0 0 %d\r\n%b\r\n" % (len(value), value))
    return value


@system("memcached UDP", "a plain get, no turns", "memcached")
def _memcached_udp(stage: Stage) -> Load:
    frame = struct.pack(">4H", 1, 0, 1, 0)  # request, datagram 0 of 1
    value = _start_memcached(stage)
    return stage.at_once("udp", frame + b"get echo\r\n", value)


@system("memcached TCP", "by TCP; a plain get, no turns", "memcached")
def _memcached_tcp(stage: Stage) -> Load:
    return stage.in_turn(b"get echo\r\n", _start_memcached(stage))


@system("dnsmasq SRV", "reads a name, gives all instances by name", "dnsmasq")
def _dnsmasq(stage: Stage) -> Load:
    records = [
        f"--srv-host=_echo._udp.prr.test,{host}.prr.test,{port}"
        for host, port in zip("abc", PORTS, strict=True)
    ]
    where = [f"--port={stage.port}", f"--listen-address={HERE}", "--bind-interfaces", "--pid-file"]
    user = ["--user=root"] if os.geteuid() == 0 else []
    alone = ["--keep-in-foreground", "--conf-file=/dev/null", "--no-resolv", "--no-hosts"]
    stage.run("dnsmasq", *alone, *where, *user, *records)
    return _srv_question(stage)


@system(
    "knotd SRV", "reads a name, gives all instances by name, with their addresses beside", "knotd"
)
def _knotd(stage: Stage) -> Load:
    records = [
        f"_echo._udp SRV 0 0 {port} {host}\n{host} A {HERE}\n"
        for host, port in zip("abc", PORTS, strict=True)
    ]
    stage.write("prr.test.zone", "@ SOA a h 1 9 9 9 9\n@ NS a\n" + "".join(records))
    where = f"storage: {stage.folder}"
    settings = stage.write(
        "knot.conf",
        f"server:\n  rundir: {stage.folder}\n  listen: {HERE}@{stage.port}\n"
        "  udp-workers: 1\n  tcp-workers: 1\n  background-workers: 1\n"
        f"database:\n  {where}\ntemplate:\n  - id: default\n    {where}\n"
        "zone:\n  - domain: prr.test\n",
    )
    stage.run("knotd", "--config", settings)
    return _srv_question(stage)


def _srv_question(stage: Stage) -> Load:
    name = b"".join(bytes([len(part)]) + part for part in (b"_echo", b"_udp", b"prr", b"test"))
    header = struct.pack(">6H", 1, 0, 1, 0, 0, 0)
    port_told = struct.pack(">3H", 0, 0, 4001)  # priority, weight, port
    return stage.at_once("udp", header + name + struct.pack(">BHH", 0, 33, 1), port_told)


# One connection, one question at a time on each.


@system("redis GET", "by TCP; a plain GET, no turns", "redis-server")
def _redis(stage: Stage) -> Load:
    start_redis(stage)
    return stage.in_turn(resp(b"GET", b"echo"), ADDRESSES[0].encode())


def start_redis(stage: Stage) -> None:
    """Start a redis that keeps all in memory alone, and tell it the value of "echo"."""
    alone = ["--save", "", "--appendonly", "no"]
    stage.run("redis-server", "--port", stage.port, "--bind", HERE, *alone)
    stage.tell(resp(b"SET", b"echo", ADDRESSES[0].encode()))


def resp(*words: bytes) -> bytes:
    """A question to redis."""
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in words)


def etcd_command(folder: Path, port: int) -> list[object]:
    """An etcd of one server, at this port for clients."""
    url, peer = f"http://{HERE}:{port}", f"http://{HERE}:{free_port()}"
    return [
        "etcd",
        f"--data-dir={folder}/data",
        *(f"--{kind}-client-urls={url}" for kind in ("listen", "advertise")),
        *(f"--{kind}-peer-urls={peer}" for kind in ("listen", "initial-advertise")),
        f"--initial-cluster=default={peer}",
    ]


def ask_etcd(port: int, what: str, body: Mapping[str, object]) -> dict[str, Any]:
    """What an etcd answers to range, put or txn. Raises OSError if it does not."""
    asked = json.dumps(body).encode()
    with urllib.request.urlopen(f"http://{HERE}:{port}/v3/kv/{what}", asked, LIMIT) as answer:
        return json.loads(answer.read())


def _start_etcd(stage: Stage) -> None:
    stage.run(*etcd_command(stage.folder, stage.port))
    pair = {"key": "ZWNobw==", "value": "MTI3LjAuMC4xOjQwMDE="}
    until(lambda: ask_etcd(stage.port, "put", pair), "it stored nothing")  # before it has a leader


@system("etcd JSON", "the same through its HTTP/1.1 gateway", "etcd")
def _etcd_json(stage: Stage) -> Load:
    _start_etcd(stage)
    body = json.dumps({"key": "ZWNobw==", "serializable": True}).encode()
    head = f"POST /v3/kv/range HTTP/1.1\r\nHost: {HERE}\r\nContent-Length: {len(body)}\r\n\r\n"
    return stage.in_turn(head.encode() + body, b"MTI3LjAuMC4xOjQwMDE=")


@system(
    "etcd gRPC",
    "HTTP/2 by TCP; a range of a store with revisions (serializable: no quorum asked)",
    "etcd",
)
def _etcd_grpc(stage: Stage) -> Load:
    asked = b"\x0a\x04echo\x38\x01"  # RangeRequest: key "echo", serializable
    return ask_etcd_by_grpc(stage, "Range", asked, ADDRESSES[0].encode())


def ask_etcd_by_grpc(stage: Stage, what: str, asked: bytes, expected: bytes) -> Load:
    """Start an etcd; the load of calls to a method of its KV, by HTTP/2."""
    _start_etcd(stage)
    words = {
        b":method": b"POST",
        b":scheme": b"http",
        b":path": b"/etcdserverpb.KV/" + what.encode(),
        b":authority": HERE.encode(),
        b"content-type": b"application/grpc",
        b"te": b"trailers",
    }
    # Literals that nobody has to remember (RFC 7541, 6.2.2), so that all questions are alike.
    fields = b"".join(
        b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value
        for name, value in words.items()
    )
    data = b"\0" + struct.pack(">I", len(asked)) + asked
    question = _h2_frame(1, 4, fields) + _h2_frame(0, 1, data)
    window = struct.pack(">I", (1 << 31) - 1 - 65535)  # 2 GB: no run takes more
    hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _h2_frame(4, 0, b"") + _h2_frame(4, 1, b"")
    hello += _h2_frame(8, 0, window)
    return stage.at_once("h2", question, expected, hello)


def _h2_frame(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + b"\0\0\0\0" + payload


@system("ZooKeeper", "sessions by TCP; gives the names of all instances (getChildren)", "java")
def _zookeeper(stage: Stage) -> Load:
    jars = ":".join(
        f"/usr/share/java/{jar}.jar" for jar in ("zookeeper", "slf4j-simple", "snappy-java")
    )
    settings = stage.write(
        "zoo.cfg",
        f"tickTime=2000\ndataDir={stage.folder}\nclientPort={stage.port}\n"
        f"clientPortAddress={HERE}\nadmin.enableServer=false\nmaxClientCnxns=0\n",
    )
    main = "org.apache.zookeeper.server.quorum.QuorumPeerMain"
    stage.run("java", "-Xmx512m", "-cp", jars, main, settings)
    hello = _counted(struct.pack(">iqiq", 0, 0, 30_000, 0) + _counted(bytes(16)) + b"\0")
    acl = struct.pack(">ii", 1, 31) + _counted(b"world") + _counted(b"anyone")

    def session() -> socket.socket | None:
        server = stage.connect()  # which it takes, and hangs up, before it is ready
        server.sendall(hello)
        return server if server.recv(1000) else None

    server = until(session, "it gave no session")
    for path in ("/echo", *(f"/echo/{address}" for address in ADDRESSES)):
        create = struct.pack(">ii", 1, 1) + _counted(path.encode()) + _counted(b"")
        server.sendall(_counted(create + acl + struct.pack(">i", 0)))
        server.recv(1000)
    asked = _counted(struct.pack(">ii", 2, 8) + _counted(b"/echo") + b"\0")  # getChildren, no watch
    return stage.at_once("tcp", asked, ADDRESSES[0].encode(), hello)


def _counted(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data
