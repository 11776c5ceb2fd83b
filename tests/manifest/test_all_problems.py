"""Tests: every problem of a manifest comes at once, and no problem that only follows from another one."""

from datetime import date

import pytest

from batchgen.errors import ManifestError
from batchgen.manifest import load

TODAY = date(2026, 11, 29)
TOP = "defaults: {provider: openai}\n"


@pytest.fixture
def problems(tmp_path):
    def found(text, **files):
        for name, content in files.items():
            (tmp_path / f"{name}.csv").write_text(content, encoding="utf-8")
        (tmp_path / "m.yaml").write_text(text, encoding="utf-8")
        with pytest.raises(ManifestError) as caught:
            load(tmp_path / "m.yaml", today=TODAY)
        return [(problem.line, problem.path) for problem in caught.value.problems]

    return found


@pytest.mark.parametrize(
    ("job", "wrong"),
    [
        ("{prompt: x, provider: opnai, model: gpt-image-9, size: 1x1, quality: no}", "provider model size quality"),
        ("{prompt: x, provider: zzzzzz, extra: {model: a}}", "provider extra"),
        ("{prompt: x, provider: [openai, opnai], size: 1x1}", "provider size"),
        ("{prompt: x, model: gpt-image-9, size: 1x1}", "model size"),
        ("{prompt: x, model: gpt-image-1, size: 1x1, quality: superb, n: 0}", "model size quality n"),
        ("{prompt: x, size: 1x1, images: [a.png, b.png], mask: m.png}", "size images images mask"),
        ("{prompt: 5, provider: opnai, size: 1x1, id: CON}", "prompt provider size id"),
        ("{promt: x, size: 1x1}", "promt size"),
        ("{prompt: '{{ x', size: 1x1, id: '{{ y | nope }}'}", "prompt size id"),
        ("{prompt: '{{ gone }}', size: 1x1, quality: superb}", "prompt size quality"),
        ("{prompt: x, size: 1x1, matrix: {a: [], b: 3}}", "size matrix.a matrix.b"),
        ("{prompt: x, size: 1x1, zip: {a: [1], b: [1, 2]}, matrix: {a: [1], exclude: [{q: 1}, {r: 1}]}}",
         "size zip matrix matrix.exclude[0] matrix.exclude[1]"),
        ("{from: [gone.csv, lost.csv], prompt: '{{ a }}', size: 1x1, model: zz}", "size model from from"),
        ("{prompt: x, size: 1x1, route: {strategy: weighted, weights: {a: 1, b: 1}}}", "size route route"),
        ("{prompt: x, route: {strategy: failover, weights: {a: 1}, foo: 1}, size: 1x1}", "route route.foo size"),
    ],
)  # fmt: skip
def test_all_problems_of_a_job_are_found(problems, job, wrong):
    found = [path for _, path in problems(f"{TOP}jobs:\n  - {job}\n")]
    assert sorted(found) == sorted(f"jobs[0].{name}" for name in wrong.split())


@pytest.mark.parametrize(
    "job",
    [
        "{prompt: x, provider: opnai, model: gpt-image-2, size: 1024x1024}",  # right at the one that is meant
        "{prompt: x, provider: zzzzzz, model: of-zzzzzz, size: 1024x1024}",  # may be right there
        "{prompt: x, model: gpt-imag-2, size: 1024x1024}",
        "{prompt: x, provider: 5, size: 1024x1024, quality: high}",
        "{promt: '{{ a }}'}",
        "{prompt: x {{ a }}, matrix: {a: []}, id: '{{ a }}'}",
        "{prompt: x {{ a }}, vars: {a b: 1}}",
        "{from: gone.csv, prompt: '{{ a }}', id: '{{ b }}'}",
        "{prompt: x, images: gone.png, size: 1024x1024}",
        "{prompt: x, imagse: a.png, mask: m.png}",
    ],
)
def test_problems_that_follow_from_another_one_are_not_printed(problems, job):
    assert len(problems(f"{TOP}jobs:\n  - {job}\n")) == 1


def test_a_wrong_default_hides_no_mistake_of_a_job(problems):
    found = problems(
        "defaults: {prompt: 5, provider: openai, sise: 3}\nvars: {a b: 1}\n"
        "jobs:\n  - {size: 1x1}\n  - {prompt: x, size: 1x1}\n  - {prompt: '{{ unknown }}', quality: no}\n"
    )
    assert found == [
        (1, "defaults.prompt"), (1, "defaults.sise"), (2, "vars.a b"),
        (4, "jobs[0].size"), (5, "jobs[1].size"), (6, "jobs[2].quality"),
    ]  # fmt: skip


@pytest.mark.parametrize("key", ["provider: openai", "prompt: A cat", "model: gpt-image-2"])
def test_a_parameter_at_the_top_is_one_mistake(problems, key):
    defaults = "" if key.startswith("provider") else "defaults: {provider: openai}\n"
    prompt = "" if key.startswith("prompt") else "prompt: x, "
    text = f"{key}\n{defaults}jobs:\n  - {{{prompt}id: a}}\n  - {{{prompt}id: b}}\n"
    assert problems(text) == [(1, key.partition(":")[0])]


def test_a_wrong_include_hides_no_mistake_and_brings_no_other(problems):
    found = problems(
        "include: [gone.yaml]\nbudget: {usd: -1, credits: {opnai: 2}}\n"
        "jobs:\n  - {prompt: '{{ of_gone }}'}\n  - {prompt: x, provider: of_gone}\n"
        "  - {prompt: x, provider: opnai}\n  - {prompt: x, provider: openai, size: 1x1}\n"
    )
    assert found == [
        (1, "include[0]"), (2, "budget.usd"), (2, "budget.credits.opnai"),
        (6, "jobs[2].provider"), (7, "jobs[3].size"),
    ]  # fmt: skip


def test_a_wrong_template_hides_no_mistake_of_the_rows(problems):
    job = "{from: l.csv, id: '{{ nme }}', prompt: '{{ name }}', model: zz}"
    found = problems(f"{TOP}jobs:\n  - {job}\n", l="name,size,quality\na,1024x1024,high\nb,1x1,superb\n")
    assert found == [(3, "jobs[0].id"), (3, "jobs[0].model"), (3, "jobs[0].size"), (3, "jobs[0].quality")]


def test_a_column_without_a_name_of_a_parameter_hides_no_mistake_of_the_rows(problems):
    found = problems(f"{TOP}jobs:\n  - from: l.csv\n", l="words,size\na,1024x1024\nb,1x1\n")
    assert found == [(1, "jobs[0]"), (3, "jobs[0].size")]


def test_a_value_of_the_job_is_reported_once_at_the_job(problems):
    rows = "prompt,size\n" + "".join(f"p{number},1024x1024\n" for number in range(9))
    assert problems("jobs:\n  - {from: l.csv}\n", l=rows) == [(2, "jobs[0]")]
    assert problems(f"{TOP}jobs:\n  - {{from: l.csv, size: 1x1}}\n", l=rows) == [(3, "jobs[0].size")]


def test_a_list_that_cannot_be_read_to_its_end_hides_no_other_list(problems, tmp_path):
    (tmp_path / "bad.csv").write_bytes(b"prompt\nx\n\xff\xff\n")
    found = problems(f"{TOP}jobs:\n  - from: [bad.csv, l.csv]\n", l="prompt,size\na,1x1\n")
    assert (2, "jobs[0].size") in found
    assert len(found) == 2


def test_jobs_behind_one_that_multiplies_to_too_much_are_checked(problems):
    found = problems(
        f"{TOP}jobs:\n" + "  - {id: a, prompt: x, repeat: 10000, n: 1000}\n" + "  - {prompt: x, size: 1x1}\n"
    )
    assert found == [(3, "jobs[0]"), (4, "jobs[1].size")]
