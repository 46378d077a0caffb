"""Subscriptions in runs: read, decided and answered as one by one, only faster."""

import socket
from collections import Counter
from random import Random

import pytest

from prr.core.binder import LEASE, Binder
from prr.core.effects import Confirm, ConfirmAll, Persist, Report, Send
from prr.core.liveness.newcomers import PAUSES
from prr.core.liveness.quotas import CREDIT
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.headers import BURST_MAX
from prr.shell.udp.mmsg import Burst, OneByOne
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.frames import (
    Added,
    Alive,
    Complaint,
    Removed,
    Role,
    ServiceList,
    Subscribe,
    Subscribed,
)
from prr.wire.instance import address_of, make_instance, type_of
from prr.wire.messages import Hello, Search, Started, UnaskedPage, Versioned
from prr.wire.subscription_runs import SubscriptionRun
from prr.wire.version import NO_START, Version, encode_version
from tests.cores import CODECS, decode, encode, probes
from tests.sim.checkers import Runs

PEER = ("10.0.9.1", 2222)
assert Runs.run.__name__ == "_run_all_and_compare"  # each run is compared with the table


def subscriptions(rng, count):
    """Datagrams as servers send them, in rows, and some that are not quite like that."""
    for _ in range(count):
        kind = rng.randrange(5)
        for _ in range(rng.randrange(1, 6)):
            type_, start = (
                rng.randrange(256),
                rng.choice((2, 300, 1 << 16, rng.getrandbits(32) | 2)),
            )
            frames = (
                Subscribe(type_),
                Subscribe(type_, trailer=Started(start=start)),
                Alive(trailer=Search(types=bytes((type_,)), start=start)),
                Subscribe(type_, trailer=Started(start=start, binder=1)),
            )
            data = encode(frames[kind]) if kind < 4 else rng.randbytes(rng.choice((2, 10, 13)))
            if rng.random() < 0.1:
                at = rng.randrange(len(data))
                data = data[:at] + rng.randbytes(1) + data[at + 1 :]
            yield data


@pytest.mark.parametrize("seed", range(20))
@pytest.mark.parametrize("kind", [Burst, OneByOne])
def test_what_columns_say_is_what_the_codec_reads(kind, seed):
    rng, codec = Random(seed), CODECS[Role.BINDER]
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender,
    ):
        for one in (bound, sender):
            one.bind(("127.0.0.1", 0))
        bound.setblocking(False)
        sender.connect(bound.getsockname())
        for data in subscriptions(rng, 20):
            sender.send(data)
        burst, read = kind(bound), 0
        while count := burst.receive():
            for at in range(count):
                run = codec.subscription_run(burst, at)
                for number, (instance, start) in enumerate(
                    zip(run.instances, run.starts, strict=True)
                ):
                    frame = codec.decode(burst.datagram(at + number))
                    asked = frame.trailer
                    type_ = asked.types[0] if isinstance(frame, Alive) else frame.type
                    assert instance == make_instance(type_, burst.source(at + number))
                    assert start == (NO_START if asked is None else asked.start)
                    assert run.is_bare == (asked is None)
                read += len(run)
        assert read > 5


def test_a_start_number_that_no_server_draws_is_left_to_the_codec():
    class One:
        data = b"\x05\x07\xc1\x81\x0a\xce\0\0\0\x01"
        alike = OneByOne.alike
        column = OneByOne.column

        def __init__(self):
            self._data = self.data

        def addresses(self, at, count):
            return bytes(6)

    assert not CODECS[Role.BINDER].subscription_run(One(), 0)
    with pytest.raises(MalformedFrame):
        CODECS[Role.BINDER].decode(One.data)


def by_hand(effects):
    """Effects, whether they are for one or for many, in no order."""
    found = Counter()
    for effect in effects:
        match effect:
            case ConfirmAll(instances=instances, frame=frame):
                found.update(("confirm", one, frame) for one in map(address_of, instances))
            case (
                Confirm(frame=frame, target=target)
                | Send(frame=Subscribed() as frame, target=target)
            ):
                found["confirm", target, frame] += 1
            case Send(frame=ServiceList(instances=instances, trailer=UnaskedPage()), target=target):
                found.update(("added", one, target) for one in instances)
            case Send(frame=Added(instance=instance), target=target):
                found["added", instance, target] += 1
            case Persist(updates=updates):
                found.update(("kept", one) for one in updates)
            case Report(event=event, of=of):
                found[event, of] += 1
            case _:
                found[str(effect)] += 1
    return found


def state(core):
    """All that is held, but for the counters of the versions, of which a run may skip some."""
    seen = core.inspect()
    updates = {
        one: (version.owner, version.start, is_there)
        for one, (version, is_there) in seen.directory.updates.items()
    }
    sizes = {name: size for name, (size, _) in seen.sizes.items()}
    return updates, seen.directory.suspects, seen.newcomers, dict(seen.verifications), sizes


def shake(rng, cores, instances, now):
    """Something happens to one of the instances, at both cores alike."""
    one = rng.choice(instances)
    version = Versioned(binder=9, versions=encode_version(Version(rng.getrandbits(40), 9, 70_000)))
    frame, source = rng.choice(
        (
            (Complaint(one), ("10.0.8.8", 5)),
            (Removed(one), address_of(one)),
            (Added(one, trailer=version), PEER),
            (Removed(one, trailer=version), PEER),
            (Added(one), PEER),
        )
    )
    effects = [core.handle(frame, source, now) for core in cores]
    assert by_hand(effects[0]) == by_hand(effects[1])


def subscribe(short, long, run, now):
    """The first of a run subscribe, with one core the short way; how many did."""
    count, effects = short.subscribe_run(run, now)
    ones, by_one = run.first(max(count, 1)), []
    for one, start in zip(ones.instances, ones.starts, strict=True):
        trailer = None if start == NO_START else Started(start=start)
        frame = Subscribe(type_of(one), trailer=trailer)
        by_one += long.handle(frame, address_of(one), now)
        if not count:
            effects = short.handle(frame, address_of(one), now)
    assert by_hand(effects) == by_hand(by_one)
    assert state(short) == state(long)
    return count


@pytest.mark.parametrize("keeps", [False, True])
@pytest.mark.parametrize("peers", [(), (PEER,)])
@pytest.mark.parametrize("seed", range(15))
def test_the_short_way_decides_what_the_long_way_decides(seed, peers, keeps):
    rng = Random(seed)
    short, long = cores = [
        Binder(frozenset(), peers, 1, Random(seed), keeps=keeps) for _ in range(2)
    ]
    places = [(f"10.0.{n // 40}.{n % 40}", 4000) for n in range(80)]
    instances = [make_instance(1, place) for place in places]
    instances += [make_instance(2, place) for place in places[:5]]
    now, in_runs = 1.0, 0
    for core in cores:
        core.start(now)
        core.handle(ServiceList((), trailer=Hello(binder=9)), PEER, now)
    for _ in range(60):
        now += rng.choice((0.0, 0.01, PAUSES[0], LEASE / 3))
        if peers and rng.random() < 0.3:
            shake(rng, cores, instances, now)
        at = rng.randrange(len(instances))
        ones = instances[at : at + rng.randrange(1, BURST_MAX)]
        starts = [NO_START] * len(ones)
        if rng.random() < 0.7:
            starts = [70_000 + type_of(one) + (rng.random() < 0.02) for one in ones]
        run = SubscriptionRun(ones, starts)
        while run:
            count = subscribe(short, long, run, now)
            in_runs += count
            done = max(count, 1)
            run = SubscriptionRun(run.instances[done:], run.starts[done:])
        asked = [probes(core.tick(now)) for core in cores]
        assert [probe.instance for probe in asked[0]] == [probe.instance for probe in asked[1]]
        for probe in zip(*asked, strict=True):
            if rng.random() < 0.9:
                for core, one in zip(cores, probe, strict=True):
                    core.probed(one, "alive", now)
    assert in_runs > 200


def test_a_host_has_no_more_newcomers_in_runs_than_one_by_one():
    core = Binder(frozenset(), (), 1, Random(1))
    core.start(0.0)
    ones = [make_instance(1, ("10.0.0.1", 1 + port)) for port in range(int(CREDIT) + 50)]
    confirmed = 0
    for at in range(0, len(ones), 8):
        part = ones[at : at + 8]
        count, effects = core.subscribe_run(SubscriptionRun(part, [NO_START] * len(part)), 0.0)
        assert count == len(part)
        confirmed += sum(len(e.instances) for e in effects if isinstance(e, ConfirmAll))
    assert confirmed == len(core.directory) == CREDIT


def test_one_datagram_goes_to_many():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        lane = Datagrams(bound)
        others = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(BURST_MAX)]
        for number, other in enumerate(others):
            other.bind((f"127.0.1.{1 + number}", 0))
            other.settimeout(5)
        ones = [make_instance(7, other.getsockname()) for other in others]
        for data in (b"\x06", b"\x06\xc1\x80"):
            assert lane.send_all(data, b"".join(ones)) == BURST_MAX
            assert {other.recv(10) for other in others} == {data}
        for other in others:
            other.close()
        lane.close()


def test_peers_are_told_of_a_run_in_one_page():
    core = Binder(frozenset(), (PEER,), 1, Random(1))
    core.start(0.0)
    core.handle(ServiceList((), trailer=Hello(binder=9)), PEER, 0.0)
    ones = [make_instance(1, (f"10.0.0.{n}", 4000)) for n in range(40)]
    count, effects = core.subscribe_run(SubscriptionRun(ones, [NO_START] * 40), 0.0)
    told = [e for e in effects if isinstance(e, Send) and e.target == PEER]
    assert count == 40
    assert [type(one.frame) for one in told] == [ServiceList]
    page = decode(Codec(Role.BINDER).encode(told[0].frame), Role.BINDER)
    other = Binder(frozenset(), (("10.0.9.2", 2222),), 9, Random(2))
    other.handle(page, ("10.0.9.2", 2222), 0.0)
    assert set(other.directory) == set(ones)
