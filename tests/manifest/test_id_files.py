"""Files that select jobs by id: ids and prompts as spreadsheets, editors and shells write them."""

from __future__ import annotations

import pytest

from batchgen.errors import UsageError
from batchgen.manifest.id_files import parse_ids, read_ids, read_prompts


@pytest.mark.parametrize(
    "text",
    ["a\nb c\n", "\ufeffid\r\na\r\n\r\nb c\r\n", "\u200b\ufeff\ufeffa\u00a0\n\tb c \n\u200b\na\n"],
    ids=["plain", "heading, BOM and CRLF", "invisible characters, repeated"],
)
def test_ids_are_read_with_their_lines(text):
    assert [*parse_ids(text.splitlines(), "stdin")] == ["a", "b c"]


def test_ids_keep_the_line_of_their_first_mention(tmp_path):
    (tmp_path / "ids.txt").write_text("a\n\nb\na\n")
    assert read_ids("ids.txt", tmp_path) == {"a": 1, "b": 3}
    (tmp_path / "ids.csv").write_text('note,id\n"two\nlines",a\n,b\n')
    assert read_ids("ids.csv", tmp_path) == {"a": 2, "b": 4}


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("ids.txt", "\n \n", "contains no id"),
        ("ids.csv", "sku,price\n1,2\n", "has no column 'id'; its columns: sku, price"),
        ("ids.csv", "id,price\n1,2\n,3\n", "ids.csv:3:1: the row has no id"),
        ("ids.jsonl", '{"id": 1}\n{"sku": 2}\n', "ids.jsonl:2:1: the row has no id"),
    ],
)
def test_ids_that_cannot_be_read(tmp_path, name, content, message):
    (tmp_path / name).write_text(content)
    with pytest.raises(UsageError, match=message):
        read_ids(name, tmp_path)


def test_prompts_are_literal_and_tidy(tmp_path):
    (tmp_path / "p.csv").write_bytes(
        b'prompt,ID\r\n"{{ name }}, ""quoted""\r\nsecond line \r\n",a\r\n  indented,\xe2\x80\x8bb\r\n'
    )
    edits = read_prompts("p.csv", tmp_path)
    assert edits.prompts == {"a": '{{ name }}, "quoted"\nsecond line', "b": "  indented"}
    assert edits.lines == {"a": 2, "b": 5}


@pytest.mark.parametrize("content", ["a;A cat; sitting\n", 'a;"A cat\n'])
def test_prompts_without_a_header_that_cannot_be_read(tmp_path, content):
    (tmp_path / "p.csv").write_text(content)
    with pytest.raises(UsageError, match=r"p\.csv"):
        read_prompts("p.csv", tmp_path)


def test_prompts_of_invisible_characters_are_empty(tmp_path):
    (tmp_path / "p.csv").write_text("id,prompt\na,\u200b\u00ad\nb,x\n", encoding="utf-8")
    with pytest.raises(UsageError, match=r"p\.csv:2:1: the prompt of a is empty"):
        read_prompts("p.csv", tmp_path)


def test_prompts_report_all_mistakes_at_once(tmp_path):
    (tmp_path / "p.csv").write_text("id,prompt\n" + "".join(f"k{number},\n" for number in range(30)))
    with pytest.raises(UsageError) as caught:
        read_prompts("p.csv", tmp_path)
    lines = str(caught.value).splitlines()
    assert (len(lines), lines[-1]) == (22, "and 10 more")
