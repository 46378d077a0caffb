"""Loopback addresses: taken in a cluster that lies on one host, and in no other."""

from random import Random

import pytest

from prr.core.binder import Binder
from prr.core.directory.digests import entry_of
from prr.core.effects import Event, Persist, Report
from prr.core.replication.peers import Kind
from prr.wire.frames import Added, Found, Lookup, ServiceList, Subscribe, Subscribed, Unknown
from prr.wire.instance import describe
from prr.wire.messages import Page, Started, Versioned
from prr.wire.version import Version, encode_version, encode_versions
from tests.cores import Net, at, events, run, sent

HERE, ELSEWHERE = "10.0.0.1", "10.0.0.2"
ALL = frozenset({"127.0.0.1", HERE})
"""Where a binder listens that was told 0.0.0.0."""
REMOTE, LOCAL = (ELSEWHERE, 2222), ("127.0.0.1", 2223)
SERVER = ("127.0.0.1", 4000)
ON_LOOPBACK = at(7, *SERVER)
CLIENT = ("10.0.2.1", 5000)


def binder(own_ips, *peers, **options):
    """A binder that has heard its peers, which are ours."""
    made = Binder(frozenset(own_ips), peers, 1, Random(1), **options)
    made.start(0.0)
    for peer in peers:
        made.handle(ServiceList(()), peer, 0.0)
        made.peers.get(peer).kind = Kind.OURS
    return made


def said(effects):
    """Why something was refused."""
    return [e.why for e in effects if isinstance(e, Report) and e.event is Event.REFUSED]


WIDE = [
    pytest.param([HERE], (), id="listens on the network"),
    pytest.param([HERE], (REMOTE,), id="listens on the network, has a peer there"),
    pytest.param(ALL, (REMOTE,), id="listens everywhere, has a peer elsewhere"),
    pytest.param(["127.0.0.1"], ((HERE, 2222),), id="its peer listens on the network"),
]
NARROW = [
    pytest.param(["127.0.0.1"], (LOCAL,), id="all on loopback"),
    pytest.param(ALL, (), id="listens everywhere, alone"),
    pytest.param(ALL, (LOCAL,), id="listens everywhere, peers on this host"),
]


@pytest.mark.parametrize(("own_ips", "peers"), WIDE)
def test_a_binder_that_other_hosts_ask_refuses_a_server_on_loopback_and_says_why(own_ips, peers):
    core = binder(own_ips, *peers)
    effects = core.handle(Subscribe(7), SERVER, 1.0)
    assert sent(effects) == []
    assert "a loopback address means nothing to other hosts" in said(effects)[0]
    assert ON_LOOPBACK not in core.directory


@pytest.mark.parametrize(("own_ips", "peers"), NARROW)
def test_a_cluster_on_one_host_takes_it(own_ips, peers):
    core = binder(own_ips, *peers)
    effects = core.handle(Subscribe(7), SERVER, 1.0)
    assert (Subscribed(), SERVER) in sent(effects)
    assert sent(core.handle(Lookup(7), CLIENT, 1.0)) == [(Found(SERVER), CLIENT)]


def a_list_of_2016():
    return ServiceList((ON_LOOPBACK,))


def a_page():
    versions = encode_versions([Version(5, 2, 9)])
    return ServiceList((ON_LOOPBACK,), trailer=Page(binder=2, group=0, versions=versions))


def an_addition():
    trailer = Versioned(binder=2, versions=encode_version(Version(5, 2, 9)))
    return Added(ON_LOOPBACK, trailer=trailer)


def an_addition_of_2016():
    return Added(ON_LOOPBACK)


WORDS = (a_list_of_2016, a_page, an_addition, an_addition_of_2016)


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("own_ips", "peers"), [one for one in WIDE if one.values[1]])
def test_a_peer_s_word_of_a_loopback_address_is_counted_and_not_taken(own_ips, peers, word):
    core = binder(own_ips, *peers)
    before = core.directory.digest()
    effects = core.handle(word(), peers[0], 1.0)
    assert events(effects).count(Event.EXCLUDED) == 1
    assert core.directory.digest() == before
    assert sent(core.handle(Lookup(7), CLIENT, 1.0)) == [(Unknown(), CLIENT)]


@pytest.mark.parametrize("word", WORDS)
@pytest.mark.parametrize(("own_ips", "peers"), [one for one in NARROW if one.values[1]])
def test_on_one_host_it_is_taken(own_ips, peers, word):
    core = binder(own_ips, *peers)
    core.handle(word(), peers[0], 1.0)
    assert ON_LOOPBACK in core.directory


def test_one_that_gets_its_first_peer_elsewhere_takes_out_what_it_has_on_loopback():
    core = binder(ALL)
    core.handle(Subscribe(7), SERVER, 1.0)
    core.handle(Subscribe(7), (HERE, 4000), 1.0)
    effects = core.add_peer(REMOTE, 2.0)
    assert Report(Event.REMOVED, ON_LOOPBACK, effects[-1].why) == effects[-1]
    assert sent(core.handle(Lookup(7), CLIENT, 2.0)) == [(Found((HERE, 4000)), CLIENT)]
    assert sent(core.handle(Lookup(7), CLIENT, 2.0)) == [(Found((HERE, 4000)), CLIENT)]
    run(core, until=100.0)
    assert ON_LOOPBACK not in core.directory


def test_a_binder_that_forgets_its_last_peer_elsewhere_takes_it_again():
    core = binder(ALL, REMOTE)
    core.remove_peer(REMOTE)
    assert (Subscribed(), SERVER) in sent(core.handle(Subscribe(7), SERVER, 1.0))


def test_what_was_kept_of_loopback_is_not_given_back_where_others_may_be_told():
    core = Binder(frozenset({HERE}), (REMOTE,), 1, Random(1), keeps=True, counter=4)
    version = encode_version(Version(3, 1, 9))
    kept = [entry_of(one, version) for one in (ON_LOOPBACK, at(7, HERE, 4000))]
    effects = core.learn(kept, [], 0.0)
    assert ON_LOOPBACK not in core.directory
    assert len(core.directory) == 1
    (told,) = [effect for effect in effects if isinstance(effect, Persist)]
    assert [(describe(one), word[1]) for one, word in told.updates.items()] == [
        ("type 7 at 127.0.0.1:4000", False)
    ]


def test_binders_of_two_hosts_stay_equal_and_quiet_while_servers_on_loopback_keep_trying():
    one, other = (HERE, 2222), (ELSEWHERE, 2222)
    net = Net(
        {
            own: Binder(ALL | {own[0]}, (peer,), number, Random(number))
            for number, (own, peer) in enumerate([(one, other), (other, one)], 1)
        }
    )
    net.start()
    net.alive = {ON_LOOPBACK, at(7, ELSEWHERE, 4000)}
    net.run(2.0)
    net.say(other, Subscribe(7), (ELSEWHERE, 4000))
    for second in range(3, 33, 5):
        net.run(float(second))
        for binder_there in (one, other):
            net.say(binder_there, Subscribe(7, trailer=Started(start=9)), SERVER)
    net.run(40.0)
    assert net.agree()
    assert all(len(core.directory) == 1 for core in net.binders.values())
    # At rest: a question and an answer of digests each second and binder, and nothing else.
    assert len(net.sent(30.0)) <= 2 * 2 * 11
