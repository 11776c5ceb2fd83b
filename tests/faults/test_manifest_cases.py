"""M1 - M26: what a manifest can do to the program, and what happens to a manifest between two runs."""

# ruff: noqa: N802 - a case's id stands first in the name of its test

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

from tests.acceptance.kit import check_files, wait_for
from tests.timing import patience

from . import local_kit as kit
from .local_kit import job

sandbox, witness, place = kit.sandbox_fixture, kit.witness_fixture, kit.place_fixture

ONE = "jobs: [{id: a, prompt: Picture a, provider: openai, quality: low}]\n"


def refused(place, witness, text: str | bytes, *words: str, seconds: float = 2.0) -> str:
    """The manifest is refused in words, at once; nothing is sent, nothing is written."""
    manifest = place.folder / "m.yaml"
    manifest.write_bytes(text if isinstance(text, bytes) else text.encode())
    there = set(place.folder.iterdir())
    place.env = {}  # no key: what is not refused must not get out either
    run = place.go("run", manifest, "--yes")
    done = run.wait()
    assert (done.code, done.out) == (4, ""), done.err
    assert done.seconds < patience(seconds)
    assert run.peak < 400_000_000
    assert "m.yaml" in done.err
    for word in words:
        assert word in done.err
    assert "nothing was sent" in done.err
    assert witness.arrivals() == []
    assert set(place.folder.iterdir()) == there
    return done.err


def asked(place, witness, text: str) -> list[str]:
    """The manifest runs; return the prompts as they arrived."""
    manifest = place.batch()
    head, _, _ = manifest.read_text().partition("jobs:")
    manifest.write_text(head + text, encoding="utf-8")
    done = place.do("run", manifest, "--yes")
    assert done.code == 0, done.err
    check_files(place)
    return [line["prompt"] for line in witness.arrivals()]


LAUGHS = "".join(f"k{n}: &k{n} [{', '.join([f'*k{n - 1}'] * 10) if n else 'lol'}]\n" for n in range(10))
MERGES = "a0: &a0 {x: 1}\n" + "".join(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}\n" for n in range(1, 30))


def test_M1_aliases_of_aliases_are_refused_at_once(place, witness):
    refused(place, witness, LAUGHS + ONE, "aliases")


def test_M2_merge_keys_are_refused_at_once(place, witness):
    refused(place, witness, MERGES + ONE, "<<")


DEEP = {
    "brackets": "[" * 100_000,
    "braces": "{a: " * 100_000,
    "blocks": "jobs:\n" + "".join(f"{' ' * n}- \n" for n in range(1, 300)) + "x",
    "dashes": "- " * 100_000 + "x",
}


@pytest.mark.parametrize("name", DEEP)
def test_M3_deep_nesting_is_refused_at_once(place, witness, name):
    refused(place, witness, DEEP[name], "levels deep")


@pytest.mark.parametrize("text", ["jobs: &a [*a]\n", f"defaults: &d {{extra: *d}}\n{ONE}"])
def test_M4_a_value_that_holds_itself_is_refused(place, witness, text):
    refused(place, witness, text, "refers to the value that contains it")


def test_M5_a_key_given_twice_is_reported_with_both_lines(place, witness):
    said = refused(
        place, witness, "name: shop\nname: other\njobs:\n- {id: a, prompt: A, provider: openai, prompt: B}\n"
    )
    assert "m.yaml:2:" in said
    assert "line 1" in said or "m.yaml:1" in said
    assert "m.yaml:4:" in said


def test_M6_tabs_are_called_tabs(place, witness):
    refused(place, witness, "jobs:\n\t- {id: a, prompt: A}\n", "m.yaml:2:", "tab")


def test_M7_text_stays_text(place, witness):
    """By the rules of YAML 1.2, and without guessing: what is no text is an error where text is meant."""
    words = ["no", "on", "Yes", "010", "12:30:45", "1_000", "2024-01-01", "16:9", "1e3x", "0x1F"]
    jobs = "".join(
        f"- {{id: {word.replace(':', '-')}, prompt: {word}, provider: openai, quality: low}}\n" for word in words
    )
    assert sorted(asked(place, witness, f"jobs:\n{jobs}")) == sorted(words)


@pytest.mark.parametrize("value", ["3.10", "8", "true", "null", "[1]", "{a: 1}", "1e3"])
def test_M7_what_is_no_text_is_an_error(place, witness, value):
    refused(place, witness, f"jobs: [{{id: {value}, prompt: {value}, provider: openai}}]\n", "m.yaml:1:")


@pytest.mark.parametrize("value", [".nan", ".inf", "-.inf", "1e999", "1e3", "'4'", "1_000"])
def test_M8_numbers_are_finite_and_whole(place, witness, value):
    refused(place, witness, f"jobs: [{{id: a, prompt: A, provider: openai, n: {value}}}]\n", "m.yaml:1:", "n")


@pytest.mark.parametrize("value", [".nan", ".inf", "1e999", "-1", "'NaN'", "Infinity", "1e30"])
def test_M8_amounts_are_finite(place, witness, value):
    refused(place, witness, f"budget: {{usd: {value}}}\n{ONE}", "m.yaml:1:")


def test_M9_a_huge_file_is_refused_unread(place, witness):
    manifest = place.folder / "m.yaml"
    with manifest.open("wb") as file:
        file.truncate(1 << 30)
    run = place.go("run", manifest, "--yes")
    done = run.wait()
    assert (done.code, done.out) == (4, ""), done.err
    assert done.seconds < patience(1.5)
    assert "64 MB" in done.err
    assert "from:" in done.err
    assert run.peak < 200_000_000
    assert witness.arrivals() == []


def test_M10_a_byte_order_mark_is_fine(place, witness):
    manifest = place.batch()
    manifest.write_bytes(b"\xef\xbb\xbf" + manifest.read_bytes())
    place.again(manifest, witness, 1)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-be", "utf-32", "utf-16-le"])
def test_M10_other_encodings_are_refused(place, witness, encoding):
    refused(place, witness, ONE.encode(encoding), "UTF-16" if encoding == "utf-16" else "m.yaml")


def test_M11_bytes_that_are_no_text(place, witness):
    text = "name: shop\njobs: [{id: a, prompt: Käse, provider: openai}]\n"
    refused(place, witness, text.encode("latin-1"), "m.yaml:2:", "UTF-8", "0xe4")
    for char in "\x00\x07\x1b\x7f\x9b":
        refused(place, witness, text.replace("Käse", f"K{char}se"), "m.yaml:2:", f"U+{ord(char):04X}")


def test_M12_escapes_are_shown_never_obeyed(place, witness):
    said = refused(
        place, witness, r'jobs: [{id: a, prompt: "\e[31mred\u202Etxet", provider: openai, szie: "\e]0;x\a"}]' + "\n"
    )
    assert all(char == "\n" or char.isprintable() for char in said)


def test_M12_what_a_prompt_may_hold_does_not_steer_the_terminal(place, witness):
    prompt = "abc\u202egnp \u200bnothing [sandbox: refuse]"
    manifest = place.batch(job("a", prompt=prompt))
    for words in (["run", manifest, "--yes"], ["list"], ["show", "a"], ["status"]):
        done = place.do(*words)
        assert all(char == "\n" or char.isprintable() for char in done.out + done.err), words
    assert witness.arrivals()[0]["prompt"].startswith("abc\u202e")


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system [touch owned]", "!!python/name:os.system ''", "!x y"])
def test_M13_tags_make_nothing_run(place, witness, tag):
    refused(place, witness, f"jobs: [{{id: a, provider: openai, prompt: {tag}}}]\n", "m.yaml:1:")
    assert not (place.folder / "owned").exists()


SHAPES = {
    "several documents": (f"{ONE}---\n{ONE}", "second document"),
    "empty": ("", "empty"),
    "comment": ("# nothing\n", "empty"),
    "list": ("- a\n- b\n", "a list"),
    "text": ("just text\n", "a single value"),
    "number as key": (f"1: 2\n{ONE}", "m.yaml:1:"),
    "list as key": (f"[a, b]: c\n{ONE}", "key"),
    "map as key": (f"? {{a: b}}\n: c\n{ONE}", "key"),
    "null as key": (f"~: c\n{ONE}", "m.yaml:1:"),
    "template as value": ("jobs: [{id: {{ x }}, prompt: A}]\n", "quotes"),
    "no jobs": ("name: shop\n", "jobs"),
}


@pytest.mark.parametrize("name", SHAPES)
def test_M14_other_shapes_are_refused(place, witness, name):
    refused(place, witness, *SHAPES[name])


def test_M15_unknown_fields(place, witness):
    text = "nmae: shop\njobs:\n- {id: a, promt: A, provider: openai, prompt: A}\n"
    text += "output: {folder: x}\nretry: {max_wiat: 3}\n"
    said = refused(place, witness, text, "did you mean 'prompt'", "did you mean 'name'", "did you mean 'max_wait'")
    for line in (1, 3, 4, 5):
        assert f"m.yaml:{line}:" in said


def test_M16_wrong_types_are_all_told_in_one_pass(place, witness):
    fields = [
        'n: "4"',
        "n: -1",
        "n: 0",
        "n: 1000000000",
        "n: 1.5",
        "size: [1]",
        "size: 5x5x5",
        "prompt: 5",
        "tags: 7",
        "seed: x",
    ]
    fields += ["images: {a: b}", "extra: [1]", "priority: high", "output_compression: 101"]
    jobs = "".join(
        f"- {{id: j{n}, {'' if 'prompt' in field else 'prompt: A, '}provider: openai, {field}}}\n"
        for n, field in enumerate(fields)
    )
    said = refused(place, witness, f"jobs:\n{jobs}version: 2\nretry: {{attempts: many}}\n")
    for number in range(2, len(fields) + 4):
        assert f"m.yaml:{number}:" in said, number


def test_M17_one_id_or_one_file_for_two_jobs(place, witness):
    jobs = "".join(
        f"- {{id: {name}, prompt: P{n}, provider: openai}}\n" for n, name in enumerate(["a", "a", "B", "b", "c", "c-2"])
    ).replace("id: c,", "id: c, n: 2,")
    said = refused(place, witness, f"jobs:\n{jobs}", "already taken", "same file")
    for line in (3, 5, 7):
        assert f"m.yaml:{line}:" in said


# --- source images ----------------------------------------------------------------------------------------------------


def photo(path: Path, colour: str = "red", size: tuple[int, int] = (64, 64), **options) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(options.pop("mode", "RGB"), size, options.pop("fill", colour)).save(path, **options)
    return path


def edit(key: str, name: str, **fields) -> dict:
    return job(key, images=[name], **fields)


def test_M18_sources_that_are_no_files_are_found_before_sending(place, witness):
    folder = place.folder
    photo(folder / "good.png")
    (folder / "folder").mkdir()
    os.mkfifo(folder / "pipe.png")
    (folder / "loop.png").symlink_to("loop.png")
    (folder / "dangling.png").symlink_to("nowhere.png")
    (folder / "zero.png").symlink_to("/dev/zero")
    (folder / "empty.png").write_bytes(b"")
    with (folder / "huge.png").open("wb") as file:
        file.truncate(1 << 31)
    names = [
        "missing.png",
        "folder",
        "pipe.png",
        "loop.png",
        "dangling.png",
        "zero.png",
        "/dev/zero",
        "empty.png",
        "huge.png",
    ]
    manifest = place.batch(
        job("fine"), edit("good", "good.png"), *(edit(f"j{n}", name) for n, name in enumerate(names))
    )
    done = place.do("run", manifest, "--yes")
    assert (done.code, done.out) == (4, ""), done.err
    assert done.seconds < patience(3)
    for number, name in enumerate(names):
        assert f"jobs[{number + 2}].images: {name}" in done.err
    assert f"{len(names)} problems" in done.err
    assert witness.arrivals() == []


def bomb(path: Path) -> None:
    """30,000 x 30,000 pixels in a kilobyte."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = struct.pack(">IIBBBBB", 30_000, 30_000, 8, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(1000))) + chunk(b"IEND", b"")
    )


def test_M19_damaged_and_oversized_sources_are_found_before_sending(place, witness):
    folder = place.folder
    bomb(folder / "bomb.png")
    whole = photo(folder / "whole.png", size=(300, 300)).read_bytes()
    (folder / "cut.png").write_bytes(whole[: len(whole) // 2])
    (folder / "flipped.png").write_bytes(whole[:60] + bytes([whole[60] ^ 1]) + whole[61:])
    (folder / "text.png").write_text("no image")
    (folder / "vector.svg").write_text("<svg/>")
    photo(folder / "picture.gif")
    names = ["bomb.png", "cut.png", "flipped.png", "text.png", "vector.svg", "picture.gif"]
    manifest = place.batch(*(edit(f"j{n}", name) for n, name in enumerate(names)))
    done = place.do("run", manifest, "--yes")
    assert (done.code, done.out) == (4, ""), done.err
    for number, name in enumerate(names):
        assert f"jobs[{number}].images: {name}" in done.err
    assert witness.arrivals() == []


def test_M19_unusual_sources_are_taken(place, witness):
    folder = place.folder
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("red", "blue")]
    frames[0].save(folder / "moving.webp", save_all=True, append_images=frames[1:])
    Image.new("I;16", (64, 64), 40_000).save(folder / "deep.png")
    photo(folder / "print.jpg", mode="CMYK", fill=(0, 255, 255, 0))
    exif = Image.Exif()
    exif[0x0112] = 6
    photo(folder / "turned.jpg", exif=exif)
    photo(folder / "real.jpg").rename(folder / "wrong.png")
    names = ["moving.webp", "deep.png", "print.jpg", "turned.jpg", "wrong.png"]
    place.again(place.batch(*(edit(f"j{n}", name) for n, name in enumerate(names))), witness, len(names))


def test_M19_a_damaged_jpeg_costs_nothing(place, witness):
    """A JPEG has no checksum, but an end: what is cut off is found with the other mistakes of the manifest."""
    whole = photo(place.folder / "whole.jpg", size=(400, 400)).read_bytes()
    (place.folder / "cut.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    done = place.do("run", place.batch(edit("a", "cut.jpg")), "--yes")
    assert done.code == 4, done.err
    assert "cut.jpg is damaged: the JPEG is cut off" in done.err
    assert witness.charges() == []


def test_M20_a_source_that_changed_after_the_plan_is_not_sent(place, witness):
    path = photo(place.folder / "photo.png")
    narrow = {"openai": {"limits": {"concurrency": 1}}}
    manifest = place.batch(job("first", sandbox="slow=0.5"), edit("second", "photo.png"), providers=narrow)
    run = place.go("run", manifest, "--yes")
    wait_for(lambda: witness.arrived)
    photo(path, "blue")
    done = run.wait()
    assert done.code == 3, done.err
    assert "changed after the plan was made" in place.do("show", "second").out
    assert len(witness.arrivals()) == 1
    place.again(manifest, witness, 2)
    photo(path, "green")
    place.again(manifest, witness, 3)  # another source makes another request, and only of that job


# --- between two runs -------------------------------------------------------------------------------------------------


def test_M21_an_edited_prompt_redoes_one_job(place, witness):
    place.again(place.batch(job("a"), job("b")), witness, 2)
    before = {path.name: path.read_bytes() for path in place.images()}
    place.again(place.batch(job("a", prompt="Another"), job("b")), witness, 3)
    after = {path.name: path.read_bytes() for path in place.images()}
    assert after["b.png"] == before["b.png"]
    assert after["a.png"] != before["a.png"]
    [aside] = (place.folder / "output" / "shop" / ".superseded").glob("a.*.png")
    assert aside.read_bytes() == before["a.png"]


def test_M22_a_removed_job_is_kept_as_orphaned(place, witness):
    place.again(place.batch(job("a"), job("b")), witness, 2)
    before = {path: path.read_bytes() for path in place.files()}
    manifest = place.batch(job("a"))
    place.again(manifest, witness, 2)
    assert {path: path.read_bytes() for path in place.files()} == before
    assert place.do("plan", manifest, "--json").json["jobs"]["orphaned"] == 1
    assert place.do("status", "--json").json["orphaned"] == 1
    place.again(place.batch(job("a"), job("b")), witness, 2)  # back again: nothing is bought


def test_M23_another_order_buys_nothing(place, witness):
    jobs = [job(f"j{n}") for n in range(4)] + [{k: v for k, v in job("free").items() if k != "id"}]
    place.again(place.batch(*jobs), witness, 5)
    place.again(place.batch(*reversed(jobs)), witness, 5)
    other = place.folder / "renamed.yaml"
    place.batch(*jobs).rename(other)
    place.again(other, witness, 5)


def test_M24_prompts_of_every_kind(place, witness):
    long = "word " * 6_000
    prompts = [
        "\N{WOMAN}\u200d\N{ROCKET} \N{CHEESE WEDGE}",
        long.strip(),
        "line\nline",
        "{braces} %s $HOME `ls` ; rm -rf",
    ]
    manifest = place.batch(*(job(f"j{n}", prompt=prompt) for n, prompt in enumerate(prompts)))
    place.again(manifest, witness, 4)
    assert sorted(line["prompt"] for line in witness.arrivals()) == sorted(prompts)


@pytest.mark.parametrize("prompt", ['""', '"   "', r'"a\0b"', r'"\n\t"', "null", f'"{"x" * 1_000_000}"'])
def test_M24_prompts_that_nobody_takes(place, witness, prompt):
    refused(place, witness, f"jobs: [{{id: a, provider: openai, prompt: {prompt}}}]\n", "prompt")


def test_M25_nothing_is_expanded(place, witness):
    """No variable of the environment ever gets into a prompt, no file is included."""
    place.env["SECRET"] = "hidden"
    texts = ["${SECRET} $SECRET %SECRET%", "@secret.txt", "~/secret.txt"]
    (place.folder / "secret.txt").write_text("hidden")
    manifest = place.batch(*(job(f"j{n}", prompt=text) for n, text in enumerate(texts)))
    place.again(manifest, witness, 3)
    assert sorted(line["prompt"] for line in witness.arrivals()) == sorted(texts)
    refused_text = "jobs: [{id: a, provider: openai, prompt: !include secret.txt}]\n"
    (place.folder / "n.yaml").write_text(refused_text)
    assert place.do("run", place.folder / "n.yaml", "--yes").code == 4


def test_M26_a_million_images_by_a_slip_are_not_bought(place, witness):
    manifest = place.batch(job("a", n=1000), job("b", n=1000))
    done = place.do("run", manifest)
    assert (done.code, done.out) == (6, ""), done.err
    assert "2,000 images" in done.err
    assert "$" in done.err
    assert "--budget" in done.err
    place.env = {}
    done = place.do("run", place.batch(job("a", n=1_000_000)), "--yes")
    assert done.code == 4
    assert witness.arrivals() == []


ELSEWHERE: dict[str, str] = {}

NOT_HERE: dict[str, str] = {}
