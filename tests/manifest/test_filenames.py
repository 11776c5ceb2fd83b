"""File names that are safe everywhere."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.manifest import filenames


@pytest.mark.parametrize(
    "name", ["a", "cat-2", "a/b/c", "poster_1.final", "Straße", "日本", "a b", "x" * 191, "👩‍🚀", "con1"]
)
def test_good_names(name):
    assert filenames.flaw(name) is None


@pytest.mark.parametrize(
    "name",
    [
        "", ".", "..", "../x", "a/../../b", "/etc/x", "C:\\x", "C:x", "\\\\srv\\x", "a\\b", "~", "~/x", "a//b", "a/",
        ".x",
        "-rf", "a/-b", "x.", "x ", " x", "a./b", "CON", "nul", "Com1.txt", "LPT9", "aux .x", "a:b", "a<b", "a?", 'a"b',
        "a|b",
        "a.png/b", "A.JPG/b",
        "a*", "a\0b", "a\nb", "a\x1b[31m", "a\u202eb", "a\u2028b", "x" * 192, "é" * 96, "a/" * 600 + "b",
    ],
)  # fmt: skip
def test_bad_names(name):
    assert filenames.flaw(name)


@given(st.text(max_size=300))
def test_a_good_name_stays_inside_and_fits_a_component(name):
    if filenames.flaw(name) is None:
        parts = name.split("/")
        assert all(part not in ("", ".", "..") and len(part.encode()) <= 191 for part in parts)
        assert not any(char in name for char in '\\:*?"<>|\0\n\r\x1b')


@given(st.text(max_size=200))
def test_slugs_are_short_safe_ascii(text):
    slug = filenames.slug(text)
    assert len(slug) <= 40
    assert not slug or (filenames.flaw(f"{slug}-x") is None and slug.isascii() and slug == slug.lower())


@pytest.mark.parametrize(("one", "other"), [("Cat", "cat"), ("é", "e\u0301"), ("Straße", "STRASSE"), ("ÀB", "àb")])
def test_names_that_a_disk_takes_for_one(one, other):
    assert filenames.folded(one) == filenames.folded(other)


def test_stems_of_one_and_of_several_images():
    assert filenames.stems("a/b", 1) == ("a/b",)
    assert filenames.stems("a/b", 2) == ("a/b-1", "a/b-2")
