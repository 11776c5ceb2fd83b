"""Dataclasses with lazy methods: everything that the standard decorator does, in a fraction of its time."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

from batchgen.lazy_dataclass import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """A frozen value."""

    at: int
    notes: list[str] = dataclasses.field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class Claimed(Event):
    """A frozen value with more fields than its base."""

    by: str = "lane"
    checked: str = dataclasses.field(default="", compare=False, repr=False)

    def __post_init__(self) -> None:
        if self.at < 0:
            raise ValueError("in the past")


@dataclass(slots=True)
class Counter:
    """A value that changes."""

    name: str
    count: int = 0
    hidden: int = dataclasses.field(default=7, init=False)


@dataclass(frozen=True, slots=True)
class Empty:
    """A value without fields."""


@dataclass(frozen=True, slots=True, eq=False)
class Service:
    """A value that equals only itself."""

    name: str


@dataclass(frozen=True)
class Open:
    """A frozen value with room for more."""

    a: int


class Wider(Open):
    """An ordinary class below a frozen value."""

    extra: int


@dataclass(frozen=True, slots=True)
class Named:
    """A value with a text of its own."""

    name: str

    def __repr__(self) -> str:
        return f"<{self.name}>"

    def __hash__(self) -> int:
        return 7


def twin(cls: type) -> Any:
    """Return the class as the standard decorator makes it."""
    names = [(field.name, field.type, copy.copy(field)) for field in dataclasses.fields(cls)]
    return dataclasses.make_dataclass(cls.__name__, names, frozen=True, kw_only=True)


def test_objects_have_their_fields_and_defaults():
    assert (Claimed(at=3).at, Claimed(at=3).notes, Claimed(at=3).by) == (3, [], "lane")
    assert Claimed(at=1).notes is not Claimed(at=1).notes
    assert (Counter("a", 2).count, Counter("a").hidden) == (2, 7)


@pytest.mark.parametrize("arguments", [{}, {"at": 1, "when": 2}])
def test_wrong_arguments_are_the_errors_of_a_usual_dataclass(arguments):
    with pytest.raises(TypeError) as usual:
        twin(Event)(**arguments)
    with pytest.raises(TypeError) as first:
        Event(**arguments)
    with pytest.raises(TypeError) as second:
        Event(**arguments)
    assert str(first.value).rpartition(".")[2] == str(second.value).rpartition(".")[2]
    assert str(first.value).rpartition(".")[2] == str(usual.value).rpartition(".")[2]


def test_after_init_is_called():
    with pytest.raises(ValueError, match="in the past"):
        Claimed(at=-1)


def test_texts_are_those_of_a_usual_dataclass():
    assert repr(Event(at=1, notes=["x"])) == repr(twin(Event)(at=1, notes=["x"])) == "Event(at=1, notes=['x'])"
    assert repr(Claimed(at=1)) == "Claimed(at=1, notes=[], by='lane')"
    assert (repr(Empty()), repr(Named("x"))) == ("Empty()", "<x>")


def test_equality_is_by_class_and_compared_fields():
    assert Claimed(at=1, checked="a") == Claimed(at=1, checked="b") != Claimed(at=2)
    assert Event(at=1) != Claimed(at=1)
    assert Empty() == Empty()
    assert Service("a") != Service("a")
    assert Counter("a") == Counter("a") != "a"


def test_hash_is_by_value_where_nothing_can_change():
    assert len({Open(1), Open(1), Open(2)}) == 2
    assert len({Service("a"), Service("a")}) == 2
    assert (hash(Empty()), hash(Named("x"))) == (hash(Empty()), 7)
    with pytest.raises(TypeError, match="unhashable"):
        hash(Counter("a"))


def test_frozen_fields_stay():
    event = Event(at=1)
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot assign to field 'at'"):
        event.at = 2
    with pytest.raises(dataclasses.FrozenInstanceError, match="cannot delete field 'at'"):
        del event.at
    with pytest.raises(AttributeError):
        Claimed(at=1).other = 2
    counter = Counter("a")
    counter.count += 1
    assert counter.count == 1


def test_ordinary_class_below_a_frozen_one_has_attributes_of_its_own():
    wider = Wider(1)
    wider.extra = 2
    assert wider.extra == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        wider.a = 3
    del wider.extra


@pytest.mark.parametrize("value", [Claimed(at=1, notes=["x"]), Counter("a", 3), Empty(), Open(2)], ids=repr)
def test_copies_equal_their_original(value):
    for made in (copy.copy(value), copy.deepcopy(value), pickle.loads(pickle.dumps(value)), dataclasses.replace(value)):
        assert made == value
        assert type(made) is type(value)


def test_standard_functions_take_it():
    assert dataclasses.asdict(Event(at=1)) == {"at": 1, "notes": []}
    assert dataclasses.replace(Claimed(at=1), by="x").by == "x"
    match Counter("a", 5):
        case Counter(name, count):
            assert (name, count) == ("a", 5)
        case _:
            pytest.fail("no match")
