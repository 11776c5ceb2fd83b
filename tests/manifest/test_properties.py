"""What holds of every manifest: it expands, however it is written down, and a change changes what it is about."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchgen.manifest import load

QUICK = settings(suppress_health_check=list(HealthCheck))

WORDS = st.text("abcdefghij éß漢{}#:-'\"\\", min_size=1, max_size=12).filter(
    lambda text: text.strip() and not {"{{", "{#"} & {text[i : i + 2] for i in range(12)}
)
PROMPTS = WORDS.map(lambda words: f"a picture of {words}")
NAMES = st.sampled_from(["city", "style", "light"])
VALUES = st.lists(st.sampled_from(["ink", "oil", "São Paulo", 3, 2.5, True]), min_size=1, max_size=3, unique_by=str)
PARAMETERS = st.fixed_dictionaries(
    {},
    optional={
        "size": st.sampled_from(["1024x1024", "1536x1024", "auto"]),
        "quality": st.sampled_from(["low", "medium", "high"]),
        "background": st.sampled_from(["opaque", "auto"]),
        "n": st.integers(1, 3),
        "priority": st.integers(-5, 5),
        "tags": st.lists(st.sampled_from("abc"), max_size=2, unique=True),
        "extra": st.dictionaries(st.sampled_from(["x", "y"]), st.integers() | WORDS, max_size=2),
    },
)


@st.composite
def jobs(draw):
    found = []
    for number in range(draw(st.integers(1, 5))):
        job = {"id": f"job{number}", "prompt": draw(PROMPTS), **draw(PARAMETERS)}
        if draw(st.booleans()):
            axes = draw(st.dictionaries(NAMES, VALUES, min_size=1, max_size=2))
            marks = "-".join("{{ " + name + " | slug }}" for name in axes)
            job |= {"matrix": axes, "id": f"job{number}-{marks}"}
            job["prompt"] += "".join(" {{ " + name + " }}" for name in axes)
        found.append(job)
    return found


def expanded(manifest: dict, text: str | None = None) -> dict[str, str]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "m.yaml"
        path.write_text(text if text is not None else json.dumps(manifest), encoding="utf-8")
        return {job.key: job.fingerprint for job in load(path).jobs}


def manifest(rows: list[dict], **more: object) -> dict:
    return {"defaults": {"provider": "openai"}, "jobs": rows, **more}


@QUICK
@given(jobs(), st.randoms())
def test_order_form_and_comments_change_nothing(rows, chance):
    first = expanded(manifest(rows))
    shuffled = [dict(chance.sample(list(job.items()), len(job))) for job in chance.sample(rows, len(rows))]
    again = manifest(shuffled, output={"dir": "elsewhere"}, retry={"attempts": 9}, on_unknown="hold")
    text = yaml.safe_dump(again, allow_unicode=True, default_flow_style=chance.choice([True, False, None]), width=10**6)
    lines = [f"{line}\n# a comment" if line.endswith(":") else line for line in text.splitlines()]
    assert expanded({}, "\n".join(lines) + "\n") == first


@QUICK
@given(jobs(), st.data())
def test_moving_a_default_into_the_jobs_changes_nothing(rows, data):
    name = data.draw(st.sampled_from(["size", "quality"]))
    value = {"size": "1024x1536", "quality": "high"}[name]
    under = {"defaults": {"provider": "openai", name: value}, "jobs": rows}
    inside = {"defaults": {"provider": "openai"}, "jobs": [{name: value, **job} for job in rows]}
    assert expanded(under) == expanded(inside)


CHANGES = {
    "prompt": lambda job: job["prompt"] + " at night",
    "size": lambda job: "1024x1536",
    "quality": lambda job: {"low": "medium"}.get(job.get("quality"), "low"),
    "background": lambda job: {"opaque": "auto"}.get(job.get("background"), "opaque"),
    "extra": lambda job: {**job.get("extra", {}), "z": 1},
}


@QUICK
@given(jobs(), st.data())
def test_a_change_of_one_field_of_one_job_changes_that_job_alone(rows, data):
    before = expanded(manifest(rows))
    number = data.draw(st.integers(0, len(rows) - 1))
    name = data.draw(st.sampled_from(sorted(CHANGES)))
    changed = [dict(job) for job in rows]
    changed[number][name] = CHANGES[name](changed[number])
    after = expanded(manifest(changed))
    different = {key for key in before | after if before.get(key) != after.get(key)}
    assert different == {key for key in before if key.split("-")[0] == f"job{number}"}


@QUICK
@given(jobs(), st.sampled_from(["tags", "priority"]))
def test_what_only_sorts_and_selects_changes_nothing(rows, name):
    value = {"tags": ["z"], "priority": 9}[name]
    assert expanded(manifest([{**job, name: value} for job in rows])) == expanded(manifest(rows))


@QUICK
@given(st.lists(st.fixed_dictionaries({"title": WORDS, "kind": st.sampled_from("ab")}), min_size=1, max_size=6))
def test_a_list_means_the_same_in_every_format(rows):
    import csv
    import io

    with tempfile.TemporaryDirectory() as folder:
        rows = [
            {"id": str(number), "title": row["title"].strip(), "kind": row["kind"]} for number, row in enumerate(rows)
        ]
        root = Path(folder)
        for name, delimiter in (("l.csv", ","), ("l.tsv", "\t")):
            out = io.StringIO(newline="")
            writer = csv.DictWriter(out, ["id", "title", "kind"], delimiter=delimiter)
            writer.writeheader()
            writer.writerows(rows)
            (root / name).write_text(out.getvalue(), encoding="utf-8", newline="")
        (root / "l.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
        found = []
        for name in ("l.csv", "l.tsv", "l.jsonl"):
            job = {"from": name, "prompt": "{{ title }} {{ kind }}"}
            (root / "m.yaml").write_text(json.dumps(manifest([job])), encoding="utf-8")
            found.append({job.key: job.fingerprint for job in load(root / "m.yaml").jobs})
        assert found[0] == found[1] == found[2]
        assert len(found[0]) == len(rows)
