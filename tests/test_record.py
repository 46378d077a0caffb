"""Records: as frozen dataclasses, and cheaper."""

from dataclasses import fields, replace

import pytest

from prr.record import record


@record
class Point:
    x: int
    y: int = 2

    @property
    def sum(self):
        return self.x + self.y


@record(kw_only=True)
class Other:
    x: int
    y: int = 2


@record
class Empty:
    pass


def test_a_record_holds_values_compares_and_can_be_a_key():
    assert (Point(1).x, Point(1).y, Point(1).sum) == (1, 2, 3)
    assert Point(1) == Point(1, 2) != Point(2)
    assert Point(1) != Other(x=1)
    assert Empty() == Empty() != Point(1)
    assert {Point(1): "a"}[Point(1, y=2)] == "a"
    assert hash(Empty()) == hash(Empty())
    assert repr(Point(1)) == "Point(x=1, y=2)"
    assert replace(Point(1), y=5) == Point(1, 5)
    assert [one.name for one in fields(Point)] == ["x", "y"]


def test_its_keys_are_keywords_where_that_is_said_and_it_has_no_other():
    with pytest.raises(TypeError):
        Other(1)
    with pytest.raises(TypeError):
        Point()
    with pytest.raises(AttributeError):
        Point(1).z = 3


def test_a_pattern_finds_its_fields():
    match Point(1):
        case Point(x, y=2):
            assert x == 1
        case _:
            raise AssertionError
