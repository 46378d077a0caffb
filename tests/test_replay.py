"""The capture of the programs of 2016, replayed against real nodes in every role.

The test plays everybody else: what the role received in the capture is sent to it, and what it
sent is awaited from it, byte for byte. Ports are exchanged for free ones, in the bytes too.
"""

import json
from itertools import dropwhile
from pathlib import Path

import pytest

from prr.core import client
from prr.demo.ports import free_port
from tests.nodes import Peer

CAPTURE = json.loads((Path(__file__).parent / "lab2016" / "capture.json").read_text())
DATAGRAMS = CAPTURE["datagrams"]
ROLES = sorted({d["source"] for d in DATAGRAMS} - {"binder A, verification port"})
SOON = {f"{client.__name__}.SERVICE_LIMIT": 0.5}
"""Seconds until a client complains about a silent server."""

LIST_QUESTION, VERIFY = b"\x07", b"\x0b"


class World:
    """Everybody in the capture but one, each with a socket on a port of its own."""

    def __init__(self, role: str) -> None:
        self.role = role
        self.ports = {port: free_port() for port in self._captured_ports()}
        self.sockets: dict[str, Peer] = {}

    def _captured_ports(self) -> set[int]:
        ends = ("source_port", "target_port")
        return {datagram[end] for datagram in DATAGRAMS for end in ends}

    def socket(self, name: str, captured_port: int) -> Peer:
        """The socket that plays `name`."""
        if name not in self.sockets:
            self.sockets[name] = Peer(port=self.ports[captured_port])
        return self.sockets[name]

    def payload(self, datagram: dict) -> bytes:
        """What stands in a captured datagram, with this world's ports, without padding."""
        data = bytes.fromhex(datagram["hex"])
        for old, new in self.ports.items():
            address = b"\x7f\x00\x00\x01"
            data = data.replace(
                address + old.to_bytes(2, "little"), address + new.to_bytes(2, "little")
            )
        return data

    def close(self) -> None:
        """Give the ports back."""
        for socket in self.sockets.values():
            socket.close()


def acts_of(role: str) -> list[dict]:
    """What a role sent (its verification port too), and what it received once it was up."""
    acts = [d for d in DATAGRAMS if d["source"].startswith(role) or d["target"] == role]
    return list(dropwhile(lambda datagram: datagram["source"] != role, acts))


def port_of(name: str) -> int:
    """The captured port of a role."""
    return next(d["source_port"] for d in DATAGRAMS if d["source"] == name)


def arguments(role: str, world: World) -> list[str]:
    """How the node that takes the place of `role` is started."""
    own = f"127.0.0.1:{world.ports[port_of(role)]}"
    binders = {name: f"127.0.0.1:{world.ports[port_of(name)]}" for name in ("binder A", "binder B")}
    if role in binders:
        peer = binders["binder B" if role == "binder A" else "binder A"]
        return ["binder", "--listen", own, "--peer", peer, "--wire", "lab2016"]
    binder = next(name for d in acts_of(role) if (name := d["target"]) in binders)
    if role.startswith("server"):
        type_ = role[role.index("(type ") + 6]
        return ["server", "--type", type_, "--listen", own, "--binder", binders[binder]]
    type_ = role[len("client of type ")]
    return ["client", "--type", type_, "--binder", binders[binder], "--message", "\x01" * 4]


def exchanges(role: str) -> list[list[dict]]:
    """A client of 2016 ended after its call and was started again: its acts, run by run."""
    if not role.startswith("client"):
        return [acts_of(role)]
    runs: list[list[dict]] = []
    for datagram in acts_of(role):
        if datagram["frame"] == "DEMANDE_DE_SERVICE":
            runs.append([])
        runs[-1].append(datagram)
    return runs


@pytest.mark.smoke
@pytest.mark.parametrize("role", ROLES)
def test_the_capture_replayed(role, cluster):
    world = World(role)
    for datagram in acts_of(role):  # everybody else is there from the start
        for end in ("source", "target"):
            if not datagram[end].startswith(role):
                world.socket(datagram[end], datagram[f"{end}_port"])
    try:
        for acts in exchanges(role):
            node = cluster.start(*arguments(role, world), limits=SOON)
            replay(acts, node, world)
            if role.startswith("client"):
                assert node.process.wait(5) in (0, 1, 4)
    finally:
        world.close()


def replay(acts: list[dict], node, world: World) -> None:
    """Go through what one node received and sent, in order."""
    address = None if world.role.startswith("client") else node.address
    for datagram in acts:
        expected = world.payload(datagram)
        if datagram["target"] == world.role:
            other = world.socket(datagram["source"], datagram["source_port"])
            padding = bytes((datagram["zero_padded_to"] or len(expected)) - len(expected))
            if datagram["frame"] == "DEMANDE_DE_SERVICE":
                node.wait_for("synced")  # before that it owes nobody a "no"
            other.send(expected + padding, address or other.source)
        else:
            other = world.socket(datagram["target"], datagram["target_port"])
            # Questions that stay unanswered are asked again.
            again = {LIST_QUESTION, VERIFY, other.last} - {expected}
            assert other.receive(*again) == expected, datagram
            other.last = expected
