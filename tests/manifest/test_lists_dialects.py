"""Dialects of lists: delimiters, quotes, byte order marks, invisible characters, long numbers, comments."""

import pytest

from batchgen.manifest import load
from batchgen.manifest.lists import BadList, listing
from batchgen.manifest.lists.dialect import TsvQuotes, guess_delimiter, other_delimiter


@pytest.fixture
def write(tmp_path):
    def to_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to_file


def rows(path, **options):
    return [values for _, values in listing(path.name, path.parent, **options).rows(refuse)]


def refuse(*problem):
    pytest.fail(f"reported: {problem}")


def problems(path, **options):
    found = []
    list(listing(path.name, path.parent, **options).rows(lambda *problem: found.append(problem)))
    return found


def remarks(path, **options):
    source = listing(path.name, path.parent, **options)
    list(source.rows(refuse))
    return source.remarks


# --- delimiters -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "sample", "delimiter"),
    [
        ("id,prompt", [], ","),
        ("id;prompt", [], ";"),
        ("id|prompt", [], "|"),
        ("prompt", ["a, b"], ","),
        ('id;prompt;"size, wanted"', [], ";"),
        ('id,"a;b;c",prompt', [], ","),
        ("id;x,b", ["1;2,5"], ","),
        ("id;x,b;c", ["1;2;3", "4;5,6;7"], ";"),
        ("id;x,b;c", [], ","),
        ("id|a,b|c", ["1|2|3"], "|"),
        ("id;x,b", ['"open'], ","),
    ],
)
def test_delimiter_is_the_one_that_header_and_rows_agree_on(header, sample, delimiter):
    assert guess_delimiter(header, sample) == delimiter


@pytest.mark.parametrize(
    ("row", "width", "other"),
    [
        ("a,red", 2, ","),
        ("a;red", 2, None),
        ("a\tred", 2, "\t"),
        ("a,red,big", 2, None),
        ("a", 2, None),
        ("a,b", 1, None),
    ],
)
def test_other_delimiter_is_found_only_where_it_fits_the_header(row, width, other):
    assert other_delimiter(row, width, ";") == other


def test_csv_rows_separated_unlike_the_header_are_one_error(write):
    path = write("l.csv", "id;prompt\na,red\nb,blue\n")
    with pytest.raises(BadList, match=r"header is separated by semicolons \(id, prompt\), but the first row by commas"):
        listing(path.name, path.parent)


@pytest.mark.parametrize("first", ["sep=;\r\n", '"sep=;"\n', "SEP=;\n", "\nsep=;\n\n"])
def test_sep_line_of_excel_names_the_delimiter(write, first):
    path = write("l.csv", f"{first}id;prompt\nb;red, large\n")
    assert rows(path) == [{"id": "b", "prompt": "red, large"}]
    source = listing(path.name, path.parent)
    line = path.read_text().splitlines().index("b;red, large") + 1
    assert [number for number, _ in source.rows(refuse)] == [line]
    assert source.place(line, "prompt") == (line, 3)


def test_delimiter_may_be_given(write):
    assert rows(write("l.csv", "id:prompt\na:b, c\n"), delimiter=":") == [{"id": "a", "prompt": "b, c"}]


@pytest.mark.parametrize("content", ["id,prompt,\nc,red,\n", "id,prompt,,\nc,red\n", "id,prompt\nc,red,, \n"])
def test_empty_columns_at_the_end_do_not_count(write, content):
    assert rows(write("l.csv", content)) == [{"id": "c", "prompt": "red"}]


def test_a_cell_beyond_the_header_is_an_error_at_its_place(write):
    [(line, column, code, message, _)] = problems(write("l.csv", "id,prompt,\nc,red,blue\n"))
    assert (line, column, code) == (2, 7, "bad_row")
    assert message == "the row has 3 cells, the header 2"


# --- quotes -----------------------------------------------------------------------------------------------------------

EXPORT = TsvQuotes(export=True)
UNCLEAR = TsvQuotes(unclear=True)


@pytest.mark.parametrize(
    ("content", "quotes"),
    [
        ("a\tb\n1\t2\n", TsvQuotes()),
        ('a\tb\n"A B" on a wall\tArt\n', TsvQuotes()),
        ('a\tb\n"SALE"\tArt\n', UNCLEAR),
        ('a\tb\n"SALE"\tArt\n"Hello" sign\tArt\n', TsvQuotes()),
        ('a\tb\n"red, blue"\tArt\n', EXPORT),
        ('a\tb\n"one\ntwo"\tArt\n', EXPORT),
        ('a\tb\n"say ""hi"""\tArt\n', EXPORT),
        ('"a"\t"b"\r\n"1"\t"2"\r\n', EXPORT),
        ('"a"\t"b"\n"1"\t\n', EXPORT),
        ('a\tb\n12"\tArt\n', TsvQuotes()),
        ('a\tb\n"open\tArt\n', TsvQuotes()),
        ('a\tb\n"x, y"\tz\n"open\tArt\n', TsvQuotes()),
    ],
)
def test_tsv_quotes_are_text_unless_a_spreadsheet_wrote_them(content, quotes):
    assert TsvQuotes.of(content.splitlines(keepends=True)) == quotes


def test_tsv_quotes_stay_in_the_text(write):
    path = write("l.tsv", 'Prompt\tCategory\n"A B" on a wall\tArt\n"Hello" sign\tArt\n"SALE"\tArt\n12" wide\tArt\n')
    assert [row["Prompt"] for row in rows(path)] == ['"A B" on a wall', '"Hello" sign', '"SALE"', '12" wide']
    assert remarks(path) == ()


def test_tsv_quotes_that_are_unclear_are_reported(write):
    path = write("l.tsv", 'prompt\tk\n"SALE"\tArt\n')
    assert rows(path) == [{"prompt": '"SALE"', "k": "Art"}]
    [(code, message, hint)] = remarks(path)
    assert (code, message) == ("quotes", "quotes in a tsv file are text: they are part of the values")
    assert "quoting: csv" in hint
    assert rows(path, quoting="csv") == [{"prompt": "SALE", "k": "Art"}]
    assert remarks(path, quoting="csv") == remarks(path, quoting="none") == ()


def test_tsv_export_of_a_spreadsheet_is_read_without_its_quotes(write):
    path = write("l.tsv", 'prompt\tk\n"red\ncube"\t"1, 2"\n')
    assert rows(path) == [{"prompt": "red\ncube", "k": "1, 2"}]
    assert "quoting: none" in remarks(path)[0][2]
    assert len(rows(path, quoting="none")) == 2


def test_csv_quotes_may_be_text(write):
    assert rows(write("l.csv", 'id,prompt\na,12" wide\n'), quoting="none") == [{"id": "a", "prompt": '12" wide'}]


# --- characters that are not seen -------------------------------------------------------------------------------------


@pytest.mark.parametrize("marks", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "content"), [("l.csv", "id,k\na,b\n"), ("l.tsv", "id\tk\na\tb\n"), ("l.jsonl", '{"id": "a", "k": "b"}\n')]
)
def test_byte_order_marks_at_the_beginning_are_removed_however_many(write, name, content, marks):
    assert rows(write(name, "\ufeff" * marks + content)) == [{"id": "a", "k": "b"}]


def test_byte_order_marks_of_files_that_were_joined_are_removed(write):
    content = 'id,prompt\na,red\n\ufeff"b, c",blue\n'
    assert [row["id"] for row in rows(write("l.csv", content))] == ["a", "b, c"]
    assert [row["prompt"] for row in rows(write("l.txt", "red\n\ufeffblue\n"))] == ["red", "blue"]


@pytest.mark.parametrize("junk", ["\u200b", "\u00ad", "\u2060", "\ufeff", "\u200e", "\u202a", "\u00a0", " \u200b "])
def test_header_cells_lose_invisible_characters_and_blanks(write, junk):
    assert listing("l.csv", write("l.csv", f"id,{junk}prompt{junk}\na,b\n").parent).columns == ("id", "prompt")


@pytest.mark.parametrize("junk", ["\u200b", "\u00ad", "\u2060", "\u200e", "\ufeff\u200b"])
@pytest.mark.parametrize(("name", "form"), [("l.csv", "id,k\na,{}\n"), ("l.jsonl", '{{"id": "a", "k": "{}"}}\n')])
def test_cells_lose_invisible_characters_at_their_ends(write, name, form, junk):
    assert rows(write(name, form.format(f"{junk}x{junk}y{junk}"))) == [{"id": "a", "k": f"x{junk}y"}]


def test_joiners_that_scripts_and_emoji_need_stay(write):
    family, persian = "\U0001f469\u200d\U0001f467", "می\u200cخواهم"
    assert rows(write("l.csv", f"a,b\n{family},{persian}\n")) == [{"a": family, "b": persian}]
    assert rows(write("l.txt", f"{family}\n{persian}\n")) == [{"prompt": family}, {"prompt": persian}]


@pytest.mark.parametrize("text", ["\u200b", "\u00ad", "\u2060\u200e", "\u200c\u200b"])
def test_a_txt_line_of_invisible_characters_is_an_error(write, text):
    [(line, column, code, message, _)] = problems(write("l.txt", f"red\n{text}\nblue\n"))
    assert (line, column, code) == (2, 1, "blank")
    assert "only invisible characters" in message


def test_column_names_are_equal_in_any_unicode_form(write):
    composed, decomposed = "größe", "gro\u0308ße"
    assert listing("l.csv", write("l.csv", f"{decomposed}\nx\n").parent).columns == (composed,)
    path = write("l.jsonl", f'{{"{decomposed}": "x"}}\n')
    assert rows(path) == [{composed: "x"}]
    assert listing("l.jsonl", path.parent).place(1, composed) == (1, 12)


# --- numbers ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "text"),
    [
        ("94001000000000000000011", "94001000000000000000011"),
        ("-94001000000000000000011", "-94001000000000000000011"),
        ("18446744073709551616", "18446744073709551616"),
        ("9007199254740993", "9007199254740993"),
        ("9" * 400, "9" * 400),
        ("9" * 5000, "9" * 5000),
        ("1e400", "1e400"),
        ("1.50", "1.5"),
        ("1e20", "1e+20"),
        ('"007"', "007"),
    ],
    ids=lambda value: value[:24],
)
def test_jsonl_integers_are_text_as_written(write, written, text):
    [row] = rows(write("l.jsonl", f'{{"a": {written}, "b": "x"}}\n'))
    assert str(row["a"]) == text
    [row] = rows(write("l.jsonl", f'{{"a": {{"b": [{written}]}}}}\n'))
    assert str(row["a"]["b"][0]) == text


@pytest.mark.parametrize("text", ["94001000000000000000001", "1e400", "1.10", "-0", "007", "1.0"])
def test_csv_numbers_are_text_as_written(write, text):
    assert rows(write("l.csv", f"a\n{text}\n")) == [{"a": text}]


# --- comments ---------------------------------------------------------------------------------------------------------


def test_txt_lines_that_look_like_comments_are_reported_once(write):
    path = write("l.txt", "red\n# cc0 animals\naardvark\n#more\n")
    assert len(rows(path)) == 4
    [(code, message, _)] = remarks(path)
    assert code == "comment"
    assert message.startswith("2 lines begin with # (first: line 2)")
    assert remarks(write("l.txt", "no. #1\n")) == ()


# --- options ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "options", "words"),
    [
        ("l.csv", {"sheet": "A"}, "sheet names the sheet of an Excel workbook, and this is a csv list"),
        ("l.jsonl", {"delimiter": ";"}, "delimiter and quoting are for csv and tsv files, and this is a jsonl list"),
        ("l.txt", {"quoting": "csv"}, "this is a txt list"),
    ],
)
def test_options_of_another_format_are_refused(write, name, options, words):
    with pytest.raises(BadList, match=words):
        listing(name, write(name, "{}\n").parent, **options)


def test_column_names_are_equal_in_any_unicode_form_in_templates_and_where(tmp_path):
    composed, decomposed = "größe", "gro\u0308ße"
    for header, name in ((composed, decomposed), (decomposed, composed)):
        (tmp_path / "l.csv").write_text(f"{header}\nXL\nS\n", encoding="utf-8")
        path = tmp_path / "m.yaml"
        prompt = f"Size {{{{ {name} | lower }}}}"
        source = f"{{path: l.csv, where: {{{name}: XL}}}}"
        path.write_text(f'jobs: [{{prompt: "{prompt}", provider: aigate, from: {source}}}]\n', encoding="utf-8")
        assert [planned.prompt for planned in load(path).jobs] == ["Size xl"]
