"""The manifest's JSON Schema, held against the model and against an independent validator."""

from pathlib import Path

import pytest
import yaml
from jsonschema import Draft7Validator
from pydantic import ValidationError

import batchgen
from batchgen.manifest import model, provider_spec
from batchgen.manifest.schema import schema
from batchgen.providers import model as provider_model
from batchgen.providers import profile

ROOT = Path(__file__).parents[2]
EXAMPLES = Path(batchgen.__file__).parent / "examples"
MANIFESTS = sorted([*ROOT.glob("jobs/**/*.yaml"), *EXAMPLES.glob("*/**/*.yaml")])

SCHEMA = schema()
VALIDATOR = Draft7Validator(SCHEMA)
#: Later ones take precedence: settings of a provider are stricter in a manifest than in its profile.
LANGUAGE = {**vars(provider_model), **vars(profile), **vars(provider_spec), **vars(model)}
MODELS = {name: LANGUAGE.get(f"{name}Spec") or LANGUAGE[name] for name in SCHEMA["definitions"]}


def part(name):
    """Return the schema of one definition, or of the whole."""
    return SCHEMA if name == "Manifest" else {**SCHEMA["definitions"][name], "definitions": SCHEMA["definitions"]}


FIELDS = [
    (name, info.alias or field)
    for name, of in [("Manifest", model.Manifest), *MODELS.items()]
    for field, info in of.model_fields.items()
]


NEEDED = {"From": {"path": "x"}, "Group": {"models": ["x"]}, "Megapixels": {"first": 1}, "Cost": {"path": "x"}}


def document(name, field, value):
    return {**NEEDED.get(name, {}), field: value}


def objects(node, path="#"):
    """Yield every schema that lists properties, with where it stands."""
    if isinstance(node, dict):
        if isinstance(node.get("properties"), dict):
            yield path, node
        for key, value in node.items():
            if key != "examples":
                yield from objects(value, f"{path}/{key}")
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from objects(value, f"{path}/{number}")


def test_it_is_a_schema_of_draft_7():
    Draft7Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "http://json-schema.org/draft-07/schema#"
    assert "prefixItems" not in str(SCHEMA)
    assert "$defs" not in str(SCHEMA)


def test_every_field_of_the_model_is_there_and_explained():
    for name, field in FIELDS:
        described = part(name)["properties"][field]
        assert len(described["description"]) > 5, (name, field)
        assert "title" not in described, (name, field)  # it would only repeat the key


def test_nothing_else_is_allowed_anywhere():
    found = dict(objects(SCHEMA))
    open_ones = {path for path, node in found.items() if node.get("additionalProperties") is not False}
    assert open_ones == {"#/properties/providers", "#/definitions/Matrix"}  # any name, each with its own schema
    assert len(found) == len(MODELS) + 2


def test_references_have_no_siblings_that_draft_7_ignores():
    def references(node):
        if isinstance(node, dict):
            if "$ref" in node:
                yield node
            node = list(node.values())
        for value in node if isinstance(node, list) else ():
            yield from references(value)

    found = list(references(SCHEMA))
    assert found
    assert [node for node in found if len(node) > 1] == []


@pytest.mark.parametrize("name", ["Manifest", *MODELS])
def test_examples_are_examples(name):
    for field, described in part(name)["properties"].items():
        for example in described.get("examples", ()):
            whole = document(name, field, example)
            assert [error.message for error in Draft7Validator(part(name)).iter_errors(whole)] == []
            assert MODELS.get(name, model.Manifest).model_validate(whole)


def test_completion_offers_what_the_presets_know():
    properties = SCHEMA["definitions"]["Parameters"]["properties"]
    assert {"aigate", "openai", "openrouter"} <= set(properties["provider"]["examples"])
    assert {"gpt-image-2", "gemini-2.5-flash-image"} <= set(properties["model"]["examples"])
    assert {"1024x1024", "16:9", "auto"} <= set(properties["size"]["examples"])
    assert {"low", "medium", "high"} <= set(properties["quality"]["examples"])
    assert "OPENAI_API_KEY" in SCHEMA["properties"]["providers"]["properties"]["openai"]["description"]


#: One of everything that YAML can hold, where a field may get it.
VALUES = [
    None, "", "x", "{{ a }}", "retry", "csv", "A_B", "x" * 201, 0, 1, 3, -1, -0.1, 2.5, 1e9, True, [], [""], ["a"], [3],
    [None], [{}], [{"path": "x"}], [{"a": 1}], {}, {"a": 1}, {"a": "b"}, {"a": [1]}, {"a": []}, {"a": ["x"]},
    {"path": "x"}, {"usd": 3}, {"low": 0.5}, {"a b": [1]}, {"1a": [1]}, "fastest", "inside", "skip", "usd", "Key {key}",
]  # fmt: skip


@pytest.mark.parametrize("name", ["Manifest", *MODELS])
def test_the_schema_never_refuses_what_the_model_takes(name):
    validator = Draft7Validator(part(name))
    for field in (field for of, field in FIELDS if of == name):
        check_values(validator, name, field)


def check_values(validator, name, field):
    taken = 0
    for value in VALUES:
        whole = document(name, field, value)
        try:
            MODELS.get(name, model.Manifest).model_validate(whole)
        except ValidationError:
            continue
        if field == "version" and value is True:
            continue  # Python takes it for 1
        taken += 1
        assert [error.message for error in validator.iter_errors(whole)] == []
    assert taken


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_every_manifest_of_the_cookbook_and_every_example_is_valid(path):
    assert [
        f"{error.json_path}: {error.message}" for error in VALIDATOR.iter_errors(yaml.safe_load(path.read_text()))
    ] == []


def test_all_of_them_were_found():
    assert {"demo", "openai", "generate", "edit", "catalog"} <= {path.stem for path in MANIFESTS}


@pytest.mark.parametrize(
    "text",
    [
        "version: 2",
        "jbos: []",
        "jobs: {prompt: x}",
        "jobs: [{promt: x}]",
        "jobs: [{prompt: 3}]",
        "jobs: [{prompt: x, n: lots}]",
        "jobs: [{prompt: x, n: 0}]",
        "jobs: [{prompt: x, n: '{ n }'}]",
        "jobs: [{prompt: x, output_compression: 101}]",
        "jobs: [{prompt: x, images: {a: b}}]",
        "jobs: [{prompt: x, id: ''}]",
        "jobs: [{prompt: x, tags: [1]}]",
        "jobs: [{prompt: x, matrix: {colour: red}}]",
        "jobs: [{prompt: x, matrix: {colour: []}}]",
        "jobs: [{prompt: x, matrix: {my colour: [red]}}]",
        "jobs: [{prompt: x, matrix: {exclude: {colour: red}}}]",
        "jobs: [{prompt: x, zip: {colour: red}}]",
        "jobs: [{prompt: x, vars: {1st: red}}]",
        "jobs: [{prompt: x, from: 3}]",
        "jobs: [{prompt: x, from: {where: {a: b}}}]",
        "jobs: [{prompt: x, from: {path: a.csv, format: xls}}]",
        "jobs: [{prompt: x, from: [{path: a.csv, limit: 0}]}]",
        "jobs: [{prompt: x, rows: a.csv}]",
        "jobs: [{prompt: x, repeat: 0}]",
        "defaults: {id: x}",
        "defaults: {extra: [1]}",
        "prompts: [3]",
        "prompts: {path: a.txt}",
        "output: {dri: out}",
        "output: {sidecar: 'yes'}",
        "providers: {openai: {limits: {concurrency: 0}}}",
        "providers: {openai: {limits: {concurency: 3}}}",
        "providers: {mine: {api_key_env: 'a b'}}",
        "providers: {mine: {tariff: {usd_per_image: free}}}",
        "providers: {mine: {tariff: {usd_per_million_tokens: {image: 3}}}}",
        "budget: {usd: -1}",
        "budget: {usd: lots}",
        "budget: {per_day: free}",
        "budget: -1",
        "budget: lots",
        "output: ''",
        "retry: {attempts: 0}",
        "on_unknown: hol",
        "confirm_above: true",
        "include: 3",
        "vars: [a]",
    ],
)
def test_what_is_wrong_for_the_model_is_wrong_for_an_editor(text):
    manifest = yaml.safe_load(text)
    with pytest.raises(ValidationError):
        model.Manifest.model_validate(manifest)
    assert not VALIDATOR.is_valid(manifest)
