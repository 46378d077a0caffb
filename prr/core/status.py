"""A binder as a person wants to see it: who it is, what it knows, whom it hears."""

from collections import Counter
from typing import Any

from prr.core.lease import Lease
from prr.core.liveness.detector import Detector
from prr.core.replication.peer_liveness import isolation
from prr.core.replication.peers import Peer, Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.instance import Instance, describe_address, service_of
from prr.wire.version import VERSION_BYTES, owner_in

SERVICES_MAX = 512
"""Services that are shown one by one, numbers first: a text of 75 kB at most."""


def status_of(
    versioned: VersionedDirectory, detector: Detector, peers: Peers, is_synced: bool, now: float
) -> dict[str, Any]:
    """What the core knows of itself, as plain data. Times are seconds before `now`."""
    directory = versioned.directory
    under_way = detector.doubts.verifications.under_way()
    verified = Counter(service_of(instance) for instance in under_way)
    types = []
    for service in directory.services(SERVICES_MAX):
        up, suspect = directory.count(service)
        is_named = isinstance(service, str)
        row = {"service": str(service), "type": None if is_named else service}
        row |= {"up": up, "drained": directory.count_drained(service), "suspect": suspect}
        row |= {"being_verified": verified[service]}
        types.append(row)
    return {
        "identity": f"{versioned.identity:016x}",
        "instances": len(versioned.directory),
        "digest": directory.digest(wide=False).hex(),
        "full_digest": directory.digest().hex(),
        "synced": is_synced,
        "isolated": _isolated(peers, now),
        "brake": detector.brake_status(now),
        "verifications": detector.verdicts.status(),
        "evictions": dict(detector.verdicts.evictions),
        "types": types,
        "services": directory.service_count(),
        "peers": [_peer_row(peer, peers, now) for peer in peers.all()],
    }


def lease_of(
    versioned: VersionedDirectory, detector: Detector, peers: Peers, instance: Instance
) -> Lease:
    """Who watches an instance, and what it says of itself."""
    word, leases = versioned.directory.word(instance), detector.doubts.leases
    owner = owner_in(word) if word else None
    is_owner = owner == versioned.identity
    address = None
    if owner is not None and not is_owner:
        address = next((one.address for one in peers.all() if one.identity == owner), None)
    return Lease(
        owner,
        is_owner,
        address,
        leases.due_at(instance) if leases.vouches_for(instance) else None,
        versioned.drains.ends_at(instance),
        word[VERSION_BYTES:],
    )


def summary_of(versioned: VersionedDirectory, peers: Peers, is_synced: bool, now: float) -> str:
    """What fits into one line of it."""
    heard = sum(not peers.is_silent(peer, now) for peer in peers.all())
    state = "synced" if is_synced else "asking its peers"
    instances, types = len(versioned.directory), versioned.directory.service_count()
    return (
        f"{state}; {instances} instances of {types} services, {heard} of {len(peers)} peers heard"
    )


def _isolated(peers: Peers, now: float) -> str | None:
    found = isolation(peers, now)
    return None if found is None else str(found)


def _peer_row(peer: Peer, peers: Peers, now: float) -> dict[str, Any]:
    heard = None if peer.heard_at is None else round(now - peer.heard_at, 3)
    took = None if peer.round_trip is None else round(peer.round_trip * 1000, 3)
    return {
        "address": describe_address(peer.address),
        "kind": str(peer.kind),
        "state": str(peers.state(peer, now)),
        "identity": None if peer.identity is None else f"{peer.identity:016x}",
        "heard_s_ago": heard,
        "round_trip_ms": took,
        "agrees": peer.agrees,
        "mended": peer.mended,
    }
