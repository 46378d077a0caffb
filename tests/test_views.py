"""The views of a service: by family and by zone, each with turns of its own."""

from collections import Counter
from random import Random

import pytest

from prr.core.directory import slots
from prr.core.directory.directory import Directory
from prr.core.directory.results import NOBODY
from prr.core.directory.rotation import AHEAD, Rotation
from prr.wire.instance import is_ipv6, service_of
from prr.wire.questions import Asked
from tests.cores import at
from tests.samples import sample

pytestmark = pytest.mark.elsewhere

A, B, C, D = (at(7, "10.0.0.1", port) for port in range(1, 5))
SIX, SEVEN = (at(7, "2001:db8::1", port) for port in (1, 2))
NAMED, NAMED_SIX = at("billing", "10.0.0.1", 1), at("billing", "2001:db8::1", 1)


def turns(rotation, count, service=7, zone="", wide=False):
    """The next turns of a view, taken in parts."""
    asked = [Asked(service, zone, wide)]
    return [one for _ in range(count) for one in rotation.next(rotation.slots(asked), True)]


def rotation_of(*instances, **zones):
    """With these, and those that are in a zone, by zone."""
    rotation = Rotation()
    for one in instances:
        rotation.add(one)
    for zone, in_zone in zones.items():
        for one in in_zone:
            rotation.add(one, zone=zone)
    return rotation


def test_who_takes_no_ipv6_gets_none_and_the_next_has_its_turn():
    rotation = rotation_of(A, SIX, B)
    assert turns(rotation, 4) == [A, B, A, B]
    assert sorted(turns(rotation, 3, wide=True)) == sorted([A, SIX, B])
    assert turns(rotation_of(SIX), 2) == [NOBODY, NOBODY]
    assert turns(rotation_of(SIX), 2, wide=True) == [SIX, SIX]
    assert turns(rotation_of(A), 2, wide=True) == [A, A]


def test_who_has_the_next_turns_is_told_and_no_turn_is_taken():
    """With one that has three turns, whatever lies ready, as often as somebody asks."""
    rotation = rotation_of(A, B, SIX)
    rotation.add(C, weight=3)
    narrow, wide = (rotation.slots([Asked(7, "", wide)])[0] for wide in (False, True))
    for taken in range(2 * AHEAD):
        turns(rotation, 1)
        assert set(rotation.upcoming(narrow, 512)) == {A, B, C}
        upcoming = rotation.upcoming(narrow, 4)
        assert upcoming == [*dict.fromkeys(turns(rotation, 4))], taken
        assert set(rotation.upcoming(wide, 64)) == {A, B, C, SIX}
    for one in (A, B, C):
        rotation.suspect(one)
    assert set(rotation.upcoming(narrow, 64)) == {A, B, C}
    assert rotation.upcoming(wide, 64) == [SIX]
    assert rotation.upcoming(8, 64) == []


def test_a_name_lives_as_long_as_it_has_an_instance_of_any_family():
    rotation = rotation_of(NAMED_SIX)
    assert turns(rotation, 1, "billing") == [NOBODY]
    assert rotation.count("billing") == (1, 0, 0)
    assert rotation.services(9) == ["billing"]
    rotation.add(NAMED)
    assert turns(rotation, 2, "billing") == [NAMED, NAMED]
    rotation.remove(NAMED)
    assert turns(rotation, 2, "billing", wide=True) == [NAMED_SIX] * 2
    rotation.remove(NAMED_SIX)
    assert rotation.services(9) == []
    assert rotation.sizes()["names"][0] == 0


def test_a_zone_comes_first_as_long_as_it_has_one_in_turn():
    rotation = rotation_of(A, eu=[B, C, SIX], us=[D])
    assert turns(rotation, 4, zone="eu") == [B, C, B, C]
    assert sorted(turns(rotation, 3, zone="eu", wide=True)) == sorted([B, C, SIX])
    assert turns(rotation, 2, zone="us", wide=True) == [D, D]
    assert sorted(turns(rotation, 4, zone="mars")) == [A, B, C, D]
    rotation.suspect(B)
    assert turns(rotation, 2, zone="eu") == [C, C]
    rotation.suspect(C)
    assert sorted(turns(rotation, 2, zone="eu")) == [A, D]
    assert turns(rotation, 2, zone="eu", wide=True) == [SIX, SIX]
    rotation.suspect(SIX)
    assert sorted(turns(rotation, 2, zone="eu", wide=True)) == [A, D]
    rotation.trust(B)
    assert turns(rotation, 2, zone="eu") == [B, B]
    rotation.suspect(A)
    rotation.suspect(B)
    rotation.suspect(D)
    assert sorted(turns(rotation, 4, zone="eu")) == [A, B, C, D]  # better than a "no"


def test_who_was_restored_and_not_heard_is_in_turn_in_its_zone():
    rotation = rotation_of(A)
    rotation.add_unheard([B, SIX])
    rotation.change(B, 1, "eu")
    assert turns(rotation, 2, zone="eu") == [B, B]
    assert rotation.is_unheard(B)
    assert turns(rotation, 2) == [A, A]
    assert turns(rotation, 2, wide=True) == [A, A]
    rotation.trust(SIX)
    assert set(turns(rotation, 2, wide=True)) == {A, SIX}


def test_what_changes_zone_leaves_the_old_one():
    rotation = rotation_of(A, eu=[B])
    rotation.change(B, 2, "us")
    assert turns(rotation, 2, zone="us") == [B, B]
    assert sorted(turns(rotation, 3, zone="eu")) == [A, B, B]
    rotation.suspect(B)
    rotation.change(B, 1, "")
    assert rotation.is_suspect(B)
    assert rotation.sizes()["views by zone"][0] == 0


def test_views_have_turns_of_their_own():
    views = [("", False), ("", True), ("eu", False), ("eu", True)]
    one, other = (rotation_of(A, eu=[B, C, SIX]) for _ in range(2))
    together = [[turns(one, 1, 7, *view)[0] for view in views] for _ in range(12)]
    for number, view in enumerate(views):
        assert [row[number] for row in together] == turns(other, 12, 7, *view)


def test_zones_beyond_the_limit_have_no_view_until_there_is_room(monkeypatch):
    monkeypatch.setattr(slots, "ZONE_VIEWS_MAX", 2)
    rotation = rotation_of(a=[A], b=[B], c=[C])
    assert rotation.sizes()["views by zone"] == (2, 2)
    assert turns(rotation, 2, zone="b") == [B, B]
    assert sorted(turns(rotation, 3, zone="c")) == [A, B, C]
    rotation.remove(B)
    assert rotation.sizes()["views by zone"] == (1, 2)
    rotation.add(D, zone="c")
    assert turns(rotation, 2, zone="c") == [D, D]
    rotation.suspect(C)
    rotation.remove(C)  # it is in no view of that zone
    assert turns(rotation, 2, zone="c") == [D, D]
    rotation.add(SIX, zone="c")
    assert turns(rotation, 2, zone="c", wide=True) == [D, D]


def test_a_question_makes_nothing(monkeypatch):
    monkeypatch.setattr(slots, "ROUTES_MAX", 30)
    rotation = rotation_of(A)
    before = rotation.sizes()
    for number in range(100):
        turns(rotation, 1, f"name-{number}", "eu", True)
        turns(rotation, 1, 7, f"zone-{number}", True)
        assert 0 < rotation.sizes()["routes"][0] <= 30
    assert {**rotation.sizes(), "routes": before["routes"]} == before


def test_a_directory_is_asked_by_zone_and_family():
    directory = Directory()
    assert directory.lookup(7, zone="eu", wide=True) is None
    assert directory.lookup("billing", wide=True) is None


ALL = [
    at(service, ip, port)
    for service in (7, "billing")
    for ip in ("10.0.0.1", "2001:db8::1")
    for port in range(1, 6)
]
ASKED = [
    Asked(service, zone, wide)
    for service in (7, "billing")
    for zone in ("", "eu", "us", "mars")
    for wide in (False, True)
]


class Model:
    """The same as one flat table: weight, zone and state of each."""

    def __init__(self) -> None:
        self.said = {}
        self.suspects, self.unheard = set(), set()

    def expected(self, asked):
        """Who has turns, and how many in a round."""
        ones = {
            one
            for one in self.said
            if service_of(one) == asked.service and (asked.wide or not is_ipv6(one))
        }
        in_turn = ones - self.suspects
        if in_zone := {one for one in in_turn if asked.zone and self.said[one][1] == asked.zone}:
            ones = in_turn = in_zone
        for better in (in_turn - self.unheard, in_turn, ones):
            if better:
                return {one: self.said[one][0] for one in better}
        return {NOBODY: 1}


@pytest.mark.parametrize("heavy", [False, True], ids=["alike", "weighted"])
@pytest.mark.parametrize("seed", sample(15, range(60)))
def test_all_views_do_what_one_flat_table_does(seed, heavy):
    rng, rotation, model = Random(seed), Rotation(), Model()
    for _ in range(200):
        one = rng.choice(ALL)
        said = rng.choice((1, 2, 16)) if heavy else 1, rng.choice(("", "eu", "us"))
        deed = rng.choice(("in or out", "in or out", "unheard", "suspect", "trust", "change"))
        change(rotation, model, one, said, deed)
        asked = rng.choice(ASKED)
        expected = model.expected(asked)
        window = sum(expected.values())
        first, second = (a_round(rotation, asked, window, rng) for _ in range(2))
        assert Counter(first) == Counter(second) == Counter(expected)
        assert heavy or first == second
    for one in list(model.said):
        rotation.remove(one)
    assert rotation.services(9) == []
    left = {name: size for name, (size, _) in rotation.sizes().items() if size}
    assert left == {}


def change(rotation, model, one, said, deed):
    """Do something to one, in both."""
    if one not in model.said:
        if deed == "unheard":
            rotation.add_unheard([one])
            rotation.change(one, *said)
            model.unheard.add(one)
        else:
            rotation.add(one, *said)
        model.said[one] = said
    elif deed == "in or out":
        rotation.remove(one)
        del model.said[one]
        model.suspects.discard(one)
        model.unheard.discard(one)
    elif deed == "suspect":
        rotation.suspect(one)
        model.suspects.add(one)
        model.unheard.discard(one)
    elif deed == "trust":
        rotation.trust(one)
        model.suspects.discard(one)
        model.unheard.discard(one)
    elif deed == "change":
        rotation.change(one, *said)
        model.said[one] = said
    assert rotation.is_suspect(one) == (one in model.suspects)
    assert rotation.is_unheard(one) == (one in model.unheard)


def a_round(rotation, asked, count, rng):
    """The next turns of one view, while others are asked, which have turns of their own.

    Views that are the same instances may be one: those are not asked meanwhile.
    """
    taken = []
    same = {slot for wide in (False, True) for slot in rotation.slots([asked._replace(wide=wide)])}
    while len(taken) < count:
        taken += rotation.next(rotation.slots([asked] * min(AHEAD, count - len(taken))), True)
        other = rotation.slots([rng.choice(ASKED)])
        if not same.intersection(other):
            rotation.next(other, True)
    return taken
