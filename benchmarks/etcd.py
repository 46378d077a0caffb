"""etcd, as a system to compare with, and as the store of a binder."""

import base64
import json
import struct
import urllib.request
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.arguments import HERE
from benchmarks.processes import LIMIT, until
from benchmarks.stage import Stage
from benchmarks.tally import Load
from prr.demo.ports import free_port

VALUE = f"{HERE}:4001".encode()
"""The value of "echo": an instance's address."""

KEY_TOLD, VALUE_TOLD = (base64.b64encode(one).decode() for one in (b"echo", VALUE))
"""As they stand in JSON."""

PUTS = 64
"""Puts in one transaction, which takes 128 at most."""

WINDOW = (1 << 31) - 1 - 65535
"""Bytes of answers that a connection takes beyond the first: 2 GB, no run takes more."""


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


def ask_by_json(stage: Stage) -> Load:
    """Start one; the load of ranges through its gateway."""
    _start(stage)
    body = json.dumps({"key": KEY_TOLD, "serializable": True}).encode()
    head = f"POST /v3/kv/range HTTP/1.1\r\nHost: {HERE}\r\nContent-Length: {len(body)}\r\n\r\n"
    return stage.in_turn(head.encode() + body, VALUE_TOLD.encode())


def ask_by_grpc(stage: Stage) -> Load:
    """Start one; the load of serializable ranges."""
    return _grpc(stage, "Range", _field(0x0A, b"echo") + b"\x38\x01", VALUE)


def put(stage: Stage) -> Load:
    """Start one; the load of puts of one key over and over."""
    return _grpc(stage, "Put", _pair(0), b"\0\0\0\0")


def put_many(stage: Stage) -> Load:
    """Start one; the load of transactions of PUTS each."""
    puts = [_field(0x12, _pair(number)) for number in range(PUTS)]  # RequestOp.request_put
    asked = b"".join(_field(0x12, one) for one in puts)  # TxnRequest.success
    return replace(_grpc(stage, "Txn", asked, b"\0\0\0\0"), writes=PUTS)


def _start(stage: Stage) -> None:
    stage.run(*etcd_command(stage.folder, stage.port))
    pair = {"key": KEY_TOLD, "value": VALUE_TOLD}
    until(lambda: ask_etcd(stage.port, "put", pair), "it stored nothing")  # before it has a leader


def _pair(number: int) -> bytes:
    """PutRequest: one of PUTS keys, and its value."""
    return _field(0x0A, b"echo/%d" % number) + _field(0x12, VALUE)


def _field(tag: int, data: bytes) -> bytes:
    """A field of protobuf, of less than 128 bytes."""
    return bytes((tag, len(data))) + data


def _grpc(stage: Stage, what: str, asked: bytes, expected: bytes) -> Load:
    """Start one; the load of calls to a method of its KV, by HTTP/2."""
    _start(stage)
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
    hello = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + _frame(4, 0, b"") + _frame(4, 1, b"")
    hello += _frame(8, 0, struct.pack(">I", WINDOW))
    return stage.at_once("h2", _frame(1, 4, fields) + _frame(0, 1, data), expected, hello)


def _frame(kind: int, flags: int, payload: bytes) -> bytes:
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + b"\0\0\0\0" + payload
