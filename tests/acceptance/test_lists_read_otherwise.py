"""Lists that an earlier version read otherwise: what it made is kept, and never replaced because of a guess."""

import pytest
from PIL import Image

LIST = "id,image,prompt\na,IO/a.png,Remove the background\n"
WITHOUT_ID = "image,prompt\nIO/a.png,Remove the background\n"


@pytest.mark.parametrize("rows", [LIST, WITHOUT_ID], ids=["with id", "without id"])
def test_done_generations_of_an_ignored_images_column_are_kept(project, witness, rows):
    def states(rows, source):
        (project.folder / "l.csv").write_text(rows)
        job = {"provider": "openai", "quality": "low", "size": "1024x1024", "from": source}
        manifest = project.manifest([job])
        return manifest, project.run("plan", "--json", manifest).json["jobs"]

    (project.folder / "IO").mkdir()
    Image.new("RGB", (64, 64)).save(project.folder / "IO/a.png")
    manifest, jobs = states(rows, {"path": "l.csv", "columns": {"images": None}})
    assert project.run("run", manifest, "--yes").code == 0
    manifest, jobs = states(rows, "l.csv")
    assert (jobs["held"], jobs["changed"], jobs["new"], jobs["orphaned"]) == (1, 0, 0, 0)
    sent = len(witness.arrivals())
    kept = project.run("run", manifest, "--yes")
    assert kept.code == 0
    assert len(witness.arrivals()) == sent
    # Another prompt is another request, and a column that is stated is no guess.
    state = "changed" if rows is LIST else "new"
    assert states(rows.replace("Remove", "Blur"), "l.csv")[1][state] == 1
    assert states(rows, {"path": "l.csv", "columns": {"images": "image"}})[1][state] == 1


def test_done_jobs_of_a_tsv_whose_quotes_were_removed_are_kept(project, witness):
    def states(**source):
        job = {"provider": "openai", "quality": "low", "size": "1024x1024", "from": {"path": "l.tsv", **source}}
        manifest = project.manifest([job])
        return manifest, project.run("plan", "--json", manifest).json["jobs"]

    (project.folder / "l.tsv").write_text('id\tprompt\na\t"SALE"\nb\tred\n')
    manifest, _ = states(quoting="csv")
    assert project.run("run", manifest, "--yes").code == 0
    manifest, jobs = states()
    assert (jobs["done"], jobs["held"], jobs["changed"]) == (1, 1, 0)
    sent = len(witness.arrivals())
    assert project.run("run", manifest, "--yes").code == 0
    assert len(witness.arrivals()) == sent
    assert states(quoting="none")[1]["changed"] == 1
