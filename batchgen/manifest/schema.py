"""The manifest's language as JSON Schema (draft 7), for editors: completion, and help where the pointer rests.

Made from the model, so that it never says anything else.  Decisions: pure but for the packaged presets.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from pydantic import Field, create_model
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue
from pydantic_core import core_schema

from ..providers.presets import PRESET_NAMES, profile
from ..providers.profile import Profile
from .model import From, Job, Manifest

Schema = dict[str, Any]

_DRAFT = "http://json-schema.org/draft-07/schema#"
_TEMPLATE: Schema = {"type": "string", "pattern": r"\{\{"}
_AMOUNT = r"^[0-9]*\.?[0-9]+([eE][-+]?[0-9]+)?$"
_EVERY_TYPE = {"string", "integer", "number", "boolean", "array", "object", "null"}

#: What the values of a field look like, beside what the presets say.
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
#: Help for fields whose names say it all to those who know.
_HELP: Mapping[str, str] = {
    "usd_per_million_tokens": "USD per million tokens",
    "text_in": "USD per million tokens of the prompt",
    "image_in": "USD per million tokens of source images",
    "text_out": "USD per million tokens of text in the answer",
    "image_out": "USD per million tokens of the image",
}


def schema() -> Schema:
    """Return the schema of a manifest: every field described, nothing else allowed."""
    whole = _tidied(_Generator.of_manifest())
    definitions: dict[str, Schema] = whole.pop("$defs")
    # a preset without an address of its own gets one, which is not used
    presets = [profile(name, {"base_url": "https://gateway.invalid"}) for name in PRESET_NAMES]
    examples = {**_EXAMPLES, **_offered(presets)}
    for owner, of in [("Manifest", whole), *definitions.items()]:
        for name, field in of.get("properties", {}).items():
            field.setdefault("description", _HELP.get(name, ""))
            shown = examples.get(f"{owner}.{name}") or examples.get(name)
            if shown:
                field["examples"] = shown
    definitions["Matrix"]["propertyNames"] = whole["properties"]["vars"]["propertyNames"]
    whole["properties"]["providers"]["properties"] = {one.name: _settings(one) for one in presets}
    return {
        "$schema": _DRAFT,
        "title": "batchgen manifest",
        **whole,
        "definitions": dict(sorted(definitions.items())),
    }


def _settings(preset: Profile) -> Schema:
    key = f"; its key comes from {preset.api_key_env[0]}" if preset.api_key_env else ""
    told = f"What differs from the preset {preset.name}{key}"
    return {"description": told, "allOf": [{"$ref": "#/definitions/Provider"}]}


#: The model takes apart the short forms of ``from`` before it looks at them; an editor has to know them.
_Job = create_model(
    "Job",
    __base__=Job,
    __doc__=Job.__doc__,
    rows=(
        str | From | list[str | From],
        Field(default_factory=list, alias="from", description=Job.model_fields["rows"].description),
    ),
)
_Manifest = create_model(
    "Manifest",
    __base__=Manifest,
    __doc__=Manifest.__doc__,
    jobs=(list[_Job], Field([], description=Manifest.model_fields["jobs"].description)),
)


class _Generator(GenerateJsonSchema):
    """Adds what pydantic cannot know: a template may stand where a whole number is meant."""

    @classmethod
    def of_manifest(cls) -> Schema:
        """Return pydantic's schema of a manifest."""
        return _Manifest.model_json_schema(schema_generator=cls)

    def function_wrap_schema(self, schema: core_schema.WrapValidatorFunctionSchema) -> JsonSchemaValue:
        inner = super().function_wrap_schema(schema)
        return {"anyOf": [inner, _TEMPLATE]} if inner.get("type") == "integer" else inner


def _offered(presets: Iterable[Profile]) -> dict[str, list[Any]]:
    """Return the values that the presets know, by field: of size, quality, model and so on."""
    found: dict[str, dict[str, None]] = {}
    for name, value in (pair for one in presets for pair in _known(one)):
        found.setdefault(name, {})[str(value)] = None
    return {name: list(values) for name, values in found.items()}


def _known(one: Profile) -> Iterator[tuple[str, object]]:
    yield from (("provider", one.name), ("preset", one.name), ("dialect", one.dialect))
    for name, model in one.models.items():
        yield from (("model", name), ("default_model", name))
        for rules in filter(None, (model.generate, model.edit)):
            yield from (("size", size) for size in rules.size.allowed)
            yield from ((field, value) for field, values in rules.values.items() for value in values)


# --- pydantic's schema as an editor likes it --------------------------------------------------------------------------


def _tidied(schema: Mapping[str, Any]) -> Schema:
    """Return *schema* in draft 7, without what only repeats a field's name or says that nothing was said."""
    found: Schema = {}
    for key, value in schema.items():
        if key in ("$defs", "properties", "patternProperties"):
            found[key] = {name: _tidied(one) for name, one in value.items()}
        elif key == "description":
            found[key] = value.replace("``", "`")
        elif key == "ge":  # of a decimal, which pydantic does not translate; it may be given as text
            found |= {"minimum": value, "pattern": _AMOUNT}
        elif key != "title" and not (key == "default" and (value in (None, "0") or isinstance(value, (dict, list)))):
            found[key] = _inside(value)
    if "patternProperties" in found:  # of names, which then are the only ones
        (pattern,) = found["patternProperties"]
        found["propertyNames"] = {**found.get("propertyNames", {}), "pattern": pattern}
        found["additionalProperties"] = found.pop("patternProperties")[pattern]
    if "$ref" in found:
        found["$ref"] = found["$ref"].replace("#/$defs/", "#/definitions/")
        if len(found) > 1:  # draft 7 reads nothing beside a $ref
            found["allOf"] = [{"$ref": found.pop("$ref")}]
    return _simplified(found) if "anyOf" in found else found


def _inside(value: Any) -> Any:  # noqa: ANN401 - a keyword's value
    if isinstance(value, Mapping):
        return _tidied(value)
    return [_inside(one) for one in value] if isinstance(value, list) else value


def _simplified(schema: Schema) -> Schema:
    """Say with ``type`` what ``anyOf`` says, where that is all it says."""
    options: list[Schema] = schema.pop("anyOf")
    if {str(option.get("type")) for option in options} >= _EVERY_TYPE:
        return schema
    bare = [option["type"] for option in options if set(option) == {"type"}]
    rest = [option for option in options if set(option) != {"type"}]
    if not rest:
        return {"type": bare, **schema}
    if len(rest) == 1 and isinstance(rest[0].get("type"), str):
        found = {**rest[0], "type": [rest[0]["type"], *bare]}
        if "enum" in found and "null" in bare:
            found["enum"] = [*found["enum"], None]
        return {**found, **schema}
    return {"anyOf": options, **schema}
