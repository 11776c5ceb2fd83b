"""Object stores that refuse, are slow or away: clear messages, and nothing is sent."""

from __future__ import annotations

import http.server
import threading
from contextlib import contextmanager

import pytest

from tests.servers.s3 import SECRET

from .kit import finish, wait_for

JOB = [{"id": "cat", "prompt": "a cat", "provider": "openai"}]
ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "AKIACANARY", "AWS_SECRET_ACCESS_KEY": SECRET, "AWS_REGION": "us-east-1"}


@contextmanager
def refusing(status, code):
    """Run a store that answers every request with one error."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def answer(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>no</Message></Error>".encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_HEAD(self):
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        do_GET = do_PUT = do_DELETE = do_POST = answer  # noqa: N815

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize(
    ("status", "code", "words"),
    [
        (403, "AccessDenied", "s3:PutObject"),
        (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        (403, "RequestTimeTooSkewed", "the clock of this machine is wrong"),
        (400, "ExpiredToken", "the credentials have expired"),
        (301, "PermanentRedirect", "set AWS_REGION"),
        (400, "AuthorizationHeaderMalformed", "set AWS_REGION"),
        (404, "NoSuchBucket", "the bucket does not exist"),
    ],
)
def test_store_that_refuses_is_named_before_anything_is_sent(project, witness, status, code, words):
    manifest = project.manifest(JOB, output={"dir": "s3://shop/out"})
    with refusing(status, code) as endpoint:
        project.env |= ENVIRONMENT | {"AWS_ENDPOINT_URL": endpoint}
        done = project.run("run", manifest, "--yes")
        checked = project.run("doctor", manifest)
    assert done.code == 1, done
    assert "Nothing was sent" in done.err
    for text in (done.err, checked.out):
        flat = " ".join(text.split())
        assert words.lower() in flat.lower()
        assert f"{status}" in flat
        assert "s3://shop/out" in flat
        assert SECRET not in flat
    assert witness.charges() == []


@pytest.mark.parametrize("code", ["SignatureDoesNotMatch", "InvalidAccessKeyId"])
def test_verify_states_the_reason_of_a_refusal_as_a_run_does(project, bucket, code):
    project.env |= bucket.env
    manifest = project.manifest(JOB, output={"dir": f"{bucket.url}/out"})
    assert project.run("run", manifest, "--yes").code == 0
    with refusing(403, code) as endpoint:
        project.env["AWS_ENDPOINT_URL"] = endpoint
        checked, started = project.run("verify"), project.run("run", manifest, "--yes")
    for done in (checked, started):
        assert done.code == 1, done
        assert f"the store answered 403 {code}" in " ".join(done.err.split())


def test_store_that_cannot_be_reached_is_named_before_anything_is_sent(project, witness):
    project.env |= ENVIRONMENT | {"AWS_ENDPOINT_URL": "http://127.0.0.1:1"}
    done = project.run("run", project.manifest(JOB, output={"dir": "s3://shop/out"}), "--yes")
    assert done.code == 1, done
    assert "the store cannot be reached at 127.0.0.1:1." in done.err
    assert "AWS_ENDPOINT_URL" in done.err
    assert witness.charges() == []


def test_endpoint_without_encryption_elsewhere_is_refused(project, witness):
    project.env |= ENVIRONMENT | {"AWS_ENDPOINT_URL": "http://store.example:9000"}
    done = project.run("run", project.manifest(JOB, output={"dir": "s3://shop/out"}), "--yes")
    assert done.code == 1, done
    assert "is not encrypted" in done.err
    assert "Set AWS_ENDPOINT_URL to its https:// address" in done.err
    assert witness.charges() == []


def test_missing_bucket_of_a_real_store_is_named(project, bucket, witness):
    project.env |= bucket.env
    done = project.run("run", project.manifest(JOB, output={"dir": "s3://no-such-bucket/out"}), "--yes")
    assert done.code == 1, done
    assert "the bucket does not exist" in done.err
    assert witness.charges() == []


def test_doctor_tries_the_store_out_and_leaves_nothing(project, bucket):
    project.env |= bucket.env
    done = project.run("doctor", project.manifest(JOB, output={"dir": f"{bucket.url}/out"}))
    assert f"{bucket.url}/out: objects are created by conditional writes" in " ".join(done.out.split())
    assert sum(line.split()[1:2] == ["output"] for line in done.out.splitlines()) == 1
    assert bucket.names() == []


def test_store_that_stalls_delays_the_run_and_loses_nothing(project, bucket, s3_server, witness):
    project.env |= bucket.env
    listed = [{"id": f"cat-{n}", "prompt": f"cat {n}", "provider": "openai"} for n in range(12)]
    process = project.start("run", project.manifest(listed, output={"dir": f"{bucket.url}/out"}), "--yes", "-j", "4")
    wait_for(lambda: witness.arrived >= 4, process)
    with s3_server.paused():
        wait_for(lambda: len(list((project.state / "spool").glob("*.slot"))) >= 4, process)
    done = finish(process, 60)
    assert done.code == 0, done
    assert len(witness.charges()) == 12
    assert sum(name.endswith(".png") for name in bucket.names()) == 12


def test_access_that_is_withdrawn_meanwhile_stops_the_run_and_keeps_the_answers(project, bucket, witness):
    project.env |= bucket.env
    listed = [{"id": f"cat-{n}", "prompt": f"cat {n}", "provider": "openai"} for n in range(8)]
    manifest = project.manifest(listed, output={"dir": f"{bucket.url}/out"})
    from tests.servers.gate import gate

    with refusing(403, "ExpiredToken") as refusal, gate(int(bucket.endpoint.rpartition(":")[2])) as door:
        project.env["AWS_ENDPOINT_URL"] = door.endpoint
        door.rule = lambda head: "answer" if b"/out/cat-" in head.partition(b"\r\n")[0] else None
        process = project.start("run", manifest, "--yes", "-j", "2")
        wait_for(lambda: door.held, process)
        door.close()
        door.rule, door.target = lambda _head: None, int(refusal.rpartition(":")[2])
        door.open()
        done = finish(process, 60)
        charged = len(witness.charges())
        assert done.code == 1, done
        assert "the credentials have expired" in done.err
        assert "kept in the spool, nothing is lost" in done.err
        door.close()
        door.target = int(bucket.endpoint.rpartition(":")[2])
        door.open()
        assert project.run("run", manifest, "--yes").code == 0
    assert 0 < charged < 8
    assert len(witness.charges()) == 8
