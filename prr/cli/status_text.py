"""Formats the status of binders: a single one in full, several in a row each."""

from typing import Any

from prr.cli.everyone import Said
from prr.cli.table import as_table
from prr.services import names_by_number


def in_full(said: Said[dict[str, Any]]) -> str:
    """Everything in one binder's status."""
    status = said.answer or {}
    names = names_by_number()
    synced = "synced" if status["synced"] else "waiting for its peers"
    return "\n".join(
        [
            f"binder {said.binder} ({status['identity']}), up {status['uptime_s']:.0f} s, "
            f"{synced}, {status['instances']} instances, digest {_digest(status)}, "
            f"{_kept(status['state'])}",
            "",
            as_table(
                ("TYPE", "NAME", "UP", "DRAINED", "SUSPECT", "BEING VERIFIED"),
                [
                    (
                        row["type"],
                        names.get(row["type"]) if row["type"] is not None else row["service"],
                        row["up"],
                        row.get("drained"),
                        row["suspect"],
                        row["being_verified"],
                    )
                    for row in status["types"]
                ],
            ),
            *_rest(status),
            "",
            as_table(
                ("PEER", "KIND", "STATE", "HEARD S AGO", "ROUND TRIP MS", "AGREES"),
                [_peer_row(peer) for peer in status["peers"]],
            ),
            *_seals(status.get("seals")),
            "",
            as_table(
                ("COUNT", "OF"), [(count, name) for name, count in status["counters"].items()]
            ),
        ]
    )


def _seals(opened: dict[str, int] | None) -> list[str]:
    """By which secret how much was proved, for who wants to prune the old one."""
    if opened is None:
        return []
    rows = [(secret, count) for secret, count in opened.items()]
    return ["", as_table(("SECRET", "PROVED"), rows)]


def _digest(status: dict[str, Any]) -> str:
    """That of everything, where the binder knows names."""
    return str(status.get("full_digest", status["digest"]))


def _rest(status: dict[str, Any]) -> list[str]:
    """How many services there are that no row shows."""
    rest = status.get("services", 0) - len(status["types"])
    return [f"and {rest:,} more services"] if rest > 0 else []


def in_rows(said: list[Said[dict[str, Any]]], odd: set[str]) -> str:
    """A row for each binder; those in `odd` differ from the others."""
    header = ("BINDER", "HEALTH", "UP S", "SYNCED", "INSTANCES", "PEERS UP", "DIGEST", "SAME")
    return as_table(header, [_row(row, row.binder in odd) for row in said])


def _row(said: Said[dict[str, Any]], is_odd: bool) -> tuple[object, ...]:
    status = said.answer
    if status is None:
        return (said.binder, said.why, *[None] * 6)
    up = sum(peer.get("state") in ("up", "quiet") for peer in status["peers"])
    return (
        said.binder,
        "OK" if status.get("ok") else "DEGRADED",
        f"{status['uptime_s']:.0f}",
        "yes" if status["synced"] else "no",
        status["instances"],
        f"{up} of {len(status['peers'])}",
        _digest(status),
        "DIFFERS" if is_odd else "yes",
    )


def _peer_row(peer: dict[str, Any]) -> tuple[object, ...]:
    state = peer.get("state")
    return (
        peer["address"],
        peer["kind"],
        state.upper() if state == "lost" else state,
        peer["heard_s_ago"],
        peer["round_trip_ms"],
        {True: "yes", False: "no", None: None}[peer["agrees"]],
    )


def _kept(state: dict[str, Any] | None) -> str:
    if state is None:
        return "nothing kept on disk"
    if state["failing"]:
        return f"the disk fails ({state['failing']})"
    if "etcd" in state:
        waiting = state["etcd"]["uncommitted"]
        return f"{waiting} changes not in etcd yet" if waiting else "all in etcd"
    return f"{state['unsaved']} changes not on disk yet" if state["unsaved"] else "all on disk"
