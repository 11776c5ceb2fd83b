"""Lists of rows on disk: read as written, placed, refused where hostile, streamed in flat memory."""

import csv
import glob
import io
import json
import os
import tracemalloc
from collections import deque
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from batchgen.manifest.lists import BadList, Pick, folder_walk, kinds, listing
from batchgen.manifest.lists import text as lines

REAL_FILES = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.fixture
def write(tmp_path):
    def to_file(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return to_file


@pytest.fixture
def images(tmp_path):
    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(b"")
        return tmp_path

    return make


def read(path, **options):
    """Return the rows of a sound list."""
    return list(listing(path.name, path.parent, **options).rows(no_report))


def no_report(*told):
    pytest.fail(f"reported: {told}")


def reports(path, **options):
    """Return the lines of the good rows, and what was reported as (line, column, code)."""
    told = []
    good = [line for line, _ in listing(path.name, path.parent, **options).rows(lambda *problem: told.append(problem))]
    assert all(message and hint for *_, message, hint in told)
    return good, [problem[:3] for problem in told]


def refusal(name, folder, **options):
    with pytest.raises(BadList) as caught:
        deque(listing(name, folder, **options).rows(no_report), maxlen=0)
    return str(caught.value)


# --- what was written is what is read


CELL = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf"]) | st.sampled_from('\t\n",;'), max_size=12)
ROWS = st.lists(st.lists(CELL, min_size=3, max_size=3).filter(lambda row: any(map(str.strip, row))), max_size=6)


@REAL_FILES
@given(
    ROWS, st.sampled_from([("csv", ","), ("csv", ";"), ("tsv", "\t")]), st.sampled_from(["\n", "\r\n"]), st.booleans()
)
def test_rows_written_by_csv_are_read_back_and_placed(tmp_path, rows, kind, end, bom):
    suffix, delimiter = kind
    written = io.StringIO(newline="")
    writer = csv.writer(written, delimiter=delimiter, lineterminator=end)
    writer.writerow(["id", "Product Title", "prompt"])
    starts = []
    for row in rows:
        starts.append(written.getvalue().count("\n") + 1)
        writer.writerow(row)
    path = tmp_path / f"rows.{suffix}"
    path.write_bytes(b"\xef\xbb\xbf" * bom + written.getvalue().encode())
    found = listing(path.name, tmp_path, quoting="csv")
    assert found.columns == ("id", "Product Title", "prompt")
    text = written.getvalue().split("\n")
    for _ in range(2):
        got = list(found.rows(no_report))
        assert [line for line, _ in got] == starts
        assert [(v["id"], v["Product_Title"], v["prompt"]) for _, v in got] == list(map(tuple, rows))
        assert all(values["Product Title"] == values["Product_Title"] for _, values in got)
    for start, row in zip(starts, rows, strict=True):
        for column, value in zip(("id", "Product_Title", "prompt"), row, strict=True):
            line, at = found.place(start, column)
            rest = "\n".join(text[line - 1 :])[at - 1 :]
            assert rest.startswith(('"' + value.replace('"', '""') + '"', value))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('":{}[], '), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", 'b":', "ü"]), inner, max_size=3),
    max_leaves=6,
)  # fmt: skip
KEYS = st.text(st.sampled_from('ab_"\\: ü'), min_size=1, max_size=4)


@REAL_FILES
@given(
    st.lists(st.dictionaries(KEYS, JSON, max_size=4), min_size=1, max_size=5), st.booleans(), st.booleans(),
    st.sampled_from([(", ", ": "), (",", ":"), (" ,", "\t: ")]), st.sampled_from(["\n", "\r\n", "\n \n"]),
)  # fmt: skip
def test_objects_written_by_json_are_read_back_and_placed(tmp_path, rows, ascii_only, bom, separators, end):
    texts = [json.dumps(row, ensure_ascii=ascii_only, separators=separators) for row in rows]
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\xef\xbb\xbf" * bom + end.join(texts).encode())
    found = listing(path.name, tmp_path)
    assert found.columns is None
    step = end.count("\n")
    got = list(found.rows(no_report))
    assert [line for line, _ in got] == [1 + step * number for number in range(len(rows))]
    for (line, values), row, text in zip(got, rows, texts, strict=True):
        assert values.items() >= row.items()
        assert all(name.isidentifier() for name in values.keys() - row.keys())
        for key, value in row.items():
            at_line, at = found.place(line, key)
            assert at_line == line
            if text.count(json.dumps(key, ensure_ascii=False)) == 1:
                assert json.JSONDecoder().raw_decode(text, at - 1)[0] == value


def test_a_txt_file_has_a_prompt_on_each_line(write):
    path = write("prompts.txt", "\ufeffA cat\r\n\n  A dog, \t red \nübergröße")
    assert read(path) == [(1, {"prompt": "A cat"}), (3, {"prompt": "A dog, \t red"}), (4, {"prompt": "übergröße"})]
    assert listing(path.name, path.parent).place(3, "prompt") == (3, 1)


@pytest.mark.parametrize("name", ["a.csv", "A.CSV", "a.tsv", "a.jsonl", "a.NDJSON", "a.txt"])
def test_the_suffix_shows_the_format(write, name):
    content = '{"prompt": "x"}\n' if "json" in name.lower() else "x\n" if name.endswith("txt") else "prompt\nx\n"
    assert [values for _, values in read(write(name, content))] == [{"prompt": "x"}]


def test_the_format_may_be_said(write):
    assert read(write("rows.data", '{"a": 1}'), format="jsonl") == [(1, {"a": 1})]
    assert read(write("rows.txt", "a\tb\n1\t2"), format="tsv") == [(2, {"a": "1", "b": "2"})]


def test_headers_are_stripped_and_semicolons_are_understood(write):
    assert read(write("a.csv", " id ;a b\n1;2,5\n")) == [(2, {"id": "1", "a b": "2,5", "a_b": "2,5"})]
    assert read(write("a.csv", "id;x,b\n1;2,5\n")) == [(2, {"id;x": "1;2", "b": "5", "id_x": "1;2"})]


def test_empty_lines_are_skipped_and_missing_cells_are_empty(write):
    path = write("a.csv", "\n\na,b,c\n\n1,2,3\n   \n,,\n4\n,5,\n")
    assert read(path) == [
        (5, {"a": "1", "b": "2", "c": "3"}), (8, {"a": "4", "b": "", "c": ""}), (9, {"a": "", "b": "5", "c": ""}),
    ]  # fmt: skip
    assert listing("a.csv", path.parent).place(8, "c") == (8, 1)
    assert listing("a.csv", path.parent).place(8, None) == (8, 1)
    assert listing("a.csv", path.parent).place(9, "b") == (9, 2)


def test_a_header_may_span_lines(write):
    path = write("a.csv", '"Product\nTitle",b\nx,y\n')
    assert read(path) == [(3, {"Product\nTitle": "x", "Product_Title": "x", "b": "y"})]


def test_a_list_is_picked_from(write):
    path = write("a.csv", "id,k\n" + "".join(f"{n},{'ab'[n % 2]}\n" for n in range(20)))
    assert [v["id"] for _, v in read(path, pick=Pick(where={"k": ("b",)}, skip=2, limit=3))] == ["5", "7", "9"]
    sampled = [int(v["id"]) for _, v in read(path, pick=Pick(sample=5, seed=3))]
    assert sampled == sorted(sampled)
    assert sampled == [int(v["id"]) for _, v in read(path, pick=Pick(sample=5, seed=3))]


def test_where_names_a_column_that_is_not_there(write):
    path = write("a.csv", "color,size\nred,1\n")
    assert "did you mean 'color'" in refusal(path.name, path.parent, pick=Pick(where={"colour": ("red",)}))
    path = write("a.jsonl", '{"color": "red"}\n{"x": 1}\n')
    assert "did you mean 'color'" in refusal(path.name, path.parent, pick=Pick(where={"colour": ("red",)}))


# --- rows that are wrong


@pytest.mark.parametrize(
    ("name", "content", "good", "expected"),
    [
        ("a.csv", "a,b\n1,2\n3,4,5\n6,7\n", [2, 4], [(3, 5, "bad_row")]),
        ("a.csv", 'a,b\n"x\ny","p\nq",z\n6,7\n', [5], [(4, 4, "bad_row")]),
        ("a.csv", 'a,b\n1,"2"x\n6,7\n', [3], [(2, 6, "bad_row")]),
        ("a.csv", "a,b\n1,2\n3,x\ry\n6,7\n", [2, 4], [(3, 4, "bad_row")]),
        ("a.csv", 'a,b\n1,2\n3,"x\n5,6\n', [2], [(3, 3, "unclosed_quote")]),
        ("a.csv", 'a,b\n1,2\n"3\n\n4","x\n5,6\n', [2], [(5, 4, "unclosed_quote")]),
        ("a.csv", 'a,b\n1,2\n3,"x\n5,"6"\n7,8\n', [2, 5], [(4, 4, "bad_row")]),
        ("a.csv", 'a,b\n1,"2', [], [(2, 3, "unclosed_quote")]),
        ("a.csv", "a,b\n1,2\n3,\0\n5,6\n", [2, 4], [(3, 3, "control_character")]),
        ("a.csv", 'a,b\n1,2\n3,"x\n\x1b[1m"\n5,6\n', [2, 5], [(3, 3, "control_character")]),
        ("a.csv", 'a,b\n1,"2"x\0\n3,4\n', [3], [(2, 6, "bad_row")]),
        ("a.csv", "a,b\r\n1,2\r\n\x7f,4\r\n", [2], [(3, 1, "control_character")]),
        ("a.csv", "a,b\n1," + "x" * 1_000_001 + "\n3,4\n", [], [(2, 1, "too_long")]),
        ("a.csv", 'a,b\n1,"' + "x\n" * 600_000 + "3,4\n", [], [(2, 1, "too_long")]),
        ("a.csv", "a,b\n1,2\n" + "x" * 17_000_000 + "\n5,6\n7\n", [2, 4, 5], [(3, 1, "too_long")]),
        ("a.jsonl", '{"a": 1}\n{"a": 1,}\n\n{"ü": x}\n{}\n', [1, 5], [(2, 8, "bad_json"), (4, 7, "bad_json")]),
        ("a.jsonl", '{"a": NaN}\n{}\n{"a": -Infinity}\n', [2], [(1, 7, "bad_json"), (3, 8, "bad_json")]),
        ("a.jsonl", '[1]\n{}\n "x"\n3\nnull', [2], [(n, 1, "bad_json") for n in (1, 3, 4, 5)]),
        ("a.jsonl", '{"a": 1, "b": 2, "a": 3}\n{}\n', [2], [(1, 18, "duplicate_key")]),
        ("a.jsonl", '{}\n{"a": {"b": 1, "b": 2}}\n', [1], [(2, 16, "duplicate_key")]),
        ("a.jsonl", '{}\n{"a": 1, "a" \t: 1}\n', [1], [(2, 10, "duplicate_key")]),
        ("a.jsonl", '{}\n{"a":[{"b":1},{"b":1,"b" :1}]}\n', [1], [(2, 22, "duplicate_key")]),
        ("a.jsonl", '{"a":":::","b":[{"a":1},{"a":1}]}', [1], []),
        ("a.jsonl", '{"a": ' + "[" * 70 + "]" * 70 + "}\n{}", [2], [(1, 1, "too_deep")]),
        ("a.jsonl", "[" * 100_000 + "\n{}", [2], [(1, 1026, "bad_json")]),
        ("a.jsonl", "{}\n" + "x" * 17_000_000 + "\n{}\n", [1, 3], [(2, 1, "too_long")]),
        ("a.jsonl", "{}\n" + "x" * 17_000_000, [1], [(2, 1, "too_long")]),
        ("a.txt", "x\na\0b\n y\x1b\nz\rz\n", [1], [(2 + n, at, "control_character") for n, at in enumerate((2, 3, 2))]),
    ],
    ids=range(28),
)  # fmt: skip
def test_each_bad_row_is_reported_at_its_place_and_the_rest_is_read(write, name, content, good, expected):
    found, told = reports(write(name, content))
    assert found == good
    assert told == expected


def test_many_bad_rows_are_all_reported(write):
    good, told = reports(write("a.csv", "a,b\n" + "1,2,3\n" * 200))
    assert good == []
    assert [line for line, _, _ in told] == list(range(2, 202))


def test_rows_that_are_not_read_are_not_complained_of(write):
    path = write("a.jsonl", '{"a": 1}\n{"a": 2}\nnonsense\n')
    assert read(path, pick=Pick(limit=2)) == [(1, {"a": 1}), (2, {"a": 2})]


def test_an_overlong_line_is_never_held(write):
    path = write("a.jsonl", b'{"a": 1}\n' + b"x" * (4 * lines.MAX_LINE) + b"\n" + b"{}\n" * 200_000 + b'{"b": 2}')
    last = 200_003
    found, told = listing("a.jsonl", path.parent), []
    assert found.place(last, "b") == (last, 7)
    tracemalloc.start()
    rows = deque(found.rows(lambda *problem: told.append(problem)), maxlen=1)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert list(rows) == [(last, {"b": 2})]
    assert [problem[:3] for problem in told] == [(2, 1, "too_long")]
    assert peak < 2 * lines.MAX_LINE
    assert found.place(last, "b") == (last, 7)


# --- lists that cannot be used


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("a.csv", "", "is empty"),
        ("a.jsonl", "", "is empty"),
        ("a.csv", "\n\r\n", "no header"),
        ("a.csv", "a,,b\n1,2,3\n", "column 2 of the header has no name"),
        ("a.csv", 'a, "b"\n1, "2"\n', "a blank before the quote of column 2"),
        ("a.csv", "a, b ,b\n1,2,3\n", "'b' twice"),
        ("a.csv", "a,b\0\n1,2\n", "control character U+0000"),
        ("a.csv", "a\tb\n1\t2\n", "format: tsv"),
        ("a.csv", 'a,"b\n1,2\n', "check its quotes"),
        ("a.csv", "a,b\r1,2\r", "LF or CRLF"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16"), "is UTF-16"),
        ("a.csv", "a,b\n1,2\n".encode("utf-16-le"), "is UTF-16"),
        ("a.jsonl", '{"a": 1}'.encode("utf-16-be"), "is UTF-16"),
        ("a.csv", "a,b\nüü,größe\n".encode("latin-1"), "a.csv:2:1: byte 0xfc is not UTF-8; save it again as UTF-8"),
        ("a.jsonl", b'{"a": 1}\n{"a": "\xc3\xbc\xfc"}\n', "a.jsonl:2:9: byte 0xfc"),
        ("a.txt", b"cat\ncaf\xe9", "a.txt:2:4: byte 0xe9"),
        ("a.json", "[]", "one object on each line"),
        ("a.png", "PNG", "under `images`"),
        ("a", "x", "format:"),
    ],
    ids=range(19),
)
def test_a_list_that_cannot_be_used_is_refused(write, name, content, words):
    path = write(name, content)
    text = refusal(name, path.parent)
    assert words in text
    assert str(path) in text


def test_list_that_is_not_a_file_is_refused_at_once(tmp_path, images):
    os.mkfifo(tmp_path / "pipe.csv")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "gone.csv").symlink_to("nowhere.csv")
    (tmp_path / "zero.csv").symlink_to("/dev/zero")
    images("photos/a.png")
    expected = {
        "pipe.csv": "a device, a pipe", "zero.csv": "a device, a pipe", "/dev/zero": "a device, a pipe",
        "loop.csv": "leads back to itself", "gone.csv": "no such file", "nowhere.csv": "no such file",
        "a.csv/b.csv": "no such file", "x" * 300 + ".csv": "too long for a file name", "a\0.csv": "names cannot have",
        "": "is empty", "nowhere": "no such file", "*.csv": "matches only images", "no*where.png": "there is no image",
    }  # fmt: skip
    assert {name: words for name, words in expected.items() if words not in refusal(name, tmp_path)} == {}
    assert "folder" in refusal("photos", tmp_path, format="csv")
    assert "is a file" in refusal("x.csv", images("x.csv"), format="folder")
    assert "no such folder" in refusal("nowhere", tmp_path, format="folder")
    assert "that file names cannot have" in refusal("no\0where", tmp_path, format="folder")


def test_a_list_in_a_folder_next_to_the_manifests_is_offered(write, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write("lists/products.csv", "a\n1\n")
    (tmp_path / "jobs").mkdir()
    assert refusal("lists/products.csv", tmp_path / "jobs").endswith("did you mean '../lists/products.csv'?")
    assert listing("../lists/products.csv", tmp_path / "jobs").file == str(tmp_path / "lists" / "products.csv")


def test_an_image_in_a_folder_next_to_the_manifests_is_shown_without_dots(write, tmp_path):
    (tmp_path / "jobs").mkdir()
    (tmp_path / "art").mkdir()
    write("art/a.png", "")
    assert listing("../art", tmp_path / "jobs").file_of(1) == str(tmp_path / "art" / "a.png")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_refused(write, images):
    path = write("a.csv", "a\n1\n")
    path.chmod(0)
    assert "may not be read" in refusal("a.csv", path.parent)
    folder = images("photos/a.png", "photos/shut/b.png") / "photos"
    (folder / "shut").chmod(0)
    try:
        assert "'shut'" in refusal("photos", path.parent)
    finally:
        (folder / "shut").chmod(0o700)


# --- a list stays what it was


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.txt"])
def test_a_list_that_changed_is_refused(write, name):
    content = '{"prompt": "x"}\n' * 3 if name == "a.jsonl" else "prompt\nx\ny\n"
    path = write(name, content)
    found = listing(name, path.parent)
    once = list(found.rows(no_report))
    assert list(found.rows(no_report)) == once
    path.write_text(content + content)
    with pytest.raises(BadList, match="changed while it was being read; run the command again"):
        list(found.rows(no_report))
    rows = listing(name, path.parent).rows(no_report)
    next(rows)
    os.utime(path, ns=(1, 1))
    with pytest.raises(BadList, match="changed"):
        deque(rows, maxlen=0)


def test_a_file_put_in_the_place_of_another_is_noticed(write):
    path = write("a.csv", "a\n1\n")
    found = listing("a.csv", path.parent)
    other = write("b.csv", "a\n2\n")
    os.utime(other, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns))
    other.replace(path)
    with pytest.raises(BadList, match="changed"):
        list(found.rows(no_report))


# --- long lists


def long_file(folder, kind, count):
    path = folder / f"long.{kind}"
    with path.open("w", newline="") as file:
        if kind == "csv":
            file.write("id,prompt,extra\n")
        for number in range(count):
            row = [f"p{number}", f"A photo of product {number}", "line one\nline two" if number % 1000 == 7 else "x"]
            file.write(json.dumps(dict(zip(("id", "prompt", "extra"), row, strict=True))) + "\n" if kind == "jsonl"
                       else f'{row[0]},{row[1]},"{row[2]}"\r\n' if kind == "csv" else row[1] + "\n")  # fmt: skip
    return path


@pytest.mark.parametrize("kind", ["csv", *(pytest.param(kind, marks=pytest.mark.slow) for kind in ("jsonl", "txt"))])
def test_memory_is_flat_for_a_long_list(tmp_path, kind):
    path = long_file(tmp_path, kind, 120_000)
    assert path.stat().st_size > 3_000_000
    tracemalloc.start()
    found = listing(path.name, tmp_path)
    count = sum(1 for _ in found.rows(no_report))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 120_000
    assert peak < 2_800_000


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_places_are_right_far_into_a_long_list(tmp_path, kind):
    path = long_file(tmp_path, kind, 30_000)
    text = path.read_bytes().decode().split("\n")
    for found, read_before in ((listing(path.name, tmp_path), True), (listing(path.name, tmp_path), False)):
        rows = list(listing(path.name, tmp_path).rows(no_report))
        if read_before:
            assert rows == list(found.rows(no_report))
        for line, values in rows[::977]:
            at_line, column = found.place(line, "prompt")
            assert at_line == line
            assert text[line - 1][column - 1 :].lstrip('"').startswith(values["prompt"])


# --- folders and globs of images


TREE = (
    "photos/b.PNG", "photos/a.jpg", "photos/note.txt", "photos/.hidden.png", "photos/.cache/x.png",
    "photos/cats/tom.jpeg", "photos/cats/old/tim.v2.webp", "photos/dogs/rex.png", "photos/out/made.png", "other/z.png",
)  # fmt: skip


def test_a_folder_is_walked_and_each_image_is_a_row(images):
    folder = images(*TREE)
    found = listing("photos", folder, leave_out=folder / "photos" / "out")
    rows = list(found.rows(no_report))
    assert [(line, row["path"]) for line, row in rows] == list(
        enumerate(["a.jpg", "b.PNG", "cats/old/tim.v2.webp", "cats/tom.jpeg", "dogs/rex.png"], 1)
    )
    assert rows[2][1] == {
        "images": "photos/cats/old/tim.v2.webp", "id": "cats/old/tim.v2", "path": "cats/old/tim.v2.webp",
        "name": "tim.v2.webp", "stem": "tim.v2", "folder": "cats/old", "suffix": "webp",
    }  # fmt: skip
    assert rows[1][1] | {"folder": "", "suffix": "png", "id": "b", "images": "photos/b.PNG"} == rows[1][1]
    assert found.columns == tuple(rows[0][1])
    assert found.place(2, "name") == (0, 0)
    assert found.file == str(folder / "photos")
    assert list(found.rows(no_report)) == rows


@pytest.mark.parametrize(
    ("pattern", "ids"),
    [
        ("photos/*.jpg", ["a"]),
        ("photos/*", ["a", "b"]),
        ("./photos/*/*.png", ["dogs/rex", "out/made"]),
        ("photos/**/*.png", ["dogs/rex", "out/made"]),
        ("photos/**", ["a", "b", "cats/old/tim.v2", "cats/tom", "dogs/rex", "out/made"]),
        ("photos/[cd]*/*", ["cats/tom", "dogs/rex"]),
        ("*/z.png", ["other/z"]),
        ("photos/**/old/**/*", ["cats/old/tim.v2"]),
        ("**/**/t*", ["photos/cats/old/tim.v2", "photos/cats/tom"]),
        ("photos/ca?s/", ["cats"]),
    ],
)
def test_a_glob_means_what_it_means_elsewhere(images, pattern, ids):
    folder = images(*TREE)
    if pattern.endswith("/"):
        assert "there is no image" in refusal(pattern, folder)
        return
    rows = [row for _, row in listing(pattern, folder).rows(no_report)]
    assert [row["id"] for row in rows] == ids
    elsewhere = {Path(name).as_posix() for name in glob.iglob(pattern, root_dir=folder, recursive=True)}  # noqa: PTH207
    assert {row["images"] for row in rows} == {
        name for name in elsewhere if Path(name).suffix.lower() in kinds.SUFFIXES
    }


def test_images_below_the_manifest_are_named_relative_to_it(images):
    folder = images(*TREE)
    manifests = folder / "photos"
    assert [row["images"] for _, row in listing("cats", manifests).rows(no_report)][1] == "cats/tom.jpeg"
    assert [row["images"] for _, row in listing("../other", manifests).rows(no_report)] == [f"{folder}/other/z.png"]
    assert [row["images"] for _, row in listing(f"{manifests}/dogs", manifests).rows(no_report)] == ["dogs/rex.png"]
    assert {row["images"] for _, row in listing("..", manifests).rows(no_report)} >= {"a.jpg", f"{folder}/other/z.png"}
    absolute = listing(f"{folder}/oth*/*", manifests)
    assert [row["images"] for _, row in absolute.rows(no_report)] == [f"{folder}/other/z.png"]


def test_magic_in_the_way_to_the_manifest_or_in_a_real_name_is_none(images):
    folder = images("set [1]/photos [a]/x.png", "set [1]/photos a/y.png") / "set [1]"
    assert [row["images"] for _, row in listing("photos [a]", folder).rows(no_report)] == ["photos [a]/x.png"]
    assert [row["images"] for _, row in listing("photos ?/*", folder).rows(no_report)] == ["photos a/y.png"]


def test_links_loops_and_devices_in_a_folder(images):
    folder = images("photos/a.png", "photos/deep/b.png", "real/c.png")
    photos = folder / "photos"
    (photos / "deep" / "up").symlink_to(photos)
    (photos / "self.png").symlink_to("self.png")
    (photos / "gone.png").symlink_to("nowhere.png")
    (photos / "zero.png").symlink_to("/dev/zero")
    (photos / "linked.png").symlink_to(folder / "real" / "c.png")
    (photos / "folder.png").mkdir()
    (folder / "way").symlink_to(photos)
    os.mkfifo(photos / "pipe.png")
    expected = ["a.png", "deep/b.png", "linked.png"]
    for name in ("photos", "photos/**", "way"):
        assert [row["path"] for _, row in listing(name, folder).rows(no_report)] == expected


def test_results_never_become_sources(images):
    folder = images("a.png", "output/b.png", "output/deep/c.png")
    (folder / "way").symlink_to(folder / "output")
    for name, out in (("**", "output"), (".", "way"), ("*/**", "output/deep")):
        paths = [row["images"] for _, row in listing(name, folder, leave_out=folder / out).rows(no_report)]
        assert "output/deep/c.png" not in paths
        assert "output/b.png" in paths or "deep" not in out
    for name in ("output", "output/deep", "output/*.png"):
        assert "results never become sources" in refusal(name, folder, leave_out=folder / "way")


def test_a_folder_without_images_is_refused(images):
    folder = images("photos/note.txt", "photos/.x.png")
    assert (
        refusal("photos", folder)
        == f"{folder}/photos: there is no image (png, jpg, webp); left out: 1 .txt (note.txt); 1 hidden file (.x.png)"
    )
    assert "there is no image" in refusal("photos/*.png", folder)
    assert "no such folder" in refusal("phots/*.png", folder)


@pytest.mark.parametrize(("limit", "number"), [("MAX_IMAGES", 2), ("MAX_ENTRIES", 4)])
def test_too_many_files_are_a_mistake(images, monkeypatch, limit, number):
    folder = images("photos/a.png", "photos/b.png", "photos/c.png", "photos/d.txt", "photos/e.txt")
    assert len(read(folder / "photos")) == 3
    monkeypatch.setattr(folder_walk, limit, number)
    assert "more than" in refusal("photos", folder)


def test_names_that_are_no_text_are_reported(images):
    folder = images("photos/a.png", "photos/line\nbreak.png")
    try:
        (folder / "photos" / os.fsdecode(b"caf\xe9.png")).write_bytes(b"")
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    good, told = reports(folder / "photos")
    assert good == [1]
    assert told == [(0, 0, "bad_name")] * 2


def test_images_are_picked_from(images):
    folder = images(*TREE)
    pick = Pick(where={"folder": ("cats*",), "suffix": ("jpeg", "webp")}, limit=1)
    assert [row["path"] for _, row in listing("photos", folder, pick=pick).rows(no_report)] == ["cats/old/tim.v2.webp"]
    assert "did you mean 'folder'" in refusal("photos", folder, pick=Pick(where={"foldr": ("x",)}))
