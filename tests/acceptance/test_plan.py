"""A plan one can trust before spending: it says what would happen, and nothing happens."""

from __future__ import annotations

import hashlib
from decimal import Decimal
from pathlib import Path

import pytest
import yaml

from .kit import CANARY, PROVIDERS


def job(name, **fields):
    return {"id": name, "provider": "openai", "quality": "low", "size": "1024x1024", "prompt": f"P {name}"} | fields


def snapshot(folder: Path) -> dict[str, str]:
    """Return the content of every file under *folder*; SQLite's shared memory is no content."""
    files = (path for path in folder.rglob("*") if path.is_file() and not path.name.endswith("-shm"))
    found = {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
    return found | {str(path.relative_to(folder)): "folder" for path in folder.rglob("*") if path.is_dir()}


COMMANDS = (["plan"], ["plan", "--diff", "--full"], ["plan", "--json", "--full"], ["run", "--dry-run"], ["validate"])


def test_nothing_is_sent_and_nothing_is_written(project, witness):
    jobs = [job("a"), job("b")]
    manifest = project.manifest(jobs)
    before = snapshot(project.folder)
    for command in COMMANDS:
        assert project.run(*command, manifest).code == 0
    assert snapshot(project.folder) == before
    assert not project.state.exists()
    assert witness.arrivals() == []

    assert project.run("run", manifest, "--yes").code == 0
    manifest = project.manifest([job("a", prompt="Otherwise"), job("new")])
    before, sent = snapshot(project.folder), len(witness.arrivals())
    for command in COMMANDS:
        assert project.run(*command, manifest).code == 0
    assert snapshot(project.folder) == before
    assert len(witness.arrivals()) == sent


def test_a_plan_in_words(project, witness):
    jobs = [job("a"), job("b", provider="gptimageapi", size="1:1"), {"id": "c", "provider": "gateway", "prompt": "C"}]
    jobs.append(job("d", n=2))
    limits = {"openai": {"limits": {"requests_per_minute": 1, "concurrency": 9}}}
    told = project.run("plan", project.manifest(jobs, providers=limits))
    assert (told.code, told.err) == (0, "")
    lines = told.out.splitlines()
    assert lines[0] == "shop: 5 jobs: 5 new"
    cells = {line.split()[0]: line for line in lines if line.split()[:2][1:] == ["gpt-image-2"]}
    assert list(cells) == ["openai", "gptimageapi", "gateway"]
    assert "no price in USD" in cells["gptimageapi"]
    assert cells["gateway"].endswith("unknown")
    assert "2026-11-21" in cells["openai"]
    assert "to send   5 requests for 5 images" in lines
    assert "2 requests without a price in USD" in told.out
    assert "limited by openai: requests per minute" in told.out
    assert [line.split()[1] for line in lines if line.startswith(("first", "middle", "last"))] == ["a:", "c:", "d-2:"]
    assert " free" in next(line for line in lines if line.startswith("disk"))
    again = project.run("estimate", project.folder / "m.yaml").out
    assert [line for line in again.splitlines() if " free" not in line] == [
        line for line in lines if " free" not in line
    ]


def test_what_changed_is_reported(project, witness, tmp_path):
    photo = tmp_path / "photos" / "a.png"
    photo.parent.mkdir()
    source = Path(__file__).parents[2] / "jobs" / "photos"
    photo.write_bytes((source / "crown.png").read_bytes())
    plain = [job(f"j{number:02}") for number in range(23)]
    edit = job("edit", provider="aimlapi", images=["photos/a.png"])
    assert project.run("run", project.manifest([edit, *plain]), "--yes").code == 0

    photo.write_bytes((source / "t-rex.png").read_bytes())
    changed = [edit, *(one | {"prompt": f"Q {one['id']}"} for one in plain[:-1]), plain[-1] | {"size": "1536x1024"}]
    manifest = project.manifest(changed)
    short = project.run("plan", manifest).out
    assert "24 changed" in short
    assert "changed   edit: source image photos/a.png has other content" in short
    assert '          j00: prompt "P j00" -> "Q j00"' in short
    assert "and 4 jobs more; batchgen plan m.yaml --diff shows them all" in short
    whole = project.run("plan", "--diff", manifest).out
    assert "          j22: size 1024x1024 -> 1536x1024" in whole
    assert "--diff" not in whole
    told = project.run("plan", "--diff", "--json", manifest).json["changes"]
    assert [change["id"] for change in told] == [one["id"] for one in changed]
    assert told[1] == {"id": "j00", "fields": [{"field": "prompt", "before": "P j00", "after": "Q j00"}]}
    assert told[0]["fields"][0]["note"] == "source image photos/a.png has other content"

    kept = project.run("plan", "--keep-changed", "--json", manifest).json
    assert (kept["jobs"]["changed"], kept["jobs"]["held"], kept["images"]) == (0, 24, 0)
    sent, images = len(witness.arrivals()), snapshot(project.folder / "output")
    assert project.run("run", manifest, "--keep-changed").code == 0  # nothing to send needs nobody's consent
    assert (len(witness.arrivals()), snapshot(project.folder / "output")) == (sent, images)
    assert project.run("plan", "--json", manifest).json["jobs"]["changed"] == 24  # kept is not forgotten


def test_a_full_plan_lists_every_job(project):
    manifest = project.manifest([job("a", tags=["x"]), job("b", prompt="word " * 50), job("c", provider="gptimageapi")])
    lines = project.run("plan", "--full", manifest).out.splitlines()
    assert [line.split()[:2] for line in lines[:3]] == [["new", "a"], ["new", "b"], ["new", "c"]]
    assert len(lines[1]) < 200
    assert lines[3:5] == ["", "shop: 3 jobs: 3 new"]
    items = project.run("plan", "--full", "--json", manifest).json["items"]
    assert [(item["id"], item["standing"], item["provider"]) for item in items] == [
        ("a", "new", "openai"), ("b", "new", "openai"), ("c", "new", "gptimageapi"),
    ]  # fmt: skip
    assert items[1]["prompt"].strip() == ("word " * 50).strip()
    assert items[0]["tags"] == ["x"]
    assert "items" not in project.run("plan", "--json", manifest).json
    assert [item["id"] for item in project.run("plan", "--full", "--tag", "x", "--json", manifest).json["items"]] == [
        "a"
    ]


def test_a_selection_is_planned_and_only_it_is_sent(project, witness):
    jobs = [job(f"j{number}", tags=["even"] if number % 2 == 0 else []) for number in range(8)]
    jobs.append(job("other", provider="aimlapi"))
    manifest = project.manifest(jobs)
    chosen = project.run("plan", "--tag", "even", "--limit", "3", "--json", manifest).json
    assert (chosen["jobs"]["new"], chosen["images"], chosen["requests"], chosen["selected"]) == (9, 3, 3, True)
    assert [example["id"] for example in chosen["examples"]] == ["j0", "j2", "j4"]

    assert project.run("run", manifest, "--yes", "--tag", "even", "--limit", "3").code == 0
    assert witness.prompts() == ["P j0", "P j2", "P j4"]
    assert project.run("plan", "--json", manifest).json["jobs"]["pending"] == 6
    again = project.run("run", manifest, "--yes", "--provider", "aimlapi")
    assert again.code == 0
    assert f"batchgen run {manifest.name}    resumes the 5 pending jobs" in again.err
    assert len(witness.arrivals()) == 4
    shards = [
        project.run("plan", "--full", "--json", "--shard", f"{number}/2", manifest).json["items"] for number in (1, 2)
    ]
    assert sorted(item["id"] for shard in shards for item in shard) == sorted(one["id"] for one in jobs)
    sample = project.run("plan", "--json", "--sample", "2", "--seed", "5", manifest).json
    assert sample["requests"] == 2
    assert project.run("run", manifest, "--yes").code == 0
    assert len(witness.arrivals()) == len(jobs)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--shard", "3/2"], "expected a part from 1/2 to 2/2"),
        (["--shard", "0/2"], "expected a part from 1/2 to 2/2"), (["--shard", "half"], "such as 1/4"),
        (["--limit", "0"], "--limit"), (["--sample", "many"], "--sample"), (["--kind", "drawing"], "--kind"),
        (["--status", "failed"], "batchgen retry m.yaml --status failed"),
        (["--cause", "refused"], "batchgen retry m.yaml --cause refused"),
    ],
    ids=["shard-3-of-2", "shard-0", "shard-half", "limit", "sample", "kind", "status", "cause"],
)  # fmt: skip
def test_a_selection_that_makes_no_sense(project, witness, arguments, told):
    project.manifest([job("a")])
    done = project.run("run", "m.yaml", "--yes", *arguments)
    assert (done.code, done.out) == (2, "")
    assert told in done.err
    assert witness.arrivals() == []


def test_run_takes_the_status_that_it_sends(project, witness):
    manifest = project.manifest([job("a")])
    assert project.run("run", manifest, "--yes", "--status", "pending").code == 0
    assert len(witness.charges()) == 1


def test_a_part_of_a_batch_leaves_what_changed_beyond_it(project, witness):
    jobs = [job(key, prompt=f"{key} before") for key in "abc"]
    assert project.run("run", project.manifest(jobs), "--yes").code == 0
    edited = project.manifest([one | {"prompt": f"{one['id']} after"} for one in jobs])
    part = project.run("run", edited, "--yes", "--limit", "1")
    assert part.err.splitlines()[-1] == "exit code 0: done with the 1 selected; 2 changed but not redone yet"
    assert {key: row["state"] for key, row in project.jobs().items()} == dict.fromkeys("abc", "done")
    kept = project.run("run", edited, "--yes", "--keep-changed")
    assert (kept.code, "kept      2 jobs changed" in kept.err) == (0, True)
    undone = project.manifest([jobs[0] | {"prompt": "a after"}, *jobs[1:]])
    assert project.run("run", undone, "--yes").code == 0
    assert witness.prompts() == ["a after", "a before", "b before", "c before"]


def test_what_a_selection_does_not_find_is_reported(project, witness):
    manifest = project.manifest([job("a"), job("b", tags=["x"]), job("c")])
    assert project.run("run", manifest, "--yes", "--tag", "y").err.splitlines()[-1] == (
        "exit code 0: nothing matched --tag y; 3 pending"
    )
    for command in (["plan"], ["run", "--yes"], ["retry", "--yes"]):
        done = project.run(*command, manifest, "--id", "b", "--id", "nope")
        assert (done.code, "no job of shop has the id nope" in done.err) == (10, True)
    assert witness.arrivals() == []
    done = project.run("run", manifest, "--yes", "--id", "[ab]")
    assert (done.code, done.err.splitlines()[-1]) == (0, "exit code 0: done with the 2 selected; 1 pending")
    none = project.run("retry", manifest, "--yes", "--id", "a")
    assert (none.code, none.err.splitlines()[0]) == (
        0,
        "shop: nothing matched --id a --status failed; 2 of 3 jobs done",
    )
    hint = "retry requeues failed jobs. To make done ones again: batchgen redo m.yaml --id a"
    assert none.err.splitlines()[-2] == hint
    assert project.run("retry", manifest, "--id", "a", "--dry-run").out.splitlines()[-1] == hint
    again = project.run("retry", manifest, "--yes", "--id", "a", "--status", "done")
    assert (again.code, hint in again.err) == (0, False)
    assert sorted(witness.prompts()) == ["P a", "P a", "P b"]
    assert len(list((project.folder / "output").rglob(".superseded/**/a*.png"))) == 1


def test_retry_follows_the_present_manifest_and_leaves_the_rest(project, witness):
    jobs = [job("a", prompt="[sandbox: refuse]"), job("b", prompt="[sandbox: refuse]"), job("c")]
    assert project.run("run", project.manifest(jobs), "--yes").code == 3
    moved = [one | {"provider": "aimlapi", "prompt": f"{one['id']} mended"} for one in jobs]
    manifest = project.manifest(moved)
    done = project.run("retry", manifest, "--yes", "--id", "a")
    assert done.code == 3
    assert {key: row["state"] for key, row in project.jobs().items()} == {"a": "done", "b": "failed", "c": "done"}
    assert [line["provider"] for line in witness.arrivals() if line["prompt"] == "a mended"] == ["aimlapi"]
    assert len(witness.arrivals()) == 4
    assert "to send   1 request for 1 image" in done.err


def test_retry_of_some_sends_no_others(project, witness):
    jobs = [job(name, prompt=f"{name} [sandbox: refuse x1]") for name in ("a", "b")]
    manifest = project.manifest([*jobs, job("c")])
    assert project.run("run", manifest, "--yes", "--id", "a", "--id", "b").code == 3
    assert project.run("retry", manifest, "--yes", "--id", "a").code == 3  # b is still failed
    states = {row["key"]: row["state"] for row in project.rows("select key, state from jobs")}
    assert states == {"a": "done", "b": "failed", "c": "pending"}


def test_list_and_its_limit(project):
    manifest = project.manifest([job(f"j{number}") for number in range(4)])
    assert [project.run("run", manifest, "--yes").code for _ in range(2)] == [0, 0]
    assert [line["id"] for line in project.run("list", "--limit", "2", "--json").json] == ["j0", "j1"]
    assert project.run("run", project.manifest([job("j1"), job("j3")]), "--yes").code == 0
    assert "(batchgen list --status orphaned)" in project.run("status").out
    assert [line["id"] for line in project.run("list", "--status", "orphaned", "--json").json] == ["j0", "j2"]
    assert project.run("plan", manifest, "--status", "orphaned").code == 2
    assert len(project.run("list", "runs", "--limit", "1", "--json").json) == 1


def test_what_was_measured_replaces_what_is_typical(project):
    manifest = project.manifest([job(f"j{number:02}") for number in range(24)])
    guess = project.run("plan", "--json", manifest).json
    assert guess["seconds"] >= 45
    assert project.run("run", manifest, "--yes").code == 0
    more = project.manifest([job(f"j{number:02}") for number in range(48)])
    known = project.run("plan", "--json", more).json
    assert known["jobs"]["new"] == 24
    assert known["seconds"] < 45
    assert known["disk"]["bytes"] != guess["disk"]["bytes"]


def test_old_prices_and_those_of_ones_own(project):
    tariffs = {
        "gateway": {"tariff": {"usd_per_image": 0.05, "date": "2020-01-01"}},
        "studio": {"preset": "gateway", "base_url": f"{project.url}/gateway", "tariff": {"usd_per_image": 0.02}},
    }
    jobs = [{"id": name, "provider": name, "prompt": "P"} for name in tariffs]
    manifest = project.manifest(jobs, providers=tariffs)
    done = project.run("plan", manifest)
    assert "2020-01-01 (old)" in done.out
    assert "warning: " in done.err
    assert "the prices of gateway gpt-image-2 were read on 2020-01-01" in done.err
    found = project.run("plan", "--json", manifest).json
    assert [(lane["stale"], lane["tariff_date"]) for lane in found["lanes"]] == [(True, "2020-01-01"), (False, None)]
    assert Decimal(found["usd"]["expected"]) == Decimal("0.07")
    assert found["unpriced"] == 0


# --- validate -----------------------------------------------------------------


def test_validate_shows_scripts_what_is_wrong(project):
    manifest = project.manifest([job("a", qualty="low"), job("a")])
    done = project.run("validate", "--json", manifest)
    assert done.code == 4
    verdict = done.json
    assert (verdict["schema_version"], verdict["valid"]) == (1, False)
    assert [(error["code"], Path(error["file"]).name) for error in verdict["errors"]] == [
        ("unknown_key", "m.yaml"), ("duplicate_id", "m.yaml"),
    ]  # fmt: skip
    assert all(
        set(error) == {"file", "line", "column", "path", "code", "message", "hint"} for error in verdict["errors"]
    )
    words = project.run("validate", manifest)
    assert (words.code, words.out) == (4, "")
    assert "m.yaml:" in words.err


def test_validate_takes_several_manifests(project):
    right = project.manifest([job("a"), job("b")])
    wrong = project.manifest([job("a", size="huge")], name="wrong.yaml")
    verdict = project.run("validate", "--json", right, wrong)
    assert (verdict.code, verdict.json["jobs"], len(verdict.json["errors"])) == (4, 2, 1)
    fine = project.run("validate", "--json", right)
    keys = fine.json["keys"]
    assert {one["host"] for one in keys} == {project.url.removeprefix("http://")}
    assert fine.json == {"schema_version": 1, "valid": True, "jobs": 2, "errors": [], "warnings": [], "keys": keys}
    assert project.run("validate", right).out == "1 manifest, 2 jobs: no mistakes\n"


def test_strict_makes_errors_of_warnings(project):
    twins = project.manifest([job("a", prompt="same"), job("b", prompt="same")])
    loose = project.run("validate", "--json", twins)
    assert (loose.code, loose.json["valid"], [w["code"] for w in loose.json["warnings"]]) == (0, True, ["same_job"])
    strict = project.run("validate", "--json", "--strict", twins)
    assert (strict.code, strict.json["valid"], [w["code"] for w in strict.json["errors"]]) == (4, False, ["same_job"])
    assert project.run("validate", twins).code == 0


def test_the_examples_of_the_cookbook_can_be_planned(project):
    folder = Path(__file__).parents[2] / "jobs"
    for name in PROVIDERS:
        done = project.run("plan", "--json", folder / f"{name}.yaml")
        assert (done.code, done.json["jobs"]["total"] > 0, done.json["disk"]["fits"]) == (0, True, True), name


def test_a_plan_knows_how_far_a_budget_goes(project, witness):
    jobs = [job(f"j{number}") for number in range(10)]
    path = project.manifest(jobs, budget={"usd": 0.03, "per_provider": {"openai": 5}})
    first = project.run("plan", path, "--budget", "0.02")
    lines = [line[10:] for line in first.out.splitlines() if "it used" in line]
    assert lines == [
        "$0.03 for this batch, none of it used; enough for about 5 of 10 requests, then the run stops",
        "$5.00 for openai in this batch, none of it used; enough for all",
        "$0.02 for this run, none of it used; enough for about 3 of 10 requests, then the run stops",
    ]
    assert project.run("run", path, "--yes", "--limit", 3).code == 0
    used = project.run("plan", path, "--json").json["budgets"]
    spent = sum(Decimal(line["usd"]) for line in witness.charges())
    assert [(one["scope"], one["usd"]["used"]) for one in used] == [
        ("this batch", f"{spent.normalize()}"),
        ("openai in this batch", f"{spent.normalize()}"),
    ]
    rest = project.run("plan", path)
    assert f"${spent:.4f} of it used; enough for about 2 of 7 requests" in rest.out
    assert project.run("plan", path, "--budget", "much").code == 2


def test_key_destination_is_shown_unless_it_is_the_presets_own(project):
    jobs = [{"id": "a", "provider": ["studio", "openai", "aimlapi"], "prompt": "a", "size": "1024x1024"}]
    text = {
        "version": 1,
        "providers": {
            "studio": {"preset": "gateway", "base_url": "https://evil.example:8443",
                       "api_key_env": ["AWS_SECRET_ACCESS_KEY", "SECOND_KEY"]},
            "openai": {"api_key_env": ["OPENAI_API_KEY", "OTHER_KEY"]},
            "aimlapi": {"limits": {"burst": 2}},
        },
        "jobs": jobs,
    }  # fmt: skip
    path = project.folder / "stranger.yaml"
    path.write_text(yaml.safe_dump(text, sort_keys=False), encoding="utf-8")
    wanted = [
        ("AWS_SECRET_ACCESS_KEY", "evil.example:8443", "studio"),
        ("SECOND_KEY", "evil.example:8443", "studio"),
        ("OTHER_KEY", "api.openai.com", "openai"),
    ]
    lines = [f"the key in {name} is sent to {host} (provider {who})" for name, host, who in wanted]
    for command in (("validate", path), ("plan", path), ("run", path, "--dry-run")):
        told = project.run(*command)
        assert told.code == 0, told.err
        assert [line[10:] for line in (told.out + told.err).splitlines() if "is sent to" in line] == lines
    for command in (("validate", path), ("plan", path), ("run", path, "--dry-run")):
        documents = project.run(*command, "--json").json["keys"]
        assert [(one["variable"], one["host"], one["provider"]) for one in documents] == wanted
    assert "is sent to" not in project.run("validate", path, "-q").err
    keys = {"AWS_SECRET_ACCESS_KEY": CANARY}
    refused = project.run("run", path, "--allow-unpriced", **keys)
    assert (refused.code, lines[0] in refused.err) == (6, True)
    assert "is sent to" not in project.run("plan", path, "--sandbox").out


def test_a_host_that_only_looks_like_another_is_reported_in_ascii(project):
    look_alike = "https://api.\u043epenai.com"
    jobs = [{"id": "a", "provider": "openai", "prompt": "a"}]
    path = project.manifest(jobs, providers={"openai": {"base_url": look_alike}})
    assert (
        "the key in OPENAI_API_KEY is sent to api.xn--penai-iye.com (provider openai)" in project.run("plan", path).out
    )


def test_plan_names_the_object_store_that_a_run_delivers_to(project, witness):
    path = project.manifest([job("a")], output={"dir": "s3://shop/{{ name }}/pictures"})
    assert "files     s3://shop/shop/pictures" in project.run("plan", path).out.splitlines()
    assert project.run("plan", path, "--json").json["folder"] == "s3://shop/shop/pictures"
    assert "s3://" not in project.run("plan", path, "--sandbox").out
