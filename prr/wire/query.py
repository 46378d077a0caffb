"""What stands behind a lookup that says more than a number: see `messages`."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, Self

from prr.record import record
from prr.wire.instance import Service
from prr.wire.message import Message

FOUND_BYTES = 9
FOUND_IPV6_BYTES = 30
"""Of an answer with an empty trailer, and of one at an IPv6 address."""

_BYTES_FRONT = 3
"""Of a key, and of the type and the length of its bytes."""


@record(kw_only=True)
class Query(Message):
    """Behind a lookup: the service has this name, and type 255 stands in front; the answer may be
    at an IPv6 address; an instance of this zone first. A trailer answers it: empty, but padded to
    30 bytes in all where IPv6 might have been, or with the IPv6 address."""

    name: bytes | None = None
    wide: int | None = None
    zone: bytes | None = None
    padding: bytes | None = None

    @classmethod
    def fits(cls, values: Mapping[str, Any]) -> bool:
        return not values.keys().isdisjoint(("name", "wide", "zone"))

    @classmethod
    def about(cls, service: Service, wide: bool = False, zone: str = "") -> Self | None:
        """The question for a service, with room for its answer; None if the lookup says it all."""
        if isinstance(service, int) and not wide and not zone:
            return None
        said = cls(
            name=service.encode() if isinstance(service, str) else None,
            wide=1 if wide else None,
            zone=zone.encode() or None,
        )
        lack = (FOUND_IPV6_BYTES if wide else FOUND_BYTES) - said.size
        return replace(said, padding=bytes(max(0, lack - _BYTES_FRONT))) if lack > 0 else said

    @property
    def size(self) -> int:
        """Bytes of the question, or fewer, where something stands in it that is skipped."""
        said = (self.name, self.zone, self.padding)
        inside = sum(_BYTES_FRONT + len(one) for one in said if one is not None)
        return 4 + inside + (2 if self.is_wide else 0)

    @property
    def is_wide(self) -> bool:
        """The answer may be at an IPv6 address, if there is room for it."""
        return self.wide is not None

    @property
    def has_room(self) -> bool:
        """An answer with an empty trailer is not longer than the question."""
        return self.size >= FOUND_BYTES

    @property
    def takes_ipv6(self) -> bool:
        """An answer at an IPv6 address may be given, and is not longer than the question."""
        return self.is_wide and self.size >= FOUND_IPV6_BYTES
