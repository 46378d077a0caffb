"""What a binder knows of one instance beside its state: who watches it, until when, and what it
says of itself."""

from typing import Any, NamedTuple

from prr.wire.drain import decode_drain, drain_in
from prr.wire.instance import Address, describe_address
from prr.wire.particulars import decode_particulars


class Lease(NamedTuple):
    """As it is kept: to read it off costs little, and it may be described later, or elsewhere.
    Moments are in seconds of the clock by which the core is told what time it is."""

    owner: int | None
    """The identity of its lease owner; None if it is not held."""
    is_owner: bool
    """That is this binder."""
    owner_address: Address | None
    """Where the owner is reached, if it is a peer."""
    ends_at: float | None
    """When the lease ends, if this binder vouches for it."""
    drain_ends_at: float | None
    """When it is in turn again, if it is drained."""
    particulars: bytes


def lease_row(lease: Lease, now: float) -> dict[str, Any]:
    """It as plain data at `now`; None for what is not so, or not known."""
    said = decode_particulars(lease.particulars)
    ends_at, drain_ends_at = lease.ends_at, lease.drain_ends_at
    return {
        "owner": None if lease.owner is None else f"{lease.owner:016x}",
        "is_owner": lease.is_owner,
        "owner_address": lease.owner_address and describe_address(lease.owner_address),
        "lease_s": None if ends_at is None else round(ends_at - now, 3),
        "weight": said.weight,
        "zone": said.zone or None,
        "tags": dict(said.tags),
        "drain_s": None if drain_ends_at is None else round(max(drain_ends_at - now, 0.0), 3),
        "drain_why": decode_drain(drain_in(lease.particulars)).why or None,
    }
