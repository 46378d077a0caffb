"""The other systems: how each is started on loopback, and its closest question to a lookup.

Each has one name with three instances, and runs on one core as its documentation recommends.
"""

import os
import socket
import struct
import sys
from pathlib import Path

from dnslib import DNSHeader, DNSQuestion, DNSRecord

from benchmarks.arguments import HERE, Trouble
from benchmarks.etcd import VALUE, ask_by_grpc, ask_by_json, put, put_many
from benchmarks.processes import until
from benchmarks.stage import Stage, System
from benchmarks.tally import Load
from prr.demo.processes import PROGRAM

PORTS = (4001, 4002, 4003)
ADDRESSES = [f"{HERE}:{port}" for port in PORTS]


def _prr(stage: Stage) -> Load:
    """A binder, and servers that it knows, whose own processes are not measured."""
    binder = f"{HERE}:{stage.port}"
    stage.run(sys.executable, *PROGRAM, "binder", f"--listen={binder}")
    for _ in PORTS:
        stage.run(sys.executable, *PROGRAM, "server", "--type=1", f"--binder={binder}")
    del stage.pids[1:]
    return stage.at_once("udp", b"\x02\x01", b"\x03\x7f\0\0\x01")


# Python's own.


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
    """The question then, whose answer is VALUE."""
    user = ["-u", "root"] if os.geteuid() == 0 else []
    stage.run("memcached", "-l", HERE, "-p", stage.port, "-U", stage.port, "-t", "1", *user)
    stage.tell(b"set echo 0 0 %d\r\n%b\r\n" % (len(VALUE), VALUE))
    return b"get echo\r\n"


def _memcached_udp(stage: Stage) -> Load:
    frame = struct.pack(">4H", 1, 0, 1, 0)  # request, datagram 0 of 1
    return stage.at_once("udp", frame + _start_memcached(stage), VALUE)


def _memcached_tcp(stage: Stage) -> Load:
    return stage.in_turn(_start_memcached(stage), VALUE)


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
    asked = DNSRecord(DNSHeader(id=1, rd=0), q=DNSQuestion("_echo._udp.prr.test", 33))
    return stage.at_once(
        "udp", bytes(asked.pack()), struct.pack(">3H", 0, 0, 4001)
    )  # in turn: priority, weight, port


# One connection, one question at a time on each.


def _redis_get(stage: Stage) -> Load:
    _start_redis(stage)
    return stage.in_turn(_resp(b"GET", b"echo"), VALUE)


def _redis_set(stage: Stage) -> Load:
    _start_redis(stage)
    return stage.at_once("tcp", _resp(b"SET", b"echo", VALUE), b"+OK")


def _start_redis(stage: Stage) -> None:
    alone = ["--save", "", "--appendonly", "no"]
    stage.run("redis-server", "--port", stage.port, "--bind", HERE, *alone)
    stage.tell(_resp(b"SET", b"echo", VALUE))


def _resp(*words: bytes) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(one), one) for one in words)


# Several questions at a time on each connection.


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
    return stage.at_once("tcp", asked, VALUE, hello)


def _counted(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


PRR = System("prr", (), _prr, "")

RPCBIND = ("rpcbind", "unshare", "nsenter", "ip")
SRV = "reads a name, gives all instances by name"
RANGE = "HTTP/2 by TCP; a range of a store with revisions (serializable: no quorum asked)"
CHILDREN = "sessions by TCP; gives the names of all instances (getChildren)"

SYSTEMS = (
    System("RPyC registry", ("rpyc",), _rpyc, "gives all instances by age, without those too old"),
    System("Pyro5 name server", ("Pyro5",), _pyro, "an object call, by TCP; gives one URI"),
    System("rpcbind", RPCBIND, _rpcbind, "unpacks an RPC call; gives a port of one instance only"),
    System("memcached UDP", ("memcached",), _memcached_udp, "a plain get, no turns"),
    System("memcached TCP", ("memcached",), _memcached_tcp, "by TCP; a plain get, no turns"),
    System("dnsmasq SRV", ("dnsmasq",), _dnsmasq, SRV),
    System("knotd SRV", ("knotd",), _knotd, f"{SRV}, with their addresses beside"),
    System("redis GET", ("redis-server",), _redis_get, "by TCP; a plain GET, no turns"),
    System("etcd JSON", ("etcd",), ask_by_json, "the same as gRPC, through its HTTP/1.1 gateway"),
    System("etcd gRPC", ("etcd",), ask_by_grpc, RANGE),
    System("ZooKeeper", ("java",), _zookeeper, CHILDREN),
)

WRITES = (
    System("etcd put", ("etcd",), put, "committed to disk, with revisions"),
    System("etcd puts in a transaction", ("etcd",), put_many, "the same"),
    System("redis SET", ("redis-server",), _redis_set, "in memory alone"),
)
"""What others have for what a server says to a binder: each question writes."""
