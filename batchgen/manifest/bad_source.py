"""Source images that cannot be used, and why."""

from __future__ import annotations


class BadSource(ValueError):
    """A source image that cannot be used; the text names it and the reason."""


class StoreTrouble(BadSource):
    """An object store that does not answer, or refuses; the image may be fine."""


class MissingSource(BadSource):
    """A source image that does not exist, and the name of the one that was probably meant."""

    def __init__(self, message: str, name: str, guess: str | None = None) -> None:
        super().__init__(message + (f"; did you mean {guess!r}?" if guess else ""))
        self.name = name
        self.base = base_of(name, guess)  #: the folder that was left out before the name, with a slash; or empty


def base_of(name: str, guess: str | None) -> str:
    """Return what *guess* has before *name*, such as ``../photos/``; empty if that is not the difference."""
    return guess.removesuffix(name) if guess and guess != name and guess.endswith(f"/{name}") else ""
