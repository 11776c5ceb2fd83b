"""Source images and lists that are in an object store (a real S3 server)."""

from __future__ import annotations

import io
import signal

import pytest
from PIL import Image

from tests.servers.gate import gate
from tests.servers.s3 import SECRET

from .kit import finish, wait_for

EDIT = {"prompt": "Add a hat", "provider": "openai"}


@pytest.fixture
def shop(project, bucket):
    """A project that may use the bucket."""
    project.env |= bucket.env
    return project


def picture(colour="red", kind="PNG", size=(40, 30), **options):
    buffer = io.BytesIO()
    Image.new("RGB", size, colour).save(buffer, kind, **options)
    return buffer.getvalue()


def test_a_prefix_is_a_folder_of_images(shop, bucket, witness):
    for name in ("a.png", "sub/b.png", ".hidden/c.png", "notes.txt"):
        bucket.write(f"photos/{name}", picture())
    manifest = shop.manifest([{**EDIT, "from": f"{bucket.url}/photos/"}])
    done = shop.run("run", manifest, "--yes")
    assert done.code == 0, done
    assert {*shop.jobs()} == {"a", "sub/b"}
    assert "left out" in done.err
    assert len(witness.charges()) == 2
    assert shop.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 2


def test_a_list_names_its_images(shop, bucket, witness):
    bucket.write("lists/hats.csv", b"id,prompt,images\nred,A red hat,%s\n" % f"{bucket.url}/photos/a.png".encode())
    bucket.write("photos/a.png", picture())
    manifest = shop.manifest([{"from": f"{bucket.url}/lists/hats.csv", "provider": "openai"}])
    done = shop.run("run", manifest, "--yes")
    assert done.code == 0, done
    assert shop.jobs()["red"]["state"] == "done"
    document = shop.run("show", "red", "--json").json
    (source,) = document["sources"]
    assert source["url"] == f"{bucket.url}/photos/a.png"


def test_a_changed_object_is_made_again(shop, bucket, witness):
    for name in ("a", "b"):
        bucket.write(f"photos/{name}.png", picture())
    manifest = shop.manifest([{**EDIT, "id": name, "images": [f"{bucket.url}/photos/{name}.png"]} for name in "ab"])
    assert shop.run("run", manifest, "--yes").code == 0
    bucket.write("photos/b.png", picture("blue"))
    bucket.write("photos/a.png", picture())  # the same bytes
    plan = shop.run("plan", manifest, "--json", "--diff").json
    assert (plan["jobs"]["changed"], plan["jobs"]["done"]) == (1, 1)
    assert "was written again" in str(plan)
    assert shop.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 3


def test_an_etag_that_changed_buys_nothing(shop, bucket, witness):
    for name in "abc":
        bucket.write(f"photos/{name}.png", picture())
    manifest = shop.manifest([{**EDIT, "from": f"{bucket.url}/photos/"}])
    assert shop.run("run", manifest, "--yes").code == 0
    before = bucket.versions("photos/")
    bucket.write_in_parts("photos/a.png", picture())
    bucket.write_in_parts("photos/b.png", picture("blue"))
    assert {name for name, version in bucket.versions("photos/").items() if version[0] != before[name][0]} == {
        "photos/a.png",
        "photos/b.png",
    }
    plan = shop.run("plan", manifest, "--json", "--diff").json
    assert (plan["jobs"]["changed"], plan["jobs"]["done"]) == (1, 2)
    assert [change["id"] for change in plan["changes"]] == ["b"]
    assert shop.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 4
    bucket.write("photos/b.png", picture("blue"))  # its etag is the hash of the bytes again
    assert shop.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 4


@pytest.mark.parametrize("known", [True, False])
def test_an_object_whose_earlier_bytes_are_not_known_is_kept(shop, bucket, witness, known):
    (bucket.write if known else bucket.write_in_parts)("photos/a.png", picture())
    manifest = shop.manifest([{**EDIT, "from": f"{bucket.url}/photos/"}])
    assert shop.run("run", manifest, "--yes").code == 0
    for file in (shop.state / "inputs").iterdir():
        file.unlink()  # as on another machine
    bucket.write_in_parts("photos/a.png", picture())
    if not known:
        bucket.write("photos/a.png", picture("blue"))
    plan = shop.run("plan", manifest, "--json").json["jobs"]
    assert (plan["changed"], plan["done"], plan["held"]) == (0, int(known), int(not known))
    assert shop.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 1
    assert shop.run("redo", manifest, "--id", "a", "--yes").code == 0
    assert len(witness.charges()) == 2
    assert shop.run("plan", manifest, "--json").json["jobs"]["done"] == 1


def test_missing_objects_are_named_before_anything_is_sent(shop, bucket, witness):
    bucket.write("photos/cat.png", picture())
    bucket.write("list.csv", f"id,images\na,{bucket.url}/photos/cat.png\nb,{bucket.url}/photos/Cat.png\n".encode())
    manifest = shop.manifest([{**EDIT, "from": f"{bucket.url}/list.csv"}])
    done = shop.run("run", manifest, "--yes")
    assert done.code == 4
    assert f"{bucket.url}/list.csv:3:3: " in done.err
    assert "there is no such object" in done.err
    assert f"did you mean '{bucket.url}/photos/cat.png'" in done.err
    assert not witness.charges()


def test_a_bad_row_is_named_by_the_url_of_its_list(shop, bucket):
    bucket.write("list.csv", b"id,prompt\na,one\nb,two,three\n")
    done = shop.run("validate", shop.manifest([{"from": f"{bucket.url}/list.csv", "provider": "openai"}]))
    assert done.code == 4
    assert f"{bucket.url}/list.csv:3:7: " in done.out + done.err


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("s3://", "it names no bucket"),
        ("s3://bucket/../../x.csv", "it has . or .. in it"),
        ("s3://AKIAEXAMPLE:hunter2secret@bucket/x.csv", "credentials and ports do not belong"),
    ],
)
@pytest.mark.parametrize("place", ["from", "images", "mask"])
def test_a_hostile_url_is_refused_and_not_repeated(project, url, message, place):
    job = {**EDIT, "images": ["https://example.com/a.png"], place: url} if place == "mask" else {**EDIT, place: url}
    done = project.run("validate", project.manifest([job]))
    assert done.code == 4
    assert message in done.out + done.err
    assert "m.yaml:" in done.out + done.err
    assert "hunter2secret" not in done.out + done.err


def test_credentials_that_are_refused_show_what_to_type(shop, plain_bucket):
    shop.env |= {**plain_bucket.env, "AWS_SECRET_ACCESS_KEY": "another-canary-Zk29sdLqpx"}
    done = shop.run("validate", shop.manifest([{**EDIT, "images": [f"{plain_bucket.url}/photos/a.png"]}]))
    assert done.code == 4
    assert "another-canary" not in done.out + done.err
    assert "Check AWS_SECRET_ACCESS_KEY" in done.err


def test_photos_are_prepared_when_they_are_fetched(shop, bucket, witness):
    bucket.write("photos/a.bmp", picture(kind="BMP"))
    manifest = shop.manifest([{**EDIT, "id": "a", "convert": "png", "images": [f"{bucket.url}/photos/*.bmp"]}])
    done = shop.run("run", manifest, "--yes")
    assert done.code == 0, done
    refused = shop.manifest([{**EDIT, "id": "b", "images": [f"{bucket.url}/photos/*.bmp"]}], name="b.yaml")
    done = shop.run("validate", refused)
    assert done.code == 4
    assert "write convert: jpeg" in done.err


def test_the_credentials_are_stored_nowhere(shop, bucket):
    bucket.write("photos/a.png", picture())
    manifest = shop.manifest([{**EDIT, "images": [f"{bucket.url}/photos/a.png"]}])
    done = shop.run("run", manifest, "--yes", "-v")
    assert done.code == 0, done
    texts = [done.out, done.err, *(p.read_text(errors="replace") for p in shop.state.rglob("*") if p.is_file())]
    assert not any(SECRET in text for text in texts)


@pytest.mark.parametrize("suffix", ["txt", "jsonl", "tsv", "xlsx"])
def test_a_list_of_each_format_is_read(shop, bucket, witness, suffix):
    rows = {"txt": b"a red hat\na blue hat\n", "tsv": b"id\tprompt\nr\ta red hat\nb\ta blue hat\n"}
    rows["jsonl"] = b'{"id": "r", "prompt": "a red hat"}\n{"id": "b", "prompt": "a blue hat"}\n'
    bucket.write(f"lists/hats.{suffix}", rows.get(suffix) or workbook())
    url = f"{bucket.url}/lists/hats.{suffix}"
    manifest = shop.manifest([{"from": url, "provider": "openai"}])
    assert shop.run("run", manifest, "--yes").code == 0
    assert sorted(line["prompt"] for line in witness.charges()) == ["a blue hat", "a red hat"]


def workbook():
    from openpyxl import Workbook

    book, buffer = Workbook(), io.BytesIO()
    for row in (("id", "prompt"), ("r", "a red hat"), ("b", "a blue hat")):
        book.active.append(row)
    book.save(buffer)
    return buffer.getvalue()


def test_prompts_and_ids_may_be_in_the_store(shop, bucket, witness):
    bucket.write("prompts.txt", b"a red hat\na blue hat\n")
    bucket.write("ids.txt", b"a\n")
    manifest = shop.folder / "p.yaml"
    manifest.write_text(f"prompts: {bucket.url}/prompts.txt\ndefaults: {{provider: openai}}\n")
    assert shop.run("plan", manifest, "--json").json["jobs"]["total"] == 2
    jobs = [{"id": name, "prompt": f"hat {name}", "provider": "openai"} for name in "ab"]
    done = shop.run("run", shop.manifest(jobs), "--yes", "--ids-from", f"{bucket.url}/ids.txt")
    assert done.code == 0, done
    assert [line["prompt"] for line in witness.charges()] == ["hat a"]


def test_results_in_the_same_bucket_never_become_sources(shop, bucket, witness):
    bucket.write("shop/photos/a.png", picture())
    jobs = [{**EDIT, "from": f"{bucket.url}/shop/"}]
    manifest = shop.manifest(jobs, output={"dir": f"{bucket.url}/shop/results"})
    assert shop.run("run", manifest, "--yes").code == 0
    assert {*shop.jobs()} == {"photos/a"}
    assert shop.run("plan", manifest, "--json").json["jobs"]["total"] == 1
    # Of a manifest with another output folder they are left out by their sidecars.
    other = shop.manifest(jobs, name="other.yaml")
    done = shop.run("validate", other)
    assert "result with a sidecar" in done.err


def test_an_included_manifest_stays_on_disk(shop, bucket):
    bucket.write("more.yaml", b"prompts: [one]\n")
    manifest = shop.folder / "m.yaml"
    manifest.write_text(f"include: [{bucket.url}/more.yaml]\n")
    done = shop.run("validate", manifest)
    assert done.code == 4
    assert "manifests are files on this machine" in done.err


def test_a_kill_while_images_are_fetched_buys_nothing_twice(shop, bucket, s3_server, witness):
    for number in range(6):
        bucket.write(f"photos/{number}.png", picture())
    manifest = shop.manifest([{**EDIT, "from": f"{bucket.url}/photos/"}])
    process = shop.start("run", manifest, "--yes")
    wait_for(lambda: (shop.state / "inputs").exists() and any((shop.state / "inputs").iterdir()), process)
    process.kill()
    finish(process)
    done = shop.run("run", manifest, "--yes")
    assert done.code == 0, done
    unknown = shop.rows("select id from attempts where cause = 'unknown'")
    assert len(witness.charges()) <= 6 + len(unknown)
    assert all(job["state"] == "done" for job in shop.jobs().values())


def test_a_store_that_is_down_fails_no_job(shop, bucket, witness):
    bucket.write("photos/a.png", picture())
    manifest = shop.manifest([{**EDIT, "id": "a", "images": [f"{bucket.url}/photos/a.png"]}], on_bad_source="skip")
    shop.env["AWS_ENDPOINT_URL"] = "http://127.0.0.1:9"  # nothing listens there
    done = shop.run("run", manifest, "--yes")
    assert done.code == 4
    assert "the store cannot be reached" in done.err
    assert not witness.charges()
    shop.env |= bucket.env
    assert shop.run("run", manifest, "--yes").code == 0


@pytest.mark.parametrize("how", ["silent", "closed"])
def test_an_interrupted_run_waits_for_no_source(shop, bucket, s3_server, witness, how):
    for name in "abc":
        bucket.write(f"photos/{name}.png", picture())
    manifest = shop.manifest([{**EDIT, "from": f"{bucket.url}/photos/"}])
    with gate(s3_server.port) as door:
        shop.env["AWS_ENDPOINT_URL"] = door.endpoint
        door.rule = lambda head: "request" if head.startswith(b"GET") and b".png" in head.split(b"\r\n")[0] else None
        process = shop.start("run", manifest, "--yes")
        wait_for(lambda: len(door.held) >= 3, process)
        if how == "closed":
            door.close()
        process.send_signal(signal.SIGINT)
        done = finish(process, 15)
        assert done.code == 130, done
        assert not witness.charges()
        assert [row["state"] for row in shop.rows("select state from jobs")] == ["pending"] * 3
        if how == "closed":
            door.open()
    shop.env |= bucket.env
    assert shop.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 3


def test_the_env_file_of_a_project_may_hold_the_credentials(project, plain_bucket, witness):
    plain_bucket.write("photos/a.png", picture())
    project.env["AWS_ENDPOINT_URL"] = plain_bucket.endpoint
    lines = [f"{name}={value}\n" for name, value in plain_bucket.env.items() if name != "AWS_ENDPOINT_URL"]
    (project.folder / ".env").write_text("".join(lines))
    (project.folder / ".env").chmod(0o600)
    manifest = project.manifest([{**EDIT, "id": "a", "images": [f"{plain_bucket.url}/photos/a.png"]}])
    done = project.run("run", manifest, "--yes")  # this server checks signatures
    assert done.code == 0, done
    assert "ignored" not in done.err
    (project.folder / ".env").write_text("".join(lines).replace(SECRET, "another-canary-Zk29sdLqpx"))
    done = project.run("plan", manifest)
    assert done.code == 4
    assert "answered 403" in done.err


def test_doctor_looks_for_the_sources(shop, bucket):
    bucket.write("photos/a.png", picture())
    good = shop.manifest([{**EDIT, "images": [f"{bucket.url}/photos/a.png"]}], name="good.yaml")
    bad = shop.manifest([{**EDIT, "images": [f"{bucket.url}/photos/b.png"]}], name="bad.yaml")
    assert shop.run("doctor", good).code == 0
    done = shop.run("doctor", bad, "--json")
    assert done.code == 4
    assert f"{bucket.url}/photos/b.png: there is no such object" in done.out


def test_a_bucket_that_does_not_exist_is_one_mistake(shop, bucket):
    rows = "".join(f"{number},s3://no-such-bucket/{number}.png\n" for number in range(30))
    (shop.folder / "list.csv").write_text(f"id,images\n{rows}")
    done = shop.run("validate", shop.manifest([{**EDIT, "from": "list.csv"}]))
    assert done.code == 4
    assert "list.csv:2:3: " in done.err
    assert "the bucket does not exist" in done.err
    assert "the same mistake in 27 more places" in done.err


def test_report_and_curl_show_the_image_that_was_sent(shop, bucket):
    bucket.write("photos/a.png", picture())
    manifest = shop.manifest([{**EDIT, "id": "a", "images": [f"{bucket.url}/photos/a.png"]}])
    assert shop.run("run", manifest, "--yes").code == 0
    command = shop.run("show", "a", "--as-curl").out
    assert "s3://" not in command
    for copy in (shop.state / "inputs").iterdir():
        copy.unlink()
    command = shop.run("show", "a", "--as-curl").out
    assert f"aws s3 cp {bucket.url}/photos/a.png source-1" in command
