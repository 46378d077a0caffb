"""Quotas: what one source may have and do, and what its excess does to nobody else."""

from itertools import pairwise
from random import Random

import pytest

from prr.config import Limits
from prr.core.binder import Binder
from prr.core.directory import holdings
from prr.core.directory.digests import bucket_of, hash_of
from prr.core.directory.directory import Directory
from prr.core.effects import ConfirmAll, Event, Outcome
from prr.core.liveness.admission import Admission
from prr.core.liveness.doubts import Doubts
from prr.core.liveness.just_asked import JUST_ASKED
from prr.core.liveness.newcomers import CREDIT, REPAYMENT, Newcomers
from prr.core.liveness.quotas import ACCOUNTS, Quotas
from prr.core.liveness.recent import Recent
from prr.core.metrics import METRIC_OF, by_key
from prr.core.replication.peers import Peers
from prr.core.replication.versioned_directory import VersionedDirectory
from prr.wire.frames import Complaint, Removed, Subscribe, Subscribed
from prr.wire.instance import address_of, host_key, host_keys, host_of, make_instance
from prr.wire.messages import Started
from prr.wire.particulars import Particulars, encode_particulars
from prr.wire.subscription_runs import SubscriptionRun
from prr.wire.version import NO_START, Version, encode_version
from tests.cores import Net, at, events, has_answered, probes, sent
from tests.samples import sample
from tests.test_strangers import Answering

pytestmark = pytest.mark.elsewhere

CROWDED, OTHER = "10.0.1.1", "10.0.1.2"
CLIENT = ("10.0.2.1", 5000)
PER_HOST = 8
LIMITS = Limits(instances_per_host=PER_HOST, instances_per_credential=3)


def binder(limits=LIMITS):
    """A binder without peers, started."""
    core = Binder(frozenset(), (), 1, Random(1), limits=limits)
    core.start(0.0)
    return core


def subscribe(core, instance, now=0.0, **said):
    """What follows from an instance's subscription, which it proves if it is asked."""
    trailer = Started(**said) if said else None
    effects = core.handle(Subscribe(instance[0], trailer=trailer), address_of(instance), now)
    if instance in core.inspect().newcomers:
        has_answered(core, instance, now)
    return effects


def filled(core, host=CROWDED, count=PER_HOST):
    """So many instances of a host that have subscribed."""
    ones = [at(7, host, 1 + port) for port in range(count)]
    for one in ones:
        assert sent(subscribe(core, one)) == [(Subscribed(), address_of(one))]
    return ones


# Instances of a host


def test_a_host_has_so_many_instances_and_others_have_theirs():
    core = binder()
    filled(core)
    effects = subscribe(core, at(7, CROWDED, 99))
    assert (sent(effects), events(effects)) == ([], [Event.HOST_FULL])
    assert sent(subscribe(core, at(7, OTHER, 99)))


def test_those_that_it_has_renew_and_change_what_they_say():
    core = binder()
    for one in filled(core):
        assert sent(subscribe(core, one, 1.0))
        assert sent(subscribe(core, one, 1.0, start=9))


@pytest.mark.parametrize("way", ["it leaves", "it dies"])
def test_an_instance_that_is_gone_makes_room(way):
    core = binder()
    gone, *_ = filled(core)
    if way == "it leaves":
        core.handle(Removed(gone), address_of(gone), 1.0)
    else:
        now = 1.0
        (probe,) = probes(core.handle(Complaint(gone), CLIENT, now))
        core.probed(probe, Outcome.REFUSED, now)
        (probe,) = probes(core.tick(now + 0.1))
        core.probed(probe, Outcome.REFUSED, now + 0.1)
    assert gone not in core.directory
    assert sent(subscribe(core, at(7, CROWDED, 99), 2.0))
    assert events(subscribe(core, at(7, CROWDED, 98), 2.0)) == [Event.HOST_FULL]


def test_numbers_names_and_a_network_of_64_bits_count_together():
    directory = Directory(LIMITS)
    one = make_instance(7, ("2001:db8::1", 1))
    others = [
        make_instance("billing", ("2001:db8::2", 1)),
        make_instance(7, ("2001:db8:0:1::1", 1)),
        make_instance("billing", (CROWDED, 1)),
        at(7, CROWDED, 2),
    ]
    for number, each in enumerate((one, *others)):
        directory.add(each, Version(number, 1, 0))
    assert [directory.count_of_host(each) for each in (one, *others)] == [2, 2, 1, 2, 2]


def test_who_withdraws_subscribes_others_and_answers_after_all_gets_no_further():
    """Each round would bring one more, were the quota only for subscriptions."""
    core = binder()
    ones = filled(core)
    for number, one in enumerate(ones):
        now = 1.0 + number
        (probe,) = probes(core.handle(Removed(one), address_of(one), now))
        subscribe(core, at(8, CROWDED, 100 + number), now)
        core.probed(probe, Outcome.ALIVE, now + 0.1)
    assert core.directory.count_of_host(ones[0]) == PER_HOST


def test_what_peers_say_is_not_refused_for_it():
    """Binders agree, whatever each has let in; and what they have told counts here too."""
    a, b = ("10.0.0.1", 2222), ("10.0.0.2", 2222)
    cores = {
        a: Binder(frozenset(), (b,), 1, Random(1), limits=LIMITS),
        b: Binder(frozenset(), (a,), 2, Random(2), limits=LIMITS),
    }
    net = Net(cores, Random(1))
    net.start()
    net.run(3.0)
    net.cut = {b}
    for own, host_port in ((a, 1), (b, 101)):
        for port in range(host_port, host_port + PER_HOST):
            net.alive.add(at(7, CROWDED, port))
            net.say(own, Subscribe(7), (CROWDED, port))
    net.cut = set()
    net.run(30.0)
    assert net.agree()
    counts = [core.directory.count_of_host(at(7, CROWDED, 1)) for core in cores.values()]
    assert counts == [2 * PER_HOST] * 2
    assert events(net.say(a, Subscribe(7), (CROWDED, 999))) == [Event.HOST_FULL]


def test_a_run_of_subscriptions_stops_where_the_host_is_full():
    """The short way for a burst lets in no more than the long one, and others as ever."""
    core = binder()
    ones = [at(7, CROWDED, 1 + port) for port in range(PER_HOST + 5)]
    ones.insert(PER_HOST + 2, at(7, OTHER, 1))
    confirmed, done = [], 0
    while done < len(ones):
        part = ones[done : done + 5]
        run = SubscriptionRun(part, [NO_START] * len(part), [0] * len(part))
        count, effects = core.subscribe_run(run, 0.0)
        confirmed += [one for e in effects if isinstance(e, ConfirmAll) for one in e.instances]
        if not count:
            confirmed += [part[0]] * len(sent(core.handle(Subscribe(7), address_of(part[0]), 0.0)))
        done += count or 1
    assert confirmed == [*ones[:PER_HOST], at(7, OTHER, 1)]
    assert set(core.directory) == set(confirmed)


# The count


def test_the_count_is_that_of_the_table_whatever_happens_to_it(monkeypatch):
    """Against the table itself: added, changed, removed, disputed, conceded, restored."""
    monkeypatch.setattr(holdings, "credential_of", lambda particulars: particulars[-1:])
    rng = Random(7)
    pool = [make_instance(s, (f"10.0.1.{n % 3}", n)) for n in range(1, 7) for s in (7, "billing")]
    pool += [make_instance(7, (f"2001:db8::{n}", n)) for n in range(1, 5)]
    said = [b"", *(encode_particulars(Particulars(weight=weight)) for weight in (2, 3))]
    directory, counter = Directory(Limits(removals=5)), 0
    for _ in range(2000):
        one, counter = rng.choice(pool), counter + 1
        version = Version(counter, rng.randrange(3), 0)
        match rng.randrange(5):
            case 0 | 1:
                directory.add(one, version, particulars=rng.choice(said))
            case 2:
                directory.remove(one, version, float(counter))
            case 3 if one in directory:
                directory.dispute(one, version)
                directory.concede(one, float(counter))
            case 4 if one in directory:
                directory.describe(one, rng.choice(said))
        held = [*directory]
        for each in pool:
            there = [other for other in held if host_key(other) == host_key(each)]
            assert directory.count_of_host(each) == len(there)
        for credential in (b"\2", b"\3"):
            there = [other for other in held if directory.particulars(other)[-1:] == credential]
            assert directory.count_of_credential(credential) == len(there)
        assert set(directory.owners()) == {directory.version(other).owner for other in held}


def test_what_is_restored_from_a_disk_counts():
    core, again = binder(), binder()
    ones = filled(core)
    entries = [entry_of(core, one) for one in ones]
    again.learn(entries, [], 0.0)
    assert again.directory.count_of_host(ones[0]) == PER_HOST
    assert events(subscribe(again, at(7, CROWDED, 99), 1.0)) == [Event.HOST_FULL]


def entry_of(core, instance):
    """What a store keeps of one."""
    data = encode_version(core.directory.version(instance))
    return instance, data, hash_of(instance, data), bucket_of(instance)


def test_many_hosts_at_once_have_the_keys_that_each_has():
    ones = [at(7, CROWDED, 1), make_instance("a", (OTHER, 2)), make_instance(7, ("2001:db8::1", 3))]
    assert host_keys(ones) == [host_key(one) for one in ones]
    assert [host_of(address_of(one)) for one in ones] == host_keys(ones)


# Instances of a credential


def test_a_credential_has_so_many_instances_wherever_they_are(monkeypatch):
    monkeypatch.setattr(holdings, "credential_of", lambda particulars: particulars[-1:])
    versioned = VersionedDirectory(1, LIMITS, Peers(()))
    admission = Admission(versioned, Doubts(versioned, Peers(()), LIMITS, Random(1)), LIMITS)
    said = encode_particulars(Particulars(weight=2))
    for number in range(LIMITS.instances_per_credential):
        one = at(7, f"10.0.3.{number}", 1)
        assert admission.over(one, b"\2") is None
        versioned.add(one, 0, particulars=said)
    assert admission.over(at(7, OTHER, 1), b"\2") is Event.CREDENTIAL_FULL
    assert admission.over(at(7, OTHER, 1), b"\3") is None
    assert admission.over(at(7, OTHER, 1), b"") is None
    versioned.remove(one, 0, 1.0)
    assert admission.over(at(7, OTHER, 1), b"\2") is None


# New subscriptions in all


def forged(number):
    """An instance on a host of its own."""
    return at(7, f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", 4000)


def test_so_many_that_never_answer_may_come_and_then_so_many_a_second():
    limits = Limits(newcomers=100, newcomers_per_second=10.0)
    newcomers = Newcomers(limits, Random(1))
    came = [newcomers.admit(forged(number), False, 0.0) for number in range(150)]
    assert came == [None] * 100 + [Event.FLOODED] * 50
    for number in range(100):
        newcomers.forget(forged(number))  # they are given up, and their places free
    later = [newcomers.admit(forged(200 + number), False, 2.0) for number in range(50)]
    assert later == [None] * 20 + [Event.FLOODED] * 30


def test_those_that_answer_use_up_nothing():
    newcomers = Newcomers(Limits(newcomers=100, newcomers_per_second=0.0), Random(1))
    for number in range(1000):
        assert newcomers.admit(forged(number), False, 0.0) is None
        newcomers.answered(forged(number), 0.0)


def test_who_is_refused_since_others_flood_has_lost_nothing_of_his_own():
    newcomers = Newcomers(Limits(newcomers=1, newcomers_per_second=1.0), Random(1))
    assert newcomers.admit(forged(1), False, 0.0) is None
    for _ in range(int(2 * CREDIT)):
        assert newcomers.admit(forged(2), False, 0.0) is Event.FLOODED
    newcomers.forget(forged(1))
    assert newcomers.admit(forged(2), False, 2.0) is None


@pytest.mark.parametrize("seed", range(20))
def test_a_run_of_newcomers_is_admitted_and_heard_as_one_by_one(seed, monkeypatch):
    """Whichever quota is met in the middle of it."""
    rng = Random(seed)
    monkeypatch.setattr("prr.core.liveness.newcomers.CREDIT", rng.choice((3.0, 50.0)))
    limits = Limits(newcomers=rng.choice((15, 60)), newcomers_per_second=rng.choice((1.0, 50.0)))
    at_once, one_by_one = Newcomers(limits, Random(1)), Newcomers(limits, Random(1))
    for now in range(30):
        ones = [at(rng.randrange(3), f"10.0.0.{rng.randrange(6)}", 4000 + n) for n in range(8)]
        came = at_once.admit_all(ones, float(now))
        assert came == [one_by_one.admit(one, False, float(now)) for one in ones]
        answered = [one for one in ones if rng.random() < 0.5]
        at_once.answered_all(answered, float(now))
        for one in answered:
            one_by_one.answered(one, float(now))
        assert [*at_once] == [*one_by_one]
        assert at_once.pop_due(now, 3) == [
            one for _ in range(3) for one in one_by_one.pop_due(now, 1)
        ]


def test_a_herd_of_twenty_thousand_after_a_restart_comes_in():
    """Within a second, all of it, though each is asked only half a second later."""
    newcomers = Newcomers(Limits(), Random(1))
    came = [newcomers.admit(forged(number), False, number / 20_000) for number in range(20_000)]
    assert came == [None] * 20_000


# Complaints of a source


def test_a_source_complains_so_often_and_others_are_heard():
    limits = Limits(complaints_per_host=10, complaints_per_second=2.0)
    core = Answering()
    core.core = binder(limits)
    ones = [at(7, OTHER, 1 + port) for port in range(30)]
    for one in ones:
        core.core.handle(Subscribe(7), address_of(one), 0.0)
    core.alive = set(ones)
    heard = [events(core.say(Complaint(one), CLIENT))[0] for one in ones]
    assert heard == [Event.COMPLAINT] * 10 + [Event.OVER_COMPLAINTS] * 20
    assert events(core.say(Complaint(ones[-1]), ("10.0.2.2", 1)))[0] == Event.COMPLAINT
    same_host = core.say(Complaint(ones[-2]), (CLIENT[0], 6000))
    assert events(same_host) == [Event.OVER_COMPLAINTS]
    core.run(1.0)
    later = [events(core.say(Complaint(one), CLIENT))[0] for one in ones[11:16]]
    assert later == [Event.COMPLAINT] * 2 + [Event.OVER_COMPLAINTS] * 3


def test_complaints_about_what_is_not_held_use_up_nothing():
    core = binder(Limits(complaints_per_host=1, complaints_per_second=0.0))
    (one,) = filled(core, OTHER, 1)
    for _ in range(5):
        assert events(core.handle(Complaint(at(9, OTHER, 9)), CLIENT, 1.0)) == [Event.NOT_HELD]
    assert Event.COMPLAINT in events(core.handle(Complaint(one), CLIENT, 1.0))


# Questions to the accused

PER_SECOND = 1 / JUST_ASKED
"""Questions a second that complaints bring one that answers."""


def accused_by(complainers, per_second, seconds, delay=0.002):
    """A living instance of which `complainers` complain in turn, so often a second, and which
    answers each question after `delay` seconds: the binder, when it was asked, and for how long it
    was out of turn."""
    core = binder(Limits())
    (one,) = filled(core, OTHER, 1)
    asked, answers, suspect, now = [], [], 0.0, 1.0
    for number in range(int(per_second * seconds)):
        until = 1.0 + number / per_second
        while (due := min([*answers[:1], core.deadline() or until])) < until:
            suspect += (due - now) * core.directory.is_suspect(one)
            now = due
            if answers and answers[0] <= now:
                core.probed(asked[-1][1], Outcome.ALIVE, answers.pop(0))
            for probe in probes(core.tick(now)):
                asked.append((now, probe))
                answers.append(now + delay)
        suspect += (until - now) * core.directory.is_suspect(one)
        now = until
        source = complainers[number % len(complainers)]
        for probe in probes(core.handle(Complaint(one), source, now)):
            asked.append((now, probe))
            answers.append(now + delay)
    return core, [when for when, _ in asked], suspect


@pytest.mark.parametrize("sources", sample(1, [1000, 1]))
def test_an_accused_that_lives_is_asked_four_times_a_second_however_many_complain(sources):
    complainers = [(f"10.1.{n >> 8}.{n & 255}", 5000) for n in range(sources)]
    core, asked, suspect = accused_by(complainers, 2000, 10.0)
    assert 9 * PER_SECOND <= len(asked) <= 10 * PER_SECOND + 1
    pauses = [after - before for before, after in pairwise(asked)]
    assert min(pauses) >= JUST_ASKED - 1e-9
    assert len(core.directory) == 1
    assert suspect <= 0.01  # in turn all the time but for the first question's milliseconds


def test_complaints_that_are_put_off_do_not_push_out_what_happened_to_the_accused():
    core = binder()
    (one,) = filled(core, OTHER, 1)
    (probe,) = probes(core.handle(Complaint(one), CLIENT, 1.0))
    core.probed(probe, Outcome.ALIVE, 1.1)
    (report,) = core.handle(Complaint(one), CLIENT, 1.1)
    assert (report.event, report.instances) == (Event.PUT_OFF, ())


def test_one_that_dies_right_after_its_answer_is_found_a_moment_later():
    core = Answering()
    (one,) = filled(core.core, OTHER, 1)
    core.alive = {one}
    core.run(1.0)
    core.say(Complaint(one), CLIENT)
    core.alive, core.refusing = set(), {one}
    assert events(core.say(Complaint(one), CLIENT)) == [Event.PUT_OFF]
    core.run(1.0 + JUST_ASKED + 0.1)
    assert one not in core.core.directory


def test_what_happened_a_moment_ago_is_forgotten_oldest_first_beyond_a_number():
    recent = Recent(1.0, 3)
    for number in range(4):
        recent.add(forged(number), 0.0)
    assert [recent.has(forged(number), 0.5) for number in range(4)] == [False, True, True, True]
    assert recent.size == (3, 3)
    assert not recent.has(forged(1), 1.0)


# Accounts


def test_accounts_take_as_much_memory_whoever_has_one():
    quotas = Quotas(b"key", 1.0, 1.0)
    refused = sum(not quotas.take(number.to_bytes(4, "big"), 1.0, 0.0) for number in range(100_000))
    assert refused >= 100_000 - ACCOUNTS


def test_one_account_is_that_of_all():
    quotas = Quotas(b"", 2.0, 1.0, accounts=1)
    assert [quotas.take(bytes((host,)), 1.0, 0.0) for host in range(3)] == [True, True, False]
    quotas.give_back(b"anybody", 1.0, 0.0)
    assert quotas.take(b"x", 1.0, 0.0)
    assert not quotas.take(b"x", 1.0, 0.5)
    assert quotas.take(b"x", 1.0, 1.0)


@pytest.mark.parametrize(
    "event", [Event.FLOODED, Event.HOST_FULL, Event.CREDENTIAL_FULL, Event.OVER_COMPLAINTS]
)
def test_each_quota_has_a_counter_that_status_shows(event):
    assert by_key({METRIC_OF[event]: 3}) == {str(event): 3}


def test_the_defaults_are_those_of_the_documents():
    limits = Limits()
    assert (limits.newcomers, CREDIT, REPAYMENT) == (65_536, 1536, 10)
