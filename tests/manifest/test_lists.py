"""Lists of rows without files: aliases of columns, and which rows are picked."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.manifest.lists import BadList, Pick
from batchgen.manifest.lists.filter import as_text, picked
from batchgen.manifest.lists.rows import aliases, column_of


@pytest.mark.parametrize(
    ("columns", "second"),
    [
        (("id", "prompt"), {}),
        (("Product Title", "size-cm"), {"Product_Title": "Product Title", "size_cm": "size-cm"}),
        (("größe", "preis €"), {"preis__": "preis €"}),
        (("2nd",), {"_2nd": "2nd"}),
        (("m²",), {"m_": "m²"}),
        (("a b", "a_b"), {}),
        (("a b", "a-b", "c d"), {"c_d": "c d"}),
        (("",), {"_": ""}),
    ],
)
def test_columns_that_are_no_identifiers_have_a_second_name(columns, second):
    assert dict(aliases(columns)) == second
    assert [column_of(alias, columns) for alias in second] == list(second.values())


@given(st.lists(st.text(max_size=6), unique=True, max_size=8).map(tuple))
def test_a_second_name_is_an_identifier_and_meets_no_other(columns):
    names = [alias for alias, _ in aliases(columns)]
    assert all(name.isidentifier() for name in names)
    assert len({*names, *columns}) == len(names) + len(columns)


def rows_of(*values, name="x"):
    return iter([(number, {name: value}) for number, value in enumerate(values, 1)])


def numbers(rows):
    return [line for line, _ in rows]


ABC = st.text(st.sampled_from("abA*"), max_size=3)


@given(
    st.lists(ABC), st.lists(ABC, min_size=1, max_size=3).map(tuple), st.integers(0, 5), st.none() | st.integers(1, 5)
)
def test_where_then_skip_then_limit(values, globs, skip, limit):
    fitting = [n for n, value in enumerate(values, 1) if any(fnmatchcase(value, glob) for glob in globs)]
    end = None if limit is None else skip + limit
    pick = Pick(where={"x": globs}, skip=skip, limit=limit)
    assert numbers(picked(rows_of(*values), pick, "f")) == fitting[skip:end]


def test_columns_of_where_are_anded():
    rows = [(1, {"a": "x", "b": "y"}), (2, {"a": "x", "b": "z"}), (3, {"a": "x"}), (4, {"b": "y"})]
    assert numbers(picked(iter(rows), Pick(where={"a": ("x",), "b": ("y", "q")}), "f")) == [1]


@pytest.mark.parametrize(
    ("value", "text"),
    [("a", "a"), (3, "3"), (1.5, "1.5"), (True, "true"), (None, ""), (["ü", 1], '["ü", 1]'), ({"a": 1}, '{"a": 1}')],
)
def test_where_sees_values_as_text(value, text):
    assert as_text(value) == text


def test_where_names_a_column_that_no_row_has():
    with pytest.raises(BadList, match=r"f: .*'colour'.*did you mean 'color'"):
        list(picked(rows_of("red", name="color"), Pick(where={"colour": ("red",)}), "f"))
    with pytest.raises(BadList, match="there are: color"):
        list(picked(rows_of("red", name="color"), Pick(where={"zzz": ("red",)}), "f"))


def test_where_on_a_list_without_rows_is_no_mistake():
    assert list(picked(rows_of(), Pick(where={"colour": ("red",)}), "f")) == []


@given(st.integers(0, 60), st.integers(1, 40), st.integers())
def test_a_sample_is_in_order_and_the_same_for_the_same_seed(rows, size, seed):
    def drawn(size):
        return numbers(picked(rows_of(*range(rows)), Pick(sample=size, seed=seed), "f"))

    found = drawn(size)
    assert found == sorted(set(found)) == drawn(size)
    assert len(found) == min(rows, size)
    assert set(found) <= set(drawn(size + 5))


@pytest.mark.parametrize(("first", "second"), [(0, 1), (1, -1), (2, 3)])
def test_other_seeds_draw_other_rows(first, second):
    one, two = (numbers(picked(rows_of(*range(1000)), Pick(sample=20, seed=seed), "f")) for seed in (first, second))
    assert one != two


def test_a_sample_is_drawn_evenly():
    drawn = [n for seed in range(200) for n in numbers(picked(rows_of(*range(100)), Pick(sample=10, seed=seed), "f"))]
    assert min(drawn.count(n) for n in range(1, 101)) > 5  # 20 each on average
    assert max(drawn.count(n) for n in range(1, 101)) < 45


def test_a_sample_is_of_what_skip_and_limit_leave():
    found = numbers(picked(rows_of(*range(100)), Pick(skip=50, limit=10, sample=5), "f"))
    assert len(found) == 5
    assert set(found) <= set(range(51, 61))
