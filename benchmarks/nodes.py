"""The binders of a benchmark: started, filled if need be, and asked for their status."""

import json
import socket
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gevent
from gevent.subprocess import DEVNULL, Popen

from benchmarks.arguments import Trouble
from prr.client.control import fetch_text
from prr.demo.processes import PROGRAM, die_with_parent, plain_environment
from prr.text import parse_peer
from prr.wire.codec import Codec
from prr.wire.fields import LIST_INSTANCES_MAX
from prr.wire.frames import Role, ServiceList
from prr.wire.instance import (
    Address,
    Instance,
    Service,
    describe_address,
    is_wide,
    make_instance,
)
from prr.wire.messages import UnaskedPage
from prr.wire.particulars import Particulars, encode_particulars
from prr.wire.trailer import Question
from prr.wire.version import Version, encode_versions
from prr.wire.wide import Said, WideUpdate, encode_wide

_BINDER = Codec(Role.BINDER)

READY_LIMIT = 10.0
"""Seconds for each process that is started here."""

READY_PAUSE = 0.01
"""Seconds between two checks whether a binder is ready."""

LISTENING = "binder listening on "
"""What a binder's first line says, before its address."""

FILL_LIMIT = 60.0
"""Seconds in which a binder must have taken all instances: 100,000 take a few."""

ROWS_AT_ONCE = 10
"""Names in one page: so many of the longest fit."""

FILL_PAUSE = 0.001
"""Seconds between two pages, so that the binder's queue holds them and its log is read."""

OTHERS_AT_ONCE = 11
"""Instances in a page that are no bare numbers: they fit with the longest names."""

LEASE = "--lease=86400"
"""Of filled binders: their instances do not exist, so none may be verified."""


@dataclass(frozen=True, slots=True)
class Started:
    """A binder's process: where it listens, `ip:port`, and its process id."""

    address: str
    pid: int


def start_binder(processes: ExitStack, *arguments: str) -> Started:
    """A binder on a free port of 127.0.0.1, listening; it ends with `processes`.

    Its log goes to a file: whoever read it from a pipe would want a core, of which there are but
    two. Raises Trouble: it ended, or was not ready in time.
    """
    log = Path(processes.enter_context(tempfile.TemporaryDirectory())) / "log"
    with log.open("wb") as written:
        binder = Popen(
            [sys.executable, *PROGRAM, "binder", "--listen=127.0.0.1:0", *arguments],
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=written,
            env=plain_environment(),
            preexec_fn=die_with_parent,
        )
    processes.callback(binder.wait)
    processes.callback(binder.kill)
    with gevent.Timeout(READY_LIMIT, Trouble(f"the binder was not ready in {READY_LIMIT:g} s")):
        while True:
            has_ended = binder.poll() is not None
            lines = log.read_text().splitlines(keepends=True)
            if lines and lines[0].endswith("\n") and LISTENING in lines[0]:
                return Started(lines[0].strip().rpartition(LISTENING)[2], binder.pid)
            if has_ended:
                raise Trouble(f"the binder ended: {lines[-1].strip() if lines else 'no word'}")
            gevent.sleep(READY_PAUSE)


def start_full_binders(
    count: int,
    instances: list[Instance],
    processes: ExitStack,
    zones: Mapping[Instance, str] | None = None,
    arguments: Sequence[str] = (),
) -> list[Address]:
    """Binders, started with `arguments`, that all know `instances`, and in which zones they are,
    and never ask them. Raises Trouble."""
    binders = []
    for _ in range(count):
        with ExitStack() as opened:
            filler = opened.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
            filler.bind(("127.0.0.1", 0))
            peer = f"--peer={describe_address(filler.getsockname())}"
            binder = parse_peer(start_binder(processes, peer, LEASE, *arguments).address)
            _fill(binder, instances, zones or {}, filler)
            processes.push(opened.pop_all())  # nobody else may get the peer's address
        binders.append(binder)
    return binders


def make_instances(
    count: int, services: Sequence[Service], ipv6: bool = False, port: int = 4242
) -> list[Instance]:
    """So many instances of `services` in turn, each at an address of its own on loopback, or, with
    `ipv6`, at one that is for documents (RFC 3849)."""
    return [
        make_instance(
            services[number % len(services)],
            (
                f"2001:db8::{number + 1:x}"
                if ipv6
                else f"127.{1 + (number >> 16)}.{number >> 8 & 255}.{number & 255}",
                port,
            ),
        )
        for number in range(count)
    ]


def status_of(binder: Address) -> dict[str, Any] | None:
    """A binder's status; None if it does not answer."""
    text = fetch_text(binder, Question.STATUS)
    return json.loads(text) if text is not None else None


def _fill(
    binder: Address,
    instances: list[Instance],
    zones: Mapping[Instance, str],
    filler: socket.socket,
) -> None:
    """Tell a binder of `instances` as a peer of 2016 does, or one of ours where it has to be, again
    until it has them all."""
    is_plain = not zones and not any(map(is_wide, instances))
    size = LIST_INSTANCES_MAX if is_plain else OTHERS_AT_ONCE
    parts = [instances[start : start + size] for start in range(0, len(instances), size)]
    pages = [_BINDER.encode(_page(part, zones)) for part in parts]
    with gevent.Timeout(FILL_LIMIT, Trouble(f"the binder was not filled in {FILL_LIMIT:g} s")):
        while True:
            for page in pages:
                filler.sendto(page, binder)
                gevent.sleep(FILL_PAUSE)
            status = status_of(binder)
            if status is not None and status["instances"] >= len(instances):
                return


def _page(instances: list[Instance], zones: Mapping[Instance, str]) -> ServiceList:
    spec = tuple(one for one in instances if not is_wide(one) and one not in zones)
    if len(spec) == len(instances):
        return ServiceList(spec)
    version = Version(1, 1, 2)
    rows = [
        WideUpdate(
            one, version, Said.THERE, encode_particulars(Particulars(zone=zones.get(one, "")))
        )
        for one in instances
        if is_wide(one) or one in zones
    ]
    versions, others = encode_versions([version] * len(spec)), encode_wide(rows)
    return ServiceList(
        spec, trailer=UnaskedPage(binder=1, versions=versions, others=others, nonce=0)
    )
