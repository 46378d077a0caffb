"""Requests that are whole, and odd in what they say: whatever it is, it is no bug."""

import socket
from random import Random

import pytest

from tests.http_of import ask, binder_with_http, where
from tests.nodes import PATIENCE

REQUESTS = 200

ROUTES = (
    *("GET /v1/services", "GET /v1/services/{}", "GET /v1/lookup/{}", "GET /v1/history/{}/{}"),
    *("POST /v1/complaints", "POST /v1/drains", "DELETE /v1/drains/{}/{}", "GET /metrics"),
    *("HEAD /v1/watch", "GET /v1/status", "PUT /v1/services", "GET /v1/{}/{}", "OPTIONS /"),
)
PARAMETERS = ("limit", "cursor", "zone", "service", "last")
HEADERS = ("Host", "Origin", "Authorization", "Last-Event-ID", "Content-Type", "Content-Encoding")
TEXTS = (
    *(
        "",
        "2",
        "time",
        "256",
        "-1",
        "00002",
        "%D9%A1",
        "0" * 5000,
        "A",
        "x" * 64,
        "%00",
        "%ff",
        "&",
    ),
    *("127.0.0.1:1", "127.0.0.1:0", "[::1]:1", "[::1", "[", "::1", ":1", "a@b", "127.0.0.1:x"),
    *("http://[", "null", "localhost", "Bearer", "Bearer x", "Basic Og==", "a-1", "a-", "\xe4"),
    *("application/json; charset=utf-16", 'application/json; charset="', "gzip", "0x1", "1_0"),
)
BODIES = (
    *("", "{}", "[]", "null", "{" * 3000, '"\\u0000"', "\ufeff{}", "9" * 5000, "1e999"),
    *('{"service": null, "address": []}', '{"service": "\\ud800", "address": "\\udc80"}'),
    '{"service": "2", "address": "127.0.0.1:1", "why": "\\ud800"}',
    '{"service": "2", "address": "127.0.0.1:1", "seconds": 1, "why": "\\udc80"}',
    '{"service": "2", "address": "127.0.0.1:1", "seconds": -1e300, "last": 1}',
)


def request(rng):
    """One of them, which has its connection closed."""
    method, _, path = rng.choice(ROUTES).partition(" ")
    path = path.format(rng.choice(TEXTS), rng.choice(TEXTS))
    asked = [f"{rng.choice(PARAMETERS)}={rng.choice(TEXTS)}" for _ in range(rng.randrange(3))]
    body = rng.choice(BODIES).encode()
    headers = {"Host": "localhost", "Content-Type": "application/json"}
    headers |= {rng.choice(HEADERS): rng.choice(TEXTS) for _ in range(rng.randrange(3))}
    headers |= {"Content-Length": str(len(body)), "Connection": "close"}
    lines = [f"{method} {path}?{'&'.join(asked)} HTTP/1.1", *map(": ".join, headers.items())]
    return "\r\n".join([*lines, "", ""]).encode() + body


@pytest.mark.smoke
@pytest.mark.parametrize("seed", range(3))
def test_whatever_a_request_says_it_is_no_bug(seed, cluster):
    binder, rng, statuses = binder_with_http(cluster), Random(seed), set()
    for _ in range(REQUESTS):
        sent = request(rng)
        with socket.create_connection(where(binder), timeout=PATIENCE) as opened:
            opened.sendall(sent)
            head = b""
            while b"\r\n" not in head and (part := opened.recv(4096)):
                head += part
        status = int(head.split(b" ", 2)[1])
        assert status < 500, sent
        statuses.add(status)
    assert {200, 400, 404, 405, 415, 421} <= statuses
    assert ask(binder, "/healthz").status == 200
    assert not binder.matching("bug")
