"""Names of columns in templates, and in hints."""

import pytest

from batchgen.errors import ManifestError
from batchgen.manifest import load
from batchgen.manifest.lists.names import misnamed, telling, written

COLUMNS = ("id", "Product Name", "size-cm", "Größe (cm)", "a b", "a-b", "title")


@pytest.mark.parametrize(
    ("template", "name"),
    [
        ("A {{ Product Name }}", "Product_Name"),
        ("A {{product name|upper}}", "Product_Name"),
        ('A {{ "Product Name" }}', "Product_Name"),
        ("{{ title }} {{ size-cm }}", "size_cm"),
        ("{{ Größe (cm) }}", "Größe__cm_"),
        ("{{ 'title' }}", "title"),
    ],
)
def test_template_that_names_a_column_as_the_header_does_is_told_how_to(template, name):
    assert misnamed(template, COLUMNS).endswith(f" is written {{{{ {name} }}}} in a template")


@pytest.mark.parametrize("template", ["{{ title }}", "{{ Product_Name }}", "{{ 'x' }}", "{{ nothing here }}", "title"])
def test_template_without_such_a_name_is_not_misnamed(template):
    assert misnamed(template, COLUMNS) is None


def test_column_that_shares_its_second_name_has_to_be_mapped():
    assert written("a b", COLUMNS) is None
    assert misnamed("{{ a b }}", COLUMNS).endswith("columns: {name: a b} under from")


@pytest.mark.parametrize("prompt", ["A {{ Product Name }}", "A {{ 'Product Name' }}"])
@pytest.mark.parametrize(("name", "rows"), [("l.csv", "Product Name\nx\n"), ("l.jsonl", '{"Product Name": "x"}\n')])
def test_manifest_with_such_a_template_is_one_error(tmp_path, prompt, name, rows):
    (tmp_path / name).write_text(rows)
    path = tmp_path / "m.yaml"
    path.write_text(f'jobs: [{{prompt: "{prompt}", from: {name}, provider: aigate}}]\n')
    with pytest.raises(ManifestError) as caught:
        load(path)
    [problem] = caught.value.problems
    assert problem.message == "the column 'Product Name' is written {{ Product_Name }} in a template"
    path.write_text(f'jobs: [{{prompt: "A {{{{ Product_Name }}}}", from: {name}, provider: aigate}}]\n')
    assert [job.prompt for job in load(path).jobs] == ["A x"]


@pytest.mark.parametrize(
    ("rows", "name"),
    [
        ([{"k": "a", "EAN": "1"}, {"k": "a", "EAN": "2"}], "EAN"),
        ([{"k": "a", "Product Name": "x"}, {"k": "b", "Product Name": "y"}], "Product_Name"),
        ([{"k": "a"}, {"k": "b"}], "k"),
        ([{"k": "a"}, {"k": "a"}], None),
        ([{"k": ""}, {"k": "a"}], None),
        ([{"k": ["a"]}, {"k": ["b"]}], None),
        ([{"id": "a"}, {"id": "b"}], None),
    ],
)
def test_column_that_tells_rows_apart(rows, name):
    assert telling(rows, tuple(rows[0]), {"id"}) == name


def test_id_that_is_taken_names_a_column_of_the_list(tmp_path):
    (tmp_path / "l.csv").write_text("kind,Artikel Nr,title\nbag,1,x\nbag,2,x\n")
    path = tmp_path / "m.yaml"
    path.write_text('jobs: [{id: "{{ kind }}", prompt: "A {{ title }}", from: l.csv, provider: aigate}]\n')
    with pytest.raises(ManifestError) as caught:
        load(path)
    assert 'id: "{{ Artikel_Nr }}"' in caught.value.problems[0].hint
