"""Types of the fields of a manifest. Pure values.

Types are strict: text is never guessed from a number, nor a number from text.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Annotated, Any

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
)
from pydantic_core.core_schema import CoreSchema, no_info_before_validator_function

from ..mode import Mode, read_step
from ..wording import is_blank
from . import filenames
from .templates import is_template


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


def _decimal(value: object) -> object:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return value
    try:
        return Decimal(str(value))
    except InvalidOperation:
        return value


def _template(value: object, check: ValidatorFunctionWrapHandler) -> object:
    """Accept a template in place of a number; its text is checked once it is rendered."""
    return value if isinstance(value, str) and is_template(value) else check(value)


def _plain(text: str) -> str:
    control = filenames.control(text, allow="\t\n\r")
    if control:
        raise ValueError(f"contains the control character {control}, which no provider accepts")
    return text


def _filled(text: str) -> str:
    if is_blank(text):
        raise ValueError("is blank" if not text.strip() else "contains only invisible characters")
    return _plain(text)


#: Outermost, so that a template bypasses the bounds of the number.
FILLED_IN = WrapValidator(_template)

Text = Annotated[str, Field(max_length=200)]
Prompt = Annotated[str, BeforeValidator(lambda value: _filled(value) if isinstance(value, str) else value)]
_MODE = {"type": "string", "enum": [*Mode]}
_MODE_UNTIL = {
    "type": "object",
    "propertyNames": {"enum": [*Mode]},
    "additionalProperties": {"type": "string", "pattern": "^until [0-9]{1,2}:[0-9]{2}$"},
    "minProperties": 1,
    "maxProperties": 1,
}
#: One text, or a list of them.
Texts = Annotated[
    list[Annotated[str, Field(min_length=1, max_length=4096)]],
    BeforeValidator(_listed),
    WithJsonSchema({"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "string"}}]}),
]
#: A mode, or a list of them, each with the time until which it is used.
Modes = Annotated[
    list[Annotated[Any, BeforeValidator(read_step)]],
    BeforeValidator(lambda value: [value] if isinstance(value, (str, dict)) else value),
    Field(min_length=1),
    WithJsonSchema({"anyOf": [_MODE, {"type": "array", "items": {"anyOf": [_MODE, _MODE_UNTIL]}}]}),
]
_VARIABLE = r"^[A-Za-z_][A-Za-z0-9_]*$"
#: The name of an environment variable, or a list of them.
Variables = Annotated[
    list[Annotated[str, Field(pattern=_VARIABLE)]],
    BeforeValidator(_listed),
    Field(min_length=1, max_length=20),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "pattern": _VARIABLE},
                {"type": "array", "items": {"type": "string", "pattern": _VARIABLE}, "minItems": 1, "maxItems": 20},
            ]
        }
    ),
]
#: The value of a variable, which is inserted as it is.
Value = str | int | float | bool | None | list[Any] | dict[str, Any]
Name = Annotated[
    str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=100, description="A name that templates can use")
]
Money = Annotated[
    Decimal,
    BeforeValidator(_decimal),
    Field(ge=0, le=1_000_000),
    WithJsonSchema({"type": "number", "minimum": 0, "maximum": 1_000_000}),
]


class Strict(BaseModel):
    """Base class of the manifest's models: an unknown key is an error, and no type is converted."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, defer_build=True)


@dataclass(frozen=True, slots=True, eq=False)
class ShortForm:
    """Annotation of a mapping: a plain value of *types* is accepted in place of the mapping ``{key: value}``."""

    key: str
    types: type | tuple[type, ...]
    json_schema: dict[str, Any]  #: of the plain value

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:  # noqa: ANN401
        return no_info_before_validator_function(self._mapping, handler(source))

    def __get_pydantic_json_schema__(self, core: CoreSchema, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [self.json_schema, handler(core)]}

    def _mapping(self, value: object) -> object:
        return {self.key: value} if isinstance(value, self.types) and not isinstance(value, bool) else value
