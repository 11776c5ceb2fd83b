"""Columns of lists: those named nearly like a parameter, and those that the manifest maps."""

import json

import pytest
from PIL import Image

from batchgen.errors import ManifestError
from batchgen.manifest import load

HEAD = "defaults: {provider: aigate}\n"


@pytest.fixture
def batch(tmp_path):
    (tmp_path / "IO").mkdir()
    for number, name in enumerate(("IO/a.png", "IO/b.png")):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(tmp_path / name)

    def read(job, name="l.csv", rows=""):
        (tmp_path / name).write_text(rows, encoding="utf-8")
        (tmp_path / "m.yaml").write_text(f"{HEAD}jobs:\n  - {{{job}}}\n", encoding="utf-8")
        return load(tmp_path / "m.yaml")

    return read


def kinds(found):
    return [job.task.kind.value for job in found.jobs]


def texts(problems):
    return [str(problem).rpartition("/")[2] if "IO/" not in str(problem) else str(problem) for problem in problems]


def refused(batch, *args, **options):
    with pytest.raises(ManifestError) as caught:
        batch(*args, **options)
    return caught.value.problems


EDIT = "IO/a.png,Remove the background\n"


@pytest.mark.parametrize(
    "name",
    [
        *("image", "img", "source_image", "image_path", "image_file", "file", "filename", "photo", "picture", "source"),
        *("input_image", "Image", "IMAGE", "Image Path", "image-path", "Images", "Foto", "Bild", "src"),
    ],
)
def test_column_of_existing_images_is_used_as_images(batch, name):
    found = batch("from: l.csv", rows=f"{name},prompt\n{EDIT}")
    assert kinds(found) == ["edit"]
    [warning] = found.warnings
    assert warning.message == f"the column {name!r} is used as images"
    assert (warning.line, warning.column) == (1, 1)
    assert f"columns: {{images: {name}}}" in warning.hint


@pytest.mark.parametrize(
    "rows", ["image,prompt\nIO/a.png,p\n,q\nIO/b.png,r\n", "image,prompt\n" + "-,p\n" * 40 + "IO/a.png,q\n" * 40]
)
def test_column_of_images_may_have_rows_without_one_which_are_refused(batch, rows):
    assert {problem.code for problem in refused(batch, 'id: "{{ row }}", from: l.csv', rows=rows)} <= {
        "empty_images",
        "bad_source",
    }


@pytest.mark.parametrize("value", ['["IO/a.png", "IO/b.png"]', '"IO/a.png;IO/b.png"'])
def test_column_of_several_images_is_used_as_images(batch, value):
    [job] = batch("from: l.jsonl", "l.jsonl", f'{{"image": {value}, "prompt": "p"}}\n').jobs
    assert len(job.task.images) == 2


@pytest.mark.parametrize(
    ("name", "cell", "found"),
    [
        ("image_url", "https://example.com/x?id=3", True),
        ("Image Link", "https://example.com/x", True),
        ("source", "https://example.com/page", False),
        ("source", "https://example.com/a.jpg?w=3", True),
        ("img", "data:image/png;base64,AAAA", True),
    ],
)
def test_column_of_urls_is_refused_where_they_are_images(batch, name, cell, found):
    rows = f'{name},prompt\n"{cell}",p\n'
    if found:
        assert [problem.code for problem in refused(batch, "from: l.csv", rows=rows)] == ["unused_images"]
    else:
        assert kinds(batch("from: l.csv", rows=rows)) == ["generate"]


def test_lines_of_a_txt_that_name_images_are_images(batch):
    found = batch('id: "{{ row }}", prompt: Cut it out, from: l.txt', "l.txt", "IO/a.png\nIO/b.png\n")
    assert kinds(found) == ["edit", "edit"]
    assert "are used as images" in found.warnings[0].message
    [problem] = refused(batch, "from: l.txt", "l.txt", "IO/a.png\nIO/b.png\n")
    assert problem.message.endswith("l.txt name images, not prompts")
    stated = "id: '{{ row }}', prompt: Cut it out, from: {path: l.txt, columns: {images: prompt}}"
    assert kinds(batch(stated, "l.txt", "IO/a.png\n")) == ["edit"]
    assert kinds(batch("from: l.txt", "l.txt", "logo.png\na red cube\n")) == ["generate", "generate"]


def test_column_of_images_is_used_in_jsonl_and_tsv(batch):
    row = json.dumps({"prompt": "Cut it out", "image": "IO/b.png"})
    assert kinds(batch("from: l.jsonl", "l.jsonl", f"{row}\n")) == ["edit"]
    assert kinds(batch("from: l.tsv", "l.tsv", "prompt\timage\nCut it out\tIO/b.png\n")) == ["edit"]


@pytest.mark.parametrize("cell", ["IO/none.png", "https://example.com/a.png", "out.jpg"])
def test_column_of_images_that_are_not_there_is_refused_with_the_line_to_write(batch, cell):
    [problem] = refused(batch, "from: l.csv", rows=f"image,prompt\n{cell},Remove the background\n")
    assert problem.code == "unused_images"
    assert "from: {path: l.csv, columns: {images: image}}" in problem.hint
    assert "columns: {images: null}" in problem.hint
    assert kinds(batch("from: {path: l.csv, columns: {images: null}}", rows=f"image,prompt\n{cell},A cat\n")) == [
        "generate"
    ]


@pytest.mark.parametrize(
    "job",
    [
        'prompt: "A cat like {{ image }}", from: l.csv',
        'id: "{{ image | slug }}", from: l.csv',
        "from: {path: l.csv, columns: {images: null}}",
        'id: "{{ picture | slug }}", from: {path: l.csv, columns: {picture: image}}',
    ],
)
def test_column_of_images_that_is_in_use_stays_what_it_is(batch, job):
    assert kinds(batch(job, rows=f"image,prompt\n{EDIT}")) == ["generate"]


def test_column_of_images_is_used_where_rows_without_one_are_left_out(batch):
    rows = "id,image,prompt\na,IO/a.png,p\nb,,q\n"
    [problem] = refused(batch, "from: l.csv", rows=rows)
    assert 'where: {image: "?*"}' in problem.hint
    assert kinds(batch('from: {path: l.csv, where: {image: "?*"}}', rows=rows)) == ["edit"]


def test_row_without_a_prompt_says_how_to_leave_it_out(batch):
    [problem] = refused(batch, "from: l.csv", rows="id,Prompt\na,p\nb,\n")
    assert problem.code == "no_prompt"
    assert 'where: {Prompt: "?*"}' in problem.hint
    assert len(batch('from: {path: l.csv, where: {Prompt: "?*"}}', rows="id,Prompt\na,p\nb,\n").jobs) == 1


def test_column_of_images_sets_nothing_where_the_job_has_images(batch):
    found = batch("images: IO/b.png, from: l.csv", rows=f"image,prompt\n{EDIT}")
    assert [job.task.images[0].path.rpartition("/")[2] for job in found.jobs] == ["b.png"]
    assert kinds(batch("from: l.csv", rows="image,images,prompt\nx.png,IO/b.png,p\n")) == ["edit"]


@pytest.mark.parametrize("cells", ["yes,p\n", ",p\n", "a red cat,p\n"])
def test_column_without_names_of_images_is_not_used_as_images(batch, cells):
    assert kinds(batch("from: l.csv", rows=f"image,prompt\n{cells}")) == ["generate"]


def test_column_of_another_name_that_holds_images_is_reported(batch):
    found = batch("from: l.csv", rows="thing,prompt\nIO/a.png,p\n")
    assert kinds(found) == ["generate"]
    [warning] = found.warnings
    assert warning.message == "the column 'thing' names images, but nothing sends them"
    assert "columns: {images: thing}" in warning.hint


def test_two_columns_of_images_are_no_guess(batch):
    [problem] = refused(batch, "from: l.csv", rows="image,photo,prompt\nIO/a.png,IO/b.png,p\n")
    assert problem.code == "unused_images"


# --- prompts ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["Prompt", "PROMPT", "prompts", "Prompt Text", "text", "description", "Caption"])
def test_column_of_texts_is_the_prompt_where_there_is_no_other(batch, name):
    found = batch("from: l.csv", rows=f"id,{name}\na,red\n")
    assert [job.prompt for job in found.jobs] == ["red"]
    assert [warning.message for warning in found.warnings] == [f"the column {name!r} is used as prompt"]


def test_column_of_texts_is_a_variable_where_there_is_a_prompt(batch):
    found = batch("from: l.csv", rows="text,prompt\nx,red\n")
    assert [job.prompt for job in found.jobs] == ["red"]
    found = batch('prompt: "A {{ text }}", from: l.csv', rows="text\nx\n")
    assert [job.prompt for job in found.jobs] == ["A x"]
    assert found.warnings == ()


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ("id;colour\n1;a long red\n2;blue\n", "the columns are: id, colour, separated by semicolons"),
        ("text,description\n1,a long red\n2,b\n", "the columns are: text, description, separated by commas"),
        ("promt,k\na,b\nc,d\n", "the columns are: promt, k"),
        ("x.png,titel\nlong/name/of/x.png,b\n", "the columns are: x.png, titel"),
    ],
)
def test_a_list_without_prompts_is_one_error(batch, rows, words):
    [problem] = refused(batch, "from: l.csv", rows=rows)
    assert problem.code == "no_prompt"
    assert words in problem.message
    likely = {"id": "colour", "te": "description", "pr": "promt", "x.": "titel"}[rows[:2]]
    assert f"columns: {{prompt: {likely}}}" in problem.hint


def test_a_jsonl_without_prompts_is_one_error(batch):
    [problem] = refused(batch, "from: l.jsonl", "l.jsonl", '{"id": "a", "title": "x"}\n{"id": "b"}\n')
    assert problem.message.endswith("the columns are: id, title")


# --- stated -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "job",
    [
        'from: {path: l.csv, columns: {prompt: "Product Name", images: Ansicht}}',
        'from: l.csv, columns: {prompt: "Product Name", images: Ansicht}',
        "from: {path: l.csv, columns: {prompt: Product_Name, images: Ansicht}}",
    ],
)
def test_columns_set_the_parameters_that_they_are_mapped_to(batch, job):
    found = batch(job, rows="Product Name,Ansicht\nA red shoe,IO/a.png\n")
    assert [(job.prompt, job.task.kind.value) for job in found.jobs] == [("A red shoe", "edit")]
    assert found.warnings == ()


def test_columns_set_variables_too(batch):
    found = batch(
        'prompt: "A {{ what }}", from: {path: l.csv, columns: {what: "Größe, ca."}}', rows='"Größe, ca."\nXL\n'
    )
    assert [job.prompt for job in found.jobs] == ["A XL"]


def test_columns_of_a_jsonl_are_mapped(batch):
    job = "from: {path: l.jsonl, columns: {prompt: Product}}"
    assert [job.prompt for job in batch(job, "l.jsonl", '{"Product": "red"}\n').jobs] == ["red"]
    [problem] = refused(batch, job, "l.jsonl", '{"Products": "red", "prompt": "p"}\n')
    assert "columns names the column 'Product', which does not exist (did you mean 'Products'?" in problem.message


def test_columns_that_do_not_exist_are_an_error_that_lists_the_others(batch):
    [problem] = refused(batch, "from: {path: l.csv, columns: {prompt: Titel}}", rows="id,Title\na,b\n")
    assert "the column 'Titel', which does not exist (did you mean 'Title'? there are: id, Title)" in problem.message
    [problem] = refused(batch, "from: {path: l.csv, columns: {Title: prompt}}", rows="id,Title\na,b\n")
    assert "the other way round: columns: {prompt: Title}" in problem.message


def test_columns_that_set_what_nothing_uses_are_an_error(batch):
    [problem] = refused(batch, "from: {path: l.csv, columns: {imagse: Foto}}", rows=f"Foto,prompt\n{EDIT}")
    assert problem.message == "columns sets 'imagse', which is not a parameter, and no template names it"
    assert problem.hint == "did you mean 'images'?"
    [problem] = refused(batch, "prompt: A cat, from: {path: l.csv, columns: {prompt: Foto}}", rows=f"Foto,k\n{EDIT}")
    assert problem.message == "columns sets 'prompt', but the job sets it itself"


def test_columns_may_keep_a_column_from_setting_its_parameter(batch):
    found = batch('prompt: "Shoe {{ size }}", from: {path: l.csv, columns: {size: null}}', rows="size\n42\n")
    [job] = found.jobs
    assert (job.prompt, job.task.size) == ("Shoe 42", None)


def test_places_in_mapped_columns_are_those_of_the_file(batch):
    [problem] = refused(batch, "prompt: p, from: {path: l.csv, columns: {seed: Zahl}}", rows="id,Zahl\na,x\n")
    assert (problem.line, problem.column) == (2, 3)


# --- what sets nothing ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "parameter"),
    [
        *(("Size", "size"), ("Output Format", "output_format")),
        *(
            ("modell", "model"),
            ("qualität", "quality"),
            ("seed_", "seed"),
            ("qualtiy", "quality"),
            ("bakground", "background"),
        ),
    ],
)
def test_column_named_nearly_like_a_parameter_is_reported_and_sets_nothing(batch, name, parameter):
    found = batch("from: l.csv", rows=f"prompt,{name}\nA cat,1\n")
    [warning] = found.warnings
    assert warning.message == f"the column {name!r} sets nothing: the parameter is {parameter!r}"
    assert f"columns: {{{parameter}: {name}}}" in warning.hint
    assert (warning.line, warning.column) == (1, 8)


def test_column_whose_second_name_is_a_parameter_sets_it(batch):
    [job] = batch("from: l.csv", rows="prompt,output-format\nA cat,webp\n").jobs
    assert job.task.output_format == "webp"


def test_column_of_negative_prompts_is_reported(batch):
    found = batch("from: l.csv", rows="prompt,Negative Prompt\nA cat,dogs\n")
    [warning] = found.warnings
    assert "no parameter takes a negative prompt" in warning.message
    assert "{{ Negative_Prompt }}" in warning.hint


@pytest.mark.parametrize("name", ["title", "colour", "price", "sku", "notes", "category", "Art", "side"])
def test_other_columns_are_not_reported(batch, name):
    assert batch("from: l.csv", rows=f"prompt,{name}\nA cat,1\n").warnings == ()


# --- several images in one cell ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cell", "names"),
    [
        ("IO/a.png;IO/b.png", ["a.png", "b.png"]),
        (" IO/a.png ; IO/b.png ;", ["a.png", "b.png"]),
        ('"[""IO/a.png"", ""IO/b.png""]"', ["a.png", "b.png"]),
        ("IO/x;y.png", ["x;y.png"]),
        ("IO/x;y.png;IO/b.png", None),
        ("IO/ lead.png", [" lead.png"]),
        ("[1].png", ["[1].png"]),
        ("IO/a.png; lead.png", ["a.png", " lead.png"]),
    ],
)
def test_cell_of_images_is_a_file_a_json_list_or_names_with_semicolons(batch, tmp_path, cell, names):
    for number, name in enumerate(("IO/x;y.png", "IO/ lead.png", " lead.png", "[1].png")):
        Image.new("RGB", (8, 8), (9, number, 0)).save(tmp_path / name)
    job, rows = "from: l.csv", f"id,images,prompt\n1,{cell},p\n"
    if names is None:
        assert {problem.code for problem in refused(batch, job, rows=rows)} == {"bad_source"}
        return
    [planned] = batch(job, rows=rows).jobs
    assert [source.path.rpartition("/")[2] for source in planned.task.images] == names


@pytest.mark.parametrize("name", ["l.csv", "L.TSV", "l.xlsx", "l.jsonl"])
def test_prompts_of_a_table_are_refused_with_the_line_to_write(tmp_path, name):
    (tmp_path / name).write_text("id,prompt\na,red\n")
    (tmp_path / "m.yaml").write_text(f"{HEAD}prompts: {name}\n")
    with pytest.raises(ManifestError) as caught:
        load(tmp_path / "m.yaml")
    [problem] = caught.value.problems
    assert f"jobs: [{{from: {name}}}]" in problem.message


# --- names in other words ---------------------------------------------------------------------------------------------


def test_columns_of_images_that_are_no_guess_are_all_named(batch):
    for names in ("image,photo", "image_1,image_2", "Bild,Foto 2"):
        [problem] = refused(batch, "from: l.csv", rows=f"{names},prompt\nIO/a.png,IO/b.png,p\n")
        first, second = names.split(",")
        assert f"the columns {first!r} and {second!r} name images" in problem.message
    job = 'images: ["{{ image }}", "{{ photo }}"], from: l.csv'
    [job] = batch(job, rows="image,photo,prompt\nIO/a.png,IO/b.png,p\n").jobs
    assert len(job.task.images) == 2


def test_columns_of_urls_are_not_left_unsent_in_silence(batch):
    found = batch("from: l.csv", rows="Variant Image,prompt\nhttps://example.com/x,p\n")
    assert [warning.message for warning in found.warnings] == [
        "the column 'Variant Image' names images, but nothing sends them"
    ]
    assert batch("from: l.csv", rows="shop,prompt\nhttps://example.com/x,p\n").warnings == ()


def test_column_of_images_that_only_names_the_jobs_is_reported(batch):
    found = batch('id: "{{ image | slug }}", from: l.csv', rows=f"image,prompt\n{EDIT}")
    assert [warning.code for warning in found.warnings] == ["unused_images"]
    assert batch('prompt: "A cat like {{ image }}", from: l.csv', rows=f"image,k\n{EDIT}").warnings == ()


@pytest.mark.parametrize("rows", [[], ["image"]])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_images_that_begin_after_the_first_rows_are_reported(batch, kind, rows):
    lines = [f"p{number}" for number in range(300)]
    if kind == "csv":
        text = "image,prompt\n" + "".join(f",{line}\n" for line in lines) + "IO/a.png,q\n"
    else:
        text = "".join(json.dumps({"prompt": line, **dict.fromkeys(rows, "")}) + "\n" for line in lines)
        text += json.dumps({"prompt": "q", "image": "IO/a.png"}) + "\n"
    found = batch(f"from: l.{kind}", f"l.{kind}", text)
    [warning] = [warning for warning in found.warnings if warning.code == "unused_images"]
    assert warning.line == len(lines) + (2 if kind == "csv" else 1)
    assert "columns: {images: image}" in warning.hint
    assert "unused_images" not in {
        warning.code
        for warning in batch(f"from: {{path: l.{kind}, columns: {{images: null}}}}", f"l.{kind}", text).warnings
    }


@pytest.mark.parametrize(
    ("name", "cell", "parameter"),
    [
        *(("mask_image", "m.png", "mask"), ("Model Name", "gpt-image-2", "model"), ("Anbieter", "openai", "provider")),
        *(("aspect_ratio", "16:9", "size"), ("Größe", "1024x1024", "size"), ("format", "16:9", "size")),
        *(("format", "webp", "output_format"), ("Qualité", "low", "quality"), ("num_images", "2", "n")),
        *(("Hintergrund", "transparent", "background"), ("Tag", "autumn", "tags"), ("width", "1024", "size")),
    ],
)
def test_column_named_like_a_synonym_of_a_parameter_is_reported(batch, name, cell, parameter):
    [warning] = batch("from: l.csv", rows=f"prompt,{name}\nA cat,{cell}\n").warnings
    assert warning.message == f"the column {name!r} sets nothing: the parameter is {parameter!r}"


@pytest.mark.parametrize(
    "row", ["format,A4", "count,many", "Größe,XL", "Hintergrund,blau", "width,12 cm", "ratio,2.5", "anzahl,250"]
)
def test_synonyms_with_other_values_are_variables(batch, row):
    name, cell = row.split(",")
    assert batch("from: l.csv", rows=f"prompt,{name}\nA cat,{cell}\n").warnings == ()


@pytest.mark.parametrize(
    "header", ["Product\u00a0Name", "Product  Name", '"Product\nName"', "\u00a0Product Name\u200b"]
)
def test_columns_are_found_whatever_blanks_their_names_have(batch, header):
    [job] = batch("from: {path: l.csv, columns: {prompt: Product Name}}", rows=f"{header},x\nA cat,1\n").jobs
    assert job.prompt == "A cat"


@pytest.mark.parametrize(
    ("cell", "hint"),
    [
        ("IO\\a.png", "did you mean 'IO/a.png'?"),
        ("'IO/a.png'", "did you mean 'IO/a.png'?"),
        ("IO/a%2Epng", "did you mean 'IO/a.png'?"),
        ("IO\\A.PNG", "did you mean 'IO/a.png'?"),
        ('"IO/a.png, IO/b.png"', "separate several images with ; and not with commas"),
        ("IO/a.png|IO/b.png", "separate several images with ; and not with bars"),
        ('"IO/a.png\nIO/b.png"', "separate several images with ; and not with line breaks"),
    ],
)
def test_names_of_images_as_other_programs_write_them_are_answered(batch, cell, hint):
    [problem] = refused(batch, "from: l.csv", rows=f"images,prompt\n{cell},p\n")
    assert problem.message.endswith(hint)
    assert "\n" not in problem.message
