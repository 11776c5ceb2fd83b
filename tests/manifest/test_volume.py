"""Volume: a manifest of a few KB cannot keep the computer busy; what it multiplies to is bounded."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from batchgen.errors import ManifestError
from batchgen.files import naming
from batchgen.manifest import expand, filters, load, volume

HEAD = "defaults: {provider: openai}\n"
TEN = ", ".join(f"a{number}: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]" for number in range(5))


@pytest.fixture
def read(tmp_path):
    def loaded(text: str):
        (tmp_path / "m.yaml").write_text(HEAD + text, encoding="utf-8")
        return load(tmp_path / "m.yaml")

    return loaded


def jobs(line: str, number: int) -> str:
    return "jobs:\n" + "".join(f"  - {{id: j{job}, prompt: x, {line}}}\n" for job in range(number))


@pytest.mark.parametrize(
    "text",
    [
        jobs("repeat: 10000", 51),
        jobs(f"matrix: {{{TEN}}}", 6),
        jobs("repeat: 10000, n: 1000", 1),
        jobs("repeat: 10000, extra: {note: " + "x" * 9000 + "}", 4),
        f"vars: {{v: x}}\njobs: [{{id: j, repeat: 10000, prompt: '{'{{ v }}' * 6000}'}}]\n",
    ],
    ids=["repeat", "matrix", "n", "extra", "template"],
)
def test_a_manifest_that_multiplies_to_too_much_is_refused_before_it_is_expanded(read, text, monkeypatch):
    entries = []
    monkeypatch.setattr(expand, "rows", lambda entry, *rest: entries.append(entry) or iter(()))
    with pytest.raises(ManifestError, match="matrix, zip, repeat and n multiply to") as caught:
        read(text)
    assert [problem.code for problem in caught.value.problems] == ["too_many"]
    multiplied = [entry for entry in entries if len(entry.combinations) * entry.repeat > 1]
    assert sum(len(entry.combinations) * entry.repeat for entry in multiplied) <= volume.MAX_JOBS


def test_rows_of_a_list_are_not_counted(read, tmp_path, monkeypatch):
    monkeypatch.setattr(volume, "MAX_JOBS", 2)
    (tmp_path / "l.csv").write_text("id,prompt\n" + "".join(f"r{row},p{row}\n" for row in range(9)), encoding="utf-8")
    assert len(read("jobs: [{from: l.csv}]\n").jobs) == 9


def test_a_long_text_is_refused_before_it_is_made():
    with pytest.raises(filters.TemplateFault, match="becomes longer than 100,000 characters"):
        filters.TEXT_FILTERS["replace"]("a" * 900, "a", "b" * 10**6)
    with pytest.raises(filters.TemplateFault, match="becomes longer than 100,000 characters"):
        filters.joined(["a" * 60_000] * 2)


def test_rules_that_exclude_are_looked_up_not_searched():
    axes = {f"a{number}": list(range(10)) for number in range(4)}
    rules = [{"a0": first, "a1": second} for first, second in itertools.product(range(10), range(9))]
    rules += [{"a2": 99}, {"a0": "1"}]
    grid, excluding = expand._not_excluded(axes, rules)
    assert len(grid) == 1_000
    assert excluding == set(range(90))
    assert all(point["a1"] == 9 for point in grid)


def test_values_that_exclude_are_compared_with_their_type():
    grid, excluding = expand._not_excluded({"a": [1, "1", True, 1.0, [1], None]}, [{"a": 1}, {"a": [1]}, {"a": "x"}])
    assert [point["a"] for point in grid] == ["1", True, 1.0, None]
    assert excluding == {0, 1}


def test_a_row_of_stars_in_include_searches_once(read, tmp_path):
    (tmp_path / "p" / "q").mkdir(parents=True)
    (tmp_path / "p" / "q" / "c.yaml").write_text("jobs: [{id: c, prompt: x, provider: openai}]\n", encoding="utf-8")
    loaded = read("include: ['p/**/**/**/*.yaml']\njobs: [{id: a, prompt: y}]\n")
    assert [job.key for job in loaded.jobs] == ["a", "c"]


def test_conditions_over_long_variables_count(read):
    condition = "{% if v == 'x' %}a{% endif %}{{ row }}" * 300
    text = f'vars: {{v: "{"y" * 5000}"}}\njobs: [{{id: j, repeat: 10000, prompt: "{condition}"}}]\n'
    with pytest.raises(ManifestError, match="multiply to 10,000 jobs with 15,"):
        read(text)


@pytest.mark.parametrize("pattern", ["**/**/**/*.png", "a/**//**/**/*.png", "**/**", "x/**/**"])
def test_a_row_of_double_stars_is_one(monkeypatch, pattern):
    patterns = []
    monkeypatch.setattr(naming.glob, "iglob", lambda pattern, **_: patterns.append(pattern) or iter(()))
    list(naming.matching(Path(), pattern))
    assert patterns == [pattern.replace("**//**", "**").replace("**/**", "**").replace("**/**", "**")]


def test_double_stars_match_as_before(tmp_path):
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/c.png").touch()
    (tmp_path / "a/**").mkdir()
    assert [*naming.matching(tmp_path, "**/**/*.png")] == ["a/b/c.png"]
    assert [*naming.matching(tmp_path, "**/**x")] == []
