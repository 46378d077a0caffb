"""The change feed: what it tells is what has happened, each change once, with its reason."""

import time
from random import Random

import pytest

from prr.core.binder import Binder
from prr.core.directory.changes import HISTORY_MAX, ChangeFeed
from prr.core.directory.directory import Directory
from prr.core.directory.listed import listed
from prr.core.directory.watched import WatchedDirectory
from prr.core.effects import Event, Outcome, Report
from prr.wire.frames import Complaint, Removed, Subscribe
from prr.wire.instance import address_of
from prr.wire.trailer import Listed
from tests.cores import at, probes, rising
from tests.samples import sample

ONE, OTHER = at(2, "10.0.0.1", 1), at(2, "10.0.0.2", 2)


@pytest.fixture
def standing():
    """What instances are, to be changed by the test."""
    return {}


@pytest.fixture
def feed(standing):
    return ChangeFeed(lambda one: standing.get(one, (None, b"")))


def told(feed, since=0):
    return [(c.instance, c.state, c.event, c.why) for c in feed.since(since, HISTORY_MAX)]


def test_what_has_changed_is_told_with_the_last_reason_reported(feed, standing):
    feed.note(ONE)
    feed.because(ONE, "accused", "others are handed out meanwhile")
    standing[ONE] = Listed.SUSPECT, b""
    asked = Report(Event.ASKED, ONE, "the first question")
    feed.settle([Report(Event.COMPLAINT, ONE, "by 10.0.0.9"), asked])
    assert told(feed) == [(ONE, Listed.SUSPECT, "complaint", "by 10.0.0.9")]


def test_where_nothing_is_reported_the_row_of_the_lifecycle_says_why(feed, standing):
    feed.note(ONE)
    feed.because(ONE, "question unanswered", "out of turn until it answers")
    standing[ONE] = Listed.SUSPECT, b""
    feed.settle([Report(Event.ASKED, ONE, "another question")])
    assert told(feed) == [
        (ONE, Listed.SUSPECT, "question unanswered", "out of turn until it answers")
    ]


def test_one_that_is_what_it_was_is_not_told_nor_is_its_reason_kept(feed, standing):
    standing[ONE] = Listed.UP, b""
    feed.note(ONE)
    standing[ONE] = Listed.SUSPECT, b""
    feed.note(ONE)
    standing[ONE] = Listed.UP, b""
    feed.settle([Report(Event.COMPLAINT, ONE, "by 10.0.0.9")])
    assert feed.last == 0
    feed.because(ONE, "accused", "old")
    feed.settle([])
    feed.note(ONE)
    standing[ONE] = Listed.UP, b"more"
    feed.settle([])
    assert told(feed) == [(ONE, Listed.UP, "learned", "")]  # its particulars alone have changed


def test_who_comes_back_is_told_the_rest_and_beyond_the_history_that_it_is_not_known(
    feed, standing
):
    for number in range(HISTORY_MAX + 10):
        feed.note(ONE)
        standing[ONE] = (Listed.SUSPECT if number % 2 else Listed.UP), b""
        feed.settle([])
    last = feed.last
    assert last == HISTORY_MAX + 10
    assert feed.since(last, 10) == []
    assert [change.number for change in feed.since(last - 3, 10)] == [last - 2, last - 1, last]
    assert [change.number for change in feed.since(last - 3, 2)] == [last - 2, last - 1]
    assert len(feed.since(10, 2 * HISTORY_MAX)) == HISTORY_MAX
    assert feed.since(9, 10) is None  # the tenth is forgotten
    assert feed.since(last + 1, 10) is None  # of another process
    feed.forget()
    assert feed.since(last, 10) is None
    assert feed.since(feed.last, 10) == []


def test_who_has_heard_of_all_is_told_so_at_once_however_much_is_remembered(feed, standing):
    """It is asked fifty times a second, and lookups wait meanwhile."""

    def cost():
        began = time.process_time()
        for _ in range(2000):
            feed.since(feed.last, HISTORY_MAX)
        return time.process_time() - began

    alone = cost()
    for number in range(HISTORY_MAX):
        feed.note(ONE)
        standing[ONE] = (Listed.SUSPECT if number % 2 else Listed.UP), b""
        feed.settle([])
    assert cost() < 10 * alone + 0.02


def test_every_method_that_changes_a_directory_is_watched():
    changing = {
        *("suspect", "trust", "dispute", "concede", "add", "describe", "add_all", "remove"),
        "restore",
    }
    assert changing <= vars(WatchedDirectory).keys()
    reading = {
        *("lookup", "lookup_run", "slots", "instances_of", "page_of", "services", "service_count"),
        "upcoming",
        *("count", "count_drained", "is_suspect", "is_drained", "is_last_in_turn", "is_unheard"),
        *("version", "particulars", "latest", "removal", "is_newer", "is_disputed", "has_room"),
        *(
            "in_turn",
            "in_turn_at",
            "unknown_and_alone",
            "alone",
            "inspect",
            "sizes",
            "feed",
            "heard",
        ),
        "restore_removal",  # of what is not held anyway
    }
    public = {name for name in vars(Directory) if not name.startswith("_")}
    assert public == changing | reading  # whoever adds one has to say which it is


def test_a_binder_that_nobody_watches_has_nothing_of_it():
    binder, watched = (
        Binder(frozenset(), (), 1, Random(1), is_watched=is_) for is_ in (False, True)
    )
    assert type(binder.directory) is Directory
    assert binder.directory.feed is None
    for one in (binder, watched):
        one.start(0.0)
        one.handle(Subscribe(2), ("10.0.0.1", 1), 0.0)
    assert told(watched.directory.feed) == [
        (at(2, "10.0.0.1", 1), Listed.UP, "subscribed", "self-reported")
    ]


def heard_by(binder):
    """When a watched binder has heard each instance it holds."""
    return {one: binder.directory.heard.at(one) for one in binder.directory}


def test_when_an_instance_was_heard_is_noted_with_its_subscription_its_renewals_and_its_answers():
    core = Binder(frozenset(), (), 1, Random(1), is_watched=True)
    one, other = at(2, "10.0.0.1", 1), at(2, "10.0.0.2", 2)
    core.start(0.0)
    for when, where in ((1.0, one), (2.0, other), (7.0, one)):
        core.handle(Subscribe(2), address_of(where), when)
        assert heard_by(core)[where] == when
    (probe,) = probes(core.handle(Complaint(one), ("10.0.0.9", 9), 9.0))
    assert heard_by(core) == {one: 7.0, other: 2.0}  # to be doubted is not to be heard
    core.probed(probe, Outcome.ALIVE, 9.5)
    assert heard_by(core) == {one: 9.5, other: 2.0}
    core.handle(Removed(other), address_of(other), 10.0)
    assert heard_by(core) == {one: 9.5}
    assert core.inspect().sizes["heard"] == (1, 1)


@pytest.mark.parametrize("seed", sample(8, range(20)))
def test_whoever_follows_the_feed_of_a_directory_knows_what_it_holds(seed):
    rng, directory, versions = Random(seed), WatchedDirectory(), rising()
    everyone = [at(rng.randrange(3), "10.0.0.1", port) for port in range(1, 30)]
    known = {}
    for _ in range(400):
        one = rng.choice(everyone)
        match rng.randrange(6):
            case 0 | 1:
                directory.add(one, next(versions))
            case 2:
                directory.remove(one, next(versions), 0.0)
            case 3 if one in directory:
                directory.suspect(one)
            case 4:
                directory.trust(one)
            case 5 if one in directory and not directory.is_disputed(one):
                directory.dispute(one, next(versions))
            case _ if directory.is_disputed(one):
                directory.concede(one, 0.0)
        last = directory.feed.last
        directory.feed.settle([])
        for change in directory.feed.since(last, 100):
            assert known.get(change.instance) != change.state
            known[change.instance] = change.state
        held = {one: listed(directory, one) for one in directory}
        assert held == {one: state for one, state in known.items() if state is not None}
