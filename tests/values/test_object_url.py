"""Addresses in object stores read like paths."""

from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.object_url import ObjectUrl, is_object_url, parse_folder, require_unsigned, stored_path, typed_folder

PARTS = st.text(st.characters(exclude_characters="/", categories=("L", "N", "P", "S")), min_size=1, max_size=8).filter(
    lambda part: part not in (".", "..")
)


@pytest.mark.parametrize("text", ["s3://shop", "s3://shop/a", "gs://shop/a/b c", "az://box/ü/%41#?"])
def test_address_is_its_text(text):
    assert str(ObjectUrl.parse(text)) == text


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("s3://", "names no bucket"),
        ("az:///prefix", "names no container"),
        ("s3://a/../b", "has . or .."),
        ("s3://a/./b", "has . or .."),
        ("s3://key:secret@shop/a", "credentials"),
        ("s3://shop:9000/a", "ports"),
        ("s3://shop/a\nb", "control character"),
        ("ftp://shop/a", "s3://, gs://, az://"),
        ("/srv/shop", "s3://, gs://, az://"),
    ],
)
def test_other_texts_are_refused_with_a_reason(text, words):
    with pytest.raises(ValueError, match=words) as caught:
        ObjectUrl.parse(text)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("text", ["s3://shop/x?X-Amz-Signature=secret", "gs://shop/x#secret", "s3://shop?secret"])
def test_typed_output_folder_has_no_query_and_its_refusal_shows_nothing_of_it(text):
    with pytest.raises(ValueError, match="without \\? and #") as caught:
        typed_folder(text)
    assert "secret" not in str(caught.value)
    assert typed_folder("s3://shop/x") == ObjectUrl.parse("s3://shop/x")


def test_signed_link_to_an_object_is_refused_and_a_pattern_is_not():
    with pytest.raises(ValueError, match="has a query") as caught:
        require_unsigned("s3://shop/x.png?X-Amz-Signature=secret")
    assert "secret" not in str(caught.value)
    require_unsigned("s3://shop/photo-?.png")
    require_unsigned("s3://shop/a b%#1.png")


@given(st.lists(PARTS, max_size=4), st.lists(PARTS, min_size=1, max_size=3))
def test_name_below_a_prefix_comes_back(prefix, below):
    folder = ObjectUrl.parse("/".join(["s3://shop", *prefix]))
    name = PurePosixPath(*below)
    place = folder / name
    assert ObjectUrl.parse(str(place)) == place
    assert place.is_relative_to(folder)
    assert place.relative_to(folder) == name
    assert place.name == name.name
    assert (place.parent / place.name) == place
    assert place.root == ObjectUrl("s3", "shop")


def test_address_is_not_below_another_bucket_or_a_path():
    place = ObjectUrl.parse("s3://shop/a/b.png")
    assert not place.is_relative_to(ObjectUrl.parse("s3://other/a"))
    assert not place.is_relative_to(ObjectUrl.parse("gs://shop/a"))
    assert not place.is_relative_to(ObjectUrl.parse("s3://shop/ab"))
    assert not place.is_relative_to(Path("/shop/a"))
    with pytest.raises(ValueError, match="not below"):
        place.relative_to(ObjectUrl.parse("s3://other"))


def test_folder_is_a_path_or_an_address():
    assert parse_folder("/srv/out") == Path("/srv/out")
    assert parse_folder("s3://shop/out") == ObjectUrl.parse("s3://shop/out")
    assert not is_object_url("C://x")
    assert stored_path(Path("/srv/out/a.png"), Path("/srv")) == "out/a.png"
    assert stored_path(ObjectUrl.parse("s3://shop/a.png"), Path("/srv")) == "s3://shop/a.png"
