"""JSON for scripts stays as it was: an older program's documents are held against the present ones."""

from __future__ import annotations

import json

import pytest

from .json_outputs import COMMANDS, STATE, differences, mask, record
from .kit import Workspace

OLD = json.loads((STATE / "outputs-684b5e5.json").read_text(encoding="utf-8"))

#: Where the schema of manifests accepts more than before: a number or a text in place of a mapping, another format.
WIDENED = {
    "/stdout/properties/output/allOf is gone",
    "/stdout/properties/budget/allOf is gone",
    "/stdout/definitions/Budget/properties/per_day/allOf is gone",
    "/stdout/definitions/From/properties/format/enum: 6 items became 7",
}


@pytest.fixture(scope="module")
def outputs(tmp_path_factory):
    return record(Workspace(folder=tmp_path_factory.mktemp("outputs")))


@pytest.mark.parametrize("document", OLD)
def test_fields_of_old_documents_are_kept(outputs, document):
    found = differences(OLD[document], outputs[document])
    assert [text for text in found if document != "schema" or text not in WIDENED] == []


def test_every_command_of_the_scenario_is_compared():
    assert set(COMMANDS) < set(OLD)
    assert [name for name in COMMANDS if OLD[name]["exit_code"] not in (0, 3)] == []


def test_differences_find_what_is_gone_or_changed():
    old = mask({"a": 1, "b": [{"c": "x y"}], "d": 0.5}, {"a": 1, "b": [{"c": "y z"}], "d": 0.25})
    assert differences(old, {"a": 1, "b": [{"c": "other"}], "d": 3, "more": True}) == []
    assert differences(["a,b"], ["a,b,c"]) == []
    assert differences(["a,b"], ["a,c,b"]) == [": 'a,b' is gone"]
    assert differences(old, {"a": "1", "b": [{}], "d": "soon"}) == [
        "/a: 1 became '1'",
        "/b/0/c is gone",
        "/d: ~number became 'soon'",
    ]
