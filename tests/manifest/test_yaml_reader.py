"""YAML as the manifest reads it: 1.2 scalars, places, and input that means harm."""

import contextlib
import subprocess
import sys
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.errors import ManifestError
from batchgen.manifest import yaml_reader
from tests.timing import patience


def parsed(text):
    return yaml_reader.parse(text.encode() if isinstance(text, str) else text, "m.yaml")


def mistakes(text):
    try:
        return [(p.line, p.column, p.code) for p in parsed(text).problems]
    except ManifestError as error:
        return [(p.line, p.column, p.code) for p in error.problems]


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("no", "no"), ("on", "on"), ("yes", "yes"), ("16:9", "16:9"), ("12:30:45", "12:30:45"), ("0123", "0123"),
        ("010", "010"), ("0x1F", "0x1F"), ("1_000", "1_000"), ("2024-01-01", "2024-01-01"), ("1024x1024", "1024x1024"),
        ("3.10", 3.1), ("1e3", 1000.0), (".5", 0.5), ("-3", -3), ("0", 0), ("+7", 7), ("true", True), ("False", False),
        ("null", None), ("~", None), ("", None), ("'7'", "7"), ('"true"', "true"), ("nope", "nope"), ("-", [None]),
        ("9" * 30, int("9" * 30)), ("9" * 200, "9" * 200),
    ],
)  # fmt: skip
def test_scalars_follow_yaml_1_2(written, value):
    assert parsed(f"a: {written}" if written != "-" else "a:\n- ").data["a"] == value


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a: 1\nb: 2\na: 3\n", (3, 1, "duplicate_key")),
        ("a: .nan", (1, 4, "not_finite")),
        ("a: -.inf", (1, 4, "not_finite")),
        ("a: 1e999", (1, 4, "not_finite")),
        ("<<: {x: 1}", (1, 1, "merge_key")),
        ("1: x", (1, 1, "key_type")),
        ("~: x", (1, 1, "key_type")),
        ("? [a]\n: 1", (1, 3, "key_type")),
        ("a: {{ x }}", (1, 5, "key_type")),
        ("a: !!python/object:os.system x", (1, 4, "tag")),
        ("a: ! x", (1, 4, "tag")),
        ("a: &x [*x]", (1, 8, "recursive_alias")),
        ("a: *x", (1, 4, "unknown_alias")),
        ("a: 1\n---\nb: 2", (2, 1, "several_documents")),
        ("", (1, 1, "not_a_mapping")),
        ("# nothing", (1, 1, "not_a_mapping")),
        ("- a", (1, 1, "not_a_mapping")),
        ("just text", (1, 1, "not_a_mapping")),
        ("\ta: 1", (1, 1, "syntax")),
        ("a: 1\n\tb: 2", (2, 1, "syntax")),
        ("a: b: c", (1, 5, "syntax")),
        ("a: 'x", (1, 4, "syntax")),
        ("x: 1\na: [1", (2, 4, "syntax")),
        ("a: @x", (1, 4, "syntax")),
        ("a: *bold* text", (1, 9, "syntax")),
        ("a: x\x07y", (1, 5, "control_character")),
        (b"a: 1\nb: caf\xe9", (2, 7, "encoding")),
        ("a: 1".encode("utf-16"), (0, 0, "encoding")),
    ],
)
def test_each_mistake_is_placed(text, expected):
    assert mistakes(text) == [expected]


def test_a_duplicate_names_both_lines_and_the_first_counts():
    document = parsed("a: 1\nb: 2\na: 3\n")
    assert "line 1" in document.problems[0].hint
    assert document.data == {"a": 1, "b": 2}


def test_tabs_are_called_tabs():
    with pytest.raises(ManifestError, match="a tab"):
        parsed("a:\n\t- b")


def test_a_byte_order_mark_is_fine():
    document = parsed(b"\xef\xbb\xbfa: 1")
    assert document.data == {"a": 1}
    assert document.places.problem(("a",), "c", "m").column == 4


def test_places_of_keys_and_values():
    places = parsed("jobs:\n  - {id: a, n: 2}\n  -   id: é # c\n      size: 'x'\n").places
    value, key = places.problem(("jobs", 0, "n"), "c", "m"), places.problem(("jobs", 0, "n"), "c", "m", key=True)
    assert ((value.line, value.column), (key.line, key.column)) == ((2, 16), (2, 13))
    assert str(places.problem(("jobs", 1, "size"), "c", "m")) == "m.yaml:4:13: jobs[1].size: m"
    assert places.line(("jobs", 1, "nothing")) == 3
    assert places.find(("jobs", 1, "id")) in places.commented


def test_aliases_share_values():
    document = parsed("a: &x {k: [1]}\nb: *x\n")
    assert document.data["b"] == {"k": [1]}
    assert document.places.line(("b", "k")) == 1


HOSTILE = {
    "brackets": b"[" * 100_000,
    "braces": b"{" * 1_000_000,
    "dashes": b"- " * 100_000,
    "questions": b"? " * 100_000,
    "key brackets": b"a: " + b"[" * 100_000,
    "laughs": b"a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n"
    + b"".join(f"a{i}: &a{i} [{','.join([f'*a{i - 1}'] * 10)}]\n".encode() for i in range(1, 12)),
    "merges": b"a: &a {k: v}\n" + b"<<: [*a, *a, *a]\n" * 2_000,
    "aliases": b"a: &a 1\nb: [" + b"*a," * 5_000 + b"]",
    "duplicates": b"{" + b"a: 1," * 20_000 + b"}",
    "nan": b"a: [" + b".nan," * 20_000 + b"]",
    "digits": b"a: " + b"9" * 200_000,
    "float": b"a: " + b"9" * 200_000 + b"e1",
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_text_is_refused_at_once(name):
    start = time.process_time()
    try:
        problems = parsed(HOSTILE[name]).problems
    except ManifestError as error:
        problems = error.problems
    assert time.process_time() - start < patience(0.5)
    assert problems or name == "digits"
    assert len(problems) <= 1_001


def test_hostile_text_does_not_kill_the_process(tmp_path):
    for name, content in HOSTILE.items():
        (tmp_path / f"{name}.yaml").write_bytes(content)
    code = (
        "import sys, pathlib\nfrom batchgen.manifest import load\nfrom batchgen.errors import ManifestError\n"
        "for file in sorted(pathlib.Path(sys.argv[1]).iterdir()):\n"
        "    try: load(file)\n    except ManifestError: print(file.stem)\n"
    )
    command = [sys.executable, "-c", code, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=50, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == sorted(HOSTILE)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content):
    with contextlib.suppress(ManifestError):
        assert isinstance(parsed(content).data, dict)


@given(st.text(alphabet="ab:-[]{}&*!|>'\"#%@`, \n\t?<~01.", max_size=60))
def test_any_text_is_read_or_refused(text):
    with contextlib.suppress(ManifestError):
        assert isinstance(parsed(text).data, dict)
