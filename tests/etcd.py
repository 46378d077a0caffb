"""Real etcd for tests: one node or several on loopback, spoken to through the JSON gateway.

Its nodes can be killed, stopped, started again, and set back to what they held before. Nothing of
it is left when its test ends, and the kernel kills it if the tests are killed.
"""

import json
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time
from base64 import b64decode, b64encode
from contextlib import suppress
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path

import pytest

from prr.demo.ports import free_port
from prr.demo.processes import die_with_parent
from tests.nodes import eventually

ETCD = shutil.which("etcd")
needs_etcd = pytest.mark.skipif(ETCD is None, reason="etcd is not installed")

START = 30.0
"""Seconds in which etcd is to be there on a busy machine."""

ANSWER = 5.0
"""Seconds for one answer: without a leader etcd takes that long to say so."""

PREFIX = "/prr/"


class Refused(Exception):
    """etcd has answered with an error."""


class EtcdNode:
    """One process of etcd, and its directory."""

    def __init__(self, name: str, directory: Path, flags: tuple[str, ...], tls: "Tls | None"):
        self.name = name
        self.port, self.peer_port = free_port(), free_port()
        self.directory = directory / name
        self.process: subprocess.Popen | None = None
        self.tls = tls
        self.scheme = "http" if tls is None else "https"
        self._log = directory / f"{name}.log"
        self._flags = flags

    @property
    def address(self) -> str:
        """Where its clients reach it."""
        return f"127.0.0.1:{self.port}"

    def start(self, cluster: str) -> None:
        """Start it, with what its directory has."""
        clients, peers = f"{self.scheme}://{self.address}", f"http://127.0.0.1:{self.peer_port}"
        words = {
            "name": self.name,
            "data-dir": self.directory,
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": cluster,
            "initial-cluster-state": "new",
            "logger": "zap",
            "log-level": "error",
        }
        flags = [word for key, value in words.items() for word in (f"--{key}", str(value))]
        if self.tls is not None:
            flags += self.tls.flags
        with self._log.open("ab") as log:
            self.process = subprocess.Popen(
                [ETCD, *flags, *self._flags],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    def call(self, path: str, body: dict, token: str = "", wait: float = ANSWER) -> dict:
        """Ask it. Raises OSError or HTTPException if it is not there, Refused if it refuses."""
        if self.tls is None:
            connection = HTTPConnection("127.0.0.1", self.port, timeout=wait)
        else:
            context = self.tls.context()
            connection = HTTPSConnection("127.0.0.1", self.port, timeout=wait, context=context)
        try:
            headers = {"Authorization": token} if token else {}
            connection.request("POST", path, json.dumps(body), headers)
            said = json.loads(connection.getresponse().read())
        finally:
            connection.close()
        if "error" in said:
            raise Refused(said["error"])
        return said

    @property
    def is_well(self) -> bool:
        """It is there, and so is a leader."""
        if self.process is None or self.process.poll() is not None:
            return False
        with suppress(OSError, HTTPException, Refused, ValueError):
            return bool(int(self.call("/v3/maintenance/status", {}, wait=1)["leader"]))
        return False

    def send(self, number: int) -> None:
        """Send it a signal."""
        assert self.process is not None
        self.process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and wait until it is gone."""
        if self.process is not None and self.process.poll() is None:
            self.send(signal.SIGKILL)
            self.process.wait(START)


class Etcd:
    """A cluster of etcd."""

    def __init__(self, directory: Path, nodes: int = 1, *flags: str, tls: "Tls | None" = None):
        """`flags` are etcd's own, such as --quota-backend-bytes=100000."""
        directory.mkdir(parents=True, exist_ok=True)
        self.directory = directory
        self.nodes = [EtcdNode(f"n{number}", directory, flags, tls) for number in range(nodes)]
        self.token = ""
        self._cluster = ",".join(
            f"{one.name}=http://127.0.0.1:{one.peer_port}" for one in self.nodes
        )

    @property
    def url(self) -> str:
        """For --store."""
        return "etcd://" + ",".join(node.address for node in self.nodes)

    def start(self, *nodes: EtcdNode, wait: bool = True) -> None:
        """Start these nodes, or all; and wait until they have a leader."""
        for node in nodes or self.nodes:
            node.start(self._cluster)
        if wait:
            eventually(lambda: all(node.is_well for node in nodes or self.nodes), START)

    def kill(self) -> None:
        """Kill all nodes at once."""
        for node in self.nodes:
            if node.process is not None and node.process.poll() is None:
                node.send(signal.SIGKILL)
        for node in self.nodes:
            node.kill()

    close = kill

    def restore(self, copy: Path) -> None:
        """Set all nodes back to what `copy`, made by `save`, has. They are not to run."""
        for node in self.nodes:
            shutil.rmtree(node.directory)
            shutil.copytree(copy / node.name, node.directory)

    def save(self, copy: Path) -> None:
        """Copy the nodes' directories. They are not to run."""
        for node in self.nodes:
            shutil.copytree(node.directory, copy / node.name)

    def leader(self) -> EtcdNode:
        """Which node leads, once one does."""
        ends_at = time.monotonic() + START
        while time.monotonic() < ends_at:
            for node in self.nodes:
                with suppress(OSError, HTTPException, Refused):
                    said = node.call("/v3/maintenance/status", {})
                    if said.get("leader") == said["header"]["member_id"]:  # none: there is none
                        return node
            time.sleep(0.05)
        raise AssertionError("nobody leads")

    def call(self, path: str, body: dict) -> dict:
        """What any node answers."""
        ends_at = time.monotonic() + START
        while True:
            for node in self.nodes:
                with suppress(OSError, HTTPException, ValueError):
                    return node.call(path, body, self.token)
            assert time.monotonic() < ends_at, "no etcd answers"
            time.sleep(0.05)

    def values(self, prefix: str = PREFIX + "instances/") -> dict[str, bytes]:
        """All keys that begin with `prefix`, less that, and what they hold."""
        asked = {"key": text(prefix), "range_end": text(prefix[:-1] + chr(ord(prefix[-1]) + 1))}
        rows = self.call("/v3/kv/range", asked).get("kvs", [])
        return {
            b64decode(row["key"]).decode("latin-1")[len(prefix) :]: b64decode(row.get("value", ""))
            for row in rows
        }

    def states(self, prefix: str = PREFIX) -> dict[str, str]:
        """SERVICE/ADDRESS of each instance, and whether it is "up" or "gone"."""
        rows = self.values(prefix + "instances/").items()
        return {key: json.loads(value)["state"] for key, value in rows}

    def up(self, prefix: str = PREFIX) -> set[str]:
        """SERVICE/ADDRESS of those that are there."""
        return {key for key, state in self.states(prefix).items() if state == "up"}

    def put(self, key: str, value: str | bytes) -> None:
        """Write a key."""
        self.call("/v3/kv/put", {"key": text(key), "value": text(value)})

    def delete(self, key: str) -> None:
        """Delete a key."""
        self.call("/v3/kv/deleterange", {"key": text(key)})

    def revision(self) -> int:
        """The latest."""
        return int(self.call("/v3/kv/range", {"key": text("x")})["header"]["revision"])

    def compact(self) -> None:
        """Forget all history."""
        self.call("/v3/kv/compaction", {"revision": str(self.revision()), "physical": True})

    def make_room(self, prefix: str) -> None:
        """Delete what begins with `prefix`, and its room; and clear the alarm."""
        end = text(prefix[:-1] + chr(ord(prefix[-1]) + 1))
        self.call("/v3/kv/deleterange", {"key": text(prefix), "range_end": end})
        self.compact()
        for node in self.nodes:
            node.call("/v3/maintenance/defragment", {}, self.token)
        for alarm in self.call("/v3/maintenance/alarm", {"action": "GET"}).get("alarms", []):
            self.call("/v3/maintenance/alarm", alarm | {"action": "DEACTIVATE"})

    def enable_auth(self, users: dict[str, str], prefix: str) -> None:
        """From now on a user is needed: root, or one of `users`, who may do all below `prefix`."""
        end = text(prefix[:-1] + chr(ord(prefix[-1]) + 1))
        permission = {"permType": "READWRITE", "key": text(prefix), "range_end": end}
        self.call("/v3/auth/role/add", {"name": "binders"})
        self.call("/v3/auth/role/grant", {"name": "binders", "perm": permission})
        self.call("/v3/auth/role/add", {"name": "root"})
        for user, password in {"root": "root-secret", **users}.items():
            self.call("/v3/auth/user/add", {"name": user, "password": password})
            role = "root" if user == "root" else "binders"
            self.call("/v3/auth/user/grant", {"user": user, "role": role})
        self.call("/v3/auth/enable", {})
        if self.nodes[0].tls is None:  # else its gateway takes nobody in
            self.log_in()

    def log_in(self) -> None:
        """Be root."""
        self.token = ""
        said = self.call("/v3/auth/authenticate", {"name": "root", "password": "root-secret"})
        self.token = said["token"]


def text(data: str | bytes) -> str:
    """As JSON has it."""
    return b64encode(data.encode() if isinstance(data, str) else data).decode()


class Tls:
    """Certificates of one authority of its own: etcd's, and one for clients, which etcd wants."""

    def __init__(self, directory: Path) -> None:
        if shutil.which("openssl") is None:
            pytest.skip("openssl is not installed")
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.ca = self._authority("ca")
        self.other_ca = self._authority("other")
        self.cert, self.key = self._signed("etcd"), directory / "etcd.key"
        self.client_cert, self.client_key = self._signed("client"), directory / "client.key"

    @property
    def flags(self) -> list[str]:
        """For etcd."""
        files = {"cert-file": self.cert, "key-file": self.key, "trusted-ca-file": self.ca}
        words = [word for key, value in files.items() for word in (f"--{key}", str(value))]
        return [*words, "--client-cert-auth"]

    def context(self) -> ssl.SSLContext:
        """For a client."""
        context = ssl.create_default_context(cafile=str(self.ca))
        context.load_cert_chain(self.client_cert, self.client_key)
        return context

    def _authority(self, name: str) -> Path:
        made = self.directory / f"{name}.crt"
        key = ("-keyout", str(self.directory / f"{name}.key"), "-out", str(made))
        self._openssl("req", "-x509", *_NEW_KEY, *key, "-subj", f"/CN={name}", "-days", "2")
        return made

    def _signed(self, name: str) -> Path:
        asked, made = self.directory / f"{name}.csr", self.directory / f"{name}.crt"
        key = ("-keyout", str(self.directory / f"{name}.key"), "-out", str(asked))
        self._openssl("req", *_NEW_KEY, *key, "-subj", f"/CN={name}")
        names = self.directory / "names"
        names.write_text("subjectAltName=IP:127.0.0.1\n")
        signer = ("-CA", str(self.ca), "-CAkey", str(self.directory / "ca.key"), "-CAcreateserial")
        words = ("-in", str(asked), "-out", str(made), "-days", "2", "-extfile", str(names))
        self._openssl("x509", "-req", *signer, *words)
        return made

    def _openssl(self, *words: str) -> None:
        subprocess.run(["openssl", *words], check=True, capture_output=True)


_NEW_KEY = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes")


class Proxy:
    """A way to one node of etcd that can be cut: then nothing passes, and no connection ends."""

    def __init__(self, node: EtcdNode) -> None:
        self._node = node
        self._open = threading.Event()
        self._open.set()
        self._listener = socket.create_server(("127.0.0.1", free_port()))
        self._sockets = [self._listener]
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def url(self) -> str:
        """For --store."""
        return f"etcd://127.0.0.1:{self._listener.getsockname()[1]}"

    def cut(self) -> None:
        """Nothing passes."""
        self._open.clear()

    def heal(self) -> None:
        """All passes, what has waited too."""
        self._open.set()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(("127.0.0.1", self._node.port))
                self._sockets += [client, server]
                for way in ((client, server), (server, client)):
                    threading.Thread(target=self._forward, args=way, daemon=True).start()

    def _forward(self, one: socket.socket, other: socket.socket) -> None:
        with suppress(OSError):
            while data := one.recv(1 << 16):
                self._open.wait()
                other.sendall(data)
        for end in (one, other):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Let go of everything."""
        self._open.set()
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        for one in self._sockets:
            one.close()
