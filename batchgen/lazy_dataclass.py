"""Dataclasses whose methods are made when they are first called. Pure.

``dataclasses.dataclass`` compiles six methods for every class, of which most commands call none: this was a third of
the time that a command took to start. Here ``__init__`` is compiled for the first object of a class, and the others
are shared by all classes. What the standard library does with a dataclass (``replace``, ``fields``, ``asdict``,
``copy``, ``pickle``, ``match``) works as usual.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from operator import attrgetter
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    from dataclasses import dataclass
else:

    def dataclass(*, frozen: bool = False, eq: bool = True, kw_only: bool = False, slots: bool = False) -> Callable:
        """Return the decorator of a dataclass; the options are those of the standard library."""

        def decorate(cls: type) -> type:
            return _made(cls, frozen=frozen, eq=eq, kw_only=kw_only, slots=slots)

        return decorate


def _made(cls: type, *, frozen: bool, eq: bool, kw_only: bool, slots: bool) -> type:
    own = set(cls.__dict__)
    bare = dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only, slots=slots)
    made: type = bare(cls)
    methods: dict[str, Any] = {"__init__": _init(made, frozen=frozen, slots=slots), "__repr__": _repr}
    if eq:
        methods |= {"__eq__": _eq(made), "__hash__": _hash(made) if frozen else None}
    if frozen:
        methods |= {"__setattr__": _refusal(made, "__setattr__"), "__delattr__": _refusal(made, "__delattr__")}
    if frozen and slots:
        methods |= {"__getstate__": _getstate, "__setstate__": _setstate}
    for name, method in methods.items():
        # a class without __hash__ of its own gets None from Python where it defines __eq__
        if name not in own or (name == "__hash__" and cls.__hash__ is None):
            setattr(made, name, method)
    return made


def _init(made: type, *, frozen: bool, slots: bool) -> Callable[..., None]:
    def __init__(self: object, *args: object, **kwargs: object) -> None:  # noqa: N807 - as in a traceback
        compiled = _compiled_init(made, frozen=frozen, slots=slots)
        setattr(made, "__init__", compiled)  # noqa: B010 - to mypy, an assignment is unsound
        compiled(self, *args, **kwargs)

    return __init__


def _compiled_init(made: type, *, frozen: bool, slots: bool) -> Callable[..., None]:
    """Return the standard ``__init__`` of *made*: that of a dataclass with the same fields."""
    described = [(field.name, field.type, field) for field in dataclasses.fields(made)]
    after = {"__post_init__": None} if hasattr(made, "__post_init__") else {}
    twin = dataclasses.make_dataclass(
        made.__name__, described, namespace={"__doc__": "", **after}, repr=False, eq=False, frozen=frozen, slots=slots
    )
    init: Callable[..., None] = vars(twin)["__init__"]
    init.__qualname__ = f"{made.__qualname__}.__init__"
    return init


def _values(made: type) -> Callable[[Any], Any]:
    """Return what reads the compared fields of an object."""
    names = [field.name for field in dataclasses.fields(made) if field.compare]
    return attrgetter(*names) if names else lambda _object: ()


def _eq(made: type) -> Callable[[Any, object], bool]:
    values = _values(made)

    def __eq__(self: Any, other: object) -> bool:  # noqa: ANN401, N807
        return values(self) == values(other) if other.__class__ is self.__class__ else NotImplemented

    return __eq__


def _hash(made: type) -> Callable[[Any], int]:
    values = _values(made)
    return lambda self: hash(values(self))


def _refusal(made: type, name: str) -> Callable[..., None]:
    def refuse(self: object, field: str, *value: object) -> None:
        if type(self) is made or field in made.__dataclass_fields__:  # type: ignore[attr-defined]
            raise dataclasses.FrozenInstanceError(f"cannot {'assign to' if value else 'delete'} field {field!r}")
        getattr(super(made, self), name)(field, *value)

    return refuse


def _repr(self: Any) -> str:  # noqa: ANN401
    shown = (f"{field.name}={getattr(self, field.name)!r}" for field in dataclasses.fields(self) if field.repr)
    return f"{self.__class__.__qualname__}({', '.join(shown)})"


def _getstate(self: Any) -> list[object]:  # noqa: ANN401
    return [getattr(self, field.name) for field in dataclasses.fields(self)]


def _setstate(self: Any, state: list[object]) -> None:  # noqa: ANN401
    for field, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, field.name, value)
