"""Images columns that an earlier version ignored: what it made is kept, and never replaced because of a guess."""

from PIL import Image

LIST = "id,image,prompt\na,IO/a.png,Remove the background\n"


def test_done_generations_of_an_ignored_images_column_are_kept(project, witness):
    def states(rows, source):
        (project.folder / "l.csv").write_text(rows)
        job = {"provider": "openai", "quality": "low", "size": "1024x1024", "from": source}
        manifest = project.manifest([job])
        return manifest, project.run("plan", "--json", manifest).json["jobs"]

    (project.folder / "IO").mkdir()
    Image.new("RGB", (64, 64)).save(project.folder / "IO/a.png")
    manifest, jobs = states(LIST, {"path": "l.csv", "columns": {"images": None}})
    assert project.run("run", manifest, "--yes").code == 0
    manifest, jobs = states(LIST, "l.csv")
    assert (jobs["held"], jobs["changed"], jobs["new"]) == (1, 0, 0)
    sent = len(witness.arrivals())
    kept = project.run("run", manifest, "--yes")
    assert kept.code == 0
    assert len(witness.arrivals()) == sent
    # Another prompt is another request, and a column that is stated is no guess.
    assert states(LIST.replace("Remove", "Blur"), "l.csv")[1]["changed"] == 1
    assert states(LIST, {"path": "l.csv", "columns": {"images": "image"}})[1]["changed"] == 1
