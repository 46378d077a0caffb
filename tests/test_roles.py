"""What a binder is told about its surroundings when it is started: as a real process."""

import socket

import pytest

from prr.client.control import fetch_list
from prr.core.replication import sync
from prr.demo.ports import free_port

ALONE_LATER = {f"{sync.__name__}.SYNC_WAIT": 2.0}
"""Seconds until a binder goes on that hears no peer: enough for a question on a busy machine."""


def own_ip() -> str:
    """An address of this host that is not loopback; the test is skipped if there is none."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # nothing is sent
        except OSError:
            pytest.skip("this host has no address but loopback")
        return probe.getsockname()[0]


def test_a_binder_on_all_addresses_gives_its_list_to_its_own_host_under_any_of_them(cluster):
    ip = own_ip()
    _, port = cluster.start("binder", "--listen", "0.0.0.0:0").address
    assert fetch_list(("127.0.0.1", port)) == []
    assert fetch_list((ip, port)) == []


@pytest.mark.smoke
@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_binder_says_no_such_service_no_sooner_if_its_peer_is_given_by_name(host, cluster, peers):
    client = peers()
    binder = cluster.binder("--peer", f"{host}:{free_port()}", limits=ALONE_LATER)
    client.send(b"\x02\x09", binder.address)
    assert client.hears_nothing(0.3)
    binder.wait_for("synced")
    assert client.ask(b"\x02\x09", binder.address) == b"\x04"
