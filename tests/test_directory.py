"""Registry, turns and deadlines against naive models, under random operations from many seeds."""

from random import Random

import pytest

from prr.config import Limits
from prr.core import deadlines
from prr.core.deadlines import Deadlines
from prr.core.directory import ring
from prr.core.directory.directory import Directory
from prr.core.directory.results import Added
from prr.core.directory.ring import Ring
from prr.wire.instance import Instance, service_of
from prr.wire.version import Version
from tests.cores import at, rising
from tests.samples import sample

pytestmark = pytest.mark.elsewhere

POOL = [at(number % 2, "10.0.0.1", number) for number in range(12)]
LIMIT = 9  # smaller than POOL, so that the registry is full now and then


class TurnsModel:
    """Who was served since whom had its turn: nobody may be passed over twice."""

    def __init__(self) -> None:
        self.passed_by: dict[Instance, set[Instance]] = {}

    def join(self, instance):
        self.passed_by[instance] = set()

    def leave(self, instance):
        del self.passed_by[instance]

    def served(self, instance):
        for other, passed_by in self.passed_by.items():
            if other != instance:
                assert instance not in passed_by, f"{instance!r} twice, while {other!r} waited"
                passed_by.add(instance)
        self.passed_by[instance].clear()


class RegistryModel:
    """The registry as two plain lists for each type: those in turn, and the suspects."""

    def __init__(self) -> None:
        self.rotation = {(type_, suspect): TurnsModel() for type_ in (0, 1) for suspect in (0, 1)}
        self.suspect: dict[Instance, bool] = {}

    def add(self, instance):
        if instance in self.suspect:
            return Added.KNOWN
        if len(self.suspect) == LIMIT:
            return Added.FULL
        self.suspect[instance] = False
        self.rotation[service_of(instance), False].join(instance)
        return Added.NEW

    def remove(self, instance):
        if instance not in self.suspect:
            return False
        self.rotation[service_of(instance), self.suspect.pop(instance)].leave(instance)
        return True

    def mark(self, instance, suspect):
        if self.suspect[instance] != suspect:
            self.rotation[service_of(instance), not suspect].leave(instance)
            self.rotation[service_of(instance), suspect].join(instance)
            self.suspect[instance] = suspect

    def served(self, type_, instance):
        held = [one for one in self.suspect if service_of(one) == type_]
        if instance is None:
            assert not held
            return
        assert instance in held
        assert not self.suspect[instance] or all(self.suspect[one] for one in held)
        self.rotation[type_, self.suspect[instance]].served(instance)


staleness = pytest.mark.parametrize("stale", [0, 64], ids=["eager", "lazy"])
"""Marked entries are dropped early, or hardly ever."""


def keep_stale(monkeypatch, count):
    """Have so many marked entries kept at least."""
    monkeypatch.setattr(ring, "_GONE_MIN", count)
    monkeypatch.setattr(deadlines, "_STALE_MIN", count)


@pytest.mark.parametrize("seed", sample(30, range(100)))
@staleness
def test_a_registry_does_what_plain_lists_do(seed, stale, monkeypatch):
    keep_stale(monkeypatch, stale)
    rng, versions = Random(seed), rising()
    real, model, latest = Directory(Limits(instances=LIMIT)), RegistryModel(), {}
    for _ in range(300):
        one, version = rng.choice(POOL), next(versions)
        match rng.choice(("add", "add", "remove", "suspect", "trust", "next", "next", "next")):
            case "add":
                added = real.add(one, version)
                assert added is model.add(one)
                latest |= {one: version} if added is not Added.FULL else {}
            case "remove":
                assert real.remove(one, version, 0.0) is model.remove(one)
                latest[one] = version
            case "suspect" if one in real:
                real.suspect(one)
                model.mark(one, True)
            case "trust" if one in real:
                real.trust(one)
                model.mark(one, False)
            case "next":
                model.served(service_of(one), real.lookup(service_of(one)))
        assert len(real) == len(model.suspect)
        assert all((one in real) == (one in model.suspect) for one in POOL)
        assert all(real.latest(one) == latest.get(one) for one in POOL)
    for type_ in (0, 1):
        check_round_robin(real, model, type_)
    page, cursor = real.instances(b"", LIMIT)
    assert (sorted(page), cursor) == (sorted(model.suspect), None)


def check_round_robin(real, model, type_):
    """While nothing changes the turns repeat, and each round has everybody once."""
    held = [one for one in model.suspect if service_of(one) == type_]
    trusted = [one for one in held if not model.suspect[one]]
    assert real.count(type_) == (len(trusted), len(held) - len(trusted))
    rotation = sorted(trusted or held)
    first, second = (real.lookup_run([type_] * len(rotation), False) for _ in range(2))
    assert sorted(first) == rotation
    assert first == second


def test_versions_only_become_newer():
    real, one = Directory(), POOL[0]
    real.add(one, Version(5, 5, 5))
    for version in (Version(5, 5, 5), Version(5, 5, 4), Version(5, 4, 9), Version(4, 9, 9)):
        with pytest.raises(AssertionError):
            real.add(one, version)
        if version != Version(5, 5, 5):
            with pytest.raises(AssertionError):
                real.remove(one, version, 0.0)
    assert real.remove(one, Version(5, 5, 6), 0.0)
    with pytest.raises(AssertionError):
        real.add(one, Version(5, 5, 6))
    assert real.add(one, Version(5, 6, 0)) is Added.NEW


def test_what_is_learned_leaves_room_for_those_who_subscribe_here():
    real = Directory(Limits(instances=10, learned_share=0.8))
    words = [real.add(one, Version(1, 1, 0), learned=True) for one in POOL[:10]]
    assert words == [Added.NEW] * 8 + [Added.FULL] * 2
    assert real.add(POOL[0], Version(2, 1, 0), learned=True) is Added.KNOWN
    assert [real.add(one, Version(1, 1, 0)) for one in POOL[8:11]] == [Added.NEW] * 2 + [Added.FULL]


@pytest.mark.parametrize("seed", range(50))
def test_a_ring_turns_like_a_list_in_which_who_left_keeps_its_place(seed):
    rng = Random(seed)
    real, model, present = Ring(), [], set()
    for _ in range(300):
        one = rng.choice(POOL)
        match rng.choice(("add", "remove", "take", "take")):
            case "add" if one not in present:
                real.add(one)
                model += [one] * (one not in model)
                present.add(one)
            case "remove" if one in present:
                real.remove(one)
                present.remove(one)
            case "take":
                wanted = rng.randrange(1, 2 * len(POOL))
                taken = real.take(wanted)
                assert len(taken) >= wanted or not present
                for instance in taken:
                    while model[0] not in present:
                        model.pop(0)
                    assert instance == model[0]
                    model = model[1:] + model[:1]
                if len(taken) > wanted:  # whole rounds: each of the others had its turn as well
                    model = [kept for kept in model if kept in present]
                back = rng.randrange(len(taken) + 1)
                real.give_back(back)
                back %= len(model) or 1
                model = model[len(model) - back :] + model[: len(model) - back]
        assert len(real) == len(present)


def test_a_ring_forgets_who_never_comes_back():
    real = Ring()
    for number in range(10_000):
        one = at(1, "10.0.0.1", number)
        real.add(one)
        real.remove(one)
        assert real.size[0] <= ring._GONE_MIN + 1
    assert real.take(1) == []


@pytest.mark.parametrize("seed", range(50))
@staleness
def test_deadlines_do_what_a_dict_does(seed, stale, monkeypatch):
    keep_stale(monkeypatch, stale)
    rng = Random(seed)
    real: Deadlines[str] = Deadlines()
    model: dict[str, int] = {}
    for _ in range(300):
        key, when = rng.choice("abcdefgh"), rng.randrange(10)
        match rng.choice(("set", "set", "set all", "cancel", "cancel all", "pop", "pop all")):
            case "set":
                real.set(key, when)
                model[key] = when
                assert real.size[0] <= real.size[1] == 2 * len(model) + deadlines._STALE_MIN
            case "set all":
                some = rng.choices("abcdefgh", k=rng.randrange(6))
                real.set_all(some, when)
                model |= dict.fromkeys(some, when)
            case "cancel":
                real.cancel(key)
                if model.pop(key, None) is not None:
                    assert real.size[0] <= real.size[1] == 2 * len(model) + deadlines._STALE_MIN
            case "cancel all":
                some = rng.sample("abcdefgh", 3)
                real.cancel_all(some)
                model = {one: due for one, due in model.items() if one not in some}
                assert real.size[0] <= real.size[1] == 2 * len(model) + deadlines._STALE_MIN
            case "pop all":
                most = rng.randrange(4)
                ready = sorted(due for due in model.values() if due <= when)
                assert [model.pop(one) for one in real.pop_all_due(when, most)] == ready[:most]
            case "pop":
                popped = real.pop_due(when)
                is_due = min(model.values(), default=when + 1) <= when
                assert (popped is not None) == is_due
                if popped is not None:
                    assert model.pop(popped) <= min(model.values(), default=when)
        assert real.first() == min(model.values(), default=None)


def test_what_is_put_off_changes_nothing_but_its_own_deadline():
    real: Deadlines[int] = Deadlines()
    for key in range(1000):
        real.set(key, 10.0)
    entries, _ = real.size
    for when in range(11, 20):
        for key in range(1000):
            real.set(key, float(when))
    assert real.size[0] == entries == 1000
    assert (real.first(18.9), real.pop_due(18.9)) == (19.0, None)
    assert sorted(real.pop_due(19.0) for _ in range(1000)) == list(range(1000))
    assert real.first() is None
