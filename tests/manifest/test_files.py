"""Manifests on disk: every mistake placed, sources checked, fingerprints stable, the cookbook sound."""

import hashlib
import os
import textwrap
from datetime import date
from pathlib import Path

import pytest
import yaml
from PIL import Image

from batchgen.errors import ManifestError
from batchgen.fingerprint import digest, fingerprint, unchanged
from batchgen.manifest import load
from batchgen.manifest.problems import PER_KIND
from batchgen.providers.presets import preset_names
from batchgen.task import Kind

COOKBOOK = Path(__file__).parents[2] / "jobs"


@pytest.fixture
def write(tmp_path):
    def to_file(text, name="m.yaml"):
        path = tmp_path / name
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return to_file


def problems(path, **options):
    with pytest.raises(ManifestError) as caught:
        load(path, **options)
    return caught.value.problems


def one(write, job, top=""):
    return next(iter(load(write(f"{top}\njobs:\n  - {job}\n")).jobs))


def complaint(write, job, top=""):
    [problem] = problems(write(f"{top}\njobs:\n  - {job}\n"))
    return problem


MISTAKES = """\
version: 2
nmae: shop
output: {dir: "out/{{ name }}", file: "{{ idd }}"}
providers:
  aigate: {limits: {concurrency: many}, api_key_env: sk-abcdefghijklmnop1234567}
  studio: {preset: gatewy, base_url: "https://x.example"}
  mine: {preset: gateway}
  plain: {preset: gateway, base_url: "http://x.example"}
defaults: {provider: aigate, sixe: 1024x1024, tags: [a]}
retry: {attempts: 0, max_wait: soon}
on_unknown: hol
budget: {usd: -4, credits: {gptimagapi: 3}}
jobs:
  - {id: a, prompt: x, n: lots, size: 1000x1000}
  - {id: a, prompt: y}
  - {id: 12, prompt: true}
  - {id: b, prompt: {name}}
  - {id: "../c", prompt: z}
  - prompt: [x]
  - {id: d, prompt: "z {{ x }}"}
  - {id: CON, prompt: z1}
  - {id: e, images: nope.jpg, prompt: z2}
  - {id: f, images: ["*.png"], prompt: z3}
  - {id: g, mask: m.png, prompt: z4}
  - {id: h, prompt: z5, provider: aigat}
  - {id: i, prompt: z6, matrix: {a: []}}
  - {id: j, prompt: z7, output_compression: 300, background: transparent, output_format: jpeg}
  - 17
  - {id: k, prompt: z8, quality: ultra, n: 5, per_request: 5}
  - {id: l}
  - {id: Straße, prompt: z9}
  - {id: STRASSE, prompt: z10}
  - {id: m, prompt: z11, model: gpt-imag-2}
  - {id: n, id: o, prompt: "q\\0"}
  - {id: p, prompt: " ", api_key: sk-proj-abcdefghijklmnopqrstuvwxyz}
  - {id: q, prompt: z12, images: http://x.example/a.png}
  - {id: r, prompt: z13, provider: gptimageapi, images: [https://x.example/a.png]}
"""

#: line, column, code, and words of the message or hint.
EXPECTED = [
    (1, 10, "not_allowed", "should be 1"), (2, 1, "unknown_key", "did you mean 'name'"),
    (3, 39, "template", "no job has a variable 'idd'"), (5, 34, "wrong_type", "a whole number, is 'many'"),
    (5, 54, "api_key", "export AIGATE_API_KEY"), (6, 20, "provider", "Did you mean 'gateway'"),
    (7, 9, "provider", "base_url is missing"), (8, 38, "provider", "https"),
    (9, 30, "unknown_key", "did you mean 'size'"), (10, 19, "out_of_range", "at least 1, is 0"),
    (10, 32, "wrong_type", "a number, is 'soon'"), (11, 13, "not_allowed", "did you mean 'hold'"),
    (12, 15, "out_of_range", "at least 0, is -4"), (12, 29, "unknown_provider", "did you mean 'gptimageapi'"),
    (14, 27, "wrong_type", "a whole number, is 'lots'"), (14, 39, "misfit_size", "1000"),
    (15, 10, "duplicate_id", "m.yaml:14"), (16, 10, "wrong_type", "text, is the number 12"),
    (16, 22, "wrong_type", "text, is true"), (17, 21, "wrong_type", "is a mapping"),
    (18, 10, "bad_name", "slug"), (19, 13, "wrong_type", "is a list: YAML"), (20, 21, "template", "no variable 'x'"),
    (21, 10, "bad_name", "Windows"), (22, 21, "bad_source", "no such file"), (23, 21, "bad_source", "matches no file"),
    (24, 19, "no_images", "under images"), (25, 35, "unknown_provider", "did you mean 'aigate'"),
    (26, 37, "empty", "is empty"), (27, 45, "out_of_range", "at most 100"),
    (27, 62, "misfit_background", "png or webp"),
    (28, 5, "wrong_type", "a mapping (key: value), is the number 17"), (29, 34, "misfit_quality", "low, medium, high"),
    (29, 60, "misfit_per_request", "per_request"), (30, 5, "no_prompt", "no prompt"),
    (32, 10, "same_file", "the same name on many disks"),
    (33, 33, "misfit_model", "gpt-image-2"), (34, 13, "duplicate_key", "line 34"), (34, 28, "bad_value", "U+0000"),
    (35, 21, "bad_value", "blank"), (35, 35, "api_key", "environment"), (36, 34, "bad_source", "https"),
    (37, 57, "misfit_images", "gptimageapi cannot edit"),
]  # fmt: skip


def test_every_mistake_is_reported_at_its_place_with_what_to_do(write):
    found = problems(write(MISTAKES))
    assert [(item.line, item.column, item.code) for item in found] == [line[:3] for line in EXPECTED]
    for item, (*_, words) in zip(found, EXPECTED, strict=True):
        assert words in f"{item.message} {item.hint}"
    assert "sk-" not in str(found)


def test_many_of_a_kind_are_counted(write):
    found = problems(write("jobs:\n" + "  - {promt: x}\n" * 200))
    unknown = [item for item in found if item.code == "unknown_key"]
    assert [item.line for item in unknown] == [2, 3, 4, 5]
    assert unknown[-1].message == (
        "the same mistake in 197 more places: lines 5, 6, 7, 8, 9, 10, 11, 12, 13 and 188 more"
    )


def test_different_mistakes_of_a_kind_are_listed_and_the_rest_counted(write):
    names = [f"k{chr(97 + number // 26)}{chr(97 + number % 26)}" for number in range(200)]
    found = problems(write("jobs:\n" + "".join(f"  - {{prompt: x, {name}: 1}}\n" for name in names)))
    unknown = [item for item in found if item.code == "unknown_key"]
    assert len(unknown) == PER_KIND + 1
    assert "150 more" in unknown[-1].message


def test_a_mistake_of_every_row_is_three_lines_and_a_count(write):
    write("".join(f"x{number}:,p\n" for number in range(300)).replace("x0:,p", "sku,prompt"), "l.csv")
    found = problems(write('defaults: {provider: openai}\njobs: [{id: "a/{{ sku }}", from: l.csv}]\n'))
    assert [item.line for item in found] == [2, 3, 4, 5]
    assert found[-1].message.startswith("the same mistake in 296 more places: lines 5, 6,")
    write("sku,prompt\n" + "x:,p\n" * 3, "l.csv")
    assert len(problems(write('defaults: {provider: openai}\njobs: [{id: "{{ row }}{{ sku }}", from: l.csv}]\n'))) == 3


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("jobs: []", "no_jobs"), ("version: 1", "no_jobs"), ("prompts: list.txt", "bad_list"),
        ("prompts: [x]", "no_provider"),
        ("name: a/b\nprompts: [x]\ndefaults: {provider: openai}", "bad_name"), ("jobs: {a: 1}", "wrong_type"),
        ("output: {dir: ~/x}\nprompts: [x]\ndefaults: {provider: openai}", "bad_name"), ("jobs: null", "wrong_type"),
        ("prompts: [x, x]\ndefaults: {provider: openai}", "duplicate_job"),
        ("from: x.csv\nprompts: [x]", "unknown_key"),
        ("providers: {openai: 3}\nprompts: [x]", "wrong_type"), ("defaults: 3\nprompts: [x]", "wrong_type"),
    ],
)  # fmt: skip
def test_other_mistakes(write, text, code):
    assert [item.code for item in problems(write(text))] in ([code], [code, "no_provider"])


def test_a_manifest_that_is_no_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with (tmp_path / "big.yaml").open("wb") as file:
        file.truncate(65 * 1024 * 1024)
    codes = [problems(tmp_path / name)[0].code for name in ("none.yaml", "pipe", "loop", ".", "big.yaml")]
    assert codes == ["not_found", "not_a_file", "not_readable", "not_a_file", "too_large"]
    assert problems(Path("/dev/zero"))[0].code == "not_a_file"


TOP = "defaults: {provider: openai}"


def test_n_makes_jobs_of_their_own_and_per_request_asks_for_several(write):
    jobs = load(
        write(f"{TOP}\njobs:\n  - {{id: a, prompt: x, n: 3}}\n  - {{id: b, prompt: x, n: 5, per_request: 3}}\n")
    ).jobs
    assert [(job.key, job.recipe.wanted, job.task.n) for job in jobs] == [
        ("a", 1, 1), ("a-2", 1, 1), ("a-3", 1, 1), ("b", 3, 3), ("b-4", 2, 2),
    ]  # fmt: skip
    assert complaint(write, "{id: a, prompt: x, n: 20, per_request: 20}", TOP).path == "jobs[0].per_request"


def test_an_id_taken_by_a_second_image_is_a_mistake(write):
    [found] = problems(write(f"{TOP}\njobs:\n  - {{id: a, prompt: x, n: 2}}\n  - {{id: a-2, prompt: y}}\n"))
    assert (found.code, found.line) == ("duplicate_id", 4)


def test_files_of_several_images_meet_no_other_job(write):
    [found] = problems(
        write(f"{TOP}\njobs:\n  - {{id: a, prompt: x, n: 3, per_request: 3}}\n  - {{id: A-2, prompt: y}}\n")
    )
    assert (found.code, found.line) == ("same_file", 4)


def test_the_first_provider_that_can_do_the_job_gets_it(write):
    job = one(
        write,
        "{id: a, prompt: x, output_format: webp, provider: [gptimageapi, openai, aimlapi], model: openai/gpt-image-2}",
    )
    assert (job.task.provider, job.task.model) == ("openai", "gpt-image-2")
    found = complaint(write, "{id: a, prompt: x, seed: 1, provider: [gptimageapi, openai]}")
    assert (found.code, found.path) == ("misfit_seed", "jobs[0].seed")
    assert "nor openai" in found.hint


def test_one_configured_provider_needs_no_naming(write):
    text = 'providers: {studio: {preset: gateway, base_url: "https://x.example", limits: {burst: 2}}}\nprompts: [x]'
    batch = load(write(text), providers={"studio": {"limits": {"concurrency": 9, "burst": 7}}})
    assert next(iter(batch.jobs)).task.provider == "studio"
    assert (batch.profiles["studio"].limits.concurrency, batch.profiles["studio"].limits.burst) == (9, 2)
    assert next(iter(load(write("prompts: [x]"), providers={"openai": {}}).jobs)).task.provider == "openai"


def test_what_a_batch_holds(write, tmp_path):
    text = """\
        name: shop
        output: {dir: "out/{{ name }}", file: "{{ kind }}/{{ id | slug }}", sidecar: false}
        on_unknown: hold
        budget: {usd: 0.1, credits: {gptimageapi: 12}}
        jobs: [{id: A b, prompt: x, provider: openai, tags: t, priority: 3}]
        """
    batch = load(write(text))
    job = next(iter(batch.jobs))
    assert (batch.name, batch.folder, batch.on_unknown) == ("shop", tmp_path / "out/shop", "hold")
    [caps] = batch.budget
    assert (caps.usd, caps.credits) == (100_000_000, {"gptimageapi": 12_000})
    assert (job.key, job.output) == ("A b", "generate/a-b")
    assert (job.recipe.tags, job.recipe.priority, job.recipe.sidecar) == (("t",), 3, False)
    assert batch.profiles["openai"].on_unknown == "hold"


def test_warnings(write):
    text = f"""\
        {TOP}
        jobs:
          - {{id: a, prompt: x}}
          - {{id: b, prompt: x}}
          - id: c
            prompt: a red car #3
          - {{id: d, prompt: y, model: gpt-image-1.5}}
        """
    found = load(write(text.replace(TOP, "defaults: {provider: openai}"))).warnings
    assert [(item.line, item.code) for item in found] == [(4, "same_job"), (6, "cut_prompt"), (7, "deprecated_model")]


BEFORE, AFTER = date(2026, 11, 30), date(2026, 12, 1)


@pytest.mark.parametrize("model", ["gpt-image-1.5", "openai/gpt-image-1.5", "gpt-image-1-mini", "chatgpt-image-latest"])
def test_retiring_model_is_a_warning_then_an_error(write, model):
    name = model.rpartition("/")[2]
    path = write(f"jobs:\n  - {{id: d, provider: openai, prompt: y, model: {model}}}\n")
    [warning] = load(path, today=BEFORE).warnings
    assert (warning.line, warning.code, warning.hint) == (2, "deprecated_model", "write model: gpt-image-2")
    assert warning.message == f"openai switches {name} off on 2026-12-01"
    with pytest.raises(ManifestError) as caught:
        load(path, today=AFTER)
    [problem] = caught.value.problems
    assert (problem.line, problem.column > 1, problem.hint) == (2, True, "write model: gpt-image-2")
    assert problem.message == f"openai has not offered {name} since 2026-12-01"


@pytest.mark.parametrize("model", ["gpt-image-1", "openai/gpt-image-1"])
def test_a_model_that_is_gone_is_an_error_that_names_its_successor(write, model):
    with pytest.raises(ManifestError) as caught:
        load(write(f"jobs:\n  - {{id: d, provider: openai, prompt: y, model: {model}}}\n"), today=BEFORE)
    [problem] = caught.value.problems
    assert (problem.line, problem.message) == (2, f"openai has not offered {model} since 2026-10-23")
    assert problem.hint == "write model: gpt-image-2"


def test_an_end_binds_who_announced_it_and_no_gateway(write):
    studio = "providers: {studio: {preset: openai, base_url: 'https://gw.example.com'}}"
    job = "{id: d, provider: %s, prompt: y, model: gpt-image-1.5}"
    alone = load(write(f"{studio}\njobs:\n  - {job % 'studio'}\n"), today=AFTER)
    assert not [one for one in alone.warnings if one.code == "deprecated_model"]
    both = write(f"{studio}\njobs:\n  - {job % '[studio, openai]'}\n")
    assert [one.code for one in load(both, today=BEFORE).warnings] == ["deprecated_model"]  # it may take over
    [planned] = load(both, today=AFTER).jobs
    assert (planned.recipe.task.provider, planned.recipe.route) == ("studio", None)
    assert planned.recipe.without == (("openai", "openai has not offered gpt-image-1.5 since 2026-12-01"),)


_FLASH = "1:5d7a6498fea3508d710a14062abed90d3ccdb546e7f96a5e80ae83e3e4779e2f"
_PRO = "1:0662957b6d8275f120c8f00671755c5c9a17f0cc27fdde146b38a9e82759278b"
#: The marks of these jobs in tables that version d34161a wrote.
MARKS = {
    "openrouter": _FLASH,
    "openrouter, model: google/gemini-3-pro-image-preview": _PRO,
    "openrouter, model: google/gemini-3-pro-image": _PRO,
    "aigate, model: google/gemini-3.1-flash-image-preview": _FLASH,
    "[aigate, openrouter], model: gemini-3.1-flash-image": _FLASH,
}


@pytest.mark.parametrize("asked", MARKS)
def test_a_model_under_its_new_name_makes_no_job_look_changed(write, asked):
    [planned] = load(write(f"jobs:\n  - {{id: d, prompt: a lighthouse, provider: {asked}}}\n")).jobs
    assert fingerprint(planned.task, "1") == MARKS[asked]
    assert unchanged(MARKS[asked], planned.task, planned.fingerprint)
    assert not planned.recipe.task.model.endswith("preview")


def test_own_model_under_the_new_name_needs_no_change(write):
    [planned] = load(write("jobs:\n  - {id: d, prompt: a lighthouse, provider: openrouter}\n")).jobs
    content = {"kind": "generate", "prompt": "a lighthouse", "rules": "1"}
    mine, other = (f"1:{digest(content | {'model': name})}" for name in ("gemini-3.1-flash-image", "gemini-4"))
    assert unchanged(mine, planned.task, planned.fingerprint)
    assert not unchanged(other, planned.task, planned.fingerprint)


# --- fingerprints -----------------------------------------------------------------------------------------------


def marks(path):
    return {job.key: job.fingerprint for job in load(path).jobs}


def test_how_a_manifest_is_written_changes_no_fingerprint(write):
    base = write(
        "defaults: {provider: openai, quality: low}\njobs:\n  - {id: a, prompt: x}\n  - {prompt: y, size: auto}\n"
    )
    other = write(
        """\
        # another name, folder, budget, policy; the default moved into the jobs; other order and style
        name: other
        budget: {usd: 3}
        retry: {attempts: 9}
        on_unknown: hold
        output: {dir: elsewhere, file: "{{ kind }}-{{ id }}", sidecar: false}
        providers: {openai: {limits: {concurrency: 2}}, aimlapi: {}}
        jobs:
          - size: "auto"
            quality: low
            prompt: y
            provider: openai
          - {prompt: 'x', quality: low, provider: [aimlapi, openai], id: a, tags: [t], model: openai/gpt-image-2}
        """,
        "other.yaml",
    )
    assert marks(base) == marks(other)


def test_a_change_of_one_job_changes_that_job(write):
    text = "defaults: {provider: openai}\njobs:\n" + "".join(f"  - {{id: j{i}, prompt: p{i}}}\n" for i in range(20))
    before, after = (
        marks(write(text)),
        marks(write(text.replace("prompt: p7}", "prompt: p7, seed: null, quality: low}"))),
    )
    assert {key for key in before if before[key] != after[key]} == {"j7"}


# --- sources ----------------------------------------------------------------------------------------------------


@pytest.fixture
def photo(tmp_path):
    def draw(name, size=(8, 6), mode="RGB", **options):
        Image.new(mode, size, 0).save(tmp_path / name, **options)
        return tmp_path / name

    return draw


def test_sources_are_found_hashed_and_typed_by_content(write, photo, tmp_path):
    first, second = photo("b.png"), photo("a.png", format="JPEG")
    photo("m.png", mode="RGBA")
    top = "defaults: {provider: openai}"
    task = one(write, '{prompt: x, images: ["*[ab].png", "https://x.example/c.png"], mask: m.png}', top).task
    assert task.kind is Kind.EDIT
    assert [source.path for source in task.images] == [str(second), str(first), None]
    assert [source.mime for source in task.images[:2]] == ["image/jpeg", "image/png"]
    assert task.images[1].sha256 == hashlib.sha256(first.read_bytes()).hexdigest()
    assert task.images[2].url == "https://x.example/c.png"
    before = marks(tmp_path / "m.yaml")
    photo("b.png", size=(9, 9))
    photo("a.png", size=(8, 6), format="PNG")
    assert marks(tmp_path / "m.yaml").values() != before.values()


def test_a_photo_of_many_jobs_is_read_once(write, photo, monkeypatch):
    photo("a.png")
    opened = []
    real = os.open
    monkeypatch.setattr(os, "open", lambda path, *rest: opened.append(str(path)) or real(path, *rest))
    load(write(f"{TOP}\njobs:\n" + "".join(f"  - {{id: j{i}, prompt: p, images: a.png}}\n" for i in range(50))))
    assert sum(path.endswith("a.png") for path in opened) == 1


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("none.png", "no such file"), ("folder", "is a folder"), ("pipe", "pipe"), ("/dev/zero", "device"),
        ("loop", "leads back"),
        ("text.png", "not a PNG, JPEG"), ("empty.png", "is empty"), ("cut.png", "damaged"), ("bomb.png", "pixels"),
        ("vast.png", "MB"), ("*.gif", "matches no file"), ("many/*", "more than 100"), ("x" * 300, "too long for"),
        ("http://x.example/a", "https"), ("file:///etc/passwd", "not a PNG"), ("data:image/png;base64,AA", "data URL"),
        ("https://u:p@x.example/a", "password"), ("https://", "https"), ("ftp://x.example/a", "https"),
    ],
)  # fmt: skip
def test_sources_that_cannot_be_used(write, photo, tmp_path, name, words):
    whole = photo("whole.png", size=(64, 64)).read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:60])
    photo("bomb.png", size=(9000, 9000), mode="1")
    (tmp_path / "text.png").write_text("<svg/>")
    (tmp_path / "empty.png").touch()
    (tmp_path / "folder").mkdir()
    (tmp_path / "many").mkdir()
    for number in range(101):
        (tmp_path / "many" / str(number)).touch()
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to("loop")
    with (tmp_path / "vast.png").open("wb") as file:
        file.truncate(300_000_000)
    found = complaint(write, f'{{id: a, prompt: x, images: ["{name}"]}}', TOP)
    assert found.code == "bad_source"
    assert words in found.message


@pytest.mark.parametrize("kept", [0.5, 0.97], ids=["half", "most"])
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_source_that_is_cut_off_is_found_before_a_run(write, tmp_path, kind, kept):
    path = tmp_path / "a.jpg"
    Image.effect_noise((64, 64), 90).save(path, format=kind)
    assert one(write, "{prompt: x, images: a.jpg}", TOP).task.images[0].mime == f"image/{kind.lower()}"
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    found = complaint(write, "{id: a, prompt: x, images: a.jpg}", TOP)
    assert (found.code, found.path) == ("bad_source", "jobs[0].images")
    assert "a.jpg is damaged: " in found.message


@pytest.mark.parametrize("progressive", [False, True])
def test_source_jpeg_is_judged_by_its_image_data(write, tmp_path, progressive):
    path = tmp_path / "a.jpg"
    Image.effect_noise((64, 64), 90).save(path, progressive=progressive)
    whole = path.read_bytes()
    for behind in (bytes(100), b"\0\0\0\x1cftypmp42" + bytes(4000), whole):
        path.write_bytes(whole + behind)
        assert one(write, "{prompt: x, images: a.jpg}", TOP).task.images[0].size_bytes == len(whole + behind)
    path.write_bytes(whole[: len(whole) // 2] + b"\xff\xd9")
    assert "a.jpg is damaged: the JPEG is cut off" in complaint(write, "{prompt: x, images: a.jpg}", TOP).message


def test_a_source_png_without_what_it_needs_is_found_before_a_run(write, photo, tmp_path):
    photo("a.png", mode="P")
    whole = (tmp_path / "a.png").read_bytes()
    for kind in (b"IDAT", b"PLTE"):
        at = whole.index(kind) - 4
        length = int.from_bytes(whole[at : at + 4], "big")
        (tmp_path / "a.png").write_bytes(whole[:at] + whole[at + 12 + length :])
        assert "a.png is damaged: " in complaint(write, "{prompt: x, images: a.png}", TOP).message


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        ({"mode": "RGB"}, "alpha"),
        ({"mode": "RGBA", "size": (9, 9)}, "as large as"),
        ({"mode": "RGB", "format": "JPEG"}, "not a PNG"),
    ],
)
def test_masks_that_cannot_be_used(write, photo, mask, words):
    photo("a.png")
    photo("m.png", **mask)
    found = complaint(write, "{id: a, prompt: x, images: a.png, mask: m.png}", TOP)
    assert (found.path, words in found.message) == ("jobs[0].mask", True)


# --- the cookbook -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(COOKBOOK.glob("*.yaml")), ids=lambda path: path.stem)
def test_the_cookbook_loads_without_a_warning(path):
    batch = load(path)
    assert batch.jobs
    assert batch.warnings == ()
    assert batch.folder.parent == COOKBOOK.parent / "output"


def test_demo_uses_every_provider_and_every_editor():
    batch = load(COOKBOOK / "demo.yaml")
    done = {(job.task.provider, job.task.kind.value) for job in batch.jobs}
    everyone = {"aigate", "gptimageapi", "aimlapi", "gateway", "openai", "openrouter"}
    assert {name for name, kind in done if kind == "generate"} == everyone
    assert {name for name, kind in done if kind == "edit"} == everyone - {"gptimageapi", "gateway"}
    assert 25 <= len(batch.jobs) <= 35
    files = {path.stem for path in COOKBOOK.glob("*.yaml")}
    assert everyone | {"demo", "routes"} <= files <= {*preset_names(), "demo", "routes"}


@pytest.mark.parametrize("path", sorted(COOKBOOK.glob("*.yaml")), ids=lambda path: path.stem)
def test_other_yaml_readers_agree_on_the_cookbook(path):
    from batchgen.manifest.yaml_reader import read

    assert yaml.safe_load(path.read_text(encoding="utf-8")) == read(path).data
