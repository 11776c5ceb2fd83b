"""Hints at a misspelt word."""

from __future__ import annotations

import pytest

from batchgen.errors import nearest

NUMBERS = [str(number) for number in range(1001, 1031) if number != 1009]


@pytest.mark.parametrize(
    ("word", "words", "meant"),
    [
        ("promt", ["prompt", "size"], "prompt"), ("CAT", ["cat", "cut"], "cat"), ("house", ["cat"], None),
        ("cat-9", ["cat-1", "cat-2"], "cat-2"), ("1009", NUMBERS, None), ("10200", NUMBERS, "1020"),
        ("1009", ["1008"], "1008"),
    ],
)  # fmt: skip
def test_the_nearest_word_is_meant_but_no_number_of_many(word, words, meant):
    assert nearest(word, words) == meant
