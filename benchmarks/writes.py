"""What others need to keep what a server would say to a binder: etcd, and redis."""

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from benchmarks.arguments import Trouble
from benchmarks.generate import generate, has_compiler
from benchmarks.load import figures_of
from benchmarks.proc import generator_core
from benchmarks.systems import ADDRESSES, Stage, System, ask_etcd_by_grpc, resp, start_redis
from benchmarks.tally import Load

BATCH = 64
"""Puts in one transaction of etcd, which takes 128 at most."""

_VALUE = ADDRESSES[0].encode()


def _put(stage: Stage) -> Load:
    return ask_etcd_by_grpc(stage, "Put", _pair(0), b"\0\0\0\0")


def _puts(stage: Stage) -> Load:
    puts = [_field(0x12, _pair(number)) for number in range(BATCH)]  # RequestOp.request_put
    asked = b"".join(_field(0x12, put) for put in puts)  # TxnRequest.success
    return ask_etcd_by_grpc(stage, "Txn", asked, b"\0\0\0\0")


def _set(stage: Stage) -> Load:
    start_redis(stage)
    return stage.at_once("tcp", resp(b"SET", b"echo", _VALUE), b"+OK")


def _pair(number: int) -> bytes:
    """PutRequest: one of BATCH keys, and its value."""
    return _field(0x0A, b"echo/%d" % number) + _field(0x12, _VALUE)


def _field(tag: int, data: bytes) -> bytes:
    """A field of protobuf, of less than 128 bytes."""
    return bytes((tag, len(data))) + data


WRITES: Sequence[tuple[System, int]] = (
    (System("etcd put", "committed to disk, with revisions", ("etcd",), _put), 1),
    (System("etcd puts in a transaction", "the same", ("etcd",), _puts), BATCH),
    (System("redis SET", "in memory alone", ("redis-server",), _set), 1),
)
"""And how many are written for each question."""


def measure_writes(seconds: float) -> dict[str, Any]:
    """The figures of each of them that is installed, 64 questions in flight, for so long."""
    return {system.name: _measured(system, count, seconds) for system, count in WRITES}


def _measured(system: System, count: int, seconds: float) -> dict[str, Any]:
    missing = system.missing() or (None if has_compiler() else "a C compiler")
    if missing:
        return {"skipped": f"{missing} is not installed"}
    try:
        with ExitStack() as stack:
            folder = Path(stack.enter_context(TemporaryDirectory()))
            stage = Stage(stack, folder / "stage")
            load = system.start(stage)
            tally = generate(replace(load, core=generator_core(), pids=stage.pids, seconds=seconds))
    except (Trouble, OSError) as trouble:
        return {"skipped": str(trouble)}
    figures = figures_of(tally)
    cpu = figures["cpu_us_per_lookup"]
    return {
        "per_second": figures["lookups_per_second"] * count,
        "cpu_us": None if cpu is None else round(cpu / count, 2),
        "lost": tally.lost + tally.unasked + tally.odd,
    }
