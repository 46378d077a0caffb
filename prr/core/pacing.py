"""How often servers of ours renew their subscriptions, and how long a lease is then.

A renewal costs a binder little, and a hundred thousand servers renew a lot. So a binder tells each,
as it confirms it, within how many seconds to renew; a server says in each renewal within how many
it will do so next, and that is what its lease is made of. Who says nothing renews every 5 s: small
clusters, and programs that know nothing of this, are as they were.
"""

from prr.wire.trailer import RENEWAL_SECONDS_MAX

LEASE = 15.0
"""Seconds after which an instance that was not heard is asked whether it lives. Shorter finds the
dead that nobody calls sooner, and asks those that do not renew 1/LEASE times a second each."""

RENEWAL = 5
"""Seconds between two renewals of a server that was not told otherwise."""

RENEWALS_PER_SECOND = 5000
"""What a binder wants to spend on renewals: a tenth of a core, of some 20 us each, as they come
twenty at a time or so (`PAUSE` of `prr/shell/udp/datagrams.py`)."""

RENEWAL_MAX = 60
"""Seconds at most: so long a binder that lost all it knew, its peers included, may miss a server,
and three times as long one that died and nobody calls is still returned."""

RENEWALS_PER_LEASE = 3
"""Renewals within a lease: two may be lost before a server is asked."""

assert RENEWAL_MAX <= RENEWAL_SECONDS_MAX


def renewal_for(leases: int) -> int:
    """Within how many seconds each of those that hold `leases` here has to renew."""
    return min(max(RENEWAL, -(-leases // RENEWALS_PER_SECOND)), RENEWAL_MAX)


def lease_for(lease: float, renewal: int) -> float:
    """Seconds for which one that renews within `renewal` seconds is not asked: `lease` at least,
    and if that is 0 since it does not say. More than RENEWAL_MAX is not believed."""
    return max(lease, RENEWALS_PER_LEASE * float(min(renewal, RENEWAL_MAX)))
