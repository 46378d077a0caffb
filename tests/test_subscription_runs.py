"""Subscriptions in runs: read, decided and answered as one by one, only faster."""

import socket
from collections import Counter
from dataclasses import replace
from random import Random

import pytest

from prr.core import deadlines
from prr.core.binder import Binder
from prr.core.directory.digests import entry_of
from prr.core.directory.table import Table
from prr.core.effects import (
    AskAgain,
    Confirm,
    ConfirmAll,
    ConfirmSealed,
    Persist,
    Report,
    Send,
)
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.newcomers import CREDIT, PAUSES
from prr.core.liveness.runs import TOLD_MAX
from prr.core.pacing import LEASE
from prr.shell.udp import datagrams
from prr.shell.udp.datagrams import Datagrams
from prr.shell.udp.headers import BURST_MAX
from prr.shell.udp.mmsg import Burst, OneByOne
from prr.shell.udp.outbox import Outbox
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
from prr.wire.instance import address_of, make_instance, service_of
from prr.wire.messages import Hello, Plain, Renew, Search, Started, UnaskedPage, Versioned
from prr.wire.subscription_runs import SubscriptionRun
from prr.wire.version import NO_START, Version, encode_version
from prr.wire.wide import decode_wide
from tests.cores import CODECS, decode, encode, has_answered, one_by_one, probes
from tests.families import LOOPBACKS, udp
from tests.samples import sample
from tests.sim.adapter import frames_of
from tests.sim.checkers import Runs
from tests.sim.world import Violation

PEER = ("10.0.9.1", 2222)
assert Runs.run.__name__ == "_run_all_and_compare"  # each run is compared with the table


def run_of(instances, starts, renewals=None):
    """A run; without `renewals` none of them says within how many seconds it renews."""
    return SubscriptionRun(instances, starts, renewals or [0] * len(instances))


def subscriptions(rng, count):
    """Datagrams as servers send them, in rows, and some that are not quite like that."""
    for _ in range(count):
        kind = rng.randrange(6)
        for _ in range(rng.randrange(1, 6)):
            type_, start = (
                rng.randrange(256),
                rng.choice((2, 300, 1 << 16, rng.getrandbits(32) | 2)),
            )
            frames = (
                Subscribe(type_),
                Subscribe(type_, trailer=Started(start=start)),
                Subscribe(type_, trailer=Started(start=start, renewal=rng.choice((1, 60, 127)))),
                Alive(trailer=Search(types=bytes((type_,)), start=start)),
                Subscribe(type_, trailer=Started(start=start, binder=1)),
            )
            data = encode(frames[kind]) if kind < 5 else rng.randbytes(rng.choice((2, 10, 13)))
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
                rows = zip(run.instances, run.starts, run.renewals, strict=True)
                for number, (instance, start, renewal) in enumerate(rows):
                    frame = codec.decode(burst.datagram(at + number))
                    asked = frame.trailer
                    type_ = asked.types[0] if isinstance(frame, Alive) else frame.type
                    assert instance == make_instance(type_, burst.source(at + number))
                    assert start == (NO_START if asked is None else asked.start)
                    assert renewal == (getattr(asked, "renewal", None) or 0)
                    assert run.is_bare == (asked is None)
                read += len(run)
        assert read > 5


def test_what_begins_otherwise_is_not_compared():
    """What is under a seal pays for none but the one form that begins as it does."""

    class One:
        column = OneByOne.column
        compared = 0

        def __init__(self, data):
            self._data = data

        def alike(self, at, size, fixed):
            self.compared += 1
            return 0

    for data, most in ((b"\x0c" + bytes(100), 1), (b"\x05" + bytes(100), 3), (b"\x06", 0)):
        one = One(data)
        assert not CODECS[Role.BINDER].subscription_run(one, 0)
        assert one.compared == most


@pytest.mark.parametrize(
    "wrong",
    [
        b"\x05\x07\xc1\x81\x0a\xce\0\0\0\x01",
        b"\x05\x07\xc1\x82\x0a\xce\0\1\0\x01\x10\0",
        b"\x05\x07\xc1\x82\x0a\xce\0\1\0\x01\x10\x80",
    ],
)
def test_a_number_that_no_server_says_is_left_to_the_codec(wrong):
    class One:
        alike = OneByOne.alike
        column = OneByOne.column

        def __init__(self):
            self._data = wrong

        def address_columns(self, at, count):
            return [b"\1"] * 6

    assert not CODECS[Role.BINDER].subscription_run(One(), 0)
    with pytest.raises(MalformedFrame):
        CODECS[Role.BINDER].decode(wrong)


def spread(effects):
    """Effects, those for many under a seal as one for each."""
    for effect in one_by_one(effects):
        if isinstance(effect, ConfirmSealed | AskAgain):
            yield from (Send(frame, address_of(one)) for one, frame in frames_of(effect))
        else:
            yield effect


def by_hand(effects):
    """Effects, whether they are for one or for many, in no order."""
    found = Counter()
    for effect in spread(effects):
        match effect:
            case ConfirmAll(instances=instances, frame=frame):
                found.update(("confirm", one, frame) for one in map(address_of, instances))
            case (
                Confirm(frame=frame, target=target)
                | Send(frame=Subscribed() as frame, target=target)
            ):
                found["confirm", target, frame] += 1
            case Send(frame=ServiceList(instances=ones, trailer=UnaskedPage() as page), target=to):
                found.update(("added", one, to) for one in ones)
                others = decode_wide(page.others or b"")
                found.update(("added", update.instance, to) for update in others)
            case Send(frame=Added(instance=instance), target=target):
                found["added", instance, target] += 1
            case Persist(updates=updates):
                found.update(("kept", one) for one in updates)
            case Report(event=event, of=of):
                found[event, of] += 1
            case Send(frame=frame, target=target) if frame.seal and frame.seal.session:
                found["told", target, replace(frame, seal=None)] += 1  # pages are fewer words
            case _:
                found[str(effect)] += 1
    return found


def state(core):
    """All that is held, but for the counters of the versions, of which a run may skip some."""
    seen = core.inspect()
    updates = {
        one: (version.owner, version.start, is_there, particulars)
        for one, (version, is_there, particulars) in seen.directory.updates.items()
    }
    # Of the deadlines, some that are out of date may be dropped sooner or later.
    sizes = {name: size for name, (size, _) in seen.sizes.items() if not name.endswith(" due")}
    heard = core.directory.heard
    heard_at = {} if heard is None else {one: heard.at(one) for one in core.directory}
    held = updates, seen.directory.suspects, seen.newcomers, dict(seen.verifications)
    return *held, sizes, heard_at


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
    for one, start, renewal in zip(ones.instances, ones.starts, ones.renewals, strict=True):
        trailer = None if start == NO_START else Started(start=start, renewal=renewal or None)
        frame = Subscribe(service_of(one), trailer=trailer)
        by_one += long.handle(frame, address_of(one), now)
        if not count:
            effects = short.handle(frame, address_of(one), now)
    assert by_hand(effects) == by_hand(by_one)
    assert state(short) == state(long)
    assert short.deadline() == long.deadline()
    return count


@pytest.mark.parametrize("keeps", sample(1, [True, False]))
@pytest.mark.parametrize("peers", sample(1, [(PEER,), ()]))
@pytest.mark.parametrize("seed", [*sample(1, range(2)), *sample(0, range(2, 15), pytest.mark.slow)])
def test_the_short_way_decides_what_the_long_way_decides(seed, peers, keeps):
    assert compare(seed, peers, keeps) > 200


@pytest.fixture(autouse=True)
def whole_heaps(monkeypatch):
    """Of deadlines that are due together the order is that in which they were set, as long as the
    heap is not made anew, which may be sooner or later."""
    monkeypatch.setattr(deadlines, "_STALE_MIN", 1_000_000)


def compare(seed, peers, keeps):
    """Give two cores the same, one of them in runs; how many it took in runs."""
    rng = Random(seed)
    short, long = cores = [
        Binder(frozenset(), peers, 1, Random(seed), keeps=keeps, is_watched=bool(seed % 2))
        for _ in range(2)
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
            starts = [70_000 + service_of(one) + (rng.random() < 0.02) for one in ones]
        renewals = [rng.choice((0, 6, 60, 127)) if starts[0] else 0 for _ in ones]
        run = run_of(ones, starts, renewals if rng.random() < 0.5 else None)
        while run:
            count = subscribe(short, long, run, now)
            in_runs += count
            done = max(count, 1)
            run = run_of(run.instances[done:], run.starts[done:], run.renewals[done:])
        asked = [probes(core.tick(now)) for core in cores]
        assert [probe.instance for probe in asked[0]] == [probe.instance for probe in asked[1]]
        for probe in zip(*asked, strict=True):
            if rng.random() < 0.9:
                for core, one in zip(cores, probe, strict=True):
                    core.probed(one, "alive", now)
    return in_runs


@pytest.mark.parametrize("others", [0, 1, 16, 63])
def test_a_run_of_new_ones_is_no_longer_than_what_is_told_of_it_in_one_step(others):
    """To each peer that reads no pages a frame for each of them."""
    peers = (PEER, *((f"10.0.7.{n}", 2222) for n in range(others)))
    core = Binder(frozenset(), peers, 1, Random(1))
    core.start(0.0)
    core.handle(ServiceList((), trailer=Hello(binder=9)), PEER, 0.0)
    run, told = run_of([make_instance(1, (f"10.0.1.{n}", 4000)) for n in range(32)], [7] * 32), []
    while run:
        count, effects = core.subscribe_run(run, 1.0)
        told.append(sum(isinstance(e, Send) for e in effects))
        run = run_of(run.instances[count:], run.starts[count:])
    assert len(core.directory) == 32
    assert max(told) <= 1 + TOLD_MAX
    assert len(told) == 1 or others > 4


MUTANTS = {
    "doubts are not looked at": (Doubts, "are_undoubted", lambda *_: True),
    "all renew that stand behind one": (Runs, "_renewing", lambda _, run: len(run.instances)),
    "all are new that stand behind one": (Runs, "_coming", lambda _, run: len(run.instances)),
    "all say their start for the first time": (
        *(Runs, "_changing"),
        lambda _, run: len(run.instances),
    ),
    "others at an address are not looked at": (
        *(Table, "alone"),
        lambda _, instances: len(instances),
    ),
}


@pytest.mark.smoke
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_guard_switched_off_is_noticed(mutant, monkeypatch):
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises((AssertionError, Violation)):
        for seed in range(30):
            compare(seed, (PEER,), False)


def test_one_that_was_restored_and_not_heard_since_is_put_in_turn_by_itself():
    core = Binder(frozenset(), (), 1, Random(1), keeps=True)
    one = make_instance(1, ("10.0.0.1", 4000))
    core.learn([entry_of(one, encode_version(Version(1 << 20, 1, 7)))], [], 0.0)
    core.start(0.0)
    assert core.subscribe_run(run_of([one], [7]), 1.0) == (0, [])
    core.handle(Subscribe(1, trailer=Started(start=7)), address_of(one), 1.0)
    assert not core.directory.is_unheard(one)


def test_of_a_herd_those_that_say_it_again_end_no_run():
    """One by one they would cost as much as sixteen of those that come."""
    core = Binder(frozenset(), (), 1, Random(1), keeps=True)
    core.start(0.0)
    ones = [make_instance(1, (f"10.0.0.{number}", 4000)) for number in range(1, 17)]
    core.subscribe_run(run_of(ones[:6], [NO_START] * 6), 0.0)
    said = Random(5).sample(ones, len(ones))
    count, effects = core.subscribe_run(run_of(said, [NO_START] * len(said)), 0.4)
    assert count == len(said)
    confirmed = [effect.instances for effect in effects if isinstance(effect, ConfirmAll)]
    assert [sorted(some) for some in confirmed] == [ones[:6], ones[6:]]


def test_nobody_is_taken_in_who_cannot_be_reached():
    core, nowhere = Binder(frozenset(), (), 1, Random(1)), make_instance(2, ("10.0.0.1", 0))
    core.start(0.0)
    run = run_of([make_instance(2, ("10.0.0.2", 1)), nowhere], [7, 8])
    assert core.subscribe_run(run, 1.0) == (0, [])
    assert nowhere not in core.directory


def test_a_host_has_no_more_newcomers_in_runs_than_one_by_one():
    core = Binder(frozenset(), (), 1, Random(1))
    core.start(0.0)
    ones = [make_instance(1, ("10.0.0.1", 1 + port)) for port in range(int(CREDIT) + 50)]
    confirmed = 0
    for at in range(0, len(ones), 8):
        part = ones[at : at + 8]
        count, effects = core.subscribe_run(run_of(part, [NO_START] * len(part)), 0.0)
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
            assert lane.send_all(data, ones) == BURST_MAX
            assert {other.recv(10) for other in others} == {data}
        for other in others:
            other.close()
        lane.close()


@pytest.mark.parametrize("has_mmsg", [True, False])
@pytest.mark.parametrize("ip", LOOPBACKS)
def test_each_of_many_gets_a_datagram_of_its_own(ip, has_mmsg, monkeypatch):
    monkeypatch.setattr(datagrams, "has_mmsg", lambda: has_mmsg)
    bound, *others = (udp(ip) for _ in range(6))
    lane = Datagrams(bound)
    outbox = Outbox([lane], lambda: None, Counter())
    ones = [make_instance(7, other.getsockname()[:2]) for other in others] * 20
    told = [b"%d" % number * (1 + number % 2) for number in range(len(ones))]
    outbox.send_each(told, ones)
    for number, other in enumerate(others):
        other.settimeout(5)
        assert [other.recv(10) for _ in range(20)] == told[number :: len(others)]
        other.close()
    lane.close()


def test_peers_are_told_of_a_run_in_one_page():
    core = Binder(frozenset(), (PEER,), 1, Random(1))
    core.start(0.0)
    core.handle(ServiceList((), trailer=Hello(binder=9)), PEER, 0.0)
    ones = [make_instance(1, (f"10.0.0.{n}", 4000)) for n in range(40)]
    count, effects = core.subscribe_run(run_of(ones, [NO_START] * 40), 0.0)
    told = [e for e in effects if isinstance(e, Send) and e.target == PEER]
    assert count == 40
    assert [type(one.frame) for one in told] == [ServiceList]
    page = decode(Codec(Role.BINDER).encode(told[0].frame), Role.BINDER)
    other = Binder(frozenset(), (("10.0.9.2", 2222),), 9, Random(2))
    other.handle(page, ("10.0.9.2", 2222), 0.0)
    assert set(other.directory) == set(ones)


@pytest.mark.smoke
def test_many_are_told_to_renew_seldom_and_few_as_ever():
    core = Binder(frozenset(), (), 1, Random(1))
    core.start(0.0)
    ones = [make_instance(1, (f"10.{n >> 8}.{n & 255}.1", 4000)) for n in range(30_000)]
    renewing = Subscribe(1, trailer=Started(start=70_000))
    told = []
    for at in range(0, len(ones), 40):
        part = ones[at : at + 40]
        _, effects = core.subscribe_run(run_of(part, [70_000] * 40), 0.0)
        told.append(effects[-1].frame.trailer)
    assert told[0] == Plain()
    assert told[-1] == Renew(renewal=6)
    (confirmation,) = core.handle(renewing, address_of(ones[0]), 1.0)
    assert confirmation == Send(Subscribed(trailer=Renew(renewal=6)), address_of(ones[0]))
    assert len(encode(confirmation.frame)) <= 8  # what a stranger may get
    bare = core.handle(Subscribe(2), ("10.0.0.1", 5000), 1.0)
    assert Send(Subscribed(), ("10.0.0.1", 5000)) in bare  # who knows no trailer


@pytest.mark.parametrize("renewal", [None, 20, 60, 127])
def test_a_lease_is_three_renewals_and_no_more_is_believed(renewal):
    core = Binder(frozenset(), (), 1, Random(1))
    core.start(0.0)
    one = make_instance(1, ("10.0.0.1", 4000))
    core.handle(Subscribe(1, trailer=Started(start=7)), address_of(one), 0.0)
    has_answered(core, one, 0.1)
    core.handle(Subscribe(1, trailer=Started(start=7, renewal=renewal)), address_of(one), 1.0)
    lease = {None: LEASE, 20: 60.0, 60: 180.0, 127: 180.0}[renewal]
    assert core.deadline() == 1.0 + lease
    assert [probe.instance for probe in probes(core.tick(1.0 + lease))] == [one]
