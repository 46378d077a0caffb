"""Lease owners: what looking at them costs, however many a faulty peer makes up."""

import pytest

from prr.config import Limits
from prr.core.liveness import lease_owners
from prr.core.liveness.lease_owners import REVIEW_PAUSE, LeaseOwners
from prr.core.replication.peers import Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.version import Version
from tests.cores import at

SELF, NOW = 1, 100.0


@pytest.mark.parametrize(("owners", "pause"), [(1, REVIEW_PAUSE), (30, 3 * REVIEW_PAUSE)])
def test_the_more_owners_there_are_the_more_seldom_all_are_looked_at(owners, pause, monkeypatch):
    monkeypatch.setattr(lease_owners, "REVIEWED", 10)
    peers = Peers(())
    versioned = VersionedDirectory(SELF, Limits(), peers)
    for number in range(owners):
        versioned.directory.add(at(1, "10.0.0.1", number), Version(1, 100 + number, 0))
    watched = LeaseOwners(versioned, peers, 15.0)
    watched.scan(NOW, True)
    assert watched.deadline(True) == NOW + pause
