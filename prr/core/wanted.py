"""What a client asks binders for, and what it asks each of them.

A binder at an IPv4 address may be a legacy (2016) one. So it is asked for a number with the two
bytes of ever; and only if it knows no instance, and one at an IPv6 address would do, whether it has
such a one.
"""

from prr.wire.frames import Lookup
from prr.wire.instance import NAMED, Address, Service, is_ipv6_address
from prr.wire.query import Query

SEALED_PADDING = 5
"""Bytes: a sealed answer has an address, and its question may have only a short credential."""


class Wanted:
    """An instance of a service, at an IPv6 address too if the client `takes_ipv6`, in `zone` first
    if that is said."""

    def __init__(
        self, service: Service, takes_ipv6: bool, zone: str = "", is_keyed: bool = False
    ) -> None:
        """`is_keyed`: the question is sealed, and so is its answer."""
        self._is_keyed = is_keyed
        self._service = service
        self._zone = zone
        self._takes_ipv6 = takes_ipv6
        self.denied_by: Address | None = None
        """The binder that is asked again, since it has no instance at an IPv4 address."""

    def question(self, binder: Address) -> Lookup:
        """What a binder is asked."""
        if isinstance(self._service, str):
            return Lookup(NAMED, trailer=Query.about(self._service, self._takes_ipv6, self._zone))
        says_more = self._zone or is_ipv6_address(binder) or binder == self.denied_by
        takes_ipv6 = self._takes_ipv6 and bool(says_more)
        said = Query.about(self._service, takes_ipv6, self._zone)
        if said is None and self._is_keyed:
            said = Query(padding=bytes(SEALED_PADDING))
        return Lookup(self._service, trailer=said)

    def is_asked_again(self, binder: Address) -> bool:
        """A binder has no instance, and has not been asked yet for one at an IPv6 address: it is,
        from now on."""
        before = self.question(binder)
        self.denied_by = binder
        return self.question(binder) != before
