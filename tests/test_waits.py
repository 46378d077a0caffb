"""Lookups hardly wait longer while something else comes in that a binder can well read."""

from contextlib import ExitStack
from dataclasses import replace

import gevent
import pytest

from benchmarks.generate import generate, has_compiler
from benchmarks.nodes import make_instances, start_full_binders
from benchmarks.proc import generator_core, pid_at
from benchmarks.tally import Load
from prr.demo.ports import free_port
from prr.wire.codec import Codec
from prr.wire.frames import Complaint, Role
from prr.wire.instance import make_instance
from prr.wire.seal import Seal
from tests.dns import query
from tests.forging import STRANGE_SECRET
from tests.keys import APP, held, write_keyring
from tests.waits import apart, median_ratio, share_ms, waits_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not has_compiler(), reason="no C compiler for the load generator"),
]

RATE, SECONDS, ROUNDS = 2000.0, 2.0, 5

LONGER_MAX_MS = 3.0
"""By how much the 99th percentile may rise: of what is in a queue a binder reads a burst at a time,
and lookups have one of their own."""

AT_ONCE = (1, 64)
"""How many datagrams leave at the same moment: evenly spaced, or as many as one system call sends.
These come faster than any binder reads for some milliseconds, and then there are none."""

COMPLAINT = Complaint(make_instance(7, ("127.0.7.7", 4000)))
FORGED = Codec(Role.CLIENT, keys=held(APP, STRANGE_SECRET)).encode(replace(COMPLAINT, seal=Seal(1)))

COMING = {
    "a seal that does not fit": (2000, FORGED, False),
    "a complaint about what is not held": (2000, Codec(Role.CLIENT).encode(COMPLAINT), False),
    "junk": (2000, b"\xff" * 40, False),
    "DNS": (1000, query("_7._udp.prr", "SRV"), True),
}
"""How many datagrams a second, what, and whether it goes to the port of DNS."""


@pytest.fixture(scope="module")
def binder(tmp_path_factory):
    """A binder that requires keys, and answers DNS: where, and where DNS."""
    with ExitStack() as processes:
        dns = f"127.0.0.1:{free_port()}"
        key = write_keyring(tmp_path_factory.mktemp("keys"))
        flags = [f"--key={key}", "--legacy=127.0.0.1/32", f"--dns={dns}"]
        instances = make_instances(1000, [7])
        (address,) = start_full_binders(1, instances, processes, arguments=flags)
        apart(pid_at(address))
        yield address, ("127.0.0.1", int(dns.rpartition(":")[2]))


@pytest.mark.parametrize("at_once", AT_ONCE)
@pytest.mark.parametrize("what", COMING)
def test_lookups_wait_hardly_longer_while_it_comes_in(what, at_once, binder):
    rate, data, is_dns = COMING[what]
    pairs, load = [], Load([binder[is_dns]], b"", [], SECONDS + 2.0, at_once, rate=rate)
    core = generator_core()  # where it delays no binder, which another host would not either
    load = replace(load, how="flood", question=data, core=core)
    for _ in range(ROUNDS):
        before = waits_of(binder[0], 7, RATE, SECONDS)
        coming = gevent.spawn(generate, load)
        gevent.sleep(1.0)
        during = gevent.get_hub().threadpool.apply(waits_of, (binder[0], 7, RATE, SECONDS))
        coming.get()
        assert during[0] >= 0  # else it was lost
        pairs.append((share_ms(before, 0.99), share_ms(during, 0.99)))
    print(f"{what}, {at_once} at once: p99 {pairs}, {median_ratio(pairs):.2f} times as long")
    assert sorted(after - before for before, after in pairs)[ROUNDS // 2] < LONGER_MAX_MS
