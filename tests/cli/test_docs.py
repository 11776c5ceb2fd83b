"""The README and the help pages: their size, their generated tables and their links."""

from __future__ import annotations

import re

import pytest
import yaml
from jsonschema import Draft202012Validator

from batchgen.cli.render import pages
from batchgen.manifest.filters import FILTERS
from batchgen.manifest.schema import schema
from batchgen.providers.presets import preset_names, profile
from tests.docs import DOCUMENTS, ROOT

_LINK = re.compile(r"\]\(([^)#\s]+)(?:#[^)]*)?\)")
_GENERATED = re.compile(r"<!-- batchgen:.*?<!-- /batchgen:[a-z-]+ -->", re.DOTALL)
_READ = [*DOCUMENTS, *sorted((ROOT / "tests").rglob("*.md")), ROOT / "CHANGELOG.md"]


#: Manifests, and parts of manifests, in the README and in pages; those of settings files have options.
_YAML = [
    (path.stem, block)
    for path in DOCUMENTS
    for block in re.findall(r"^```yaml\n(.*?)^```", path.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    if "options:" not in block and not block.startswith("prompt:")
]


def test_readme_has_at_most_250_lines():
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 250


@pytest.mark.parametrize("topic", pages.topics())
def test_page_is_neither_a_fragment_nor_a_book(topic):
    assert 15 <= len(_GENERATED.sub("", pages.source(topic)).splitlines()) <= 110


def test_pages_are_all_in_a_group_of_the_list():
    grouped = [name for group in pages.GROUPS.values() for name in group]
    assert sorted(grouped) == sorted(pages.topics())


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.name)
def test_generated_tables_equal_the_code(path):
    text = path.read_text(encoding="utf-8")
    assert text == pages.fill(text), "run make docs"


@pytest.mark.parametrize("path", _READ, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_lead_to_files(path):
    links = [link for link in _LINK.findall(path.read_text(encoding="utf-8")) if "://" not in link]
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_pages_that_the_readme_names_exist():
    named = re.findall(r"batchgen help ([a-z-]+)", (ROOT / "README.md").read_text(encoding="utf-8"))
    assert named
    assert set(named) <= set(pages.topics())


def test_filters_are_all_explained():
    rows = re.findall(r"^\| (`[^|]*) \|", pages.source("templates"), re.MULTILINE)
    assert sorted(re.findall(r"`([a-z]+)", " ".join(rows))) == sorted(FILTERS)


@pytest.mark.parametrize("text", ["README.md", "batchgen/help/providers.md"])
def test_providers_are_listed_with_their_keys(text):
    rows = re.findall(r"^\| `([a-z_]+)` \| [^|]* \| `([A-Z_]+)` \|", (ROOT / text).read_text(), re.MULTILINE)
    names = [name for name in preset_names() if name != "sandbox"]
    address = {"base_url": "https://gateway.example"}  # which one preset does not have
    keys = {name: profile(name, address).api_key_env[0] for name in names}
    assert dict(rows).items() <= keys.items()
    assert dict(rows).keys() >= (keys.keys() if text.startswith("batchgen") else {"openai", "openrouter"})


@pytest.mark.parametrize(("page", "block"), _YAML, ids=[page for page, _ in _YAML])
def test_manifests_fit_the_schema(page, block):
    manifest = {"version": 1, "jobs": [{"id": "a", "prompt": "b"}]} | yaml.safe_load(block)
    assert [error.message for error in Draft202012Validator(schema()).iter_errors(manifest)] == []


@pytest.mark.parametrize("path", _READ, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_are_named_exist(path):
    named = re.findall(r"`((?:batchgen|tests|migrations|jobs)/[^`\s:]*)", path.read_text(encoding="utf-8"))
    assert [name for name in named if "NAME" not in name and "NNNN" not in name and not (ROOT / name).exists()] == []
