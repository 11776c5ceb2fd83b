"""Tiles and details of a report."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest
import yaml

from batchgen import redaction
from batchgen.app.report.details import detail
from batchgen.app.report.tiles import Looks, Tiles
from batchgen.app.reproduce import manifest_entry, yaml_entry
from batchgen.picture import PictureFacts, Suspect
from batchgen.store.records import StoredMark
from batchgen.store.rows import encode_task
from batchgen.task import Kind, Source, Task

from .reportjobs import call, file, job, missed

#: The facts of a transparent picture.
CLEAR = PictureFacts(sha256="ab", size_bytes=1, width=8, height=6, alpha=True)


def tiles(*jobs, thumbnails=None, **looks):
    found = Tiles(looks=Looks(**looks))
    for each in jobs:
        found.add(each)
    return found.document(thumbnails), found.words({})


def test_columns_have_a_row_for_each_picture_and_each_job_without_one():
    sent = call(0, usd=30_000_000)
    columns, _ = tiles(job([sent], [file(sent, 0), file(sent, 1)], key="dog"), job([missed(5, "error")], key="bad"))
    assert columns["count"] == 3
    assert {len(columns[name]) for name in ("key", "usd", "sha", "path", "tags", "at", "seconds")} == {3}
    assert (columns["key"], columns["ordinal"]) == (["dog", "dog", "bad"], [0, 1, -1])
    assert columns["usd"] == [0.015, 0.015, 0.0]
    assert columns["sha"][2] == columns["path"][2] == ""


def test_picture_costs_its_share_of_the_call_that_delivered_it():
    first, second = call(0, usd=10_000_000), call(9, usd=50_000_000)
    old = file(first, superseded_at=1)
    columns, _ = tiles(job([first, second], [file(second)], earlier=[old]))
    assert columns["usd"] == [0.05]


def test_provider_is_the_one_that_delivered():
    sent = call(0, provider="aigate")
    columns, words = tiles(job([missed(0, "error"), sent], [file(sent)]))
    assert words["provider"][columns["provider"][0]] == "aigate"


def test_texts_that_tiles_share_are_stored_once():
    columns, words = tiles(job(key="a", prompt="One"), job(key="b", prompt="Two"), job(key="c", prompt="One"))
    assert (words["prompt"], columns["prompt"]) == (["One", "Two"], [0, 1, 0])


def test_earlier_form_is_beside_its_picture():
    sent, before = call(9), call(0)
    old = file(before, superseded_at=1)
    columns, _ = tiles(
        job([before, sent], [file(sent)], earlier=[old], prompt="A new cat"),
        earlier=lambda row: (f"kept/{row.ordinal}.png", "An old cat"),
    )
    [form] = columns["earlier"][0]
    assert (form["sha"], form["path"], form["prompt"]) == (old.sha256[:16], "kept/0.png", "An old cat")


def test_transparent_inputs_and_earlier_forms_are_named():
    sent, before = call(9), call(0)
    old = file(before, superseded_at=1)
    task = Task(kind=Kind.EDIT, prompt="A hat", provider="openai", model="m", images=(Source(path="logo.png"),))
    shown = job([before, sent], [file(sent)], earlier=[old], kind="edit", task=encode_task(task))
    found = Tiles(looks=Looks(source=lambda each: (each.path or "", None, "ab")))
    found.add(replace(shown, facts={old.sha256: CLEAR}))
    [source] = found.words({"ab": CLEAR})["source"]
    assert source == {"path": "logo.png", "url": None, "sha": "ab", "width": 8, "height": 6, "alpha": True}
    assert found.document(None)["earlier"][0][0]["alpha"]


def test_earlier_form_that_is_gone_is_left_out():
    sent, before = call(9), call(0)
    shown = job([before, sent], [file(sent)], earlier=[file(before, superseded_at=1)])
    assert tiles(shown, earlier=lambda _row: None)[0]["earlier"] == {}


def test_files_that_are_gone_and_without_a_thumbnail_are_listed():
    sent = call(0)
    here, gone = file(sent, 0), file(sent, 1)
    columns, _ = tiles(job([sent], [here, gone]), thumbnails={here.sha256[:16]}, present=lambda path: path == here.path)
    assert (columns["gone"], columns["no_thumb"]) == ([1], [1])


def test_suspect_leads_to_the_picture_that_it_resembles():
    first, second = call(0), call(0)
    one, two = file(first), file(second)
    like = Suspect(
        job_id=2, ordinal=0, artifact_id=two.id, kind="near-duplicate", detail="3 of 256", other_job_id=1,
        other_ordinal=0,
    )  # fmt: skip
    old = replace(like, artifact_id=-1, kind="tiny")  # of a file that was replaced
    columns, words = tiles(
        job([first], [one], id=1), replace(job([second], [two], id=2, key="b"), suspects=[like, old])
    )
    assert columns["suspects"] == {1: [[words["suspect"].index("near-duplicate"), 0, "3 of 256"]]}


def test_facts_and_marks_are_those_of_the_picture():
    sent = call(0)
    picture = file(sent)
    facts = {picture.sha256: PictureFacts(sha256=picture.sha256, size_bytes=1, alpha=True, c2pa=True)}
    mark = StoredMark(
        key="cat", ordinal=0, sha256="ab" * 32, mark="pick", stars=4, note="Fine", job_id=1, artifact_id=1,
        at=datetime(2026, 11, 30, tzinfo=UTC),
    )  # fmt: skip
    columns, _ = tiles(replace(job([sent], [picture]), facts=facts, marks=[mark]))
    assert (columns["alpha"], columns["c2pa"]) == ([0], [0])
    assert columns["marks"][0]["sha"] == "ab" * 8
    assert (columns["marks"][0]["mark"], columns["marks"][0]["stars"]) == ("pick", 4)


def test_key_in_a_prompt_is_hidden(monkeypatch):
    monkeypatch.setattr(redaction, "_KNOWN", {"sk-canary-1234567890"})
    secret = job(prompt="Draw sk-canary-1234567890", message="key sk-canary-1234567890 is wrong", cause="denied")
    _, words = tiles(secret)
    assert "sk-canary-1234567890" not in f"{words}{detail(secret, Looks())}"


@pytest.mark.parametrize(
    "prompt",
    ["plain", "two\nlines", "emoji \U0001f600\u200d", "\u202eturned", "quote \" ' \\", "#no: yes", "\x07\u2028"],
)
def test_entry_of_a_manifest_is_read_as_it_was(prompt):
    source = Source(path="/photos/a b.png", sha256="ab")
    task = Task(kind=Kind.EDIT, prompt=prompt, provider="openai", model="m", images=(source,), seed=7, extra={"a": [1]})
    entry = manifest_entry(task, job().row, ["red"])
    assert yaml.safe_load(yaml_entry(entry)) == [entry]


def test_detail_has_every_call_and_parameter():
    sent = call(0, message=None)
    found = detail(job([missed(0, "error", status=500), sent], [file(sent)]), Looks())
    assert [attempt["state"] for attempt in found["attempts"]] == ["missed", "delivered"]
    assert (found["attempts"][0]["status"], found["attempts"][1]["usd"]) == (500, "0.02")
    assert found["parameters"] == {"kind": "generate", "provider": "openai", "model": "gpt-image-2", "n": 1}
    assert found["files"][0]["sidecar"] == f"{found['files'][0]['path']}.json"


def test_sidecar_that_is_not_there_is_not_named():
    sent = call(0)
    found = detail(job([sent], [file(sent)]), Looks(present=lambda _path: False))
    assert found["files"][0]["sidecar"] is None


def test_tile_of_a_job_at_the_provider_has_a_state_of_its_own():
    waits = call(0, state="open", handle='{"id": "t"}')
    columns, words = tiles(job([waits], state="running"), job([call(0, state="open")], state="running", key="own"))
    assert [words["state"][state] for state in columns["state"]] == ["at_provider", "running"]


def test_column_of_modes_is_there_only_if_one_is_not_standard():
    sent, cheap = call(0), call(0, mode="batch")
    assert "mode" not in tiles(job([sent], [file(sent)]))[0]
    columns, words = tiles(
        job([sent], [file(sent)]), job([cheap], [file(cheap)], key="b"), job(state="pending", key="c")
    )
    assert [words["mode"][mode] if mode >= 0 else None for mode in columns["mode"]] == ["standard", "batch", None]


def test_details_of_a_usual_call_say_nothing_about_its_mode():
    usual, flex = call(0), call(0, mode="flex", tier="flex", standard_usd=40_000_000)
    [first, second] = detail(job([usual, flex]), Looks())["attempts"]
    assert second.items() - first.items() >= {("mode", "flex"), ("tier", "flex"), ("standard_usd", "0.04")}
    assert not first.keys() & {"mode", "tier", "standard_usd", "at_provider", "reserved_usd", "task", "submission"}
