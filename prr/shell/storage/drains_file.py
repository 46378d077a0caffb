"""Until when instances are drained, beside the state of a binder: time goes on while it is down.

The ends are moments of CLOCK_BOOTTIME, which counts from the boot of the machine, whatever happens
to processes and to the wall clock. They mean nothing after another boot, so that the file need not
survive a power cut, and is not synced. Without it the time counts anew from the start; nothing that
is drained is lost with it.
"""

import logging
import os
import struct
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from zlib import crc32

import gevent

from prr.core.effects import DrainRow
from prr.shell.storage.disk_thread import DiskThread
from prr.wire.instance import Instance, is_instance
from prr.wire.particulars import DRAIN, encode_field, is_particulars

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")

FILE_BYTES_MAX = 32 << 20
"""More than a binder writes, which has two hundred bytes for each of 100,000 drains at most: such a
file is damaged."""

_HEAD = struct.Struct("<36s")
_CHECK = struct.Struct("<I")
_ROW = struct.Struct("<dBB")

_log = logging.getLogger("prr")


class DrainsFile:
    """The file of one binder, in its state directory, which must be its own already."""

    def __init__(self, directory: Path) -> None:
        self._path = directory / "drains"
        self._disk = DiskThread()
        self._is_read = False
        self._next: Iterable[DrainRow] | None = None
        self._greenlet: gevent.Greenlet[[], None] | None = None

    def read(self) -> list[DrainRow]:
        """What was kept, with the seconds that are left of each; nothing of another boot, or if the
        file is damaged. Waits for the disk. Once, before anything is written."""
        found = self._disk.do(self._read)
        self._is_read = True
        self._write_soon()
        return found

    def keep(self, rows: Iterable[DrainRow]) -> None:
        """Keep these, with when they end by time.monotonic(), instead of what was kept. They are
        read when they are written, which is soon. Never blocks; if it fails, that is logged."""
        self._next = rows
        self._write_soon()

    def close(self) -> None:
        """Write what is to be kept, if that is done soon."""
        if self._greenlet is not None:
            self._greenlet.join(timeout=1.0)

    def _write_soon(self) -> None:
        is_idle = self._greenlet is None or self._greenlet.ready()
        if is_idle and self._is_read and self._next is not None:
            self._greenlet = gevent.spawn(self._write_all)

    def _read(self) -> list[DrainRow]:
        try:
            with self._path.open("rb") as file:
                data = file.read(FILE_BYTES_MAX)
            return _decode(data[: -_CHECK.size]) if _is_sound(data) else []
        except OSError:
            return []

    def _write_all(self) -> None:
        while self._next is not None:
            rows, self._next = list(self._next), None
            if why := self._disk.do(self._write, rows):
                _log.warning("drains in %s cannot be kept (%s)", self._path, why)

    def _write(self, rows: Sequence[DrainRow]) -> str | None:
        """What is wrong, if anything is."""
        new = self._path.with_suffix(".new")
        try:
            data = _encode(rows)
            with open(new, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                file.write(data)
            os.replace(new, self._path)
        except OSError as error:
            return error.strerror or str(error)
        return None


def _encode(rows: Sequence[DrainRow]) -> bytes:
    offset = time.clock_gettime(time.CLOCK_BOOTTIME) - time.monotonic()
    encoded = [
        _ROW.pack(ends_at + offset, len(instance), len(word)) + instance + word
        for instance, word, ends_at in rows
    ]
    data = _HEAD.pack(_boot_id()) + b"".join(encoded)
    return data + _CHECK.pack(crc32(data))


def _is_sound(data: bytes) -> bool:
    """It was written whole, since the machine was booted."""
    body, check = data[: -_CHECK.size], data[-_CHECK.size :]
    is_whole = len(body) >= _HEAD.size and check == _CHECK.pack(crc32(body))
    return is_whole and body[: _HEAD.size] == _HEAD.pack(_boot_id())


def _decode(body: bytes) -> list[DrainRow]:
    now = time.clock_gettime(time.CLOCK_BOOTTIME)
    rows: list[DrainRow] = []
    at = _HEAD.size
    while at + _ROW.size <= len(body):
        ends_at, instance_bytes, word_bytes = _ROW.unpack_from(body, at)
        at += _ROW.size
        instance, at = body[at : at + instance_bytes], at + instance_bytes
        word, at = body[at : at + word_bytes], at + word_bytes
        if is_instance(instance) and is_particulars(encode_field(DRAIN, word)):
            rows.append((Instance(instance), word, max(ends_at - now, 0.0)))
    return rows


def _boot_id() -> bytes:
    return BOOT_ID.read_bytes().strip()
