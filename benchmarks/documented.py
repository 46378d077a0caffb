"""What others document for the time in which one that died is still returned: nobody measures it.

Each is a default, or the least that may be set, of the time after which a silent one is given up.
Caches and intervals between that and a client come on top.
"""

from typing import NamedTuple


class Documented(NamedTuple):
    """A system, seconds, and where that is written."""

    system: str
    seconds: float
    source: str


DOCUMENTED = (
    Documented(
        "ZooKeeper, session at least",
        4.0,
        "Administrator's Guide, `minSessionTimeout`: 2 ticks, of 2 s in the sample configuration",
    ),
    Documented(
        "Nacos, heartbeat lost", 15.0, "documentation: unhealthy after 15 s, removed after 30 s"
    ),
    Documented(
        "Kubernetes, node silent",
        40.0,
        "kube-controller-manager reference, `--node-monitor-grace-period` (50 s since 1.32)",
    ),
    Documented(
        "Consul, removal at least",
        60.0,
        "service definition, `deregister_critical_service_after`; a lookup of healthy ones leaves "
        "it out after a failed check, at whatever interval is set",
    ),
    Documented("Eureka, lease", 90.0, "`leaseExpirationDurationInSeconds`; caches come on top"),
)
