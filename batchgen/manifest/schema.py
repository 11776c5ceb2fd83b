"""The manifest's language as JSON Schema (draft 7), for completion and help in editors.

It is generated from the model, so the two never differ.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import Field, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ..providers.presets import PRESET_NAMES, profile
from ..providers.profile import Profile
from .deliver import DeliverSpec
from .list_spec import From
from .model import JobSpec, Manifest

Schema = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-07/schema#"
_TEMPLATE: Schema = {"type": "string", "pattern": r"\{\{"}
_AMOUNT = r"^[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?$"
_EVERY_TYPE = {"string", "integer", "number", "boolean", "array", "object", "null"}

#: Examples of values, in addition to those that the presets offer.
_EXAMPLES: Mapping[str, list[Any]] = {
    "id": ["{{ name | slug }}"],
    "prompt": ["Studio photo of a {{ colour }} mug, white background"],
    "images": ["photos/table.jpg", "photos/*.jpg", ["photos/t-rex.png", "photos/crown.png"]],
    "mask": ["photos/mask.png"],
    "tags": [["autumn", "shop"]],
    "dir": ["output/{{ name }}"],
    "file": ["{{ id }}", "{{ provider }}/{{ id }}"],
    "from": ["products.csv", "photos", {"path": "products.jsonl", "where": {"colour": "red"}, "limit": 100}],
    "path": ["products.csv", "photos/**/*.jpg"],
    "where": [{"colour": ["red", "blue*"]}],
    "deliver": [
        {"format": "webp", "size": 800},
        [{"name": "shop", "format": "jpg", "size": "800x800", "fit": "contain", "background": "white"}],
    ],
    "Deliver.name": ["shop"],
    "Deliver.dir": ["shop"],
    "Deliver.size": [800, "800x600", "800x"],
    "Deliver.background": ["white", "#f5f5f5", "transparent"],
    "Deliver.quality": [82],
    "matrix": [{"colour": ["red", "blue"], "view": ["front", "side"]}],
    "zip": [{"name": ["Oslo", "Rome"], "weather": ["snow", "sun"]}],
    "vars": [{"style": "studio photo, soft light"}],
    "include": ["common.yaml"],
    "Matrix.include": [[{"colour": "gold", "view": "front"}]],
    "Matrix.exclude": [[{"colour": "blue", "view": "side"}]],
    "usd_per_image": [0.05, {"low": 0.01, "high": 0.2}],
    "credits": [{"gptimageapi": 600}],
    "per_provider": [{"openai": 25}],
    "base_url": ["https://gateway.example.com"],
    "paths": [{"generate": "/v1/images/generations"}],
}
#: Descriptions of fields that have none in the model.
_HELP: Mapping[str, str] = {
    "usd_per_million_tokens": "USD per million tokens",
    "text_in": "USD per million tokens of the prompt",
    "image_in": "USD per million tokens of source images",
    "text_out": "USD per million tokens of text in the answer",
    "image_out": "USD per million tokens of the image",
}


def schema() -> Schema:
    """Return the schema of a manifest: every field described, nothing else allowed."""
    whole = _tidied(_Manifest.model_json_schema(schema_generator=_Generator))
    definitions: dict[str, Schema] = {name.removesuffix("Spec"): spec for name, spec in whole.pop("$defs").items()}
    # A preset without an address of its own needs one to be built; the schema does not show it.
    presets = [profile(name, {"base_url": "https://gateway.invalid"}) for name in PRESET_NAMES]
    examples = {**_EXAMPLES, **_offered(presets)}
    for owner, definition in [("Manifest", whole), *definitions.items()]:
        for name, field in definition.get("properties", {}).items():
            field.setdefault("description", _HELP.get(name, ""))
            shown = examples.get(f"{owner}.{name}") or examples.get(name)
            if shown:
                field["examples"] = shown
    definitions["Matrix"]["propertyNames"] = whole["properties"]["vars"]["propertyNames"]
    whole["properties"]["providers"]["properties"] = {preset.name: _settings(preset) for preset in presets}
    return {
        "$schema": _DRAFT,
        "title": "batchgen manifest",
        **whole,
        "definitions": dict(sorted(definitions.items())),
    }


def _settings(preset: Profile) -> Schema:
    key = f"; its key comes from {preset.api_key_env[0]}" if preset.api_key_env else ""
    description = f"What differs from the preset {preset.name}{key}"
    return {"description": description, "allOf": [{"$ref": "#/definitions/Provider"}]}


#: The model expands the short forms of ``from`` before it validates them; an editor has to know them.
_JobSpec = create_model(
    "JobSpec",
    __base__=JobSpec,
    __doc__=JobSpec.__doc__,
    rows=(
        str | From | list[str | From],
        Field(default_factory=list, alias="from", description=JobSpec.model_fields["rows"].description),
    ),
)
_Manifest = create_model(
    "Manifest",
    __base__=Manifest,
    __doc__=Manifest.__doc__,
    deliver=(DeliverSpec | list[DeliverSpec], Field([], description=Manifest.model_fields["deliver"].description)),
    jobs=(list[_JobSpec], Field([], description=Manifest.model_fields["jobs"].description)),
)


class _Generator(GenerateJsonSchema):
    """Pydantic's generator, which also allows a template in place of a whole number."""

    def function_wrap_schema(self, schema: core_schema.WrapValidatorFunctionSchema) -> JsonSchemaValue:
        inner = super().function_wrap_schema(schema)
        return {"anyOf": [inner, _TEMPLATE]} if inner.get("type") == "integer" else inner


def _offered(presets: Iterable[Profile]) -> dict[str, list[Any]]:
    """Return the values that the presets know, by field: sizes, qualities, models and so on."""
    offered: dict[str, dict[str, None]] = {}
    for preset in presets:
        for name, value in _values(preset):
            offered.setdefault(name, {})[str(value)] = None
    return {name: list(values) for name, values in offered.items()}


def _values(preset: Profile) -> Iterator[tuple[str, object]]:
    yield from (("provider", preset.name), ("preset", preset.name), ("dialect", preset.dialect))
    for name, model in preset.models.items():
        yield from (("model", name), ("default_model", name))
        for rules in filter(None, (model.generate, model.edit)):
            yield from (("size", size) for size in rules.size.allowed)
            yield from ((field, value) for field, values in rules.values.items() for value in values)


# --- pydantic's schema, shortened for editors ------------------------------------------------------------------------


def _tidied(schema: Mapping[str, Any]) -> Schema:
    """Return *schema* in draft 7, without titles and empty defaults."""
    tidied: Schema = {}
    for key, value in schema.items():
        if key in ("$defs", "properties", "patternProperties"):
            tidied[key] = {name: _tidied(part) for name, part in value.items()}
        elif key == "description":
            tidied[key] = value.replace("``", "`")
        elif key == "ge":  # of a decimal, which pydantic does not translate; it may be given as text
            tidied |= {"minimum": value, "pattern": _AMOUNT}
        elif key != "title" and not (key == "default" and (value in (None, "0") or isinstance(value, (dict, list)))):
            tidied[key] = _inside(value)
    if "patternProperties" in tidied:  # the names that match are the only ones allowed
        (pattern,) = tidied["patternProperties"]
        tidied["propertyNames"] = {**tidied.get("propertyNames", {}), "pattern": pattern}
        tidied["additionalProperties"] = tidied.pop("patternProperties")[pattern]
    if "$ref" in tidied:
        tidied["$ref"] = tidied["$ref"].replace("#/$defs/", "#/definitions/").removesuffix("Spec")
        if len(tidied) > 1:  # draft 7 ignores the keywords next to a $ref
            tidied["allOf"] = [{"$ref": tidied.pop("$ref")}]
    return _simplified(tidied) if "anyOf" in tidied else tidied


def _inside(value: Any) -> Any:  # noqa: ANN401 - a keyword's value
    if isinstance(value, Mapping):
        return _tidied(value)
    return [_inside(item) for item in value] if isinstance(value, list) else value


def _simplified(schema: Schema) -> Schema:
    """Replace ``anyOf`` by ``type`` where its options differ in nothing else."""
    options: list[Schema] = schema.pop("anyOf")
    if {str(option.get("type")) for option in options} >= _EVERY_TYPE:
        return schema
    bare = [option["type"] for option in options if set(option) == {"type"}]
    rest = [option for option in options if set(option) != {"type"}]
    if not rest:
        return {"type": bare, **schema}
    if len(rest) == 1 and isinstance(rest[0].get("type"), str):
        option = {**rest[0], "type": [rest[0]["type"], *bare]}
        if "enum" in option and "null" in bare:
            option["enum"] = [*option["enum"], None]
        return {**option, **schema}
    return {"anyOf": options, **schema}
