"""The parts of what binders share in etcd, without one: what they do about its answers."""

from collections import Counter
from functools import partial
from types import SimpleNamespace

import pytest

from prr.core.commits.commits import Commits
from prr.core.effects import Persist, Update
from prr.core.metrics import Metric
from prr.shell.etcd import endpoints as endpoints_module
from prr.shell.etcd.channel import Channel
from prr.shell.etcd.endpoints import Endpoints
from prr.shell.etcd.failures import (
    Compacted,
    Denied,
    LeaseGone,
    LoggedOut,
    NoRoom,
    Rejected,
    Unavailable,
    failure_of,
)
from prr.shell.etcd.latest import Latest
from prr.shell.etcd.messages import Header, Keys
from prr.shell.etcd.pauses import MAX, Pauses
from prr.shell.etcd.reachability import Reachability
from prr.shell.etcd.registration import TTL, Registration
from prr.shell.etcd.schema import (
    AUTHENTICATE,
    DELETE_RANGE,
    DELETED,
    PUT,
    RANGE,
    WATCH,
    RangeRequest,
)
from prr.shell.etcd.store import EtcdStore
from prr.shell.etcd.watcher import Watcher
from prr.shell.etcd.writer import Writer
from prr.shell.storage.store import NoStore
from prr.wire.instance import make_instance
from prr.wire.version import Version

ONE = make_instance(7, ("127.0.0.1", 9000))
OWNER = 0xAA


class Ended(BaseException):
    """The script is over."""


class Scripted:
    """Stands for `Endpoints`: answers by a script, which has the fields of each answer; an
    exception is raised."""

    current = "etcd"

    def close(self):
        pass

    def __init__(self, *script):
        self.script = [*script]
        self.asked, self.requests = [], []
        self.have_all_failed = False

    def call(self, method, request):
        return method.response(**self._next(method, request))

    def stream(self, method, request):
        for said in self._next(method, request):
            yield method.response(**said)

    def _next(self, method, request):
        self.asked.append(method)
        self.requests.append(request)
        if not self.script:
            raise Ended
        said = self.script.pop(0)
        if isinstance(said, type | Exception):
            raise said
        return said

    @property
    def watched_from(self):
        requests = [one for one in self.requests if isinstance(one, WATCH.request)]
        return [request.create_request.start_revision for request in requests]


class Followed:
    """Stands for the store: what the watcher has told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        return lambda *about: self.told.append((name, *about))

    def named(self, name):
        return [about for what, *about in self.told if what == name]


def header(revision, term=2, cluster=1):
    return {"header": {"cluster_id": cluster, "revision": revision, "raft_term": term}}


def watch(*script, all_failed_at=None):
    """What a watcher tells that meets this script, and what it asked."""
    etcd, followed = Scripted(*script), Followed()

    def sleep(_):
        if len(etcd.asked) == all_failed_at:
            etcd.have_all_failed = True

    with pytest.raises(Ended):
        Watcher(etcd, Keys("/prr/"), followed, {}, Latest()).run(sleep)
    return followed, etcd.asked


def test_it_reads_once_and_watches_on_as_long_as_etcd_only_grows():
    followed, asked = watch(header(5), header(5), [], header(9), [], header(9))
    assert followed.named("reading") == [[False]] and followed.named("has_read") == [[5]]
    assert asked[:3] == [RANGE, RANGE, WATCH] and asked.count(RANGE) == 4


def test_what_was_written_here_shows_too_that_etcd_was_set_back():
    """The watch may have been behind: all that it has heard is in the older state as well."""
    latest, followed = Latest(), Followed()
    etcd = Scripted(header(5), header(5), Unavailable(), header(6))

    def write_meanwhile(_):
        latest.see(Header(1, 8, 2), latest.header)

    with pytest.raises(Ended):
        Watcher(etcd, Keys("/prr/"), followed, {}, latest).run(write_meanwhile)
    assert followed.named("reading") == [[False], [True]]


@pytest.mark.parametrize(
    ("has_unheard", "takes", "times"), [(False, 0, 2), (True, 0, 101), (True, 3, 4)]
)
def test_all_is_compared_soon_again_while_some_have_yet_to_be_heard(
    has_unheard, takes, times, monkeypatch
):
    """What is heard without a change may be what an etcd that was set back lacks. A comparison of
    many takes seconds, and is not begun anew before it has ended."""
    writer, commits, _, known = write()
    known.said.clear()
    commits.has_unheard, now, compared = has_unheard, [1000.0], []
    goes_on = property(lambda _: bool(compared) and now[0] < compared[-1] + takes)
    monkeypatch.setattr(commits, "compare", lambda: compared.append(now[0]))
    monkeypatch.setattr(Commits, "is_comparing", goes_on)
    monkeypatch.setattr(Commits, "has_more", goes_on)
    monkeypatch.setattr("prr.shell.etcd.writer.time.monotonic", lambda: now[0])

    def wait(seconds):
        now[0] += max(seconds, 0.01)
        if now[0] > 1100.5:
            raise Ended

    monkeypatch.setattr(writer, "_wake", SimpleNamespace(clear=lambda: None, wait=wait))
    monkeypatch.setattr("gevent.sleep", wait)
    with pytest.raises(Ended):
        writer.run(lambda _: None)
    assert len(compared) == times


def test_a_comparison_that_was_begun_elsewhere_took_no_longer_than_it_went_on(monkeypatch):
    """As where all was read, which may have lasted until etcd was there again."""
    writer, commits, *_ = write()
    now, begun = [1000.0], []
    monkeypatch.setattr(commits, "compare", lambda: begun.append(now[0]))
    monkeypatch.setattr(Commits, "is_comparing", property(lambda _: 1030.0 <= now[0] < 1030.2))
    commits.has_unheard = True
    for moment in (1000.0, 1030.0, 1030.1, 1030.2, 1031.0, 1031.2):
        now[0] = moment
        writer._compare(moment)
    assert begun == [1000.0, 1031.2]  # a second after 1030.1, or ten times 0.1 s


def test_a_write_shows_that_etcd_was_set_back_though_it_has_grown_again_since():
    latest = Latest()
    writer, commits, _, known = write(header(8) | DONE, header(2) | DONE, latest=latest)
    assert once(writer, commits)
    assert not latest.is_set_back
    known.said[ONE] = Update(Version(1, OWNER, 1), True)
    assert once(writer, commits)
    assert latest.is_set_back


@pytest.mark.parametrize(
    ("passed", "later", "marks"), [(61, 9, 1), (59, 9, 0), (61, 5, 0)], ids=str
)
def test_what_it_follows_is_marked_if_only_others_write(passed, later, marks, monkeypatch):
    now = [100.0]
    monkeypatch.setattr("prr.shell.etcd.watcher.time.monotonic", lambda: now[0])

    def sleep(_):
        now[0] += passed

    etcd = Scripted(header(5), header(5), Unavailable(), header(later), NoRoom(), Unavailable())
    with pytest.raises(Ended):
        Watcher(etcd, Keys("/prr/"), Followed(), {}, Latest()).run(sleep)
    assert etcd.asked.count(PUT) == marks


def test_what_it_hears_of_other_keys_counts_as_followed():
    mark = {"key": b"/prr/mark", "mod_revision": 8}
    marked = header(8) | {"events": [{"kv": mark}]}
    etcd = Scripted(header(5), header(5), [marked], header(8) | {"kvs": [mark]})
    followed = Followed()
    with pytest.raises(Ended):
        Watcher(etcd, Keys("/prr/"), followed, {}, Latest()).run(lambda _: None)
    assert etcd.watched_from == [6, 9]
    assert {malformed for _, malformed in followed.named("found")} == {0}


def test_others_have_their_turn_while_it_hears_of_many(monkeypatch):
    keys = [b"/prr/instances/7/127.0.0.1:%d" % port for port in range(1, 41)]
    events = [{"type": DELETED, "kv": {"key": key, "mod_revision": 8}} for key in keys]
    etcd = Scripted(header(5), header(5), [header(8) | {"events": events}], header(8))
    followed = Followed()
    monkeypatch.setattr("gevent.sleep", lambda _: followed.told.append(("slept",)))
    with pytest.raises(Ended):
        Watcher(etcd, Keys("/prr/"), followed, {}, Latest()).run(lambda _: None)
    told = followed.told[[what for what, *_ in followed.told].index("answered") + 1 :]
    turns = [len(about[0]) if what == "found" else what for what, *about in told]
    assert turns == [16, "slept", 16, "slept", 8, "slept"]
    assert etcd.watched_from[-1] == 9


@pytest.mark.parametrize("later", [header(4), header(9, term=1), header(9, cluster=2)])
def test_it_reads_all_anew_when_etcd_is_another_one_or_older(later):
    followed, _ = watch(header(5), header(5), [], later, later)
    assert followed.named("reading") == [[False], [True]]
    assert followed.named("has_read")[1] == [later["header"]["revision"]]


def wrote(key, revision, value=b"", lease=0):
    row = {"key": key, "mod_revision": revision, "create_revision": 2, "value": value}
    return {"kv": row | {"lease": lease}}


HEARD = [wrote(b"/prr/binders/a", 8, b"x", 77), {"type": DELETED, "kv": {"key": b"/prr/mark"}}]


@pytest.mark.parametrize(
    ("there", "is_another"),
    [
        (HEARD[0], False),
        (wrote(b"/prr/binders/a", 8, b"x", 78), True),
        (wrote(b"/prr/binders/a", 8, b"y", 77), True),
        (wrote(b"/prr/binders/a", 7, b"x", 77), True),
        (None, True),
    ],
)
def test_it_reads_all_anew_when_etcd_was_set_back_and_has_grown_again(there, is_another):
    """All that is heard later would lack what came between."""
    later = header(12) | ({"kvs": [there["kv"]]} if there else {})
    heard = [header(8) | {"events": HEARD}]
    again = [header(12)] if is_another else []
    followed, asked = watch(header(5), header(5), heard, later, *again, [])
    assert followed.named("reading") == [[False], [True]][: 1 + is_another]
    assert asked[3:5] == [RANGE, RANGE if is_another else WATCH]


@pytest.mark.parametrize(("value", "is_another"), [(b"x", False), (b"y", True)])
def test_what_it_read_shows_too_that_etcd_was_set_back_and_has_grown_again(value, is_another):
    """Nothing need have been written since."""
    rows = [wrote(b"/prr/instances/a", 3)["kv"], wrote(b"/prr/instances/b", 8, b"x")["kv"]]
    rows.append(wrote(b"/prr/instances/c", 5)["kv"])
    there = header(12) | {"kvs": [wrote(b"/prr/instances/b", 8, value)["kv"]]}
    again = [header(12)] if is_another else []
    followed, _ = watch(header(9), header(9) | {"kvs": rows}, [], there, *again, [])
    assert followed.named("reading") == [[False], [True]][: 1 + is_another]


def test_what_it_heard_last_has_been_compacted_which_says_nothing():
    heard = [header(8) | {"events": HEARD}]
    followed, asked = watch(header(5), header(5), heard, Compacted(), header(12), [])
    assert followed.named("reading") == [[False]]
    assert asked[3:6] == [RANGE, RANGE, WATCH]


def test_it_reads_all_anew_when_its_place_in_history_is_gone():
    followed, _ = watch(header(5), header(5), Compacted("gone"), header(9), header(9))
    assert followed.named("reading") == [[False], [False]]
    assert followed.named("failed") == []


def test_a_reading_that_fails_half_way_is_begun_again():
    """Until one is whole nothing is written."""
    fails = Unavailable("gone")
    script = [header(5), header(5), [], fails, header(5), fails, header(5), header(5), []]
    followed, _ = watch(*script, all_failed_at=4)
    assert len(followed.named("reading")) == 3
    assert followed.named("has_read") == [[5], [5]]


def test_pauses_grow_to_a_bound_that_lets_it_be_back_soon():
    pauses = Pauses()
    took = [pauses.next() for _ in range(20)]
    assert took[0] <= 0.05 and all(MAX / 2 <= one <= MAX for one in took[6:])
    assert MAX <= 1.0
    pauses.reset()
    assert pauses.next() <= 0.05


class Known:
    """Stands for a directory."""

    def __init__(self):
        self.said = {ONE: Update(Version(0, OWNER, 1), True)}

    def update(self, instance):
        return self.said.get(instance)

    def is_unheard(self, instance):
        return False


DONE = {"succeeded": True}


def write(*script, latest=None):
    """How etcd is reached after a writer has met this script, and what it has to write still."""
    etcd = Scripted(*script)
    known = Known()
    commits = Commits(OWNER, known, 10)
    reachability = Reachability(etcd)
    told = (lambda _: None), reachability.failed
    about = commits, reachability, latest or Latest()
    writer = Writer(etcd, Keys("/prr/"), *about, Counter(), *told)
    return writer, commits, reachability, known


def once(writer, commits):
    commits.changed({ONE: None}, 0.0)
    return writer._write(commits.batch(0.0), lambda _: None)


@pytest.mark.parametrize("error", [NoRoom, Denied])
def test_an_etcd_that_takes_nothing_is_there_and_is_asked_again(error):
    writer, commits, reachability, _ = write(error("why"), header(5) | {"succeeded": True})
    reachability.answered()
    assert not once(writer, commits)
    assert "why" in reachability.status()["why"] and not reachability.is_away
    assert commits.uncommitted == 1
    assert once(writer, commits)
    assert reachability.status()["why"] is None and commits.uncommitted == 0


def test_a_write_that_succeeds_shows_that_etcd_is_there(monkeypatch):
    writer, commits, reachability, known = write(
        Unavailable("gone"), header(5) | {"succeeded": True}, Unavailable("gone")
    )
    now = [100.0]
    monkeypatch.setattr("prr.shell.etcd.reachability.time.monotonic", lambda: now[0])
    reachability.answered()
    assert not once(writer, commits)
    now[0] += 1.0
    assert once(writer, commits)
    now[0] += 60.0
    known.said[ONE] = Update(Version(1, OWNER, 1), True)
    assert not once(writer, commits)
    assert not reachability.is_away  # it failed a minute ago, and now, but not in between


def test_who_has_gone_unconfirmed_waits_no_longer(monkeypatch):
    """As while etcd has no room: else those would take the place of others one day."""
    monkeypatch.setattr("prr.shell.etcd.store.WAITING_MAX", 10)
    known, confirmed = Known(), []
    store = EtcdStore(NoStore(OWNER), Scripted(), Keys("/prr/"))
    store.load(known, lambda *_: None)  # its greenlets have not begun
    store.has_read(5)
    for number in range(30):
        one = make_instance(7, ("127.0.0.1", 9000 + number))
        for is_present in (True, False):
            known.said[one] = update = Update(Version(number, OWNER, 1), is_present)
            store.persist(Persist({one: update}, number))
            if is_present:
                store.confirm(one, partial(confirmed.append, one))
    assert store.counts[Metric.CONFIRMATIONS_SLOW] == 0 and not confirmed
    store.close()


@pytest.mark.parametrize(
    ("status", "why", "raised"),
    [
        ("8", "etcdserver: mvcc: database space exceeded", NoRoom),
        ("7", "etcdserver: permission denied", Denied),
        ("3", "etcdserver: user name is empty", LoggedOut),
        ("3", "etcdserver: revision of auth store is old", LoggedOut),
        ("16", "etcdserver: invalid auth token", LoggedOut),
        ("3", "etcdserver: too many operations in txn request", Rejected),
        ("5", "etcdserver: requested lease not found", LeaseGone),
        ("14", "no leader", Unavailable),
        ("8", "etcdserver: too many requests", Unavailable),
        ("11", "etcdserver: mvcc: required revision has been compacted", Compacted),
        ("", "", Unavailable),
        ("x", "100%", Unavailable),
    ],
)
def test_what_etcd_says_is_what_is_raised(status, why, raised):
    failure = failure_of("here", status, why)
    assert type(failure) is raised and "here" in str(failure) and why in str(failure)


def test_what_etcd_says_is_told_as_it_means_it():
    assert str(failure_of("here", "14", "f%C3%BCr %25 %ff")) == "here: für % �"


def test_that_all_servers_have_failed_is_known_until_it_is_taken_note_of():
    endpoints = Endpoints((("127.0.0.1", 1), ("127.0.0.1", 2)), 0)
    endpoints.have_all_failed = False
    for number in range(4):
        with pytest.raises(Unavailable):
            endpoints.call(RANGE, RangeRequest())
        assert endpoints.have_all_failed is (number > 0)
        assert endpoints.current == f"127.0.0.1:{1 + (number + 1) % 2}"
    endpoints.close()


def test_a_password_that_was_refused_is_not_tried_all_the_time(monkeypatch, tmp_path):
    tried = []

    def call(self, method, request, token=""):
        if method == AUTHENTICATE:
            tried.append((request.name, request.password))
            raise Rejected("authentication failed")
        raise LoggedOut("no token")

    monkeypatch.setattr(Channel, "call", call)
    now = [100.0]
    monkeypatch.setattr(endpoints_module.time, "monotonic", lambda: now[0])
    password = tmp_path / "password"
    password.write_text("secret\n")
    endpoints = Endpoints((("127.0.0.1", 1),), 0, None, "binders", password)
    for _ in range(100):
        with pytest.raises(Unavailable, match="user binders is refused: authentication failed"):
            endpoints.call(RANGE, RangeRequest())
        now[0] += 0.1
    assert tried == [("binders", "secret")] * 2


def registered(rows):
    """What a binder hears of others that finds these keys and values."""
    kvs = [{"key": b"/prr/binders/" + key, "value": one} for key, one in rows]
    etcd = Scripted({"ID": 7}, header(5), header(5) | {"kvs": kvs})
    where = ("127.0.0.1", 2222)
    return Registration(etcd, "/prr/", OWNER, lambda: where, list, lambda _: None)._look().binders


SELF = (b"%016x" % OWNER, b'{"address":"127.0.0.1:2222"}')


def test_malformed_keys_of_binders_are_skipped():
    good = (b"%016x" % 0xBB, b'{"address":"127.0.0.1:2223"}')
    bad = [
        (b"bb", good[1]),
        (b"-%015x" % 0xCC, good[1]),
        (b"F" * 16, good[1]),
        (b"f" * 40, good[1]),
        (b"\xff" * 16, good[1]),
        *[(b"%016x" % number, value) for number, value in enumerate(_MALFORMED)],
    ]
    assert registered([*bad, good, SELF]) == {0xBB: ("127.0.0.1", 2223)}


_MALFORMED = [
    b"",
    b"{",
    b"[" * 100_000,
    b"7",
    b"[]",
    b"{}",
    b'{"address":7}',
    b'{"address":null}',
    b'{"address":"127.0.0.1"}',
    b'{"address":"999.0.0.1:80"}',
    b'{"address":"localhost:80"}',
    b'{"address":"127.0.0.1:0"}',
    b"\xff\xfe",
]


@pytest.mark.parametrize(
    ("said", "is_ours"),
    [
        ({"succeeded": True}, True),
        ({"responses": [{"response_range": {"kvs": [{"lease": 7}]}}]}, True),  # as it was before
        ({"responses": [{"response_range": {"kvs": [{"lease": 8}]}}]}, False),
        ({"responses": [{"response_range": {"kvs": [{}]}}]}, False),  # somebody's who is no binder
        ({"responses": [{"response_range": {}}]}, False),
    ],
)
def test_who_adopts_is_whose_lease_the_claim_has(said, is_ours):
    kvs = [{"key": b"/prr/binders/" + SELF[0], "value": SELF[1]}]
    etcd = Scripted({"ID": 7}, header(5), header(5) | {"kvs": kvs}, header(6) | said)
    where = ("127.0.0.1", 2222)
    registration = Registration(etcd, "/prr/", OWNER, lambda: where, lambda: [0xDD], lambda _: None)
    assert registration._look().looked_after == (frozenset() if is_ours else {0xDD})


def test_a_claim_is_kept_until_others_have_heard_of_the_adoptions(monkeypatch):
    now, owners = [100.0], [0xDD]
    monkeypatch.setattr("prr.shell.etcd.registration.time.monotonic", lambda: now[0])
    kvs = [{"key": b"/prr/binders/" + SELF[0], "value": SELF[1]}]
    renewed, read = {"TTL": 10}, header(5) | {"kvs": kvs}
    looks = [renewed, read] * 2
    etcd = Scripted({"ID": 7}, header(5), read, {"succeeded": True}, *looks, header(6))
    where = ("127.0.0.1", 2222)
    registration = Registration(etcd, "/prr/", OWNER, lambda: where, lambda: owners, lambda _: None)
    registration._look()
    owners.clear()
    now[0] += TTL - 1
    registration._look()
    assert DELETE_RANGE not in etcd.asked
    now[0] += 1
    registration._look()
    assert etcd.asked[-1] == DELETE_RANGE


def test_a_binder_whose_key_was_deleted_registers_again():
    with pytest.raises(LeaseGone):
        registered([])
