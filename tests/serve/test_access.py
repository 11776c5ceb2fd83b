"""Who may read and change what: token, host, origin, read only, and nothing else of the disk."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx
import pytest

from tests.acceptance.kit import wait_for
from tests.timing import patience

MARK = {"id": "cat-0", "picture": 1, "sha256": "", "mark": "pick", "stars": 0, "note": "", "at": "2026-11-30T06:00:00Z"}


@pytest.fixture
def server(batch, serve):
    return serve()


@pytest.fixture
def entry(server):
    sha = server.rows()["cat-0"]["sha"]
    return {"marks": [MARK | {"sha256": sha}]}


def test_token_is_needed_for_everything(server, entry):
    wrong = "x" * len(server.token)
    paths = ["", f"{wrong}/", f"{server.token[:-1]}/", f"{wrong}/events", f"{wrong}/files/{'0' * 16}", "marks", "plans"]
    for path in paths:
        answer = httpx.get(f"{server.origin}/{path}", trust_env=False, timeout=patience(10))
        assert (answer.status_code, "cat" in answer.text) == (403, False), path
    for path in ("marks", f"{wrong}/marks"):
        answer = server.client.put(f"{server.origin}/{path}", json=entry)
        assert answer.status_code == 403, path
    assert server.document()["tiles"]["marks"] == {}


def test_foreign_host_is_refused(server):
    for host in ("evil.example", "evil.example:80", "127.0.0.1.evil.example", "localhost.", "", "[", "@localhost/"):
        request = f"GET /{server.token}/ HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        answer = server.raw(request)
        assert answer.split(b" ")[1] in (b"400", b"403"), host
        assert b"cat-0" not in answer


def test_two_hosts_are_refused(server):
    request = f"GET /{server.token}/ HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\nConnection: close\r\n\r\n"
    assert server.raw(request).split(b" ")[1] in (b"400", b"403")


def test_loopback_names_are_hosts(server):
    for host in (f"localhost:{server.port}", f"127.0.0.1:{server.port}", f"[::1]:{server.port}"):
        assert server.client.head("", headers={"Host": host}).status_code == 200, host


def test_foreign_origin_cannot_write(server, entry):
    for origin in ("http://evil.example", "null", "http://127.0.0.1:1", "", "http://[", "http://a@127.0.0.1"):
        answer = server.client.put("marks", json=entry, headers={"Origin": origin})
        assert answer.status_code == 403, origin
        plan = server.client.post("plans", json={"action": "redo", "ids": ["cat-0"]}, headers={"Origin": origin})
        assert plan.status_code == 403, origin
    assert server.document()["tiles"]["marks"] == {}


def test_form_of_another_page_cannot_write(server, entry):
    text = json.dumps(entry)
    answer = server.client.put("marks", content=text, headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415


def test_read_only_server_refuses_writes(batch, serve):
    server = serve("--read-only")
    live = server.document()["live"]
    assert (live["marks"], live["actions"]) == (None, None)
    assert server.send("PUT", "marks", {"marks": []}).status_code == 403
    assert server.send("POST", "plans", {"action": "redo", "ids": ["cat-0"]}).status_code == 403


OUTSIDE = (
    *("/etc/passwd", "../m.yaml", "..%2f..%2fm.yaml", "%2e%2e/m.yaml", "files/../../m.yaml", "files/..%2f..%2fm.yaml"),
    *("files//etc/passwd", "files/%2fetc%2fpasswd", "files/m.yaml", "files/" + "0" * 64, "output/shop/cat-0.png"),
    *("thumbs/../../.batchgen/serve.json", "thumbs/%2e%2e%2fserve.json.webp", "thumbs/" + "0" * 16 + ".webp"),
    *(".batchgen/batchgen.db", "details/..%2f..%2fm.yaml", "details/%00", "files/%00", "data/0000.js"),
)


def test_nothing_else_of_the_disk_is_reachable(server):
    for path in OUTSIDE:
        answer = server.raw(f"GET /{server.token}/{path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        assert answer.split(b" ")[1] in (b"400", b"403", b"404", b"405"), (path, answer[:200])
        assert b"root:" not in answer
        assert b"providers:" not in answer


def test_files_go_by_hash(batch, server):
    row = server.rows()["cat-0"]
    answer = server.client.get(f"files/{row['sha']}")
    assert answer.content == (batch.folder / row["path"]).read_bytes()
    assert answer.headers["content-type"] == "image/png"
    assert server.client.head(f"files/{row['sha']}").status_code == 200


def test_link_in_place_of_a_picture_is_not_followed(batch, server):
    row = server.rows()["cat-0"]
    file = batch.folder / row["path"]
    outside = batch.folder.parent / "outside.png"
    outside.write_bytes(file.read_bytes())
    file.unlink()
    file.symlink_to(outside)
    assert server.client.get(f"files/{row['sha']}").status_code == 404


def test_file_that_is_not_a_picture_is_not_sent(batch, server):
    row = server.rows()["cat-0"]
    (batch.folder / row["path"]).write_text("secret: 1")
    assert server.client.get(f"files/{row['sha']}").status_code == 404


def test_headers_protect_the_page(server):
    page, picture = server.client.get(""), server.client.get("files/" + server.rows()["cat-0"]["sha"])
    for answer in (page, picture, server.client.get("nothing")):
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "no-referrer"
        assert "frame-ancestors 'none'" in answer.headers["content-security-policy"]
        assert "set-cookie" not in answer.headers
        assert "access-control-allow-origin" not in answer.headers
    assert "connect-src 'self'" in page.text
    assert "default-src 'none'" in page.text


def test_token_is_kept_private(batch, server):
    file = batch.state / "serve.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert json.loads(file.read_bytes()) == {"token": server.token, "port": server.port}


def test_token_that_others_could_read_is_replaced(batch, serve):
    first = serve()
    first.stop()
    (batch.state / "serve.json").chmod(0o644)
    assert serve().token != first.token


def test_keys_are_not_in_the_page(batch, server):
    from tests.acceptance.kit import SECRET

    texts = [server.client.get(path).text for path in ("", "details/cat-0", "details/bad")]
    assert not any(SECRET in text for text in texts)


def test_other_machines_are_warned_of(batch, serve):
    server = serve("--host", "0.0.0.0")
    server.stop()
    assert "other machines can reach this address" in server.process.stderr.read().decode()


def test_browser_reads_the_token_from_a_file_that_only_this_user_can_read(batch, serve, tmp_path, monkeypatch):
    browser, opened = tmp_path / "browser", tmp_path / "opened"
    browser.write_text(f'#!/bin/sh\nprintf "%s" "$*" > {opened}.new && mv {opened}.new {opened}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    server = serve("--open")
    wait_for(opened.exists, server.process)
    words = opened.read_text()
    assert server.token not in words
    page = Path(unquote(urlsplit(words).path))
    assert page.stat().st_mode & 0o077 == 0
    assert f"url={server.url}" in page.read_text()
