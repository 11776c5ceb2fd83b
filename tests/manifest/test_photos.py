"""Source images that a provider may misunderstand or not take: warned of, turned, converted or skipped."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from unicodedata import normalize

import pytest
from PIL import Image

from batchgen.errors import ManifestError
from batchgen.files.images import heif
from batchgen.fingerprint import RULES, fingerprint, unchanged
from batchgen.manifest import load
from batchgen.manifest.batch import Batch
from batchgen.task import Kind, Source, Task

TOP = "version: 1\n{top}defaults: {{provider: openai, size: 1024x1024{defaults}}}\njobs:\n"


@pytest.fixture
def read(tmp_path: Path):
    def make(job: str, *, top: str = "", defaults: str = "") -> Batch:
        path = tmp_path / "m.yaml"
        path.write_text(f"{TOP.format(top=top, defaults=defaults)}  - {{{job}}}\n", encoding="utf-8")
        return load(path)

    return make


@pytest.fixture
def refused(read, tmp_path):
    def make(job: str, **options: str) -> list[str]:
        with pytest.raises(ManifestError) as caught:
            read(job, **options)
        return [str(problem).replace(f"{tmp_path}/", "") for problem in caught.value.problems]

    return make


def warnings(batch: Batch) -> list[str]:
    return [f"{problem.message} ({problem.hint})" for problem in batch.warnings]


def exif(orientation: int) -> Image.Exif:
    made = Image.Exif()
    made[0x0112] = orientation
    return made


def rotated(path: Path, orientation: int = 6, size: tuple[int, int] = (40, 30), **options) -> None:
    path.parent.mkdir(exist_ok=True)
    Image.effect_noise(size, 90).convert("RGB").save(path, exif=exif(orientation), **options)


def only(batch: Batch) -> Source:
    [job] = batch.jobs
    [source] = job.task.images
    return source


# --- orient -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_a_rotated_photo_is_warned_of_and_sent_upright_on_request(read, tmp_path, suffix):
    rotated(tmp_path / f"a.{suffix}")
    plain = read(f"id: a, prompt: x, images: a.{suffix}")
    assert warnings(plain) == [
        f"a.{suffix} is stored rotated (EXIF), which a provider may ignore (orient: true sends an upright copy)"
    ]
    assert only(plain).copy is None
    for upright in (
        read(f"id: a, prompt: x, images: a.{suffix}, orient: true"),
        read(f"id: a, prompt: x, images: a.{suffix}", defaults=", orient: true"),
    ):
        assert warnings(upright) == []
        assert replace(only(upright), copy=None) == only(plain)
        assert only(upright).copy == "upright"
    assert only(read(f"id: a, prompt: x, images: a.{suffix}, orient: false", defaults=", orient: true")).copy is None


def test_an_upright_photo_is_sent_as_it_is(read, tmp_path):
    rotated(tmp_path / "one.jpg", 1)
    rotated(tmp_path / "odd.jpg", 9)
    Image.new("RGB", (4, 4)).save(tmp_path / "none.jpg")
    for name in ("one", "odd", "none"):
        before = read(f"id: a, prompt: x, images: {name}.jpg")
        after = read(f"id: a, prompt: x, images: {name}.jpg, orient: true, convert: png")
        assert warnings(before) == warnings(after) == []
        assert [job.fingerprint for job in before.jobs] == [job.fingerprint for job in after.jobs]


def test_a_copy_is_part_of_the_fingerprint_and_of_nothing_else(read, tmp_path):
    rotated(tmp_path / "a.jpg")
    [before] = read("prompt: x, images: a.jpg").jobs
    [after] = read("prompt: x, images: a.jpg, orient: true").jobs
    assert before.key == after.key
    assert before.fingerprint != after.fingerprint
    for rule in RULES:
        old = fingerprint(before.task, rule)
        assert unchanged(old, before.task, before.fingerprint)
        assert not unchanged(old, after.task, after.fingerprint)


def test_fingerprints_of_jobs_without_a_copy_are_those_of_the_version_before():
    task = Task(kind=Kind.EDIT, prompt="x", provider="p", model="m", images=(Source(path="/a", sha256="0" * 64),))
    assert fingerprint(task, "1") == "1:30be120edb70ebe2c893e58856219050aa1e87619667f9515877a072c31fcf8e"


def test_masks_are_as_large_as_what_is_sent(read, refused, tmp_path):
    rotated(tmp_path / "a.jpg", 6, (40, 30))
    Image.new("RGBA", (30, 40)).save(tmp_path / "upright.png")
    Image.new("RGBA", (40, 30)).save(tmp_path / "stored.png")
    assert only(read("id: a, prompt: x, images: a.jpg, mask: stored.png")).copy is None
    assert only(read("id: a, prompt: x, images: a.jpg, mask: upright.png, orient: true")).copy == "upright"
    [found] = refused("id: a, prompt: x, images: a.jpg, mask: upright.png")
    assert "it is 30x40, the first image is 40x30; upright it has that size: write orient: true" in found
    [found] = refused("id: a, prompt: x, images: a.jpg, mask: stored.png, orient: true")
    assert "it is 40x30, the first image is 30x40" in found


def test_a_thousand_rotated_photos_are_one_line(read, tmp_path):
    rotated(tmp_path / "ph" / "p0.jpg")
    data = (tmp_path / "ph" / "p0.jpg").read_bytes()
    for number in range(1, 1000):
        (tmp_path / "ph" / f"p{number:03}.jpg").write_bytes(data + number.to_bytes(4, "big"))
    [rotation] = [text for text in warnings(read("prompt: x, from: ph")) if "rotated" in text]
    assert rotation == (
        "1,000 images are stored rotated (EXIF), which a provider may ignore "
        "(ph/p0.jpg, ph/p001.jpg, ph/p002.jpg, ...) (orient: true sends an upright copy)"
    )


# --- other traits -----------------------------------------------------------------------------------------------------


def odd_photos(folder: Path) -> None:
    noise = Image.effect_noise((20, 10), 90).convert("RGB")
    noise.convert("CMYK").save(folder / "cmyk.jpg")
    Image.new("I;16", (20, 10), 40_000).save(folder / "deep.png")
    for name in ("moving.png", "moving.webp"):
        noise.save(folder / name, save_all=True, append_images=[Image.new("RGB", (20, 10), "red")])
    noise.save(folder / "views.jpg", format="MPO", save_all=True, append_images=[noise])
    noise.convert("P").save(folder / "palette.png", transparency=0)
    noise.save(folder / "progressive.jpg", progressive=True)


def test_cmyk_deep_and_animated_photos_are_warned_of(read, tmp_path):
    odd_photos(tmp_path)
    found = warnings(read("prompt: x, id: '{{ path }}', from: ['*.jpg', '*.png', '*.webp']"))
    assert found == [
        "cmyk.jpg is in CMYK, colours for print (convert: jpeg sends a copy in RGB)",
        "deep.png is in more than 8 bits per channel (convert: png sends a copy with 8 bits)",
        "2 images are animated (moving.png, moving.webp) (convert: png sends the first frame)",
    ]
    batch = read("prompt: x, id: '{{ path }}', convert: jpeg, from: ['*.jpg', '*.png', '*.webp']")
    assert warnings(batch) == []
    copies = {job.key: (source.copy, source.mime) for job in batch.jobs for source in job.task.images}
    assert copies == {
        "cmyk.jpg": ("jpeg", "image/jpeg"), "deep.png": ("jpeg", "image/jpeg"), "moving.png": ("jpeg", "image/jpeg"),
        "moving.webp": ("jpeg", "image/jpeg"), "views.jpg": (None, "image/jpeg"), "palette.png": (None, "image/png"),
        "progressive.jpg": (None, "image/jpeg"),
    }  # fmt: skip


@pytest.mark.parametrize("kind", ["AVIF", "TIFF", "BMP", "GIF", "JPEG2000", "HEIC"])
def test_kinds_that_providers_refuse_are_converted_on_request(read, refused, tmp_path, kind):
    image = Image.effect_noise((20, 10), 90).convert("RGB")
    if kind == "HEIC":
        pytest.importorskip("pillow_heif").from_pillow(image).save(tmp_path / "a.img")
    else:
        image.save(tmp_path / "a.img", format=kind)
    [found] = refused("id: a, prompt: x, images: a.img")
    assert "providers accept PNG, JPEG and WebP: write convert: jpeg (or png) to send a converted copy" in found
    for form in ("jpeg", "png"):
        source = only(read(f"id: a, prompt: x, images: a.img, convert: {form}"))
        assert (source.copy, source.mime) == (form, f"image/{form}")
        assert source.sha256 == hashlib.sha256((tmp_path / "a.img").read_bytes()).hexdigest()


def test_heic_without_its_package_names_what_to_install(refused, tmp_path, monkeypatch):
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(200))
    monkeypatch.setattr(heif, "is_installed", lambda: False)
    [found] = refused("id: a, prompt: x, images: a.heic, convert: jpeg")
    assert "a.heic is HEIC: install what reads it, pip install 'batchgen[heif]', and write convert: jpeg" in found


def test_damaged_files_of_other_kinds_are_refused(refused, tmp_path):
    pytest.importorskip("pillow_heif")
    (tmp_path / "a.heic").write_bytes(b"\0\0\0\x1cftypheic\0\0\0\0mif1heicmiaf" + bytes(200))
    (tmp_path / "b.gif").write_bytes(b"GIF89a" + bytes(3))
    for name, words in (("a.heic", "is damaged: the HEIC image cannot be read"), ("b.gif", "is damaged")):
        assert f"{name} {words}" in refused(f"id: a, prompt: x, images: {name}, convert: png")[0]


def test_columns_named_orient_or_convert_stay_variables(read, tmp_path):
    (tmp_path / "l.csv").write_text("id,orient,convert\na,portrait,no\n", encoding="utf-8")
    [job] = read("from: l.csv, prompt: 'A {{ orient }} of {{ convert }}'").jobs
    assert job.prompt == "A portrait of no"


def test_sources_at_a_url_are_neither_turned_nor_converted(read):
    job = "id: a, prompt: x, images: [https://x.example/a.jpg, https://x.example/b.jpg]"
    assert warnings(read(job)) == []
    [found] = warnings(read(job, defaults=", orient: true"))
    assert found == (
        "2 images are sent unchanged: orient and convert are for files (https://x.example/a.jpg, "
        "https://x.example/b.jpg) (download it, and name the file)"
    )


# --- on_bad_source ----------------------------------------------------------------------------------------------------


def test_bad_photos_are_skipped_on_request(read, refused, tmp_path):
    for name in ("a", "b", "c"):
        rotated(tmp_path / "ph" / f"{name}.jpg", 1)
    (tmp_path / "ph" / "b.jpg").write_bytes(b"\xff\xd8\xff cut")
    (tmp_path / "ph" / "c.jpg").write_bytes(b"")
    assert len(refused("from: ph, prompt: x")) == 2
    batch = read("from: ph, prompt: x", top="on_bad_source: skip\n")
    assert [job.key for job in batch.jobs] == ["a"]
    assert batch.skipped.count == 2
    assert [reason.partition(" is ")[0] for reason in batch.skipped.reasons] == ["ph/b.jpg", "ph/c.jpg"]
    [warning] = warnings(batch)
    assert warning.startswith("2 jobs are skipped: ph/b.jpg is damaged: ")
    assert warning.endswith("; ph/c.jpg is empty (fix the image, and the next run makes it)")


def test_many_skipped_photos_are_one_line(read, tmp_path):
    rotated(tmp_path / "ph" / "a.jpg", 1)
    for number in range(40):
        (tmp_path / "ph" / f"b{number:02}.jpg").write_bytes(b"")
    batch = read("from: ph, prompt: x", top="on_bad_source: skip\n")
    [warning] = warnings(batch)
    assert warning.startswith("40 jobs are skipped: ph/b00.jpg is empty; ph/b01.jpg is empty; ")
    assert "ph/b04.jpg is empty; and 35 more, which plan --json names (" in warning
    assert len(batch.skipped.reasons) == 40


def test_a_bad_mask_or_a_missing_photo_is_skipped_too(read, tmp_path):
    rotated(tmp_path / "a.jpg", 1)
    (tmp_path / "l.csv").write_text("id,images,mask\na,a.jpg,\nb,a.jpg,a.jpg\nc,A.jpg,\n", encoding="utf-8")
    batch = read("from: l.csv, prompt: x", top="on_bad_source: skip\n")
    assert [job.key for job in batch.jobs] == ["a"]
    assert batch.skipped.reasons[0] == "the mask a.jpg is not a PNG"
    assert batch.skipped.reasons[1].endswith("; did you mean 'a.jpg'?")


def test_a_batch_without_any_good_photo_is_refused(refused, tmp_path):
    (tmp_path / "ph").mkdir()
    (tmp_path / "ph" / "a.jpg").write_bytes(b"")
    assert "ph/a.jpg is empty" in refused("from: ph, prompt: x", top="on_bad_source: skip\n")[0]
    assert "should be 'stop' or 'skip'" in refused("from: ph, prompt: x", top="on_bad_source: ignore\n")[0]


# --- names and damage -------------------------------------------------------------------------------------------------


def test_a_name_in_another_unicode_form_is_the_same_job(read, tmp_path):
    rotated(tmp_path / normalize("NFD", "Señor Füße.jpg"), 1)
    found = [only(read(f"id: a, prompt: x, images: '{normalize(form, 'Señor Füße.jpg')}'")) for form in ("NFC", "NFD")]
    assert found[0] == found[1]
    assert found[0].path == str(tmp_path / normalize("NFD", "Señor Füße.jpg"))


@pytest.mark.parametrize("name", ["[a].jpg", "*.jpg", "what?.jpg", " lead.jpg", "x;y.jpg", "{b}.jpg", "é[1].jpg"])
def test_a_literal_name_comes_before_a_glob(read, tmp_path, name):
    rotated(tmp_path / "a.jpg", 1)
    rotated(tmp_path / normalize("NFD", name), 3)
    assert only(read(f'id: a, prompt: x, images: ["{name}"]')).path == str(tmp_path / normalize("NFD", name))


def test_bytes_behind_the_end_of_a_jpeg_are_no_damage(read, tmp_path):
    rotated(tmp_path / "a.jpg", 1, (1600, 1200))
    whole = (tmp_path / "a.jpg").read_bytes()
    for behind in (bytes(100), b"\xff" * 50, b"\0\0\0\x18ftypmp42" + bytes(3000), whole, b"MotionPhoto_Data"):
        (tmp_path / "a.jpg").write_bytes(whole + behind)
        assert only(read("id: a, prompt: x, images: a.jpg")).size_bytes == len(whole + behind)


def test_headers_are_read_without_decoding_a_photo(read, tmp_path, monkeypatch):
    for number, suffix in enumerate(("jpg", "png", "webp")):
        rotated(tmp_path / "ph" / f"{number}.{suffix}", 6, (1600, 1200))
    monkeypatch.setattr("PIL.ImageFile.ImageFile.load", lambda *_: pytest.fail("pixels were decoded"))
    assert len(read("from: ph, prompt: x").jobs) == 3


@pytest.mark.parametrize("name", ["Lamp [big].jpg", "mugs/red.jpg"])
def test_a_photo_in_another_folder_is_offered(refused, tmp_path, name):
    path = tmp_path / "photos" / name
    path.parent.mkdir(parents=True)
    rotated(path, 1)
    message = refused(f'id: a, prompt: x, images: "{name}"')[0]
    assert "there is no such file" in message
    assert message.endswith(f"did you mean 'photos/{name}'?")


@pytest.mark.parametrize(
    ("images", "path"),
    [("images: '{{ Foto }}', ", ""), ("images: 'raw/{{ Foto }}', ", "raw/"), ("columns: {images: Foto}, ", "")],
)
def test_photos_of_a_list_in_another_folder_are_one_mistake(refused, tmp_path, images, path):
    names = [f"cup {number} [{'abc'[number % 3]}].jpg" for number in range(30)]
    (tmp_path / "photos" / path).mkdir(parents=True)
    for name in names:
        rotated(tmp_path / "photos" / path / name, 1)
    (tmp_path / "list.csv").write_text("\n".join(["SKU,Foto", *(f"{n},{name}" for n, name in enumerate(names))]))
    first, *_, last = found = refused(f"from: list.csv, id: 'p{{{{ SKU }}}}', {images}prompt: x")
    assert len(found) == 4
    assert "there is no such file" in first
    assert first.endswith(f'write  images: "photos/{path}{{{{ Foto }}}}")')
    assert "the same mistake in 27 more places" in last


def test_a_pattern_that_differs_in_case_says_so(refused, tmp_path):
    rotated(tmp_path / "a.JPG", 1)
    assert "matches no file in" in refused('id: a, prompt: x, images: "*.png"')[0]
    assert refused('id: a, prompt: x, images: "*.jpg"')[0].endswith("; upper and lower case count")
