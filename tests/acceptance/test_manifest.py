"""A manifest that is wrong: every mistake with its place, and nothing else happens."""

from __future__ import annotations

import json
import re

from .kit import PROVIDERS

TWENTY = """\
version: 1
nmae: shop
output: {dir: out, fiel: "{{ id }}"}
providers:
  aigate: {limits: {concurency: 4}}
  studio: {preset: gatewy, base_url: "https://x.example"}
defaults: {provider: aigate, sixe: 1024x1024}
retry: {attempts: 0}
on_unknown: hol
budget: {usd: -4}
jobs:
  - {id: a, prompt: x, n: lots}
  - {id: a, prompt: y}
  - {id: 12, prompt: z}
  - {id: b, prompt: {name}}
  - {id: "../c", prompt: z}
  - {id: d, prompt: z1, qualty: low}
  - {id: e, images: nope.jpg, prompt: z2}
  - {id: f, prompt: z3, provider: aigat}
  - {id: g, prompt: z4, output_compression: 300}
  - {id: h, prompt: z5, quality: ultra}
  - {id: i}
  - {id: j, prompt: z6, size: 16:10:9}
  - {id: k, prompt: z7, prompt: z8}
"""
LINES = [2, 3, 5, 6, 7, 8, 9, 10, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24]
MEANT = {2: "name", 3: "file", 5: "concurrency", 6: "gateway", 7: "size", 9: "hold", 17: "quality", 19: "aigate"}


def test_twenty_mistakes_are_twenty_lines(project, witness, tmp_path):
    manifest = tmp_path / "wrong.yaml"
    manifest.write_text(TWENTY)
    before = sorted(tmp_path.rglob("*"))
    for command in (
        ["run", manifest, "--yes"],
        ["validate", manifest],
        ["plan", manifest],
        ["run", "--sandbox", manifest],
    ):
        done = project.run(*command)
        assert (done.code, done.out) == (4, "")
        found = re.findall(r"^(\S*wrong\.yaml):(\d+):(\d+): (.+)$", done.err, re.MULTILINE)
        assert [int(line) for _, line, *_ in found] == LINES, done.err
        for _, line, _, words in found:
            assert MEANT.get(int(line), "") in words
            assert (
                f"did you mean '{MEANT[int(line)]}'" in words.lower() or int(line) == 6 if int(line) in MEANT else True
            )
    assert sorted(tmp_path.rglob("*")) == before
    assert witness.arrivals() == []

    for_machines = project.run("validate", "--json", manifest)
    assert for_machines.code == 4
    verdict = for_machines.json
    assert (verdict["valid"], verdict["jobs"]) == (False, 0)
    assert [problem["line"] for problem in verdict["errors"]] == LINES
    body = json.loads(for_machines.err)
    assert (body["type"], body["code"]) == ("exit_error", 4)
    assert [problem["line"] for problem in body["problems"]] == LINES
    assert all({"file", "line", "column", "path", "code", "message", "hint"} <= set(item) for item in body["problems"])


def test_a_right_one(project, witness):
    manifest = project.manifest([{"id": name, "provider": name, "prompt": f"For {name}"} for name in PROVIDERS])
    assert project.run("validate", manifest).code == 0
    done = project.run("validate", "--json", manifest)
    assert (done.code, done.err) == (0, "")
    assert done.json["valid"] is True
    assert done.json["jobs"] == len(PROVIDERS)
    assert not project.state.exists()
    assert witness.arrivals() == []


def test_a_key_in_a_manifest_is_refused_and_not_repeated(project):
    secret = "sk-proj-abcdefghijklmnopqrstuvwxyz012345"
    manifest = project.manifest([{"id": "a", "provider": "openai", "prompt": "x", "extra": {"token": secret}}])
    done = project.run("run", manifest, "--yes")
    assert done.code == 4
    assert secret not in done.err
