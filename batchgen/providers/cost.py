"""Cost in an answer, for a provider that states it under a name of its own."""

from __future__ import annotations

from decimal import Decimal, InvalidOperation
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field

from ..money import milli_credits, nano_usd
from .jsonbody import Json, value_at
from .model import Frozen

Scale = Annotated[
    Decimal, BeforeValidator(lambda value: str(value) if isinstance(value, float) else value), Field(gt=0, le=1_000_000)
]


class Cost(Frozen):
    """Where an answer states what it cost: a dotted path, and the unit of the amount there."""

    path: str = Field(min_length=1, description="Dotted path of the amount, such as usage.cost_usd")
    unit: Literal["usd", "credits"] = Field("usd", description="Unit of the amount: usd or credits")
    scale: Scale = Field(Decimal(1), description="USD or credits that one unit of the amount is worth")

    def usd(self, document: Json) -> int | None:
        """Return the nano-USD in *document*; None if it states none."""
        return nano_usd(self._amount(document)) if self.unit == "usd" else None

    def credits(self, document: Json) -> int | None:
        """Return the milli-credits in *document*; None if it states none."""
        return milli_credits(self._amount(document)) if self.unit == "credits" else None

    def _amount(self, document: Json) -> Decimal | None:
        value = value_at(document, self.path)
        if isinstance(value, bool) or not isinstance(value, (int, float, str, Decimal)) or len(str(value)) > 64:
            return None
        try:
            return Decimal(str(value)) * self.scale
        except InvalidOperation:
            return None
