"""Registry, ring and deadlines against naive models, under random operations from many seeds."""

from random import Random

import pytest

from prr.core import deadlines, registry, ring
from prr.core.deadlines import Deadlines
from prr.core.registry import Added, Registry
from prr.core.ring import Ring
from prr.wire.address import Instance, type_of
from tests.cores import at

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
        self.turns = {(type_, suspect): TurnsModel() for type_ in (0, 1) for suspect in (0, 1)}
        self.suspect: dict[Instance, bool] = {}

    def add(self, instance):
        if instance in self.suspect:
            return Added.KNOWN
        if len(self.suspect) == LIMIT:
            return Added.FULL
        self.suspect[instance] = False
        self.turns[type_of(instance), False].join(instance)
        return Added.NEW

    def remove(self, instance):
        if instance not in self.suspect:
            return False
        self.turns[type_of(instance), self.suspect.pop(instance)].leave(instance)
        return True

    def mark(self, instance, suspect):
        if self.suspect[instance] != suspect:
            self.turns[type_of(instance), not suspect].leave(instance)
            self.turns[type_of(instance), suspect].join(instance)
            self.suspect[instance] = suspect

    def served(self, type_, instance):
        held = [one for one in self.suspect if type_of(one) == type_]
        if instance is None:
            assert not held
            return
        assert instance in held
        assert not self.suspect[instance] or all(self.suspect[one] for one in held)
        self.turns[type_, self.suspect[instance]].served(instance)


@pytest.fixture(params=[0, 64], ids=["eager", "lazy"])
def small_tables(request, monkeypatch):
    """Few buckets, so that instances share them; marked entries dropped early, or hardly ever."""
    monkeypatch.setattr(registry, "BUCKETS", 3)
    monkeypatch.setattr(ring, "_GONE_MIN", request.param)
    monkeypatch.setattr(deadlines, "_STALE_MIN", request.param)


@pytest.mark.parametrize("seed", range(100))
def test_a_registry_does_what_plain_lists_do(seed, small_tables):
    rng = Random(seed)
    real, model = Registry(instances_max=LIMIT), RegistryModel()
    for _ in range(300):
        one = rng.choice(POOL)
        match rng.choice(("add", "add", "remove", "suspect", "trust", "next", "next", "next")):
            case "add":
                assert real.add(one) is model.add(one)
            case "remove":
                assert real.remove(one) is model.remove(one)
            case "suspect" if one in real:
                real.suspect(one)
                model.mark(one, True)
            case "trust" if one in real:
                real.trust(one)
                model.mark(one, False)
            case "next":
                model.served(one[0], real.next(one[0]))
        assert len(real) == len(model.suspect)
        assert all((one in real) == (one in model.suspect) for one in POOL)
    for type_ in (0, 1):
        check_round_robin(real, model, type_)
    page, cursor = real.page(b"", LIMIT)
    assert (sorted(page), cursor) == (sorted(model.suspect), None)


def check_round_robin(real, model, type_):
    """While nothing changes the turns repeat, and each round has everybody once."""
    held = [one for one in model.suspect if type_of(one) == type_]
    trusted = [one for one in held if not model.suspect[one]]
    turns = sorted(trusted or held)
    first, second = ([real.next(type_) for _ in turns] for _ in range(2))
    assert sorted(first) == turns
    assert first == second


@pytest.mark.parametrize("seed", range(100))
def test_the_pages_show_all_that_stays_once_whatever_else_comes_and_goes(seed, small_tables):
    rng = Random(seed)
    real = Registry()
    for one in rng.sample(POOL, rng.randrange(len(POOL) + 1)):
        real.add(one)
    stayed = {one for one in POOL if one in real}
    size = rng.randrange(1, 5)
    seen, cursor = [], b""
    while cursor is not None:
        page, cursor = real.page(cursor, size)
        assert len(page) <= size
        assert all(one in real for one in page)
        seen += page
        for one in rng.sample(POOL, rng.randrange(5)):
            stayed.discard(one)
            if not real.remove(one):
                real.add(one)
    assert len(seen) == len(set(seen))
    assert stayed <= set(seen)


def test_a_page_that_ends_with_the_table_is_the_last():
    real = Registry()
    for one in POOL:
        real.add(one)
    assert real.page(b"", len(POOL))[1] is None
    page, cursor = real.page(b"", len(POOL) - 1)
    assert cursor == page[-1]
    assert [*page, *real.page(cursor, 100)[0]] == real.page(b"", 100)[0]
    assert Registry().page(b"", 100) == ([], None)
    assert Registry().page(POOL[0], 100) == ([], None)  # a cursor nobody ever gave out


@pytest.mark.parametrize("seed", range(50))
def test_a_ring_turns_like_a_list_in_which_who_left_keeps_its_place(seed):
    rng = Random(seed)
    real, model, present = Ring(), [], set()
    for _ in range(300):
        one = rng.choice(POOL)
        match rng.choice(("add", "remove", "next", "next")):
            case "add" if one not in present:
                real.add(one)
                model += [one] * (one not in model)
                present.add(one)
            case "remove" if one in present:
                real.remove(one)
                present.remove(one)
            case "next":
                while model and model[0] not in present:
                    model.pop(0)
                model = model[1:] + model[:1]
                assert real.next() == (model[-1] if model else None)
        assert len(real) == len(present)


def test_a_ring_forgets_who_never_comes_back():
    real = Ring()
    for number in range(10_000):
        one = at(1, "10.0.0.1", number)
        real.add(one)
        real.remove(one)
        assert len(real._queue) <= ring._GONE_MIN + 1
    assert real.next() is None


@pytest.mark.parametrize("seed", range(50))
def test_deadlines_do_what_a_dict_does(seed, small_tables):
    rng = Random(seed)
    real: Deadlines[str] = Deadlines()
    model: dict[str, tuple[int, int]] = {}
    for order in range(300):
        key, when = rng.choice("abcdefgh"), rng.randrange(10)
        match rng.choice(("set", "set", "cancel", "pop")):
            case "set":
                real.set(key, when)
                model[key] = (when, order)
                assert len(real._heap) <= 2 * len(model) + deadlines._STALE_MIN
            case "cancel":
                real.cancel(key)
                model.pop(key, None)
            case "pop":
                first = min(model, key=model.__getitem__, default=None)
                is_due = first is not None and model[first][0] <= when
                assert real.pop_due(when) == (first if is_due else None)
                if is_due:
                    del model[first]
        assert real.first() == min((due for due, _ in model.values()), default=None)
