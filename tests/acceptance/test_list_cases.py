"""Lists as people have them: what plan and validate make of the reported files."""

import json

import pytest
from PIL import Image

from batchgen.manifest import load

TOP = {"defaults": {"provider": "aigate", "model": "openai/gpt-image-2", "size": "1024x1024", "quality": "low"}}


@pytest.fixture
def jobs_of(project):
    def plan(files, *jobs):
        for name, content in files.items():
            (project.folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
        manifest = project.manifest(list(jobs), **TOP)
        found = project.run("plan", "--json", "--full", manifest)
        return found.json["items"] if found.code == 0 else found

    return plan


def prompts(jobs):
    return [job["prompt"] for job in jobs]


def test_case_column_image_ignored(jobs_of, project):
    (project.folder / "IO").mkdir()
    Image.new("RGB", (8, 8)).save(project.folder / "IO/a.png")
    [job] = jobs_of({"l.csv": "image,prompt\nIO/a.png,Remove the background\n"}, {"from": "l.csv"})
    assert job["kind"] == "edit"


def test_case_csv_dialects(jobs_of):
    files = {
        "semihead.csv": 'id;prompt;"size, wanted"\na;red;x\n',
        "sep.csv": "sep=;\r\nid;prompt\r\nb;green\r\n",
        "trail.csv": "id,prompt,\nc,blue,\n",
    }
    assert prompts(jobs_of(files, *({"from": name} for name in files))) == ["red", "green", "blue"]


def test_case_comment_lines_in_txt(jobs_of, project):
    assert len(jobs_of({"t.txt": "# cc0 animals\naardvark\n"}, {"from": "t.txt"})) == 2
    assert "one line begins with #" in project.run("validate", project.folder / "m.yaml").err


def test_case_double_bom_header(jobs_of):
    [job] = jobs_of({"l.csv": "\ufeff\ufeffid,prompt\na,red\n"}, {"from": "l.csv"})
    assert (job["id"], job["prompt"]) == ("a", "red")


@pytest.mark.parametrize(
    ("name", "rows", "number"),
    [
        ("t.txt", "red\n\u200b\n\ufeffblue\n\u00ad\n", 2),
        ("t.csv", "id,prompt\na,red\nb,\u200b\nc,\u00ad\n", 2),
        ("t.tsv", "id\tprompt\na\tred\nb\t\u2060\nc\t\ufe0f\n", 2),
        ("t.jsonl", '{"prompt": "red"}\n{"prompt": "\\u200b"}\n', 1),
    ],
)
def test_case_invisible_prompts(jobs_of, name, rows, number):
    refused = jobs_of({name: rows}, {"from": name})
    assert refused.code == 4
    problems = json.loads(refused.err.splitlines()[-1])["problems"]
    assert [problem["file"].rpartition("/")[2] for problem in problems] == [name] * number


def test_case_jsonl_big_int(jobs_of):
    rows = '{"ean":94001000000000000000011}\n{"ean":94001000000000000000012}\n'
    jobs = jobs_of({"l.jsonl": rows}, {"from": "l.jsonl", "id": "e{{ ean }}", "prompt": "Label {{ ean }}"})
    assert prompts(jobs) == ["Label 94001000000000000000011", "Label 94001000000000000000012"]
    assert [job["id"] for job in jobs] == ["e94001000000000000000011", "e94001000000000000000012"]


def test_case_tsv_quotes(jobs_of):
    rows = 'Prompt\tCategory\n"A B" painted on a wall\tArt\n"Hello" sign\tArt\n"SALE"\tArt\n'
    jobs = jobs_of({"l.tsv": rows}, {"from": "l.tsv", "prompt": "{{ Prompt }}"})
    assert prompts(jobs) == ['"A B" painted on a wall', '"Hello" sign', '"SALE"']


def test_case_semicolon_in_file_name(jobs_of, project):
    for number, name in enumerate((" lead.png", "lead.png", "x;y.png", "y.png")):
        Image.new("RGB", (8, 8), (number, 0, 0)).save(project.folder / name)
    assert len(jobs_of({}, {"from": ".", "prompt": "x", "id": "f{{ row }}"})) == 4
    images = [job.task.images for job in load(project.folder / "m.yaml").jobs]
    assert [source.path.rpartition("/")[2] for [source] in images] == [" lead.png", "lead.png", "x;y.png", "y.png"]


def test_case_csv_crlf_rebuys(jobs_of, project):
    rows = 'id,prompt\na,"red cube\non a table"\n'
    jobs_of({"l.csv": rows}, {"from": "l.csv"})
    assert project.run("run", project.folder / "m.yaml", "--yes").code == 0
    (project.folder / "l.csv").write_bytes(rows.replace("\n", "\r\n").encode())
    again = project.run("plan", "--json", project.folder / "m.yaml").json["jobs"]
    assert (again["done"], again["new"], again["changed"], again["orphaned"]) == (1, 0, 0, 0)
