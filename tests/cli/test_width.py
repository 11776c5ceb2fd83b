"""Widths of text on a terminal."""

from __future__ import annotations

import pytest

from batchgen.cli.render.width import cells, left_part, pad, right_part, short, short_name, wrapped


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("", 0), ("abc", 3), ("日本", 4), ("é", 1), ("e\u0301", 1), ("\U0001f600", 2), ("\u2764\ufe0f", 2),
        ("\U0001f469\u200d\U0001f680", 2), ("\U0001f44d\U0001f3fd", 2), ("ｆ", 2), ("ไ", 1), ("กี", 1),
    ],
)  # fmt: skip
def test_cells_are_those_of_a_terminal(text, width):
    assert cells(text) == width
    assert cells(pad(text, 6)) == cells(pad(text, 6, right=True)) == 6


def test_parts_never_split_a_character():
    assert left_part("日本語", 3) == "日"
    assert right_part("日本語", 3) == "語"
    assert left_part("e\u0301e\u0301", 1) == "e\u0301"
    assert right_part("ab\U0001f469\u200d\U0001f680", 1) == ""


def test_short_text_is_cut_between_words_and_names_in_the_middle():
    assert short("a lamp on a table", 40) == "a lamp on a table"
    assert short("a lamp\n on   a table", 13) == "a lamp on a…"
    assert short("aaaaaaaaaaaaaaaa", 5) == "aaaa…"
    assert short("日本語日本語", 6) == "日本…"
    assert short_name("summer-dress-042", 9) == "summ…-042"
    assert cells(short_name("日本語日本語日本語", 9)) <= 9


def test_wrapped_text_loses_nothing():
    text = "one two three-four-five 日本語日本語 six"
    for width in range(4, 40):
        lines = wrapped(text, width)
        assert max(map(cells, lines)) <= width
        assert "".join(lines).replace(" ", "") == text.replace(" ", "")
