"""A binder's HTTP, asked with nothing but the standard library."""

import http.client
import json
import re
import socket
from contextlib import contextmanager
from typing import Any, NamedTuple

from prr.demo.ports import free_port
from tests.nodes import PATIENCE, Cluster, Node

HELLO = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
"""A request, but for the empty line."""


class Answered(NamedTuple):
    """An answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


def where(node: Node) -> tuple[str, int]:
    """Where a binder serves HTTP."""
    line = node.wait_for("HTTP at http://")
    host, port = re.search(r"http://([\d.]+|\[[\da-f:]+\]):(\d+)", line).groups()
    return host.strip("[]"), int(port)


def front_of(node: Node) -> int:
    """The process that serves a binder's HTTP."""
    return int(re.search(r"\(process (\d+)\)", node.wait_for("HTTP at http://"))[1])


def connect(node: Node) -> socket.socket:
    """A connection to a binder's HTTP."""
    return socket.create_connection(where(node), timeout=PATIENCE)


def all_of(opened: socket.socket) -> bytes:
    """All that comes until the other side hangs up."""
    data = b""
    while part := opened.recv(65536):
        data += part
    return data


def binder_with_http(cluster: Cluster, *arguments: str, **how: Any) -> Node:
    """A binder that serves HTTP, and can answer every lookup; on ports that stay free."""
    udp, tcp = (f"127.0.0.1:{free_port()}" for _ in range(2))
    node = cluster.start("binder", "--listen", udp, "--http", tcp, *arguments, **how)
    node.wait_for("HTTP at")
    return node


def ask(
    node: Node,
    path: str,
    method: str = "GET",
    body: object = None,
    headers: dict[str, str] | None = None,
    source: str = "",
) -> Answered:
    """One request, on a connection of its own, from this address, or from any."""
    connection = http.client.HTTPConnection(
        *where(node), timeout=PATIENCE, source_address=(source, 0) if source else None
    )
    sent = dict(headers or {})
    data = None
    if body is not None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        sent = {"Content-Type": "application/json"} | sent
    try:
        connection.request(method, path, data, sent)
        answer = connection.getresponse()
        return Answered(answer.status, dict(answer.getheaders()), answer.read())
    finally:
        connection.close()


class Stream:
    """Server-sent events, as they come."""

    def __init__(self, node: Node, path: str = "/v1/watch", last: str | None = None) -> None:
        self.socket = socket.create_connection(where(node), timeout=PATIENCE)
        last_line = f"Last-Event-ID: {last}\r\n" if last else ""
        self.socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{last_line}\r\n".encode())
        self._lines = self.socket.makefile("rb")
        self.head = b"".join(iter(self._lines.readline, b"\r\n"))

    def next(self) -> tuple[str, str, Any]:
        """The event, its id and its data."""
        said = {}
        for line in self._lines:
            text = line.decode().rstrip("\n")
            if not text and said:
                return said["event"], said["id"], json.loads(said["data"])
            if text and not text.startswith(":"):
                key, _, value = text.partition(": ")
                said[key] = value
        raise AssertionError("the stream is over")

    def until(self, **wanted: object) -> tuple[str, str, Any]:
        """The next event whose data has this."""
        while True:
            event = self.next()
            if wanted.items() <= event[2].items():
                return event

    def close(self) -> None:
        self._lines.close()
        self.socket.close()


@contextmanager
def watching(node: Node, path: str = "/v1/watch", last: str | None = None):
    """A stream for a while."""
    stream = Stream(node, path, last)
    try:
        yield stream
    finally:
        stream.close()
