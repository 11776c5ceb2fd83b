"""Commands on delivered files that are in an object store (a real S3 server)."""

from __future__ import annotations

import io
import json
import zipfile

import pytest
from PIL import Image

from tests.servers import s3

from .kit import CANARY, check_books

NUMBER = 4
JOBS = [{"id": f"cat-{number}", "prompt": f"cat {number}", "provider": "openai"} for number in range(NUMBER)]


@pytest.fixture
def shop(project, bucket, witness):  # the witness counts what the first run buys
    """A project whose images are in the bucket, and its manifest."""
    project.env |= bucket.env
    manifest = project.manifest(JOBS, output={"dir": f"{bucket.url}/shop"})
    done = project.run("run", manifest, "--yes")
    assert done.code == 0, done
    return project, manifest


# --- verify -------------------------------------------------------------------


def test_verify_reads_every_object(shop, bucket):
    project, _ = shop
    whole = project.run("verify")
    assert (whole.code, "4 files checked, all as delivered" in whole.err) == (0, True), whole
    assert project.run("verify", "--deep").code == 0
    data = bucket.read("shop/cat-0.png")
    bucket.write("shop/cat-0.png", data[:-1] + bytes([data[-1] ^ 1]), **bucket.facts("shop/cat-0.png"))
    bucket.write("shop/cat-1.png", data[:100])
    bucket.delete("shop/cat-2.png")
    found = {file["id"]: file["what"] for file in project.run("verify", "--json").json["files"]}
    assert found == {"cat-0": "hash", "cat-1": "size", "cat-2": "missing"}
    quick = project.run("verify", "--quick", "--json")
    assert {file["id"]: file["what"] for file in quick.json["files"]} == {"cat-1": "size", "cat-2": "missing"}


def test_verify_quick_downloads_nothing(shop, s3_server):
    project, _ = shop
    before = s3_server.requests("GET", "/shop/cat-")
    assert "4 files checked, all there, with the right size" in project.run("verify", "--quick").err
    assert s3_server.requests("GET", "/shop/cat-") == before
    assert project.run("verify", "--quick", "--deep").code == 2


@pytest.fixture
def elsewhere():
    """The address of another S3 server, which has no bucket."""
    with s3.running() as server:
        yield server.endpoint


def test_verify_of_a_store_that_is_gone_requeues_nothing(shop, bucket, elsewhere):
    """An outage, or a wrong endpoint, proves nothing about the files: nothing may be bought again because of it."""
    project, manifest = shop
    for endpoint in ("http://127.0.0.1:9", elsewhere):
        for command in (["verify", "--requeue"], ["verify", "--quick"], ["redo", manifest, "--missing", "--yes"]):
            failed = project.run(*command, AWS_ENDPOINT_URL=endpoint)
            assert failed.code == 1, (command, endpoint, failed)
            assert bucket.url in failed.err
    assert {job["state"] for job in project.jobs().values()} == {"done"}


def test_verify_requeues_what_is_missing_in_the_store(shop, bucket, witness):
    project, manifest = shop
    bucket.delete("shop/cat-3.png", "shop/cat-3.png.json")
    assert project.run("verify", "--requeue").code == 3
    assert project.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == NUMBER + 1
    assert project.run("verify").code == 0


# --- export, list, open -------------------------------------------------------


def test_export_names_addresses_and_downloads(shop, bucket):
    project, _ = shop
    lines = [json.loads(line) for line in project.run("export", "--files", "handover").out.splitlines()]
    files = [file for line in lines for file in line["files"]]
    assert {file["path"] for file in files} == {f"{bucket.url}/shop/cat-{number}.png" for number in range(NUMBER)}
    for file in files:
        name = file["path"].removeprefix(f"{bucket.url}/")
        assert (project.folder / file["copy"]).read_bytes() == bucket.read(name)
    bucket.delete("shop/cat-0.png")
    again = project.run("export", "--files", "again")
    assert again.code == 3
    assert f"{bucket.url}/shop/cat-0.png is missing or damaged" in again.err
    refused = project.run("export", "--files", f"{bucket.url}/copies")
    assert refused.code == 2
    assert "takes a path on this machine" in refused.err


def test_show_and_open_print_the_address(shop, bucket):
    project, _ = shop
    assert f"file      {bucket.url}/shop/cat-1.png" in project.run("show", "cat-1").out
    assert project.run("open", "cat-1").out.strip() == f"{bucket.url}/shop/cat-1.png"
    assert project.run("open", "cat-1", "--folder").out.strip() == f"{bucket.url}/shop"
    bucket.delete("shop/cat-1.png")
    gone = project.run("open", "cat-1")
    assert gone.code == 10
    assert f"{bucket.url}/shop/cat-1.png is gone" in gone.err


# --- presence and redo --------------------------------------------------------


def test_run_samples_the_store_and_status_does_not_ask_it(shop, bucket):
    project, manifest = shop
    bucket.delete("shop/cat-0.png")
    done = project.run("run", manifest)
    assert "gone      1 file is gone" in done.err
    status = project.run("status", "--json", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert status.code == 0
    assert status.json["files_gone"] == {"gone": 0, "looked_for": 0, "complete": False}


def test_redo_of_missing_objects_makes_only_these(shop, bucket, witness):
    project, manifest = shop
    bucket.delete("shop/cat-2.png")
    assert project.run("redo", manifest, "--missing", "--yes").code == 0
    assert [line["prompt"] for line in witness.charges()][NUMBER:] == ["cat 2"]
    assert project.run("verify").code == 0


# --- clean --------------------------------------------------------------------


def test_clean_finds_replaced_objects(shop, bucket):
    project, manifest = shop
    assert project.run("redo", manifest, "--id", "cat-0", "--yes").code == 0
    [old] = [name for name in bucket.names("shop/.superseded/") if name.endswith(".png")]
    shown = project.run("clean", "--older-than", "0h", "--json")
    assert f"{bucket.url}/{old}" in {file["path"] for file in shown.json["files"]}
    assert old in bucket.names()
    assert project.run("clean", "--older-than", "0h", "--yes").code == 0
    assert old not in bucket.names()
    assert f"{old}.json" in bucket.names()
    assert project.run("verify").code == 0


# --- recovery -----------------------------------------------------------------


def test_lost_database_is_rebuilt_from_the_store(shop, bucket, witness):
    project, manifest = shop
    before = {key: (job["state"], len(job["attempts"])) for key, job in project.jobs().items()}
    for path in project.state.glob("batchgen.db*"):
        path.unlink()
    recovered = project.run("db", "recover", manifest)
    assert recovered.code == 0, recovered
    assert {key: (job["state"], len(job["attempts"])) for key, job in project.jobs().items()} == before
    assert {row["path"] for row in project.rows("select path from artifacts")} == {
        f"{bucket.url}/shop/cat-{number}.png" for number in range(NUMBER)
    }
    assert project.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == NUMBER
    check_books(project, witness.charges())


def test_recovery_lists_more_than_a_page_of_objects(shop, bucket, witness):
    """A store lists a thousand names at a time."""
    project, manifest = shop
    for number in range(1_100):
        bucket.write(f"shop/a-note-{number:04}.json", b"{}")
    for path in project.state.glob("batchgen.db*"):
        path.unlink()
    assert project.run("db", "recover", manifest).code == 0
    assert {job["state"] for job in project.jobs().values()} == {"done"}
    assert len(witness.charges()) == NUMBER


# --- derived copies -----------------------------------------------------------


def test_copies_are_written_listed_and_made_again(project, bucket, witness):
    project.env |= bucket.env
    output = {"dir": f"{bucket.url}/shop"}
    manifest = project.manifest(JOBS[:2], output=output, deliver=[{"name": "web", "format": "jpg", "size": "8x8"}])
    done = project.run("run", manifest, "--yes")
    assert done.code == 0, done
    copies = [name for name in bucket.names("shop/") if name.endswith(".jpg")]
    assert len(copies) == 2
    for name in copies:
        with Image.open(io.BytesIO(bucket.read(name))) as image:
            assert image.format == "JPEG"
        assert bucket.facts(name)["Content-Type"] == "image/jpeg"
    sidecar = json.loads(bucket.read("shop/cat-0.png.json"))
    assert [copy["name"] for copy in sidecar["copies"]] == ["web"]
    assert bucket.facts("shop/cat-0.png.json")["batchgen-job"] == "cat-0"
    bucket.delete(copies[0])
    missing = project.run("verify")
    assert (missing.code, "copy missing" in missing.out) == (0, True), missing
    assert project.run("verify", "--requeue").code == 0
    assert "1 written" in project.run("run", manifest).err
    assert copies[0] in bucket.names()
    assert len(witness.charges()) == 2


# --- report -------------------------------------------------------------------


def page_of(bucket, name="shop/report/index.html"):
    text = bucket.read(name).decode()
    _, _, rest = text.partition('id="data">')
    return json.loads(rest.partition("</script>")[0])


def test_report_goes_to_the_store(shop, bucket):
    project, _ = shop
    written = project.run("report", "--json")
    assert written.code == 0, written
    assert written.json["page"] == f"{bucket.url}/shop/report/index.html"
    names = bucket.names("shop/report/")
    assert len([name for name in names if name.startswith("shop/report/thumbs/")]) == NUMBER
    assert "shop/report/report.json" in names
    assert bucket.facts("shop/report/index.html")["Content-Type"].startswith("text/html")
    page = page_of(bucket)
    assert (page["folder"], page["folder_url"]) == (f"{bucket.url}/shop/", "../")
    assert page["tiles"]["gone"] == []
    assert page["tiles"]["no_thumb"] == []
    assert f"report    {bucket.url}/shop/report/index.html" in project.run("status").out


def test_report_writes_only_what_changed(shop, bucket):
    project, _ = shop
    assert project.run("report").code == 0
    before = bucket.versions("shop/report/")
    again = project.run("report", "--json").json
    assert (again["files"], again["thumbnails"]) == ([], {"made": 0, "reused": NUMBER})
    assert bucket.versions("shop/report/") == before
    bucket.delete("shop/cat-1.png")
    changed = project.run("report", "--json").json
    assert f"{bucket.url}/shop/report/index.html" in changed["files"]
    assert not [file for file in changed["files"] if "/thumbs/" in file]
    assert page_of(bucket)["tiles"]["gone"] == [1]


def test_report_of_another_machine_reuses_the_thumbnails(shop, bucket):
    project, _ = shop
    assert project.run("report").code == 0
    for path in (project.state / "report-shop").rglob("*"):
        if path.is_file():
            path.unlink()
    for folder in ("thumbs", ""):
        (project.state / "report-shop" / folder).rmdir()
    again = project.run("report", "--json").json
    assert again["thumbnails"] == {"made": 0, "reused": NUMBER}


def test_part_of_a_batch_leaves_the_whole_page_in_the_store_as_it_is(shop, bucket):
    project, _ = shop
    assert project.run("report").code == 0
    bucket.write("shop/report/data/0000.js", b"details that another machine wrote")
    before = bucket.versions("shop/report/")
    done = project.run("report", "--id", "cat-*", "--json").json
    assert done["page"] == f"{bucket.url}/shop/report/selection.html"
    assert len(page_of(bucket, "shop/report/selection.html")["tiles"]["key"]) == NUMBER
    after = bucket.versions("shop/report/")
    assert {name: after[name] for name in before} == before


def test_reports_of_two_batches_below_one_prefix(shop, bucket):
    project, _ = shop
    assert project.run("report").code == 0
    other = project.manifest(
        [{"id": "dog", "prompt": "dog", "provider": "openai"}], "other.yaml", output={"dir": f"{bucket.url}/shop"}
    )
    other.write_text(other.read_text().replace("name: shop", "name: pets"))
    assert project.run("run", other, "--yes").code == 0
    assert project.run("report", "pets", "--json").json["page"] == f"{bucket.url}/shop/report-pets/index.html"
    assert page_of(bucket)["batch"] == "shop"
    assert page_of(bucket, "shop/report-pets/index.html")["batch"] == "pets"


def test_report_as_zip_single_file_and_local_folder(shop, bucket):
    project, _ = shop
    zipped = project.run("report", "--zip", "--json").json["zip"]
    with zipfile.ZipFile(zipped["path"]) as archive:
        names = set(archive.namelist())
        assert {f"shop/cat-{number}.png{end}" for number in range(NUMBER) for end in ("", ".json")} <= names
        assert archive.read("shop/cat-0.png") == bucket.read("shop/cat-0.png")
    single = project.run("report", "--single-file", "--json").json
    assert single["page"] == str(project.folder / "shop.html")
    local = project.run("report", "-o", "pages", "--json").json
    page = (project.folder / "pages" / "index.html").read_text(encoding="utf-8")
    assert local["page"] == str(project.folder / "pages" / "index.html")
    assert f'"folder_url":"{bucket.endpoint}/{bucket.name}/shop/"' in page
    assert f"img-src 'self' data: blob: file: {bucket.endpoint};" in page


def test_run_ends_with_a_report_in_the_store(project, bucket, witness):
    project.env |= bucket.env
    manifest = project.manifest(JOBS, output={"dir": f"{bucket.url}/shop"}, report=True)
    done = project.run("run", manifest, "--yes")
    assert done.code == 0, done
    assert f"report    {bucket.url}/shop/report/index.html" in done.err
    assert len(bucket.names("shop/report/thumbs/")) == NUMBER
    assert len(witness.charges()) == NUMBER


def test_report_shows_earlier_forms_and_no_secret(shop, bucket):
    project, manifest = shop
    assert project.run("redo", manifest, "--id", "cat-0", "--yes").code == 0
    assert project.run("report").code == 0
    [[form]] = page_of(bucket)["tiles"]["earlier"].values()
    assert form["path"].removeprefix(f"{bucket.url}/") in bucket.names("shop/.superseded/")
    everything = b"".join(bucket.read(name) for name in bucket.names())
    for secret in (s3.SECRET, CANARY):
        assert secret.encode() not in everything


def test_report_of_a_store_that_is_gone_ends_with_a_message(shop, bucket):
    project, _ = shop
    failed = project.run("report", AWS_ENDPOINT_URL="http://127.0.0.1:9")
    assert failed.code == 1
    assert bucket.url in failed.err


def test_adopted_file_goes_to_the_store(project, bucket, witness):
    project.env |= bucket.env
    refused = [{"id": "cat", "prompt": "cat [sandbox: refuse]", "provider": "openai"}]
    manifest = project.manifest(refused, output={"dir": f"{bucket.url}/shop"})
    assert project.run("run", manifest, "--yes").code == 3
    Image.new("RGB", (8, 8), "red").save(project.folder / "mine.png")
    adopted = project.run("unknown", "adopt", "cat", "mine.png")
    assert adopted.code == 0, adopted
    assert bucket.read("shop/cat.png") == (project.folder / "mine.png").read_bytes()
    assert json.loads(bucket.read("shop/cat.png.json"))["id"] == "cat"
    assert project.run("verify").code == 0
