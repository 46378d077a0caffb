"""Sealed subscriptions in runs: read, decided and answered as one by one, only faster."""

from collections import Counter
from hmac import compare_digest
from itertools import takewhile
from random import Random

import pytest

from prr.config import LIMITS, Limits, Require
from prr.core import deadlines, sealed_runs
from prr.core.awaited import Awaited
from prr.core.binder import Binder
from prr.core.directory.digests import entry_of
from prr.core.directory.tables import Tables
from prr.core.effects import AskAgain, Confirm, ConfirmSealed, Send
from prr.core.liveness.admission import Admission
from prr.core.liveness.doubts import Doubts
from prr.core.pacing import LEASE
from prr.core.tickets import AGE_MAX, Tickets
from prr.core.trust import Trust
from prr.trust.credential import Credential, Holder, encode_credential
from prr.trust.keyring import Keyring
from prr.wire import sealed_subscriptions
from prr.wire.codec import Codec
from prr.wire.errors import MalformedFrame
from prr.wire.frames import Alive, Role, ServiceList, Subscribe
from prr.wire.instance import address_of, encode_address, make_instance
from prr.wire.messages import ANNOUNCEMENT_PADDING, AgentAnnouncement, Hello, Started
from prr.wire.particulars import Particulars, encode_particulars
from prr.wire.proofs import Again, Confirmed
from prr.wire.seal import Seal
from tests.cores import probes, rows_in
from tests.keyed import OLD_SECRET, SECRET, STRANGE_SECRET
from tests.samples import sample
from tests.sim.adapter import frames_of
from tests.sim.checkers import Runs
from tests.sim.world import Violation
from tests.test_subscription_runs import by_hand, shake, state

pytestmark = pytest.mark.elsewhere

PEER = ("10.0.9.1", 2222)
RING = Keyring((SECRET, OLD_SECRET), frozenset({"gone"}))
STRANGE = Keyring((STRANGE_SECRET,))
OLD = Keyring((OLD_SECRET,))
WEIGHTY = encode_particulars(Particulars(weight=3))
assert Runs.run.__name__ == "_run_all_and_compare"  # each run is compared with the table


class Burst(list):
    """Datagrams of one call, each with its source."""

    def rows(self, at, first, least, most):
        return rows_in([data for data, _ in self[at:]], first, least, most)

    def address_columns(self, at, count):
        sources = [encode_address(source) for _, source in self[at : at + count]]
        return [bytes(column) for column in zip(*sources, strict=True)]

    def alike(self, at, size, fixed):
        row = takewhile(
            lambda data: len(data) == size and all(data[place] == byte for place, byte in fixed),
            [data for data, _ in self[at:]],
        )
        return len([*row])

    def column(self, at, count, place):
        return bytes(data[place] for data, _ in self[at : at + count])


class Speaker:
    """Somebody with a credential, who speaks for an instance from an address of its or another."""

    def __init__(self, service, at, id_="web-7", of=None, ring=RING, source=None, **more):
        holder = more.get("holder", Holder.SERVER)
        service_of_it = (service if of is None else of) if holder is Holder.SERVER else None
        credential = Credential(holder, id_, service_of_it)
        self.instance, self.source = make_instance(service, at), source or at
        self.codec = Codec(Role.SERVER, keys=ring.issue(encode_credential(credential)))
        self.start, self.numbers = 70_000 + len(id_), [1]

    def says(self, number, renewal=None, particulars=None, start=None):
        """Its subscription."""
        said = AgentAnnouncement(
            instance=self.instance,
            start=start or self.start,
            padding=bytes(ANNOUNCEMENT_PADDING),
            renewal=renewal,
            particulars=particulars,
        )
        return self.codec.encode(Alive(trailer=said, seal=Seal(number)))


def speakers(ip="10.0.{}.{}"):
    """All kinds, most of them sound."""
    at = [(ip.format(n // 10 + 1, n % 10 + 1), 4000) for n in range(60)]
    sound = [Speaker(1, where) for where in at[:24]]
    sound += [Speaker(1, where, f"web-{number}") for number, where in enumerate(at[24:34])]
    sound += [Speaker("billing", where, "b") for where in at[34:40]]
    sound += [Speaker(1, at[40], ring=OLD), Speaker(3, at[0]), Speaker("billing", at[1])]
    others = [
        Speaker(1, at[41], of=2),
        Speaker(1, at[42], of="billing"),
        Speaker(1, at[43], "gone"),
        Speaker(1, at[44], ring=STRANGE),
        Speaker(1, at[45], "app", holder=Holder.CLIENT),
        Speaker(1, at[46], "me", holder=Holder.OPERATOR),
        Speaker(1, at[47], source=(at[47][0], 999)),  # an agent
        Speaker(1, at[48], source=at[49]),  # from another host
        Speaker(1, (at[50][0], 0)),
    ]
    return sound, others if ":" in ip else [*others, Speaker(1, PEER)]


def datagrams(rng, count, sound, others, heard):
    """What they say: mostly as it should be, in rows of those that are alike."""
    burst = Burst()
    while len(burst) < count:
        how, renewal = rng.random(), rng.choice((None, None, 6, 127))
        ones = rng.sample(sound, rng.randrange(1, 20)) if how < 0.8 else [rng.choice(others)]
        for one in ones:
            number = one.numbers[-1] if rng.random() < 0.95 else rng.choice(one.numbers)
            number = number if rng.random() < 0.97 else rng.getrandbits(64)
            data = one.says(number, renewal)
            what = rng.random()
            if what < 0.02:
                data = one.says(number, renewal, WEIGHTY)
            elif what < 0.04:
                data = one.says(number, start=rng.choice((2, 80_000)))
            elif what < 0.06:
                data = Codec(Role.SERVER).encode(Subscribe(1, trailer=Started(start=70_000)))
            elif what < 0.08:
                at = rng.randrange(len(data))
                data = data[:at] + rng.randbytes(1) + data[at + 1 :]
            elif what < 0.1 and heard:
                data = rng.choice(heard)
            heard.append(data)
            burst.append((data, one.source if what < 0.98 else rng.choice(sound).source))
    return burst


def long_way(core, codec, burst, now):
    """What is decided one by one."""
    effects = []
    for data, source in burst:
        try:
            frame = codec.decode(data)
        except MalformedFrame:
            continue
        effects += core.handle(frame, source, now)
    return effects


def short_way(core, codec, burst, now):
    """The same as the shell has it, and how many were decided in runs, of which lengths."""
    effects, at, lengths = [], 0, []
    while at < len(burst):
        if run := codec.subscription_run(burst, at):
            count, more = core.subscribe_run(run, now)
        else:
            said = codec.sealed_subscriptions(burst, at)
            count, more = core.sealed_runs.subscribe(said, now)
            lengths.append(count)
        if not count:
            count, more = 1, long_way(core, codec, burst[at : at + 1], now)
        effects += more
        at += count
    return effects, lengths


def compare(seed, require=Require.ON, peers=(), keeps=False, ip="10.0.{}.{}", rounds=30):
    """Both ways, for a while; the lengths of the runs."""
    rng, codecs = Random(seed), [Codec(Role.BINDER, keys=RING, is_strict=seed % 2) for _ in "ab"]
    trust = Trust(is_keyed=True, require=require)
    limits = Limits(instances_per_credential=15)
    short, long = cores = [
        Binder(
            *(frozenset(), peers, 1, Random(seed)),
            keeps=keeps,
            trust=trust,
            limits=limits,
            is_watched=bool(seed % 3),
        )
        for _ in range(2)
    ]
    (sound, others), heard, lengths, now = speakers(ip), [], [], 1.0
    for core in cores:
        core.start(now)
        core.handle(ServiceList((), trailer=Hello(binder=9)), PEER, now)
    for _ in range(rounds):
        now += rng.choice((0.0, 0.01, 1.0, LEASE / 3, LEASE / 3, AGE_MAX / 2, AGE_MAX))
        if rng.random() < 0.3:
            shake(rng, cores, [one.instance for one in sound], now)
        burst = datagrams(rng, rng.choice((1, 20, 64)), sound, others, heard)
        effects, runs = short_way(short, codecs[0], burst, now)
        by_one = long_way(long, codecs[1], burst, now)
        assert by_hand(effects) == by_hand(by_one)
        assert state(short) == state(long)
        assert short.deadline() == long.deadline()
        lengths += runs
        learn(sound + others, by_one)
        asked = [probes(core.tick(now)) for core in cores]
        assert [probe.instance for probe in asked[0]] == [probe.instance for probe in asked[1]]
        for probe in zip(*asked, strict=True):
            if rng.random() < 0.9:
                for core, one in zip(cores, probe, strict=True):
                    core.probed(one, "alive", now)
    return lengths


def learn(ones, effects):
    """They hear what they are answered."""
    by_source = {one.source: one for one in ones}
    for effect in effects:
        if isinstance(effect, Send | Confirm) and effect.target in by_source:
            said = effect.frame.trailer
            if isinstance(said, Again | Confirmed):
                by_source[effect.target].numbers.append(said.ticket)


@pytest.fixture(autouse=True)
def whole_heaps(monkeypatch):
    """See `test_subscription_runs`."""
    monkeypatch.setattr(deadlines, "_STALE_MIN", 1 << 30)


WAYS = [
    *((require, (), False, "10.0.{}.{}") for require in Require),
    (Require.ON, (PEER,), True, "10.0.{}.{}"),
    (Require.OFF, (PEER,), True, "10.0.{}.{}"),
    (Require.ON, (), False, "2001:db8::{}:{}"),
]


@pytest.mark.parametrize(("require", "peers", "keeps", "ip"), WAYS)
@pytest.mark.parametrize("seed", [*sample(1, range(2)), *sample(0, range(2, 30), pytest.mark.slow)])
def test_the_short_way_decides_what_the_long_way_decides(seed, require, peers, keeps, ip):
    lengths = compare(seed, require, peers, keeps, ip)
    assert sum(length > 1 for length in lengths) > 20


def test_a_peer_and_whoever_comes_from_port_zero_are_no_servers():
    """They are in none of the runs above, whatever they say."""
    codec = Codec(Role.BINDER, keys=RING)
    for peers, at, count in (((PEER,), PEER, 0), ((), PEER, 1), ((), ("10.0.1.1", 0), 0)):
        said = codec.sealed_subscriptions(Burst([(Speaker(1, at).says(1), at)]), 0)
        assert keyed_binder(peers).sealed_runs.subscribe(said, 1.0)[0] == count


def keyed_binder(peers=(), limits=LIMITS):
    """One that requires proof."""
    trust = Trust(is_keyed=True, require=Require.ON)
    core = Binder(frozenset(), peers, 1, Random(1), trust=trust, limits=limits)
    core.start(0.0)
    return core


def subscribe(core, codec, ones, now):
    """They subscribe, with the number each knows; the lengths of the runs, and what follows."""
    burst = Burst((one.says(one.numbers[-1]), one.source) for one in ones)
    effects, lengths = short_way(core, codec, burst, now)
    for effect in effects:
        if isinstance(effect, ConfirmSealed | AskAgain):
            for (_, frame), one in zip(frames_of(effect), effect.said, strict=True):
                (whose,) = [each for each in ones if each.instance == one.instance]
                whose.numbers.append(frame.trailer.ticket)
    return lengths, effects


def test_a_herd_with_a_credential_each_comes_and_renews_in_three_runs():
    core, codec = keyed_binder(), Codec(Role.BINDER, keys=RING)
    ones = [Speaker(n, (f"10.0.1.{n}", 4000), f"web-{n}") for n in range(1, 65)]
    for now in (1.0, 2.0, 6.0):
        lengths, effects = subscribe(core, codec, ones, now)
        assert lengths == [64]
    assert len(core.directory) == 64 and not core.inspect().newcomers
    assert [type(effect) for effect in effects] == [ConfirmSealed]


def test_who_renews_with_the_ticket_it_was_given_last_has_it_compared_and_not_computed(monkeypatch):
    core, codec = keyed_binder(), Codec(Role.BINDER, keys=RING)
    ones = [Speaker(1, (f"10.0.1.{n}", 4000)) for n in range(1, 65)]
    for now in (1.0, 2.0):
        subscribe(core, codec, ones, now)
    monkeypatch.setattr(Tickets, "holds", lambda *_: pytest.fail("it was computed"))
    for now in (6.0, 11.0):
        assert subscribe(core, codec, ones, now)[0] == [64]


def test_those_in_front_of_one_in_doubt_are_a_run():
    core, codec = keyed_binder(), Codec(Role.BINDER, keys=RING)
    ones = [Speaker(1, (f"10.0.1.{n}", 4000)) for n in range(1, 65)]
    for now in (1.0, 2.0):
        subscribe(core, codec, ones, now)
    core.directory.suspect(ones[40].instance)
    assert subscribe(core, codec, ones, 6.0)[0] == [40, 0, 23]


def test_one_who_says_it_twice_in_a_burst_has_it_confirmed_once():
    core, codec = keyed_binder(), Codec(Role.BINDER, keys=RING)
    one = Speaker(1, ("10.0.1.1", 4000))
    subscribe(core, codec, [one], 1.0)
    for now in (2.0, 3.0):  # as it comes, and as it renews
        said = one.says(one.numbers[-1])
        effects, lengths = short_way(core, codec, Burst([(said, one.source)] * 3), now)
        assert lengths == [1, 1, 1]
        assert [type(effect) for effect in effects if not hasattr(effect, "event")] == [
            *(ConfirmSealed, AskAgain, AskAgain)
        ]
        one.numbers.append(effects[-1].tickets[0])


@pytest.fixture
def opened(monkeypatch):
    """How often each tag is looked at."""
    times = Counter()

    def count(tag, made):
        times[tag] += 1
        return compare_digest(tag, made)

    monkeypatch.setattr(sealed_subscriptions, "equal", count)
    return times


def test_a_run_is_no_way_round_the_quota_of_a_credential(opened):
    core = keyed_binder(limits=Limits(instances_per_credential=10))
    codec = Codec(Role.BINDER, keys=RING)
    ones = [Speaker(1, (f"10.0.1.{n}", 4000)) for n in range(1, 21)]
    subscribe(core, codec, ones, 1.0)
    subscribe(core, codec, ones, 2.0)
    assert len(core.directory) == 10
    opened.clear()
    new = [Speaker(1, (f"10.0.2.{n}", 4000)) for n in range(1, 21)]
    subscribe(core, codec, new, 3.0)
    lengths, _ = subscribe(core, codec, new, 4.0)
    assert lengths == [0] * 20
    assert max(opened.values()) <= 2


def test_of_others_than_sealed_subscriptions_nothing_is_looked_at():
    """A flood of what does not hold costs no more the longer the bursts are."""

    class Counting(Burst):
        looked_at = 0

        def rows(self, *how):
            for row in super().rows(*how):
                self.looked_at += 1
                yield row

    codec = Codec(Role.BINDER, keys=RING)
    one = Speaker(1, ("10.0.1.1", 4000), ring=STRANGE)
    burst = Counting([(one.says(1), one.source)] * 64)
    assert not [*codec.sealed_subscriptions(burst, 0)]
    assert burst.looked_at == 1


def test_what_is_read_twice_in_a_row_is_opened_once(monkeypatch):
    opened = []
    codec = Codec(Role.BINDER, keys=RING)
    for ring, times in ((STRANGE, 0), (RING, 1)):
        one = Speaker(1, ("10.0.1.1", 4000), ring=ring)
        data = one.says(1)
        for _ in range(2):
            opened += codec.sealed_subscriptions(Burst([(data, one.source)]), 0)
        codec.decode(data)
        assert sum(codec.opened.values()) == times
    assert opened[0] == opened[1]


def test_those_that_are_no_case_for_a_run_are_opened_once_or_twice_each(opened):
    """Else each would have all opened that stand behind it."""
    codec, ones = Codec(Role.BINDER, keys=RING), [Speaker(1, (f"10.0.1.{n}", 1)) for n in range(64)]
    core = keyed_binder()
    for now in (1.0, 2.0):
        subscribe(core, codec, ones, now)
    instances = [one.instance for one in ones]
    rows = [entry_of(one, core.directory.standing(one)[0]) for one in instances]
    trust = Trust(is_keyed=True, require=Require.ON)
    restored = Binder(frozenset(), (), 1, Random(2), trust=trust, keeps=True)
    restored.learn(rows, [], 0.0)
    restored.start(0.0)
    subscribe(restored, codec, ones, 3.0)  # they have no ticket of this one
    assert all(map(restored.directory.is_unheard, instances))
    for one in instances[::2]:
        restored.directory.suspect(one)
    opened.clear()
    named = [Speaker("billing", (f"10.0.2.{n}", 1)) for n in range(64)]
    subscribe(restored, codec, named, 4.0)
    for herd in (ones, named):
        opened.clear()
        lengths, _ = subscribe(restored, codec, herd, 5.0)
        assert lengths == [0] * 64
        assert max(opened.values()) <= 2


@pytest.mark.parametrize("in_doubt", [slice(None), slice(None, None, 2), slice(None, None, 7)])
def test_the_table_is_asked_of_no_more_than_are_in_a_burst_however_many_are_in_doubt(
    in_doubt, monkeypatch
):
    """Else each would have all looked at that stand behind it."""
    core, codec, alike, looks = keyed_binder(), Codec(Role.BINDER, keys=RING), Runs.alike, []
    ones = [Speaker(1, (f"10.0.1.{n}", 4000)) for n in range(1, 65)]
    for now in (1.0, 2.0):
        subscribe(core, codec, ones, now)
    for one in ones[in_doubt]:
        core.directory.suspect(one.instance)

    def count(self, run):
        looks.append(len(run.instances))
        return alike(self, run)

    monkeypatch.setattr(Runs, "alike", count)
    lengths, _ = subscribe(core, codec, ones, 6.0)
    assert lengths.count(0) == len(ones[in_doubt])
    assert sum(looks) == 64 - lengths.count(0)


def test_of_one_said_again_and_again_the_first_alone_is_looked_at(monkeypatch):
    core, codec, one = keyed_binder(), Codec(Role.BINDER, keys=RING), Speaker(1, ("10.0.1.1", 4000))
    for now in (1.0, 2.0):
        subscribe(core, codec, [one], now)
    awaited, looks = Awaited.words, []

    def count(self, tickets, abouts, *more):
        looks.append(len(abouts))
        return awaited(self, tickets, abouts, *more)

    monkeypatch.setattr(Awaited, "words", count)
    said = one.says(one.numbers[-1])
    _, lengths = short_way(core, codec, Burst([(said, one.source)] * 64), 6.0)
    assert lengths == looks == [1] * 64


# What is read, and written.


def test_what_is_read_one_by_one_is_walked_through_once(monkeypatch):
    walked, rows_from = [], sealed_subscriptions.rows_from

    def count(columns):
        walked.append(len(columns[0]))
        return rows_from(columns)

    monkeypatch.setattr(sealed_subscriptions, "rows_from", count)
    codec, ones = Codec(Role.BINDER, keys=RING), [Speaker(1, (f"10.0.1.{n}", 1)) for n in range(64)]
    burst = Burst([(one.says(1), one.source) for one in ones])
    for at in range(64):
        said = codec.sealed_subscriptions(burst, at)
        assert [one.instance for one in said] == [one.instance for one in ones[at:]]
    assert walked == [64]


def test_what_was_read_of_a_burst_is_not_taken_for_what_is_in_another():
    ones = [Speaker(1, (f"10.0.1.{n}", 1)) for n in range(1, 9)]
    one = Burst([(ones[0].says(number), ones[0].source) for number in (1, 2, 3, 4)])
    burst = Burst([(one.says(1), one.source) for one in ones] + one)
    forged, moved, short = Burst(burst), Burst(burst), Burst(burst[:6])
    forged[5] = forged[5][0][:-1] + b"!", forged[5][1]
    moved[5] = moved[5][0], ("10.0.1.99", 1)
    others = forged, moved, short, Burst(burst[2:]), Burst(burst[:1] * 3), Burst(burst * 2)
    for other in (*others, Burst(burst[:9] + one[:1] + burst[10:])):
        for first in range(len(burst)):
            for at in range(len(other)):
                codec = Codec(Role.BINDER, keys=RING)
                codec.sealed_subscriptions(burst, first)
                fresh = Codec(Role.BINDER, keys=RING).sealed_subscriptions(other, at)
                said = codec.sealed_subscriptions(other, at)
                assert said == fresh[: len(said)]
                assert len(said) in (len(fresh), len(burst) - at)


@pytest.mark.parametrize("seed", sample(4, range(10)))
@pytest.mark.parametrize("ip", ["10.0.{}.{}", "2001:db8::{}:{}"])
def test_what_is_read_and_written_is_what_the_codec_reads_and_writes(seed, ip):
    rng, codec, plain = Random(seed), *(Codec(Role.BINDER, keys=RING) for _ in "ab")
    sound, others = speakers(ip)
    burst, read = datagrams(rng, 64, sound, others, []), 0
    for at in range(len(burst)):
        said = [*codec.sealed_subscriptions(burst, at)]
        for one, (data, source) in zip(said, burst[at:], strict=False):
            frame = plain.decode(data)
            assert isinstance(frame, Alive) and frame.seal.fault is None
            assert frame.trailer == AgentAnnouncement(
                instance=one.instance,
                start=one.start,
                padding=bytes(ANNOUNCEMENT_PADDING),
                renewal=one.renewal or None,
            )
            assert (one.number, source) == (frame.seal.number, address_of(one.instance))
            assert encode_address(source) == one.where
            assert encode_credential(one.holder.credential) == frame.seal.credential
        tickets = [rng.choice((0, 1 << 40, rng.getrandbits(64))) for _ in said]
        renewal = rng.choice((None, 1, 127))
        confirmed = ConfirmSealed(said, tickets, renewal), codec.confirmed_run
        again = AskAgain(said, tickets), codec.again_run
        for (effect, write), more in ((confirmed, [renewal]), (again, [])):
            frames = [frame for _, frame in frames_of(effect)]
            assert write(said, tickets, *more) == [*map(plain.encode, frames)]
        read += len(said)
    assert read > 100


def test_what_is_kept_late_or_in_another_order_confirms_those_that_it_is_about():
    sound, _ = speakers("10.0.{}.{}")
    burst = Burst([(one.says(number), one.source) for number, one in enumerate(sound)])
    said = [*Codec(Role.BINDER, keys=RING).sealed_subscriptions(burst, 0)]
    assert len(said) > 2
    tickets, instances = [*range(len(said))], [one.instance for one in said]
    whole = ConfirmSealed(said, tickets, None)
    for chosen in (slice(None), slice(None, None, -1), slice(1, None)):
        part = whole.of(instances[chosen])
        assert ([*part.said], [*part.tickets]) == (said[chosen], tickets[chosen])


def test_keys_are_remembered_of_so_many_and_only_of_those_who_hold_one(monkeypatch):
    monkeypatch.setattr(sealed_subscriptions, "KEYS_MAX", 8)
    codec = Codec(Role.BINDER, keys=RING)
    for ring in (STRANGE, RING):
        for number in range(20):
            one = Speaker(1, ("10.0.1.1", 4000), f"web-{number}", ring=ring)
            for _ in range(2):
                said = [*codec.sealed_subscriptions(Burst([(one.says(1), one.source)]), 0)]
                assert len(said) == (ring is RING)
        remembered, most = codec.signers_remembered
        assert remembered <= most == 8
        assert (remembered > 0) == (ring is RING)


def whatever_is_said(self, tickets, abouts, *_):
    """As `Awaited.words`, for anybody and with any ticket."""
    return [word for _, _, word in takewhile(bool, map(self._rows.get, abouts))]


MUTANTS = {
    "what is awaited is not compared": (Awaited, "words", whatever_is_said),
    "credentials are not compared": (sealed_runs, "provides", lambda *_: True),
    "tickets are not looked at": (Tickets, "holds", lambda *_: True),
    "doubts are not looked at": (Doubts, "are_undoubted", lambda *_: True),
    "the quota of a credential is not": (Admission, "have_room", lambda *_: True),
    "all are new that stand behind one": (Runs, "_coming", lambda _, run: len(run.instances)),
    "names are taken for numbers": (Tables, "_without_wide", lambda _, ones: len(ones)),
    "tags are not": (sealed_subscriptions, "equal", lambda *_: True),
}


@pytest.mark.smoke
@pytest.mark.parametrize("mutant", MUTANTS)
def test_a_guard_switched_off_is_noticed(mutant, monkeypatch):
    monkeypatch.setattr(*MUTANTS[mutant])
    with pytest.raises((AssertionError, Violation, KeyError)):
        for seed in range(10):
            for way in reversed(WAYS):
                compare(seed, *way)
