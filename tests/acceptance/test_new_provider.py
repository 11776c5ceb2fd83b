"""``providers new``: settings that are valid as they are, and the place of whatever is wrong in them."""

from __future__ import annotations

import json
import re

import pytest

from batchgen.sandbox.log import read_log

MANIFEST = """version: 1
defaults: {provider: studio}
jobs:
  - {id: apple, prompt: a red apple, size: "3:2", output_format: png}
"""


@pytest.fixture
def project(bare):
    (bare.folder / "m.yaml").write_text(MANIFEST)
    written = bare.run("providers", "new", "studio", "-o", "batchgen.yaml")
    assert written.code == 0, written.err
    return bare


def test_new_provider_is_valid_as_it_is(project):
    checked = project.run("validate", "m.yaml")
    assert (checked.code, checked.err) == (0, checked.err)
    plan = project.run("plan", "m.yaml", "--json")
    assert plan.json["usd"]["expected"] == "0.08"
    listed = project.run("providers", "list", "--json")
    (studio,) = [row for row in listed.json["providers"] if row["name"] == "studio"]
    assert (studio["api_key_env"], list(studio["models"])) == (["STUDIO_API_KEY"], ["my-model"])


def test_new_provider_prints_what_it_writes(project):
    printed = project.run("providers", "new", "studio")
    assert printed.out == (project.folder / "batchgen.yaml").read_text()
    assert project.run("providers", "new", "studio", "--json").json["settings"] == printed.out


def test_new_provider_never_replaces_a_file(project):
    again = project.run("providers", "new", "other", "-o", "batchgen.yaml")
    assert again.code == 1
    assert "exists and stays as it is" in again.err
    assert "studio" in (project.folder / "batchgen.yaml").read_text()


def sandbox_log(project):
    return read_log(project.state / "sandbox" / "charges.jsonl")


def test_new_provider_can_be_tried_at_once_by_what_it_prints(bare):
    written = bare.run("providers", "new", "studio", "-o", "studio.yaml")
    lines = written.err.splitlines()
    start, end = lines.index("next      write a manifest such as night.yaml:"), len(lines) - 2
    (bare.folder / "night.yaml").write_text("\n".join(line.strip() for line in lines[start + 1 : end]))
    command = lines[end].removeprefix("then").split("    tries")[0].split()
    assert command[0] == "batchgen"
    assert bare.run("plan", "night.yaml").code == 0
    ran = bare.run(*command[1:])
    assert (ran.code, ran.err) == (0, ran.err)
    (charge,) = [each for each in sandbox_log(bare) if each["event"] == "charge"]
    assert (charge["prompt"], charge["usd"]) == ("A red apple", "0.08")
    assert bare.run("usage", "--sandbox", "--json").json["totals"]["usd"] == "0.08"
    assert len(list((bare.folder / "sandbox-output" / "night").glob("*.png"))) == 1


#: The words of other providers: a state in a query, a result of its own, images in objects, a cost, a key of its own.
OTHERS = [
    ("state: status ", "state: data.info.phase "),
    ("status: urls.get", 'status: "https://queue.example.com/v1/info?task={id}"'),
    ("# result: response_url", 'result: "/v1/tasks/{id}/result"'),
    ('images: ["output[]", output]', "images: images[].url"),
    ("# cost: {path: cost, unit: usd, answer: status}", "cost: {path: bill.usd, unit: usd, answer: result}"),
    ('value: "Bearer {key}"}  #', 'value: "Key {key}"}  #'),
    ("done: [succeeded, completed]", "done: [READY]"),
    ('prompt: "{prompt}"', 'text: ["Picture: {prompt}"]'),
    ('paths: {run: "/v1/models/{model}/predictions"}', 'paths: {run: "/{model}"}'),
]


def test_sandbox_plays_a_provider_by_its_own_rules(project):
    """Each change alone, and all together: one job is done, one is refused, one fails."""
    file = project.folder / "batchgen.yaml"
    template = file.read_text().replace("first_wait: 2 ", "first_wait: 0.1 ")
    jobs = [{"id": kind, "prompt": f"A cup [sandbox: task-{kind}]"} for kind in ("refuse", "fail")]
    manifest = {"version": 1, "defaults": {"provider": "studio"}, "jobs": [{"id": "done", "prompt": "A cat"}, *jobs]}
    changed = template
    for old, new in OTHERS:
        assert old in template
        changed = changed.replace(old, new, 1)
    texts = [*(template.replace(old, new, 1) for old, new in OTHERS), changed]
    for number, text in enumerate(texts):
        file.write_text(text)
        (project.folder / f"m{number}.yaml").write_text(json.dumps(manifest))
        ran = project.run("run", f"m{number}.yaml", "--sandbox")
        assert ran.code == 3, (number, ran.err)
        status = project.run("status", f"m{number}", "--sandbox", "--json").json
        assert status["jobs"]["done"] == 1, (number, ran.err)
        assert {each["cause"] for each in status["failures"]} == {"refused", "error"}, number
    charges = [each for each in sandbox_log(project) if each["event"] == "charge"]
    assert [(each["prompt"], each["usd"]) for each in charges] == [("A cat", "0.08")] * len(texts)


def test_sandbox_takes_uploads_by_a_provider_s_own_rules(project):
    from PIL import Image

    Image.effect_noise((300, 200), 60).convert("RGB").save(project.folder / "table.png")
    file = project.folder / "batchgen.yaml"
    text = file.read_text()
    for old, new in (
        ("images: data_url ", "images: upload "),
        ("# upload: {url: /v1/files, ", "upload: {url: https://files.example.com/v1/files, form: {kind: image}, "),
        ("first_wait: 2 ", "first_wait: 0.1 "),
    ):
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    jobs = [{"id": f"a{number}", "prompt": f"Red {number}", "images": ["table.png"]} for number in range(3)]
    manifest = {"version": 1, "defaults": {"provider": "studio"}, "jobs": jobs}
    (project.folder / "edits.yaml").write_text(json.dumps(manifest))
    ran = project.run("run", "edits.yaml", "--sandbox")
    assert ran.code == 0, ran.err
    log = sandbox_log(project)
    assert [(each["path"], each["status"]) for each in log if each["kind"] == "upload"] == [
        ("/own-studio/v1/files", 200)
    ]
    assert len([each for each in log if each["event"] == "charge"]) == 3


def test_address_of_an_example_ends_a_real_run_before_anything_is_sent(project):
    planned = project.run("plan", "m.yaml")
    assert planned.code == 0
    place = r"batchgen\.yaml:6:15: providers\.studio\.base_url: https://api\.example\.com is the address of an example"
    assert re.search(place, planned.err)
    refused = project.run("run", "m.yaml", "--yes", STUDIO_API_KEY="studio-key-0123456789")
    assert refused.code == 4
    assert re.search(place, refused.err)
    assert "nothing was sent" in refused.err
    assert "example, not of a provider" not in project.run("run", "m.yaml", "--sandbox", "--dry-run").err


@pytest.mark.parametrize(("name", "words"), [("fal", "is a preset"), ("My Studio", "small letters")])
def test_new_provider_needs_a_free_name(bare, name, words):
    refused = bare.run("providers", "new", name)
    assert refused.code == 2
    assert words in refused.err


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("state: status ", 'state: "a b" ', "is not a path into an answer"),
        ('prompt: "{prompt}"', 'prompt: "{promt}"', "did you mean 'prompt'"),
        ("status: urls.get", "status: ftp://x y", "is not a path"),
        ("failed: [failed]", "failed: [completed]", "is in both done and failed"),
        ("charged_when: {failed: maybe", "charged_when: {failed: perhaps", "charged_when.failed"),
        ("patience: 1800", "patience: -1", "greater than 0"),
    ],
)
def test_mistake_in_the_rules_is_named_with_its_place(project, old, new, words):
    file = project.folder / "batchgen.yaml"
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new, 1))
    checked = project.run("validate", "m.yaml")
    assert checked.code == 4
    assert words in checked.err
    (place,) = re.findall(
        r"^batchgen\.yaml:\d+:\d+: providers\.studio\.task\.|/batchgen\.yaml:\d+:\d+: ", checked.err, re.MULTILINE
    )
    assert place
