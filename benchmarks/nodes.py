"""The binders of a benchmark: started, filled if need be, and asked for their status."""

import json
import secrets
import socket
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from itertools import cycle, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import gevent

from benchmarks.arguments import HERE
from benchmarks.processes import Node, until
from prr.client.control import fetch_text
from prr.trust.key_file import keyring_text
from prr.trust.keyring import SECRET_BYTES, Keyring
from prr.wire.codec import Codec
from prr.wire.fields import LIST_INSTANCES_MAX
from prr.wire.frames import Role, ServiceList
from prr.wire.instance import Address, Instance, Service, describe_address, is_wide, make_instance
from prr.wire.messages import UnaskedPage
from prr.wire.particulars import Particulars, encode_particulars
from prr.wire.trailer import Question
from prr.wire.version import Version
from prr.wire.wide import Said, WideUpdate, encode_wide

_BINDER = Codec(Role.BINDER)

FILL_LIMIT = 60.0
"""Seconds in which a binder must have taken all instances: 100,000 take a few."""

FILL_PAUSE = 0.001
"""Seconds between two pages, so that the binder's queue holds them and its log is read."""

OTHERS_AT_ONCE = 11
"""Instances in a page that are no bare numbers: they fit with the longest names."""

BEING_VERIFIED = "being verified"

LEASE = "--lease=86400"
"""Of filled binders: their instances do not exist, so none may be verified."""


def start_full_binders(
    count: int,
    instances: list[Instance],
    processes: ExitStack,
    zones: Mapping[Instance, str] | None = None,
    arguments: Sequence[str] = (),
) -> list[Address]:
    """Binders, started with `arguments`, that all know `instances`, and in which zones they are,
    and never ask them. They end with `processes`. Raises Trouble."""
    binders = []
    for _ in range(count):
        filler = processes.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        filler.bind((HERE, 0))  # for as long as the binder runs: nobody else may get it
        peer = f"--peer={describe_address(filler.getsockname())}"
        listen = f"--listen={HERE}:0"
        binders.append(Node(processes, "binder", listen, peer, LEASE, *arguments).address)
        _fill(binders[-1], instances, zones or {}, filler)
    return binders


def make_keyring(stack: ExitStack) -> tuple[Keyring, list[str]]:
    """A keyring, and the flags of a binder that has it and requires proof."""
    secret = secrets.token_bytes(SECRET_BYTES)
    file = Path(stack.enter_context(TemporaryDirectory())) / "cluster.key"
    file.touch(mode=0o600)
    file.write_text(keyring_text(secret))
    return Keyring((secret,)), [f"--key={file}", "--require=on"]


def make_instances(
    count: int, services: Sequence[Service], ipv6: bool = False, port: int = 4242
) -> list[Instance]:
    """So many instances of `services` in turn, each at an address of its own on loopback, or, with
    `ipv6`, at one that is for documents (RFC 3849)."""
    ips = [
        f"2001:db8::{n + 1:x}" if ipv6 else f"127.{1 + (n >> 16)}.{n >> 8 & 255}.{n & 255}"
        for n in range(count)
    ]
    return list(map(make_instance, cycle(services), zip(ips, repeat(port))))


def status_of(binder: Address) -> dict[str, Any] | None:
    """A binder's status; None if it does not answer."""
    text = fetch_text(binder, Question.STATUS)
    return json.loads(text) if text is not None else None


def counters_of(binders: Sequence[Address]) -> Counter[str] | None:
    """What has happened to binders so far, how often, and what they have BEING_VERIFIED; None if
    one of them does not answer."""
    counted: Counter[str] = Counter()
    for status in map(status_of, binders):
        if status is None:
            return None
        being_verified = sum(row["being_verified"] for row in status["types"])
        counted += Counter(status["counters"]) + Counter({BEING_VERIFIED: being_verified})
    return counted


def _fill(
    binder: Address,
    instances: list[Instance],
    zones: Mapping[Instance, str],
    filler: socket.socket,
) -> None:
    """Tell a binder of `instances` as a peer of 2016 does, or, of those that are no bare numbers,
    one of ours, again until it has them all."""
    pages = [_BINDER.encode(page) for page in _pages(instances, zones)]

    def is_full() -> bool:
        for page in pages:
            filler.sendto(page, binder)
            gevent.sleep(FILL_PAUSE)
        return (status_of(binder) or {"instances": -1})["instances"] >= len(instances)

    until(is_full, "the binder was not filled", FILL_LIMIT)


def _pages(instances: list[Instance], zones: Mapping[Instance, str]) -> Iterator[ServiceList]:
    others = [one for one in instances if is_wide(one) or one in zones]
    plain = [one for one in instances if not is_wide(one) and one not in zones]
    for start in range(0, len(plain), LIST_INSTANCES_MAX):
        yield ServiceList(tuple(plain[start : start + LIST_INSTANCES_MAX]))
    for start in range(0, len(others), OTHERS_AT_ONCE):
        rows = encode_wide([_row(one, zones) for one in others[start : start + OTHERS_AT_ONCE]])
        yield ServiceList((), trailer=UnaskedPage(binder=1, versions=b"", others=rows, nonce=0))


def _row(instance: Instance, zones: Mapping[Instance, str]) -> WideUpdate:
    said = encode_particulars(Particulars(zone=zones.get(instance, "")))
    return WideUpdate(instance, Version(1, 1, 2), Said.THERE, said)
