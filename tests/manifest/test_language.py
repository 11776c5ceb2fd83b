"""The manifest as a language: what multiplies a job, where its values come from, where a mistake stands."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest
from PIL import Image

from batchgen.errors import ManifestError
from batchgen.manifest import load

HEAD = "defaults: {provider: aigate}\n"


@pytest.fixture
def write(tmp_path):
    def make(text: str, **files: str) -> Path:
        for name, content in files.items():
            path = tmp_path / name.replace("__", "/").replace("_csv", ".csv").replace("_txt", ".txt")
            path = path.with_name(path.name.replace("_jsonl", ".jsonl").replace("_yaml", ".yaml"))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        path = tmp_path / "m.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return make


def made(path: Path) -> dict[str, str]:
    return {job.key: job.prompt for job in load(path).jobs}


def wrong(path: Path) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        load(path)
    return [str(problem).replace(f"{path.parent}/", "") for problem in caught.value.problems]


# --- matrix, zip, repeat ------------------------------------------------------


def test_a_matrix_makes_every_combination_in_order(write):
    jobs = made(
        write(
            HEAD + 'jobs:\n  - {id: "p-{{ city | slug }}-{{ style }}", prompt: "Poster of {{ city }}, {{ style }}",'
            " matrix: {city: [São Paulo, Oslo], style: [ink, oil]}}\n"
        )
    )
    assert jobs == {
        "p-sao-paulo-ink": "Poster of São Paulo, ink",
        "p-sao-paulo-oil": "Poster of São Paulo, oil",
        "p-oslo-ink": "Poster of Oslo, ink",
        "p-oslo-oil": "Poster of Oslo, oil",
    }


def test_combinations_are_left_out_and_added(write):
    jobs = made(
        write(
            HEAD + 'jobs:\n  - id: "{{ city }}-{{ style }}"\n    prompt: "{{ city }} {{ style }}"\n    matrix:\n'
            "      city: [paris, oslo]\n      style: [ink, oil]\n      exclude: [{city: oslo, style: oil}]\n"
            "      include: [{city: rome, style: mosaic}]\n"
        )
    )
    assert list(jobs) == ["paris-ink", "paris-oil", "oslo-ink", "rome-mosaic"]


def test_zipped_lists_go_side_by_side_and_cross_the_matrix(write):
    jobs = made(
        write(
            HEAD + 'jobs:\n  - {id: "{{ sku }}-{{ view }}", prompt: "{{ title }}, {{ view }}",'
            " zip: {sku: [a, b], title: [Lamp, Chair]}, matrix: {view: [front, side]}}\n"
        )
    )
    assert jobs == {
        "a-front": "Lamp, front",
        "a-side": "Lamp, side",
        "b-front": "Chair, front",
        "b-side": "Chair, side",
    }


def test_zipped_lists_of_different_length_are_a_mistake(write):
    path = write(HEAD + "jobs:\n  - {prompt: x, zip: {a: [1, 2], b: [1]}}\n")
    assert wrong(path) == [
        "m.yaml:3:22: jobs[0].zip: lists must be equally long: a has 2, b has 1",
    ]


def test_a_fixed_id_is_distinguished_by_combination_and_repeat(write):
    jobs = made(write(HEAD + "jobs:\n  - {id: cat, prompt: 'a {{ c }} cat', matrix: {c: [red, blue]}, repeat: 2}\n"))
    assert list(jobs) == ["cat-red", "cat-red-r2", "cat-blue", "cat-blue-r2"]


def test_repeat_counts_and_n_makes_copies_of_each(write):
    batch = load(
        write(HEAD + "jobs:\n  - {id: cat, prompt: 'cat {{ repeat }}', priority: '{{ repeat }}', repeat: 2, n: 2}\n")
    )
    assert [(job.key, job.prompt, job.recipe.priority) for job in batch.jobs] == [
        ("cat", "cat 1", 1), ("cat-2", "cat 1", 1), ("cat-r2", "cat 2", 2), ("cat-r2-2", "cat 2", 2),
    ]  # fmt: skip


def test_a_matrix_named_like_a_parameter_sets_it(write):
    batch = load(
        write(
            HEAD + "jobs:\n  - {id: cat, prompt: a cat, matrix: {size: [1024x1024, 1536x1024], quality: [low, high]}}\n"
        )
    )
    assert [(job.key, job.task.size, job.task.quality) for job in batch.jobs] == [
        ("cat-1024x1024-low", "1024x1024", "low"), ("cat-1024x1024-high", "1024x1024", "high"),
        ("cat-1536x1024-low", "1536x1024", "low"), ("cat-1536x1024-high", "1536x1024", "high"),
    ]  # fmt: skip
    path = write(HEAD + "jobs:\n  - {id: cat, prompt: a cat, matrix: {quality: [low, hihg]}}\n")
    assert wrong(path) == [
        "m.yaml:3:48: jobs[0].matrix.quality: aigate (gpt-image-2) does not know quality 'hihg' (did you mean 'high'?)"
    ]


# --- lists --------------------------------------------------------------------


def test_a_csv_gives_a_job_a_row_and_its_columns_set_parameters(write):
    path = write(
        "defaults: {provider: aigate, size: 1024x1024, tags: [shop]}\n"
        'jobs:\n  - {prompt: "Photo of {{ title }}", from: lists/p.csv}\n',
        lists__p_csv="id,title,size,tags,quality\nlamp,Lamp,1536x1024,new; sale,\nchair,Chair,,,high\n",
    )
    jobs = list(load(path).jobs)
    assert [(job.key, job.prompt, job.task.size, job.recipe.tags, job.task.quality) for job in jobs] == [
        ("lamp", "Photo of Lamp", "1536x1024", ("shop", "new", "sale"), None),
        ("chair", "Photo of Chair", "1024x1024", ("shop",), "high"),
    ]


def test_job_wins_over_rows_over_defaults(write):
    path = write(
        'defaults: {provider: aigate, quality: low}\njobs:\n  - {id: "x-{{ id }}", size: 1024x1024, from: p.csv}\n',
        p_csv="id,prompt,size,quality\na,A lamp,1536x1024,high\n",
    )
    (job,) = load(path).jobs
    assert (job.key, job.task.size, job.task.quality) == ("x-a", "1024x1024", "high")


def test_a_jsonl_holds_lists_numbers_and_nested_data(write):
    rows = [
        {"id": 7, "prompt": "a cat", "tags": ["x"], "n": 2},
        {"id": "b", "prompt": "a dog", "look": {"paint": ["oil", "ink"]}, "quality": "low"},
    ]
    path = write(
        HEAD + "jobs:\n  - from: r.jsonl\n"
        "    prompt: \"{{ prompt }}{% if look is defined %}, {{ look.paint | join(' and ') }}{% endif %}\"\n",
        r_jsonl="\n".join(map(json.dumps, rows)),
    )
    jobs = list(load(path).jobs)
    assert [(job.key, job.prompt, job.task.quality) for job in jobs] == [
        ("7", "a cat", None), ("7-2", "a cat", None), ("b", "a dog, oil and ink", "low"),
    ]  # fmt: skip


def test_a_text_file_has_a_prompt_a_line(write):
    by_from = load(write(HEAD + "jobs:\n  - {from: p.txt, quality: low}\n", p_txt="a cat\n\n  a dog\n"))
    assert [job.prompt for job in by_from.jobs] == ["a cat", "a dog"]
    short = load(write(HEAD + "prompts: p.txt\n", p_txt="a {cat}\na dog\n"))
    assert [job.prompt for job in short.jobs] == ["a {cat}", "a dog"]


def test_a_folder_of_photos_times_one_prompt(write, tmp_path):
    (tmp_path / "photos/summer").mkdir(parents=True)
    for name in ("b.jpg", "summer/a.png"):
        Image.new("RGB", (32, 32), "red").save(tmp_path / "photos" / name)
    (tmp_path / "output").mkdir()
    path = write(
        HEAD + "jobs:\n  - {from: photos, prompt: Remove the background of {{ stem }}}\n".replace("{{ stem }}", "it")
    )
    jobs = list(load(path).jobs)
    assert [(job.key, Path(job.task.images[0].path).name, job.task.kind) for job in jobs] == [
        ("b", "b.jpg", "edit"), ("summer/a", "a.png", "edit"),
    ]  # fmt: skip


def test_results_never_become_sources(write, tmp_path):
    for name in ("a.png", "out/a.png"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        Image.new("RGB", (32, 32), "red").save(tmp_path / name)
    path = write(HEAD + "output: {dir: out}\njobs:\n  - {from: ., prompt: mend it}\n")
    assert list(made(path)) == ["a"]


def test_several_lists_and_a_choice_of_rows(write):
    path = write(
        HEAD
        + "jobs:\n  - prompt: 'a {{ title }}'\n    from:\n      - {path: a.csv, where: {kind: [la*, chair]}, skip: 1}\n"
        "      - {path: b.jsonl, limit: 1}\n",
        a_csv="id,title,kind\n1,one,lamp\n2,two,table\n3,three,chair\n4,four,lamp\n",
        b_jsonl='{"id": "5", "title": "five"}\n{"id": "6", "title": "six"}\n',
    )
    assert made(path) == {"3": "a three", "4": "a four", "5": "a five"}


def test_a_row_times_a_matrix(write):
    path = write(
        HEAD + "jobs:\n  - {prompt: '{{ title }} in {{ colour }}', from: a.csv, matrix: {colour: [red, blue]}}\n",
        a_csv="id,title\n1,one\n2,two\n",
    )
    assert list(made(path)) == ["1-red", "1-blue", "2-red", "2-blue"]


def test_mistakes_have_their_place_in_the_list(write):
    path = write(
        HEAD + 'jobs:\n  - {id: "{{ sku }}", prompt: "Photo of {{ title }}", from: p.csv}\n',
        p_csv='sku,title,size,n\na,"Lamp, big",1000x1000,1\nb,Chair,1024x1024,many\na,Table,,\n',
    )
    size, number, taken = wrong(path)
    assert size.startswith(
        "p.csv:2:15: jobs[0].size: aigate (gpt-image-2) does not make 1000x1000: both edges must be "
    )
    assert number == "p.csv:3:19: jobs[0].n: should be a whole number, is 'many'"
    assert taken.startswith("p.csv:4:1: jobs[0].id: the id 'a' is already taken (p.csv:2) (make the id of every row ")


def test_mistakes_of_the_list_itself(write):
    path = write(HEAD + "jobs:\n  - {from: r.jsonl}\n", r_jsonl='{"prompt": "a"}\n{"prompt": \n[1]\n')
    found = wrong(path)
    assert [line.split(": ")[0] for line in found] == ["r.jsonl:2:12", "r.jsonl:3:1"]
    assert "r.csv" in wrong(write(HEAD + "jobs:\n  - {from: r.csv}\n"))[0]


def test_an_unknown_variable_names_those_that_there_are(write):
    path = write(HEAD + 'jobs:\n  - {prompt: "a {{ titel }}", from: p.csv}\n', p_csv="id,title\na,Lamp\nb,Bed\n")
    told = "there is no variable 'titel' (did you mean 'title'? there are: "
    assert wrong(path) == [f"m.yaml:3:14: jobs[0].prompt: {told}id, name, repeat, row, title)"]
    rows = '{"titel": "x"}\n{"title": 1}\n'
    path = write(HEAD + 'jobs:\n  - {prompt: "a {{ titel }}", from: r.jsonl}\n', r_jsonl=rows)
    (found,) = wrong(path)
    assert found.startswith(f"r.jsonl:2:1: jobs[0].prompt: {told}")


def test_a_wrong_template_is_reported_once(write):
    path = write(
        HEAD + 'jobs:\n  - {prompt: "a {{ title | upperr }}", from: p.csv}\n', p_csv="id,title\na,Lamp\nb,Bed\n"
    )
    (found,) = wrong(path)
    assert found.startswith("m.yaml:3:14: jobs[0].prompt: ")
    assert "upper" in found


def test_many_wrong_rows_are_counted_not_listed(write):
    rows = "\n".join(f"{number},a cat,13x13" for number in range(1000))
    found = wrong(write(HEAD + "jobs:\n  - {from: p.csv}\n", p_csv=f"id,prompt,size\n{rows}\n"))
    assert len(found) == 4
    assert "the same mistake in 997 more places: lines 5, 6, 7" in found[-1]


# --- vars and includes --------------------------------------------------------


def test_vars_serve_templates_and_the_nearest_counts(write):
    path = write(
        HEAD + "vars: {light: soft light, mood: calm}\njobs:\n  - {id: a, prompt: 'cat, {{ light }}, {{ mood }}'}\n"
        "  - {id: b, prompt: 'dog, {{ light }}, {{ mood }}', vars: {mood: wild}}\n"
    )
    assert made(path) == {"a": "cat, soft light, calm", "b": "dog, soft light, wild"}


def test_defaults_may_hold_templates(write):
    path = write(
        "defaults: {provider: aigate, prompt: 'Photo of {{ what }}', tags: ['{{ what | slug }}']}\n"
        "jobs:\n  - {id: a, vars: {what: A Cat}}\n  - {id: b, vars: {what: A Dog}}\n"
    )
    assert [(job.prompt, job.recipe.tags) for job in load(path).jobs] == [
        ("Photo of A Cat", ("a-cat",)), ("Photo of A Dog", ("a-dog",)),
    ]  # fmt: skip


def test_text_without_double_braces_is_literal(write):
    assert made(write(HEAD + "jobs:\n  - {id: a, prompt: 'a {cat} and {% dog %}'}\n")) == {"a": "a {cat} and {% dog %}"}


def test_unused_variables_are_reported(write):
    batch = load(
        write(HEAD + "vars: {a: 1}\njobs:\n  - {id: x, prompt: x, vars: {b: 2}, matrix: {c: [1], size: [1024x1024]}}\n")
    )
    assert [warning.path for warning in batch.warnings] == ["vars.a", "jobs[0].vars.b", "jobs[0].matrix.c"]


def test_vars_that_would_not_do_what_they_seem_to(write):
    found = wrong(write(HEAD + "vars: {size: big, x: '{{ y }}'}\njobs: [{prompt: 'x {{ x }}'}]\n"))
    assert [line.split(":")[3].strip() for line in found] == ["vars.size", "vars.x"]


def test_included_manifests_bring_jobs_defaults_vars_and_providers(write):
    path = write(
        "include: [shared/common.yaml, shared/parts/*.yaml]\njobs:\n  - {id: own, prompt: 'own, {{ light }}'}\n",
        shared__common_yaml="defaults: {provider: studio, quality: low}\nvars: {light: soft}\n"
        "providers: {studio: {preset: aigate, limits: {concurrency: 3}}}\n",
        shared__parts__a_yaml="defaults: {quality: high}\njobs:\n  - {id: a, prompt: 'a, {{ light }}', from: a.csv}\n",
        shared__parts__a_csv="x\n1\n",
        shared__parts__b_yaml="include: ../common.yaml\njobs:\n  - {id: b, prompt: b}\n",
    )
    batch = load(path)
    assert [(job.key, job.prompt, job.task.provider, job.task.quality) for job in batch.jobs] == [
        ("own", "own, soft", "studio", "low"), ("a", "a, soft", "studio", "high"), ("b", "b", "studio", "low"),
    ]  # fmt: skip
    assert batch.profiles["studio"].limits.concurrency == 3


def test_includes_that_lead_nowhere_or_in_circles(write):
    path = write(
        HEAD + "include: [a.yaml, gone.yaml, no-*.yaml]\njobs: [{prompt: x}]\n",
        a_yaml="include: m.yaml\nbudget: {usd: 3}\njobs: [{prompt: y, sise: 3}]\n",
    )
    found = wrong(path)
    assert len(found) == 4
    assert "does not exist in" in "\n".join(found)
    assert "m.yaml:2:30: include[2]: no-*.yaml matches no file" in "\n".join(found)
    assert "includes itself" in "\n".join(found)
    assert "a.yaml:3:20: jobs[0].sise: unknown key 'sise' (did you mean 'size'?)" in found


def test_ids_are_unique_across_files(write):
    path = write(HEAD + "include: a.yaml\njobs: [{id: x, prompt: x}]\n", a_yaml="jobs: [{id: x, prompt: y}]\n")
    (found,) = wrong(path)
    assert "the id 'x' is already taken" in found


def test_prices_that_were_read_long_ago_are_reported_once(write):
    path = write(HEAD + "jobs: [{id: a, prompt: x}, {id: b, prompt: y}]\n")
    assert load(path, today=date(2026, 12, 1)).warnings == ()
    (warning,) = load(path, today=date(2028, 1, 1)).warnings
    assert (warning.code, "were read on 2026" in warning.message) == ("stale_prices", True)


# --- what a row sets ----------------------------------------------------------


def test_each_included_combination_has_parameters_of_its_own(write):
    path = write(
        HEAD + "jobs:\n  - prompt: A\n    matrix:\n      include:\n"
        "        - {id: a, size: 1024x1024, quality: low}\n        - {id: b, size: 1536x1024, quality: high}\n"
    )
    assert [(job.key, job.task.size, job.task.quality) for job in load(path).jobs] == [
        ("a", "1024x1024", "low"), ("b", "1536x1024", "high"),
    ]  # fmt: skip


def test_row_parameter_replaces_its_default_template(write):
    path = write(
        "defaults: {provider: aigate, quality: '{{ q }}'}\njobs:\n  - {id: '{{ sku }}', prompt: x, from: r.jsonl}\n",
        r_jsonl='{"sku": "a", "q": "low"}\n{"sku": "b", "quality": "high"}\n',
    )
    assert [(job.key, job.task.quality) for job in load(path).jobs] == [("a", "low"), ("b", "high")]


def test_a_row_adds_to_filled_in_tags_and_extra(write):
    path = write(
        "defaults: {provider: aigate, tags: ['{{ sku }}'], extra: {user: '{{ sku }}'}}\n"
        "jobs:\n  - {id: '{{ sku }}', prompt: x, from: r.jsonl}\n",
        r_jsonl='{"sku": "s1", "tags": ["new"], "extra": {"k": 1}}\n',
    )
    (job,) = load(path).jobs
    assert (job.recipe.tags, job.task.extra) == (("s1", "new"), {"user": "s1", "k": 1})


def test_every_row_is_looked_at_for_a_bad_id_and_a_bad_number(write):
    found = wrong(
        write(
            HEAD + "jobs:\n  - from: r.jsonl\n",
            r_jsonl='{"id": "a", "prompt": "x"}\n{"id": 1.5, "prompt": "y"}\n'
            '{"id": "c", "prompt": "z", "n": "{{ 3 }}"}\n',
        )
    )
    assert [line.split(": should")[0] for line in found] == ["r.jsonl:2:8: jobs[0].id", "r.jsonl:3:33: jobs[0].n"]


def test_repeat_is_known_everywhere_and_no_reason_for_a_warning(write):
    batch = load(write(HEAD + "jobs:\n  - {id: 'a-{{ repeat }}', prompt: x}\n  - {id: b, prompt: y, repeat: 2}\n"))
    assert [job.key for job in batch.jobs] == ["a-1", "b", "b-r2"]
    assert batch.warnings == ()


def test_values_of_a_matrix_are_not_filled_in_and_say_so(write):
    (found,) = wrong(write(HEAD + "jobs:\n  - {prompt: 'x {{ a }}', matrix: {a: ['{{ b }}', c]}}\n"))
    assert found.startswith("m.yaml:3:40: jobs[0].matrix.a[0]: ")


def test_lists_without_a_row_are_a_mistake(write):
    (found,) = wrong(write(HEAD + "jobs:\n  - {from: p.csv}\n", p_csv="id,prompt\n"))
    assert "there are no jobs" in found


def test_too_much_wrong_ends_the_search(write):
    rows = "\n".join(f"{number},a cat,13x13" for number in range(6000))
    found = wrong(write(HEAD + "jobs:\n  - {from: p.csv}\n", p_csv=f"id,prompt,size\n{rows}\n"))
    assert "the same mistake in 5,009 or more places: lines 5, 6" in found[-1]


def test_a_chain_of_includes_has_an_end(write, tmp_path):
    for number in range(80):
        (tmp_path / f"c{number}.yaml").write_text(f"include: c{number + 1}.yaml\n")
    (tmp_path / "c80.yaml").write_text("jobs: []\n")
    assert "levels deep" in "\n".join(wrong(write(HEAD + "include: c0.yaml\njobs: [{prompt: x}]\n")))


# --- keys in other headers -------------------------------------------------------


def test_header_and_query_of_a_provider_reach_its_profile(write):
    text = (
        "providers:\n  studio:\n    preset: gateway\n    base_url: https://gw.example\n"
        "    auth: {header: api-key, value: '{key}'}\n    query: {api-version: '2025-04-01-preview'}\n"
        "defaults: {provider: studio}\njobs: [{id: a, prompt: A cat}]\n"
    )
    studio = load(write(text)).profiles["studio"]
    assert studio.auth.headers("k-1") == {"api-key": "k-1"}
    assert studio.url("generate").endswith("?api-version=2025-04-01-preview")


@pytest.mark.parametrize(
    ("setting", "where", "why"),
    [
        ("auth: {header: Host, value: '{key}'}", "m.yaml:5:11", "header 'Host' cannot hold a key"),
        ("auth: {header: api-key, value: key}", "m.yaml:5:11", "must contain {key} once"),
        ("auth: {heder: api-key}", "m.yaml:5:12", "header"),
        ("query: {api-version: 1}", "m.yaml:5:26", "text"),
        ("cost: {path: a, unit: euro}", "m.yaml:5:27", "usd"),
        ("cost: {path: a, scale: 0}", "m.yaml:5:28", "more than 0"),
    ],
)
def test_mistake_in_a_header_or_a_query_is_named_with_its_place(write, setting, where, why):
    text = (
        "providers:\n  studio:\n    preset: gateway\n    base_url: https://gw.example\n"
        f"    {setting}\ndefaults: {{provider: studio}}\njobs: [{{id: a, prompt: A cat}}]\n"
    )
    (problem,) = wrong(write(text))
    assert problem.startswith(where), problem
    assert why in problem
