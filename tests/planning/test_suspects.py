"""Suspects: each kind by the facts that make one, and by those that do not."""

from __future__ import annotations

import random
from dataclasses import replace

import pytest

from batchgen.picture import SUSPECT_KINDS, PictureFacts, Suspect
from batchgen.planning.resemblance import Look, pairs
from batchgen.planning.suspects import NEAR, SAME, ExaminedPicture, find_suspects
from batchgen.task import Kind, Task

GREY = "808080" * 16


def facts(sha: str = "a", **changes: object) -> PictureFacts:
    """Return facts of a picture whose hash and colours follow from *sha*, so that others look different."""
    dice = random.Random(sha)
    values: dict[str, object] = {
        "sha256": sha,
        "size_bytes": 1000,
        "mime": "image/png",
        "width": 1024,
        "height": 1024,
        "dhash": f"{dice.getrandbits(256):064x}",
        "colour": bytes(dice.randrange(256) for _ in range(48)).hex(),
        "thumb_width": 384,
        "thumb_height": 384,
    }
    return PictureFacts(**values | changes)  # type: ignore[arg-type]


def picture(key: str, found: PictureFacts, sources: tuple[PictureFacts, ...] = (), **asked: object) -> ExaminedPicture:
    task = Task(kind=Kind.EDIT if sources else Kind.GENERATE, prompt="a cat", provider="aigate", model="gpt-image-2")
    return ExaminedPicture(
        job_id=int(key.rsplit("-", maxsplit=1)[-1]),
        key=key,
        ordinal=0,
        artifact_id=7,
        task=replace(task, **asked),  # type: ignore[arg-type]
        facts=found,
        provider="aigate",
        model="gpt-image-2",
        sources=sources,
    )


def kinds(*pictures: ExaminedPicture) -> list[tuple[int, str]]:
    found = find_suspects(pictures)
    assert {each.kind for each in found} <= set(SUSPECT_KINDS)
    assert all(each.detail for each in found)
    return [(each.job_id, each.kind) for each in found]


def flipped(look: PictureFacts, bits: int, colour: int = 0, **changes: object) -> PictureFacts:
    """Return facts of another file that differ in so many bits, and in one channel by *colour*."""
    places = random.Random(bits).sample(range(256), bits)
    cells = bytearray.fromhex(look.colour)
    cells[20] += colour if cells[20] < 128 else -colour
    other = int(look.dhash, 16) ^ sum(1 << place for place in places)
    return replace(look, sha256=f"{look.sha256}+{bits}.{colour}", dhash=f"{other:064x}", colour=cells.hex(), **changes)


@pytest.mark.parametrize(
    ("changes", "asked", "expected"),
    [
        ({}, {}, []),
        ({"error": "cut off"}, {"size": "512x512"}, ["unreadable"]),
        ({"width": 64, "height": 64}, {}, ["tiny"]),
        ({"width": 64, "height": 64}, {"size": "64x64"}, []),
        ({"uniform": True}, {}, ["one-colour"]),
        ({}, {"size": "1024x1024"}, []),
        ({}, {"size": "auto"}, []),
        ({}, {"size": "0x0"}, []),
        ({}, {"size": "512x512"}, []),
        ({}, {"size": "1536x1024"}, ["wrong-size"]),
        ({}, {"size": "2048x2048"}, ["wrong-size"]),
        ({"width": 1344, "height": 768}, {"size": "16:9"}, []),
        ({"width": 896, "height": 1152}, {"size": "4:5"}, []),
        ({}, {"size": "4:5"}, ["wrong-size"]),
        ({}, {"background": "transparent"}, ["no-alpha"]),
        ({"alpha": True}, {"background": "transparent"}, []),
        ({}, {"background": "opaque"}, []),
    ],
)
def test_a_picture_by_itself(changes, asked, expected):
    assert kinds(picture("cat-1", facts(**changes), **asked)) == [(1, kind) for kind in expected]


def test_of_equal_files_the_later_ones_are_suspect():
    found = find_suspects([picture("cat-1", facts("a")), picture("cat-2", facts("b")), picture("cat-3", facts("a"))])
    expected = {"job_id": 3, "ordinal": 0, "artifact_id": 7, "kind": "duplicate", "detail": "the same file as cat-1"}
    assert found == [Suspect(**expected, other_job_id=1, other_ordinal=0)]


def test_pictures_of_one_job_may_be_duplicates():
    first = picture("cat-1", facts("a"))
    again = replace(first, ordinal=1)
    third = replace(first, ordinal=2, facts=flipped(first.facts, 3))
    found = find_suspects([first, again, third])
    assert [(each.kind, each.ordinal, each.other_ordinal) for each in found] == [
        ("duplicate", 1, 0),
        ("near-duplicate", 2, 0),
    ]


@pytest.mark.parametrize(
    ("bits", "colour", "is_near"),
    [(0, 0, True), (10, 0, True), (11, 0, False), (10, 8, True), (10, 9, False), (0, 9, False)],
)
def test_a_near_duplicate_differs_in_few_bits_and_no_colour_by_much(bits, colour, is_near):
    first = facts("a")
    found = kinds(picture("cat-1", first), picture("cat-2", flipped(first, bits, colour)))
    assert found == ([(2, "near-duplicate")] if is_near else [])


def test_other_proportions_and_one_colour_are_no_near_duplicates():
    first = facts("a")
    assert kinds(picture("cat-1", first), picture("cat-2", flipped(first, 2, width=1536))) == []
    plain = facts("b", uniform=True, dhash="0" * 64)
    assert kinds(picture("cat-1", plain), picture("cat-2", replace(plain, sha256="c"))) == [
        (1, "one-colour"),
        (2, "one-colour"),
    ]


def test_edits_of_one_source_may_look_alike():
    source = facts("photo")
    one, other, equal = flipped(source, 3, 20), flipped(source, 4, 26), flipped(source, 5, 20)
    edits = [picture(f"e-{number}", each, (source,)) for number, each in enumerate((one, other, equal), 1)]
    assert kinds(*edits) == [(3, "near-duplicate")]
    assert [(each.job_id, each.other_job_id) for each in find_suspects(edits)] == [(3, 1)]
    unrelated = [picture(f"e-{number}", each) for number, each in enumerate((one, other), 1)]
    assert kinds(*unrelated) == [(2, "near-duplicate")]


def test_an_edit_that_looks_like_its_source_is_suspect():
    source = facts("photo")
    assert kinds(picture("e-1", source, (source,))) == [(1, "same-as-source")]
    assert kinds(picture("e-1", flipped(source, 8, 2), (facts("mask"), source))) == [(1, "same-as-source")]
    assert kinds(picture("e-1", flipped(source, 3, 3), (source,))) == []
    assert kinds(picture("e-1", facts("b"), (replace(source, error="gone"),))) == []


def test_a_picture_without_c2pa_is_suspect_only_among_signed_ones():
    signed = [picture(f"s-{number}", facts(f"s{number}", c2pa=True)) for number in range(4)]
    bare = [picture(f"b-{number}", facts(f"b{number}")) for number in (8, 9)]
    assert kinds(*signed, bare[0]) == [(8, "no-c2pa")]
    assert kinds(*signed, *bare) == []
    assert kinds(*signed, replace(bare[0], model="other")) == []


def test_every_pair_is_found_among_thousands_that_share_most_bands():
    dice = random.Random(7)

    def on_white() -> PictureFacts:
        bits = sum(dice.getrandbits(1) << row * 16 + column for row in range(5, 11) for column in range(5, 11))
        cells = bytearray([250] * 48)
        for place in (5, 6, 9, 10):
            cells[place * 3 : place * 3 + 3] = bytes(dice.randrange(60, 240) for _ in range(3))
        return facts(dhash=f"{bits:064x}", colour=cells.hex())

    looks = [on_white() for _ in range(3000)]
    planted = dice.sample(range(3000), 60)
    looks += [flipped(looks[index], dice.randrange(11), dice.randrange(9)) for index in planted]
    found = dict(pairs([Look.of(each) for each in looks], NEAR))
    assert [found.get(index) for index in range(3000, 3060)] == planted


def test_pairs_agree_with_comparing_each_with_each():
    dice = random.Random(3)
    bases = [facts(str(number)) for number in range(12)]
    looks = [Look.of(flipped(dice.choice(bases), dice.randrange(16), dice.randrange(12))) for _ in range(150)]
    expected = {
        index: other
        for index, look in enumerate(looks)
        if (other := next((o for o in range(index) if looks[o].resembles(look, SAME)), None)) is not None
    }
    assert dict(pairs(looks, SAME)) == expected


def test_thousands_of_equal_pictures_are_compared_with_a_few():
    look = Look.of(facts(dhash="0" * 64, colour=GREY))
    compared = []
    found = list(pairs([look] * 5000, NEAR, lambda one, other: not compared.append((one, other))))
    assert found == [(index, 0) for index in range(1, 5000)]
    assert len(compared) == 4999
