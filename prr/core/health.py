"""Whether a binder is well, and if not, why: reasons from its status that one can act on.

Nothing heard is not well: a peer that never spoke counts as one that is lost.
"""

from typing import Any

PEERS_NAMED_MAX = 4
"""Peers named in one reason; of the others the number is said, and `status` has a row for each."""


def degraded(status: dict[str, Any]) -> list[str]:
    """The reasons why a binder is not well, the gravest first; [] if it is.

    `status` is what the core knows of itself, with what the shell adds to it: `state`, `overload`
    and `unresolved`. What is missing there counts as well.
    """
    reasons: list[str] = []
    if eviction_limiter := status.get("brake"):
        reasons.append(_limiter(eviction_limiter))
    if twins := _twins(status):
        reasons.append(f"{twins} has this binder's identity: see its log")
    if state := status.get("state"):
        reasons += _state(state)
    if overload := status.get("overload"):
        reasons.append(
            f"overloaded for {overload['since_s']:.0f} s: {overload['dropped']:,} datagrams "
            f"dropped by the kernel"
        )
    if not status.get("synced", True):
        reasons.append(f"not ready: it waits for {_waits_for(status)}")
    if isolated := status.get("isolated"):
        reasons.append(isolated)
    else:
        reasons += _peers(status.get("peers", []))
    if unresolved := status.get("unresolved"):
        reasons.append(f"no address for {', '.join(unresolved[:PEERS_NAMED_MAX])}")
    return reasons


def _limiter(limiter: dict[str, Any]) -> str:
    return (
        f"eviction limiter on for {limiter['since_s']:.0f} s: {limiter['held_back']} silent "
        f"instances kept, {limiter['evicted']} of {limiter['of']} evicted "
        f"(limit {limiter['limit']})"
    )


def _twins(status: dict[str, Any]) -> str:
    """The peers with the binder's own identity, which no two may have."""
    own, peers = status.get("identity"), status.get("peers", [])
    twins = [peer["address"] for peer in peers if own and peer["identity"] == own]
    return ", ".join(twins[:PEERS_NAMED_MAX])


def _state(state: dict[str, Any]) -> list[str]:
    reasons = []
    if state.get("failing"):
        unless = "" if "etcd" in state else ": nobody is confirmed"
        reasons.append(f"the disk fails ({state['failing']}){unless}")
    if state.get("damaged"):
        reasons.append(f"the state on disk was damaged: {state['damaged']}")
    etcd = state.get("etcd") or {}
    if etcd.get("away_s") is not None:
        reasons.append(
            f"etcd away for {etcd['away_s']:.0f} s ({etcd['why']}): nobody new is confirmed"
        )
    elif etcd.get("why"):
        reasons.append(f"etcd takes no updates ({etcd['why']}): nobody new is confirmed")
    return reasons


def _waits_for(status: dict[str, Any]) -> str:
    """What a binder has not heard that is not ready."""
    etcd = (status.get("state") or {}).get("etcd")
    if etcd and etcd.get("away_s") is not None:
        return "etcd"  # that comes last: of its peers and its disk, further reasons tell
    return "its peers, its disk or etcd" if etcd else "its peers or its disk"


def _peers(peers: list[dict[str, Any]]) -> list[str]:
    missing = [
        f"{peer['address']} never heard"
        if peer["heard_s_ago"] is None
        else f"{peer['address']} lost for {peer['heard_s_ago']:.0f} s"
        for peer in peers
        if peer["state"] in ("lost", "never heard")
    ]
    if not missing:
        return []
    more = len(missing) - PEERS_NAMED_MAX
    named = ", ".join(missing[:PEERS_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
    return [f"{len(peers) - len(missing)} of {len(peers)} peers heard: {named}"]
