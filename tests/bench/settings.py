"""How much is measured, and of which source trees."""

from __future__ import annotations

from dataclasses import dataclass

from .program import HERE, Checkout


@dataclass(frozen=True, slots=True)
class Settings:
    """*short* only shows that a benchmark works; *against* is another source tree to measure in the same run."""

    short: bool = False
    pairs: int = 3
    against: Checkout | None = None
    jobs: int | None = None  #: overrides the number of jobs of a case
    rows: int = 1_000_000  #: of the large table

    @property
    def checkouts(self) -> tuple[Checkout, ...]:
        return (HERE,) if self.against is None else (self.against, HERE)

    @property
    def side(self) -> int:
        """Width and height of a large image."""
        return 64 if self.short else 1024

    def count(self, usual: int) -> int:
        return self.jobs or (min(8, usual) if self.short else usual)
