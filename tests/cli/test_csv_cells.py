"""Cells of CSV: nothing in them runs in a spreadsheet or turns the text of a screen; all else is as it was."""

from __future__ import annotations

import csv

import pytest

from batchgen.cli.render.format import csv_line


def read(cell):
    [row] = csv.reader([csv_line(["id", cell, 3])])
    assert row[0::2] == ["id", "3"]
    return row[1]


TURNING = "\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\u200e\u200f\u061c\u2028\u2029"
OTHERS = ["Größe 10 µm", "猫", "👩\u200d🎨", "نمی\u200cخواهم", "a\tb"]


@pytest.mark.parametrize("sign", [*TURNING, "\x1b", "\x07", "\x85", "\x9b", "\x7f", "\x00"])
def test_what_would_turn_or_end_a_line_is_escaped(sign):
    assert read(f"a{sign}b") == f"a{sign.encode('unicode_escape').decode()}b"


@pytest.mark.parametrize("text", ["plain", "a, b", 'say "x"', *OTHERS])
def test_other_text_is_as_it_was(text):
    assert read(text) == text


def test_a_line_break_stays_inside_its_cell():
    assert list(csv.reader(csv_line(["a\nb", "c"]).splitlines(keepends=True))) == [["a\nb", "c"]]


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@x", "\t=1", "\r=1"])
def test_what_a_spreadsheet_would_run_is_quoted(text):
    assert csv_line([text]).strip('"').startswith("'")
