"""Excel workbooks as lists: what cells become, which sheet is read, and what is wrong with them."""

import datetime as dt
import sys
import time
import tracemalloc
import warnings
import zipfile
from collections import deque
from unicodedata import normalize

import pytest

from batchgen.errors import ManifestError
from batchgen.manifest import load
from batchgen.manifest.lists import BadList, Pick, excel, listing

openpyxl = pytest.importorskip("openpyxl")

ROWS = [("sku", "Product Name"), ("a", "A red shoe"), ("b", "A blue bag")]


@pytest.fixture
def write(tmp_path):
    def to_file(rows=ROWS, *, name="products.xlsx", title="Sheet", change=None, **others):
        book = openpyxl.Workbook()
        sheet = book.active
        sheet.title = title
        for row in rows:
            sheet.append(row)
        for other, content in others.items():
            extra = book.create_sheet(other)
            for row in content:
                extra.append(row)
        if change is not None:
            change(book, sheet)
        path = tmp_path / name
        book.save(path)
        return path

    return to_file


def refuse(*problem):
    pytest.fail(f"reported: {problem}")


def rows(path, **options):
    return list(listing(path.name, path.parent, **options).rows(refuse))


def refusal(path, **options):
    with pytest.raises(BadList) as caught:
        deque(listing(path.name, path.parent, **options).rows(refuse), maxlen=0)
    return str(caught.value).replace(f"{path.parent}/", "")


def problems(path):
    found = []
    list(listing(path.name, path.parent).rows(lambda *problem: found.append(problem)))
    return found


def test_excel_rows_are_text_by_the_names_of_the_first_row(write):
    path = write()
    assert rows(path) == [
        (2, {"sku": "a", "Product Name": "A red shoe", "Product_Name": "A red shoe"}),
        (3, {"sku": "b", "Product Name": "A blue bag", "Product_Name": "A blue bag"}),
    ]
    source = listing(path.name, path.parent)
    assert source.columns == ("sku", "Product Name")
    assert source.place(3, "Product_Name") == (3, 2)
    assert source.header_place("Product Name") == (1, 2)
    assert [values["sku"] for _, values in rows(path, pick=Pick(where={"sku": ("b",)}))] == ["b"]
    assert [values["sku"] for _, values in rows(path, pick=Pick(skip=1))] == ["b"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("text", "text"), (42, "42"), (42.0, "42"), (1.5, "1.5"), (0.1 + 0.2, "0.3"), (-7, "-7"),
        (4006381333931, "4006381333931"), (1e22, "10000000000000000000000"), (1e-7, "0.0000001"),
        (True, "TRUE"), (False, "FALSE"), ("007", "007"), ("\u200bx\u200b", "x"), ("two\nlines", "two\nlines"),
        (dt.date(2026, 11, 29), "2026-11-29"), (dt.datetime.fromisoformat("2026-11-29T14:30"), "2026-11-29 14:30"),
        (dt.datetime.fromisoformat("2026-11-29"), "2026-11-29"), (dt.time(9, 5), "09:05"),
    ],
)  # fmt: skip
def test_excel_cells_become_the_text_of_a_csv_export(write, value, text):
    [(_, values)] = rows(write([("id", "k"), ("a", value)]))
    assert values["k"] == text


def test_excel_number_with_leading_zeros_by_its_format_keeps_them(write):
    def change(book, sheet):
        sheet["A2"].number_format = "00000"

    assert rows(write([("sku",), (421,)], change=change)) == [(2, {"sku": "00421"})]


def test_excel_empty_rows_and_columns_do_not_count(write):
    path = write([(), ("id", "k", None), (None, None), ("a", None, "  "), (None, "x")])
    assert rows(path) == [(4, {"id": "a", "k": ""}), (5, {"id": "", "k": "x"})]


def test_excel_sheet_is_chosen_by_its_name(write):
    path = write(Autumn=[("id",), ("x",)], Winter=[("id",), ("y",)])
    assert rows(path, sheet="Autumn") == [(2, {"id": "x"})]
    assert rows(path, sheet=" winter") == [(2, {"id": "y"})]
    assert listing(path.name, path.parent, sheet="Autumn").file.endswith("products.xlsx!Autumn")
    assert "has no sheet 'Autum' (did you mean 'Autumn'?)" in refusal(path, sheet="Autum")
    message = refusal(path)
    assert "has several sheets: Sheet, Autumn, Winter; choose one" in message
    assert "{path: products.xlsx, sheet: Sheet}" in message


def test_excel_sheets_that_are_hidden_or_empty_are_no_choice(write):
    def change(book, sheet):
        book["Old"].sheet_state = "hidden"

    path = write(change=change, Old=[("id",), ("x",)], Blank=[])
    assert [values["sku"] for _, values in rows(path)] == ["a", "b"]
    assert rows(path, sheet="Old") == [(2, {"id": "x"})]
    assert "has no sheet with cells" in refusal(write([]))


@pytest.mark.parametrize(
    ("header", "words"),
    [
        ((("id", None, "k"), ("a", "b", "c")), "column 2 of the header has no name"),
        ((("id", " id "), ("a", "b")), "names the column 'id' twice"),
        ((("Autumn 2026",), ("id", "k"), ("a", "b")), "row 1 has only 'Autumn 2026', a title perhaps"),
    ],
)
def test_excel_header_that_cannot_be_used_is_refused(write, header, words):
    assert words in refusal(write(header))


def test_excel_row_with_a_cell_beyond_the_header_is_reported(write):
    [(line, column, code, message, _)] = problems(write([("id", "k"), ("a", "b", "c"), ("c",)]))
    assert (line, column, code) == (2, 3, "bad_row")
    assert "the cell C2 is outside of the 2 named columns" in message


def test_excel_formulas_have_the_value_that_was_saved_or_are_refused(write):
    path = write([("id", "k"), ("a", "=1+1")])
    message = refusal(path)
    assert message.startswith("products.xlsx:2:2: the formula in B2 has no value")
    assert "save it" in message
    with_value(path, "<f>1+1</f><v></v>", "<f>1+1</f><v>2</v>")
    assert rows(path) == [(2, {"id": "a", "k": "2"})]


def test_excel_formula_whose_value_is_empty_text_is_an_empty_cell(write):
    path = write([("id", "k"), ("a", '=""')])
    with_value(path, '<c r="B2"><f>""</f><v></v>', '<c r="B2" t="str"><f>""</f><v></v>')
    assert rows(path) == [(2, {"id": "a", "k": ""})]


def test_excel_error_in_a_cell_is_reported(write):
    path = write([("id", "k"), ("a", "=1/0"), ("b", "x")])
    with_value(path, '<c r="B2"><f>1/0</f><v></v>', '<c r="B2" t="e"><f>1/0</f><v>#DIV/0!</v>')
    [(line, column, code, message, _)] = problems(path)
    assert (line, column, code) == (2, 2, "bad_cell")
    assert "B2 of column 'k' is an error: #DIV/0!" in message


def with_value(path, before, after):
    """Put the values of formulas into a sheet, as a program that computes does."""
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    name = "xl/worksheets/sheet1.xml"
    text = parts[name].decode().replace("<v />", "<v></v>").replace("<v/>", "<v></v>")
    assert before in text
    parts[name] = text.replace(before, after).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for part, content in parts.items():
            archive.writestr(part, content)


def test_excel_merged_cells_are_reported(write):
    path = write(change=lambda book, sheet: sheet.merge_cells("A2:A3"))
    [(code, message, _)] = listing(path.name, path.parent).remarks
    assert code == "merged_cells"
    assert "A2:A3" in message


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.xlsx", b"", "is empty"),
        ("a.xlsx", b"PK", "is not an Excel workbook, or is damaged"),
        ("a.xlsx", b"id,prompt\na,b\n", "is not an Excel workbook"),
        ("a.xlsx", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + b"x" * 600, "has a password, or is an old .xls workbook"),
        ("a.xls", b"x", "save it as .xlsx or CSV UTF-8"),
        ("a.ods", b"x", "save it as .xlsx or CSV"),
    ],
)
def test_excel_file_that_is_none_is_refused(tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    assert words in refusal(path)


def test_excel_file_that_is_damaged_or_missing_is_refused(write, tmp_path):
    assert "there is no such file" in refusal(tmp_path / "none.xlsx")
    path = write()
    with zipfile.ZipFile(path) as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    for broken in ("xl/worksheets/sheet1.xml", "xl/workbook.xml", "xl/styles.xml"):
        with zipfile.ZipFile(path, "w") as archive:
            for part, content in parts.items():
                archive.writestr(part, content[: len(content) // 2] if part == broken else content)
        assert "the workbook is damaged" in refusal(path)


def test_excel_file_that_is_huge_when_unpacked_is_refused(write, monkeypatch):
    monkeypatch.setattr(excel, "MAX_UNPACKED", 1000)
    assert "when unpacked" in refusal(write())


def test_excel_file_that_changed_is_refused(write):
    source = listing("products.xlsx", write().parent)
    write([("sku", "k"), ("x", "y")])
    with pytest.raises(BadList, match="changed while it was being read"):
        list(source.rows(refuse))


def test_excel_without_openpyxl_says_what_to_install(write, monkeypatch):
    path = write()
    monkeypatch.setitem(sys.modules, "openpyxl", None)
    assert "pip install 'batchgen[excel]'" in refusal(path)


def test_excel_memory_is_flat_for_a_long_sheet(tmp_path):
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet("Long")
    sheet.append(["id", "n"])
    for number in range(20_000):
        sheet.append([number, number / 2])
    path = tmp_path / "long.xlsx"
    book.save(path)
    source = listing(path.name, tmp_path)
    tracemalloc.start()
    last = deque(source.rows(refuse), maxlen=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert last[0] == (20_001, {"id": "19999", "n": "9999.5"})
    assert peak < 4_000_000


def test_excel_workbook_makes_jobs_and_problems_name_sheet_row_and_column(write, tmp_path):
    write([("id", "prompt", "n"), ("a", "A cat", 2), ("b", "A dog", "x")], title="Autumn")
    manifest = tmp_path / "m.yaml"
    manifest.write_text("jobs: [{from: {path: products.xlsx, sheet: Autumn, limit: 1}, provider: aigate}]\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        jobs = load(manifest).jobs
        assert [(job.key, job.prompt) for job in jobs] == [("a", "A cat"), ("a-2", "A cat")]
    manifest.write_text("jobs: [{from: {path: products.xlsx, sheet: Autumn}, provider: aigate}]\n")
    with pytest.raises(ManifestError) as caught:
        load(manifest)
    assert "products.xlsx!Autumn:3:3: jobs[0].n: should be a whole number, is 'x'" in str(caught.value.problems[-1])


def test_excel_cell_far_below_or_beside_the_others_costs_no_minutes(write):
    """A few kilobytes would otherwise be a billion empty rows, or rows of 16,384 cells."""
    far = write([("id",), ("a",)])
    with_value(far, '<row r="2"><c r="A2"', '<row r="1000000000"><c r="A1000000000"')
    begin = time.process_time()
    assert "more than 1,048,576 rows" in refusal(far)
    assert time.process_time() - begin < 20


def test_excel_sheet_of_too_many_cells_is_refused(write, monkeypatch):
    monkeypatch.setattr(excel, "MAX_CELLS", 20)
    assert "or 20 cells" in refusal(write([("id", "k"), *[("a", "b")] * 10]))
    assert len(rows(write([("id", "k"), *[("a", "b")] * 9]))) == 9


def test_excel_durations_are_hours_and_sheets_have_names_in_either_unicode_form(write):
    path = write([("id", "k"), ("a", dt.timedelta(hours=30)), ("b", dt.timedelta(minutes=5, seconds=7))])
    assert [values["k"] for _, values in rows(path)] == ["30:00", "0:05:07"]
    path = write(**{normalize("NFD", "Sch\u00f6n"): [("id",), ("x",)]})
    assert rows(path, sheet=normalize("NFC", "sch\u00f6n")) == [(2, {"id": "x"})]
