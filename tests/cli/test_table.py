"""Tables and labelled lines on terminals of every width."""

from __future__ import annotations

import sys

import pytest

from batchgen.cli.render.format import hanging
from batchgen.cli.render.table import Fit, table
from batchgen.cli.render.width import cells

HEADS = ("id", "state", "cause", "attempts", "prompt")
ROWS = [
    ["summer-dress-001", "done", "", 1, "A dress on a hanger, 日本語 and more words than fit"],
    ["summer-dress-002", "pending", "", 12, "A lamp"],
]
FIT = Fit(least={0: 10, 4: 12}, names=(0,), drop=(3, 4))


@pytest.mark.parametrize("width", [120, 80, 60, 50, 40, 30])
def test_table_is_never_wider_than_its_terminal(width):
    lines = table(ROWS, HEADS, right=(3,), fit=FIT, width=width)
    assert len(lines) == 3
    assert max(map(cells, lines)) <= width


def test_table_leaves_out_empty_columns_first_and_keeps_the_most_important():
    heads = [table(ROWS, HEADS, right=(3,), fit=FIT, width=width)[0].split() for width in (120, 60, 40, 24)]
    assert heads == [list(HEADS), ["id", "state", "attempts", "prompt"], ["id", "state", "prompt"], ["id", "state"]]


def test_table_cuts_names_in_the_middle_and_texts_at_their_end():
    first = table(ROWS, HEADS, right=(3,), fit=FIT, width=36)[1]
    assert first.startswith("summ")
    assert "…" in first.split()[0]
    assert first.endswith("…")


def test_table_wraps_where_nothing_may_be_lost():
    lines = table([["a", "one two three four"]], ("id", "command"), fit=Fit(least={1: 8}, wrap=(1,)), width=14)
    assert lines == ["id  command", "a   one two", "    three four"]


def test_table_without_a_terminal_has_its_full_width(capsys):
    assert not sys.stdout.isatty()
    assert table([["a", "word " * 60]], ("id", "prompt"), fit=Fit(least={1: 8}))[1].endswith("word")


def test_table_rows_stay_lines_whatever_the_cells_contain():
    assert table([["a\nb", "c\x1b[31m"]], ("id", "prompt"), width=80)[1:] == ["a b  c\\x1b[31m"]


def test_labelled_lines_hang_below_their_text_but_commands_stay_whole():
    lines = [
        "shop: 3 of 4 jobs done, and more words than fit",
        "failed    1 refused, such as a: the provider refused it",
        "          2 invalid, such as b: the size is not allowed",
        "next      batchgen run jobs/a-long-name.yaml --sandbox    resumes",
        "          batchgen show a-long-name-of-a-job --sandbox    shows it",
        "          refused: change the prompt",
    ]
    assert list(hanging(lines, 30)) == [
        "shop: 3 of 4 jobs done, and",
        "  more words than fit",
        "failed    1 refused, such as",
        "          a: the provider",
        "          refused it",
        "          2 invalid, such as",
        "          b: the size is not",
        "          allowed",
        *lines[3:5],
        "          refused: change the",
        "          prompt",
    ]
    assert list(hanging(lines, None)) == lines


def test_labelled_lines_hang_below_labels_of_any_width():
    lines = ["ok    python        3.11 at /usr/bin/python, and SQLite 3.40.1"]
    assert list(hanging(lines, 44, margin=20)) == [
        "ok    python        3.11 at /usr/bin/python,",
        "                    and SQLite 3.40.1",
    ]


def test_a_path_stays_whole_and_the_facts_after_it_hang_below():
    lines = ["file      out/a long name.png  1024x1024, 74605 bytes", "source    photos/a very long name.jpg"]
    assert list(hanging(lines, 30)) == [
        "file      out/a long name.png",
        "          1024x1024, 74605",
        "          bytes",
        "source    photos/a very long name.jpg",
    ]
