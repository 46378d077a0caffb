"""A binder's HTTP, as who watches needs it: its lists, and the stream of its changes."""

import http.client
import json
import socket
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

from prr.client.exchange import sockets_here
from prr.config import HostPort

SILENCE_MAX = 45.0
"""Seconds without a byte after which the connection is lost: three of a binder's heartbeats."""

ANSWER_LIMIT = 10.0
"""Seconds for a binder to begin to answer."""

LINE_BYTES_MAX = 65536
"""Of one line of a stream: a change has some 500."""

PAGE_ROWS = 1000

BODY_BYTES_MAX = 4 << 20
"""Of one page of a list: some 400 kB."""


def pause(seconds: float) -> None:
    """Let a moment pass, in which other greenlets run where there are any."""
    if sockets_here() is socket:
        time.sleep(seconds)
        return
    import gevent

    gevent.sleep(seconds)


class Refused(Exception):
    """The binder answers, and not with what was asked for: why."""


class Event(NamedTuple):
    """One event of a stream."""

    kind: str
    number: str
    data: dict[str, Any]


class BinderHttp:
    """One binder's HTTP. Raises OSError where it cannot be reached, or what comes is no answer."""

    def __init__(self, address: HostPort, token: str | None = None) -> None:
        """`token`: that of an operator, where binders ask for one."""
        self._address = address
        self._headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        self._stream: http.client.HTTPConnection | None = None

    def rows(self, service: int | str | None) -> Iterator[dict[str, Any]]:
        """All instances of a service, or of all. Raises Refused."""
        services = [service] if service is not None else [*self._services()]
        for one in services:
            yield from self._pages(f"/v1/services/{quote(str(one))}", "instances")

    def events(self, service: int | str | None, last: str) -> Iterator[Event]:
        """The events behind the one with number `last`, "": from now on. Ends with the connection.
        Raises Refused."""
        path = "/v1/watch" + (f"?service={quote(str(service))}" if service is not None else "")
        self._stream = self._connect()
        going_on = {"Last-Event-ID": last} if last else {}
        self._stream.request("GET", path, headers=self._headers | going_on)
        answer = self._stream.getresponse()
        if answer.status != 200:
            raise Refused(_why(answer))
        if self._stream.sock is not None:
            self._stream.sock.settimeout(SILENCE_MAX)
        said: dict[str, str] = {}
        while line := answer.readline(LINE_BYTES_MAX):
            text = line.decode(errors="replace").rstrip("\r\n")
            key, _, value = text.partition(": ")
            if text and key:  # a comment begins with its colon
                said[key] = value
            elif not text and "data" in said:
                data = _object(said["data"].encode())
                yield Event(said.get("event", ""), said.get("id", ""), data)
                said = {}

    def close(self) -> None:
        """Hang up. No error if that is done."""
        if self._stream is not None:
            self._stream.close()
            self._stream = None

    def _services(self) -> Iterator[int | str]:
        for row in self._pages("/v1/services", "services"):
            yield row["name"] if row["type"] is None else row["type"]

    def _pages(self, path: str, key: str) -> Iterator[dict[str, Any]]:
        cursor: dict[str, str] = {}
        while True:
            connection = self._connect()
            try:
                asked = urlencode({"limit": PAGE_ROWS} | cursor)
                connection.request("GET", f"{path}?{asked}", headers=self._headers)
                answer = connection.getresponse()
                if answer.status == 404:  # there is none
                    return
                if answer.status != 200:
                    raise Refused(_why(answer))
                page = _object(answer.read(BODY_BYTES_MAX))
            finally:
                connection.close()
            yield from page[key]
            if page["next"] is None:
                return
            cursor = {"cursor": page["next"]}

    def _connect(self) -> http.client.HTTPConnection:
        connection = http.client.HTTPConnection(*self._address, timeout=ANSWER_LIMIT)
        connection.sock = sockets_here().create_connection(self._address, ANSWER_LIMIT)
        return connection


def _object(text: bytes) -> dict[str, Any]:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise OSError(f"not JSON: {error}") from error
    if not isinstance(found, dict):
        raise OSError("not a JSON object")
    return found


def _why(answer: http.client.HTTPResponse) -> str:
    try:
        return str(_object(answer.read(LINE_BYTES_MAX))["detail"])
    except (OSError, KeyError):
        return f"status {answer.status}"
