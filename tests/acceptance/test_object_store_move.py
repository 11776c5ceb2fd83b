"""A batch that moves from a folder to an object store."""

from __future__ import annotations

import pytest

JOBS = [{"id": name, "prompt": f"cat {name}", "provider": "openai"} for name in ("a", "b")]


@pytest.fixture
def shop(project, bucket):
    project.env |= bucket.env
    return project


def test_a_batch_moves_from_a_folder_to_a_store(shop, bucket, witness):
    assert shop.run("run", shop.manifest(JOBS), "--yes").code == 0
    more = [*JOBS, {"id": "c", "prompt": "cat c", "provider": "openai"}]
    manifest = shop.manifest(more, output={"dir": f"{bucket.url}/shop"})
    assert shop.run("plan", manifest, "--json").json["jobs"]["new"] == 1
    assert shop.run("run", manifest, "--yes").code == 0
    assert len(witness.charges()) == 3
    done = shop.run("verify")
    assert done.code == 0, done
    assert "3 files checked" in done.out + done.err
    paths = [
        line.split('"path": "')[1].split('"')[0] for line in shop.run("export", "--format", "jsonl").out.splitlines()
    ]
    assert sum(path.startswith(f"{bucket.url}/shop/") for path in paths) == 1
    assert len(paths) == 3
    assert shop.run("report").code == 0


def test_the_page_finds_pictures_of_an_earlier_folder_in_the_bucket(shop, bucket):
    assert shop.run("run", shop.manifest(JOBS, output={"dir": f"{bucket.url}/old/place"}), "--yes").code == 0
    assert shop.run("run", shop.manifest(JOBS, output={"dir": f"{bucket.url}/shop"}), "--yes").code == 0
    assert shop.run("report").code == 0
    page = bucket.read("shop/report/index.html").decode()
    assert f'"buckets":{{"{bucket.url}/":"../../"}}' in page
    assert shop.run("report", "-o", "pages").code == 0
    page = (shop.folder / "pages" / "index.html").read_text()
    assert f'"buckets":{{"{bucket.url}/":"{bucket.endpoint}/{bucket.name}/"}}' in page


def test_a_sandbox_run_reads_the_store_and_writes_to_this_machine(shop, bucket):
    bucket.write("prompts.txt", b"a red hat\n")
    (shop.folder / "s.yaml").write_text(
        f"output: {bucket.url}/out\nprompts: {bucket.url}/prompts.txt\ndefaults: {{provider: openai}}\n"
    )
    done = shop.run("run", "s.yaml", "--sandbox", "--yes")
    assert done.code == 0, done
    assert bucket.names() == ["prompts.txt"]
    assert [*(shop.folder / "sandbox-output").rglob("*.png")]
