"""Fetches pages from one binder: each is asked for until it comes, sealed if one has a key."""

import secrets
import socket
import time
from types import TracebackType
from typing import Self, TypeAlias

from prr.addresses import family_of
from prr.core.retry import Retry
from prr.trust.keyring import Held
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.frames import ListRequest, Role, ServiceList
from prr.wire.inquiries import DrainQuery, ListQuery, TextQuery
from prr.wire.instance import Address
from prr.wire.messages import Hello
from prr.wire.proofs import Again
from prr.wire.seal import Seal

PAGE_LIMIT = 2.0
"""Seconds in which each page must come, all resends included."""

AGAIN_MAX = 3
"""Times that a binder may have the same question asked again at once, with another ticket."""

RECEIVE_BYTES = 2048

Wanted: TypeAlias = ListQuery | TextQuery | DrainQuery


class Pages:
    """What one binder is asked on one socket, for as long as a `with` block lasts."""

    def __init__(self, binder: Address, key: Held | None) -> None:
        """`key` is that of who asks; None: he proves nothing."""
        self._binder = binder
        self._codec = Codec(Role.BINDER, keys=key)  # binders answer lists to no other role
        self._seal = None if key is None else Seal(secrets.randbits(64))
        self._socket = socket.socket(family_of(binder), socket.SOCK_DGRAM)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._socket.close()

    def fetch(self, wanted: Wanted) -> ServiceList | None:
        """The page that `wanted` asks for; its nonce tells it from a late copy of another. None
        when there is no answer within PAGE_LIMIT, or no way to the binder."""
        try:
            self._socket.connect(self._binder)
        except OSError:  # no route, or not an address that a binder can have
            return None
        rotation = Retry([self._binder], PAGE_LIMIT, time.monotonic())
        agains = 0
        while not rotation.ended(time.monotonic()):
            try:
                if rotation.due(time.monotonic()):
                    self._ask(wanted)
                page = self._hear(rotation.deadline())
                if page is None or page.seal != self._seal:
                    continue
                if isinstance(page.trailer, Again) and agains < AGAIN_MAX:
                    agains += 1
                    self._seal = Seal(page.trailer.ticket)
                    self._ask(wanted)
            except (OSError, MalformedFrame):
                continue
            if _is_wanted(page, wanted):
                return page
        return None

    def _ask(self, wanted: Wanted) -> None:
        self._socket.send(self._codec.encode(ListRequest(trailer=wanted, seal=self._seal)))

    def _hear(self, until: float) -> ServiceList | None:
        """A page that has come; None if it is something else. Raises OSError, MalformedFrame."""
        self._socket.settimeout(max(until - time.monotonic(), 1e-6))
        frame = self._codec.decode(self._socket.recv(RECEIVE_BYTES))
        return frame if isinstance(frame, ServiceList) else None


def _is_wanted(page: ServiceList, wanted: Wanted) -> bool:
    """It answers this question; a legacy (2016) binder answers the first only, with no trailer."""
    match page.trailer:
        case None:
            return isinstance(wanted, ListQuery) and wanted.cursor == b""
        case Hello() | Again():
            return False
        case said:
            return said.nonce == wanted.nonce
