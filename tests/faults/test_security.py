"""Keys, addresses, terminals, files: S1 to S25."""

# ruff: noqa: N802 - a case is named as in its table

from __future__ import annotations

import ast
import csv
import io
import json
import os
import socket
import stat
import struct
import sys
import time
import unicodedata
import zlib
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image, PngImagePlugin

import batchgen
from batchgen.app.plan import read_manifest
from batchgen.app.project import Project
from batchgen.cli import batchgen as command_line
from batchgen.errors import BatchgenError, KeyMissing, ManifestError, SettingsError, StoreError
from batchgen.fault import ProviderError
from batchgen.files.spool import Spool
from batchgen.providers.presets import profile
from batchgen.transport import Transport
from tests.rawserver import Connection, answer
from tests.timing import patience

from . import kit
from .kit import CANARY, NANO, SECRET, Site, by_path, by_prompt, drawing, fails, listing, shows
from .test_network import connections


@pytest.fixture
def site(tmp_path, monkeypatch):
    with kit.site(tmp_path, monkeypatch) as made:
        yield made


def commands() -> dict[str, click.Command]:
    context = click.Context(command_line)
    return {name: command_line.get_command(context, name) for name in command_line.list_commands(context)}


def said(site: Site, *arguments: str) -> str:
    """Return what a command prints on stdout."""
    result = CliRunner().invoke(command_line, ["-C", str(site.folder), *arguments], standalone_mode=False)
    assert result.exception is None, result.exception
    return result.stdout


# --- keys ---------------------------------------------------------------------------------------------------------

HEX = "9f8e7d6c5b4a39281706f5e4d3c2b1a0"  # a key that does not look like one


@pytest.mark.parametrize("key", [CANARY, HEX], ids=["prefixed", "plain"])
def test_S1_a_key_that_a_provider_repeats_is_in_no_file(site, monkeypatch, capfd, key):
    async def parrot(connection: Connection) -> None:
        """Answers with what it was sent, as debug pages do."""
        request = await connection.request()
        body = json.dumps({"error": {"message": f"bad: {request.head!r}", "code": key, "type": key}}).encode()
        heard = kit._Heard(connection, request)
        named = {"X-Request-Id": key, "Set-Cookie": f"key={key}"}
        status = {"error": "400 Bad", "page": "200 OK"}[kit.prompt_of(request)]
        await answer(body if status != "200 OK" else b"<html>" + request.head, status, named)(heard)

    monkeypatch.setenv(kit.KEY_ENV, key)
    stage = site.serve(parrot)
    outcome = site.run_all(stage, "error", "page")
    assert site.states() == {"error": ("failed", "invalid"), "page": ("failed", "spoiled")}
    assert (outcome.code, len(site.kept()), len(stage.posts)) == (3, 2, 3)  # a web page is bought again once
    assert f"Bearer {key}".encode() in stage.posts[0].head
    assert kit.leaks(site.folder, key) == []
    shown = said(site, "status") + said(site, "show", "error") + said(site, "show", "page", "--json") + str(outcome)
    assert key not in shown + "".join(capfd.readouterr())


def test_S1_a_key_is_in_no_url(site):
    stage = site.serve(shows())
    site.run_all(stage, "a")
    assert all(SECRET not in request.target for request in stage.requests)
    assert stage.posts[0].headers["authorization"] == f"Bearer {CANARY}"
    assert (stage.posts[0].head + stage.posts[0].body).count(CANARY.encode()) == 1


def test_S2_no_command_takes_a_key(site):
    for name, command in commands().items():
        for option in (word for parameter in command.params for word in (*parameter.opts, *parameter.secondary_opts)):
            parts = option.strip("-").split("-")
            assert not {"key", "token", "secret", "password", "bearer"} & set(parts), (name, option)


def test_S2_a_key_file_that_others_can_read_is_refused(site, monkeypatch, tmp_path):
    stage = site.serve(shows())
    file = tmp_path.parent / f"{tmp_path.name}-key"
    file.write_text(CANARY)
    monkeypatch.delenv(kit.KEY_ENV)
    monkeypatch.setenv(f"{kit.KEY_ENV}_FILE", str(file))
    for mode in (0o644, 0o640, 0o604):
        file.chmod(mode)
        with pytest.raises(KeyMissing, match="chmod 600") as caught:
            site.run_all(stage, "a")
        assert SECRET not in str(caught.value)
    assert stage.raw.connections == 0
    file.chmod(0o600)
    assert site.run_all(stage, "a").code == 0


@pytest.mark.parametrize("wrong", ["{}\nx: y", "\u201c{}\u201d", "{} {}", "{}\r\nHost: evil", "{}\x00", "{}\u00e9"])
def test_S3_a_key_that_cannot_be_one_is_refused_without_being_shown(site, monkeypatch, wrong):
    stage = site.serve(shows())
    file = site.folder.parent / f"{site.folder.name}-key"
    file.write_text(wrong.replace("{}", CANARY), encoding="utf-8")
    file.chmod(0o600)
    monkeypatch.delenv(kit.KEY_ENV)
    monkeypatch.setenv(f"{kit.KEY_ENV}_FILE", str(file))
    with pytest.raises(KeyMissing) as caught:
        site.run_all(stage, "a")
    assert caught.value.exit_code == 5
    error: BaseException | None = caught.value
    while error is not None:
        assert SECRET not in f"{error} {error!r}"
        error = error.__cause__ or error.__context__
    assert stage.raw.connections == 0


def test_S4_a_redirect_takes_neither_key_nor_body_anywhere(site):
    other = site.serve(shows())
    for number, status in enumerate(["301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"]):
        stage = site.serve(answer(b"", status, {"Location": f"{other.url}/v1/images"}))
        outcome = site.run_all(stage, f"j{number}")
        assert (outcome.code, len(stage.requests)) == (5, 1)
    assert other.raw.connections == 0


def test_S5_a_result_is_fetched_without_key_cookie_or_referer(site):
    links: list[str] = []

    async def link(connection: Connection) -> None:
        cookie = {"Set-Cookie": "session=1; Path=/"}
        await answer(listing({"url": links[0]}), headers=cookie)(connection)

    stage = site.serve(by_path(link, result=answer(drawing())))
    links.append(f"{stage.url}/result")
    assert site.run_all(stage, "a", "b").code == 0
    assert len(stage.gets) == 2
    for request in stage.gets:
        assert not {"authorization", "cookie", "referer", "x-api-key", "api-key"} & set(request.headers)
        assert SECRET.encode() not in request.head
    assert not any("cookie" in request.headers for request in stage.posts)


# --- addresses ----------------------------------------------------------------------------------------------------

INWARD = [
    "http://127.0.0.1/x", "https://127.0.0.1/x", "https://2130706433/x", "https://0x7f.1/x", "https://0x7f000001/x",
    "https://0177.0.0.1/x", "https://127.1/x", "https://[::1]/x", "https://[::ffff:127.0.0.1]/x",
    "https://[::127.0.0.1]/x", "https://169.254.169.254/latest", "https://100.64.0.1/x", "https://10.1.2.3/x",
    "https://192.168.0.1/x", "https://[fd00:ec2::254]/x", "https://[fe80::1%25lo]/x", "https://0.0.0.0/x",
    "https://[::]/x", "https://[64:ff9b::7f00:1]/x", "https://[64:ff9b:1::7f00:1]/x", "https://[2002:7f00:1::]/x",
    "https://224.0.0.1/x", "https://255.255.255.255/x", "https://localhost/x", "https://localhost./x",
    "https://inside.test/x", "https://u:p@cdn.example.com/x", "https://cdn.example.com:22/x", "file:///etc/passwd",
    "ftp://cdn.example.com/x", "gopher://cdn.example.com/x", "https:///x", "https://", "https://\x00/x",
    "https://127.0.0.1\\@cdn.example.com/x", "https://cdn.example.com#@127.0.0.1/x?", "HTTPS://127。0。0。1/x",
]  # fmt: skip


def lies(host: str) -> str:
    return "127.0.0.1" if host in ("inside.test", "localhost", "localhost.") else host


@pytest.fixture
def resolved(monkeypatch) -> list[str]:
    """Let one name lead to this machine and every other nowhere; note what was asked for."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host, port, *rest, **more):
        asked.append(str(host))
        if lies(str(host)) != "127.0.0.1" and not str(host)[:1].isdigit() and ":" not in str(host):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return real(lies(str(host)), port, *rest, **more)

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    return asked


async def test_S6_no_result_is_fetched_from_inside(tmp_path, monkeypatch, resolved):
    found = connections(monkeypatch)
    open_minded = profile(
        "studio",
        {"preset": "gateway", "base_url": "https://gw.example.com", "url_hosts": ["*"], "timeout": {"download": 0.01}},
    )
    async with Transport({"studio": open_minded}, {"studio": CANARY}) as transport:
        for url in INWARD:
            with Spool(tmp_path / "spool").scratch() as scratch, pytest.raises(ProviderError):
                await transport.client("studio").fetch(url, scratch)
            assert found == [], url


def test_S6_in_a_whole_run_none_of_them_is_connected_to(site, monkeypatch, resolved):
    found = connections(monkeypatch)
    stage = site.serve(answer(listing(*({"url": url} for url in INWARD if url.lower().startswith("http")))))
    hosts = ["*", "127.0.0.1", "localhost", "inside.test"]
    outcome = site.run_all(stage, "a", url_hosts=hosts, timeout={"download": 0.01})
    assert (outcome.code, site.states(), site.images()) == (3, {"a": ("failed", "spoiled")}, [])
    assert set(found) == {("127.0.0.1", stage.raw.port)}  # the provider itself
    assert len(stage.requests) == 2


async def test_S7_a_name_cannot_change_its_mind(tmp_path, monkeypatch):
    """The address that was checked is the one that is connected to: the name is asked for once."""
    asked, found = [], connections(monkeypatch)

    def look_up(host, port, *rest, **more):
        asked.append(host)
        address = "93.184.216.34" if len(asked) == 1 else "127.0.0.1"
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (address, port))]

    async def refuse(self, sock, address):
        found.append(address[:2])
        raise ConnectionRefusedError

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setattr("asyncio.selector_events.BaseSelectorEventLoop.sock_connect", refuse)
    gateway = profile(
        "studio", {"preset": "gateway", "base_url": "https://gw.example.com", "timeout": {"download": 0.2}}
    )
    async with Transport({"studio": gateway}, {}) as transport:
        with Spool(tmp_path / "spool").scratch() as scratch, pytest.raises(ProviderError):
            await transport.client("studio").fetch("https://cdn.example.com/x.png", scratch)
    assert set(found) == {("93.184.216.34", 443)}
    assert len(asked) <= 2  # at the second try it says 127.0.0.1, and is not believed


# --- what is shown ------------------------------------------------------------------------------------------------

FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "=cmd|'/C calc'!A0", "\tx", '=HYPERLINK("https://evil.example","x")']


def test_S9_no_cell_of_an_export_is_a_formula(site):
    stage = site.serve(fails("400 Bad", message="=1+1", code="=1+1"))
    site.run_all(stage, *({"id": f"j{n}", "prompt": prompt} for n, prompt in enumerate(FORMULAS)))
    rows = list(csv.reader(io.StringIO(said(site, "export", "--format", "csv"))))
    assert len(rows) == 1 + len(FORMULAS)
    assert {row[rows[0].index("prompt")].removeprefix("'") for row in rows[1:]} == set(FORMULAS)
    assert not [cell for row in rows for cell in row if cell[:1] in ("=", "+", "-", "@", "\t", "\r")]
    lines = [json.loads(line) for line in said(site, "export", "--format", "jsonl").splitlines()]
    assert [line["prompt"] for line in lines] == FORMULAS  # for machines: as it is


HOSTILE = (
    "\x1b[31mred\x1b]52;c;ZXZpbA==\x07\x1b]8;;https://evil.example\x1b\\\r\nfake line"
    "\x9b2J\x85\u202etxt.exe\u2028\u2066\x7f\ufeff"
)


def steering(text: str) -> set[str]:
    return {mark for mark in text if unicodedata.category(mark) in ("Cc", "Cf", "Zl", "Zp", "Cs") and mark != "\n"}


def test_S10_nothing_that_anybody_says_steers_the_terminal(site):
    wish = "cat \u202egnp.exe\u2028\u2066 \ufeffdog\nsecond line"
    error = fails("400 Bad", message=HOSTILE, code=HOSTILE, headers={"X-Request-Id": "r\x1b[31m\x9b"})
    stage = site.serve(error)
    site.run_all(stage, {"id": "a", "prompt": wish})
    for words in (("status",), ("show", "a"), ("list",), ("usage",), ("list", "runs")):
        for form in ((), ("--json",)):
            text = said(site, *words, *form)
            assert steering(text) == set(), (words, form)
    for form in ("json", "jsonl"):
        text = said(site, "export", "--format", form)
        assert steering(text) == set()
        assert wish in (json.loads(text)[0] if form == "json" else json.loads(text))["prompt"]
    (row,) = site.rows("select message, code, request_id from attempts")
    assert not any(steering(text) or "\n" in text for text in row.values() if text)


def test_S10_a_prompt_with_control_characters_is_refused(site):
    for mark in ("\x1b", "\x9b", "\x07", "\x00"):
        path = site.write([{"id": "a", "prompt": f"x{mark}y"}], {"studio": kit.studio("https://gw.example.com")})
        with pytest.raises(ManifestError) as caught:
            read_manifest(Project.of(site.folder, None), path)
        assert steering(str(caught.value)) == set()


def test_S11_nothing_is_ever_unpickled_or_evaluated():
    modules = {"pickle", "shelve", "marshal", "dill", "cloudpickle"}
    for file in Path(batchgen.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not modules & set(names), file
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                assert called not in {"eval", "exec", "compile", "yaml.unsafe_load", "yaml.full_load", "os.system"}, (
                    file
                )
                assert called != "yaml.load" or "Loader=loader" in ast.unparse(node), file  # CSafeLoader or SafeLoader
                assert not [k for k in node.keywords if k.arg == "shell" and ast.unparse(k.value) == "True"], file


# --- images -------------------------------------------------------------------------------------------------------


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def bomb(width: int, height: int) -> bytes:
    """Return a PNG of a few hundred bytes that says it has this many pixels."""
    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(999))) + chunk(b"IEND", b"")
    )


SVG = b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
NO_IMAGES = {
    "S13 144 megapixels": bomb(12_000, 12_000),
    "S13 900 megapixels": bomb(30_000, 30_000),
    "S13 4 gigapixels": bomb(65_000, 65_000),
    "S13 FITS": b"SIMPLE  =                    T" + b" " * 2850,
    "S13 TIFF": b"II*\x00\x08\x00\x00\x00" + bytes(100),
    "S13 EPS": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n",
    "S14 page that goes on as an image": b"<html><script>alert(1)</script>" + drawing(),
    "S15 SVG": SVG,
    "S15 HTML": b"<!DOCTYPE html><html><script>alert(1)</script></html>",
    "S15 PDF": b"%PDF-1.7\n",
}


def assert_never_published(site: Site, case: str, beside: tuple[str, ...] = ()) -> None:
    """No image of any; those in *beside* are of a format that is not known here: kept, named, not bought again."""
    forms = {name.split(" ", 1)[1]: data for name, data in NO_IMAGES.items() if name.startswith(case)}
    stage = site.serve(by_prompt(**{name: shows(data) for name, data in forms.items()}))
    jobs, also = kit.apart(stage, forms)
    outcome = site.run_all(stage, *jobs, also=also)
    assert set(site.states().values()) == {("failed", "spoiled")}
    assert (outcome.code, [path.name for path in site.files()]) == (3, list(beside))
    assert len(stage.posts) == 2 * len(forms) - len(beside)
    assert site.rows("select * from artifacts") == []
    for path in site.files():
        assert path.name in site.job(path.stem)["message"]
        assert path.read_bytes() == forms[path.stem]
    assert {row["usd"] for row in site.ledger().values()} == {NANO}


def test_S13_an_image_without_measure_is_never_published(site):
    assert_never_published(site, "S13")


def test_S14_a_page_with_an_image_behind_it_is_never_published(site):
    assert_never_published(site, "S14")


def test_S15_non_image_is_never_published(site):
    assert_never_published(site, "S15", beside=("PDF.pdf", "SVG.svg"))


def test_S14_image_with_a_trailing_script_has_an_image_name(site):
    polyglot = drawing() + b"<script>alert(1)</script>"
    stage = site.serve(shows(polyglot))
    assert site.run_all(stage, "page.html").code == 0
    (image,) = site.images()
    assert (image.name, image.read_bytes()) == ("page.html.png", polyglot)


def test_S16_image_metadata_is_kept_and_nothing_private_added(site):
    notes = PngImagePlugin.PngInfo()
    notes.add_text("Comment", "provenance")
    exif = Image.Exif()
    exif[0x010E] = "provenance"
    signed = drawing(pnginfo=notes, exif=exif)
    source = site.folder / "private" / "holiday.png"
    source.parent.mkdir()
    source.write_bytes(drawing(size=(64, 64)))
    stage = site.serve(shows(signed))
    settings = {"preset": "openai", "base_url": stage.url, "api_key_env": kit.KEY_ENV}
    job = {"id": "a", "prompt": "add a cat", "images": [str(source)]}
    assert site.carry_out(site.write([job], {"openai": settings})).code == 0
    assert [path.read_bytes() for path in site.images()] == [signed]
    (sidecar,) = (path.read_text(encoding="utf-8") for path in site.files() if path.suffix == ".json")
    assert json.loads(sidecar)["asked"]["images"] == ["holiday.png"]
    for private in (str(site.folder), "private", SECRET, os.uname().nodename, kit.KEY_ENV):
        assert private not in sidecar
    assert str(site.folder).encode() not in stage.posts[0].body + stage.posts[0].head


# --- files, addresses and words of the user -----------------------------------------------------------------------


def test_S17_the_state_is_for_its_owner_whatever_the_umask(site):
    before = os.umask(0)
    try:
        assert site.run_all(site.serve(by_prompt(shows(), bad=answer(b"{"))), "a", "bad").code == 3
    finally:
        os.umask(before)
    assert len(site.kept()) == 2
    for path in [site.state, *site.state.rglob("*")]:
        assert stat.S_IMODE(path.stat().st_mode) == (0o700 if path.is_dir() else 0o600), path


def hostile(site: Site, how: str) -> None:
    elsewhere = site.folder.parent / f"{site.folder.name}-elsewhere"
    match how:
        case "writable by all":
            site.state.mkdir()
            site.state.chmod(0o777)
        case "of another user":
            site.state.mkdir(mode=0o700)
            os.chown(site.state, 65534, 65534)
        case "a link to another user's":
            elsewhere.mkdir(mode=0o700)
            os.chown(elsewhere, 65534, 65534)
            site.state.symlink_to(elsewhere)
        case "a file":
            site.state.touch()
        case "a dangling link":
            site.state.symlink_to(elsewhere)


@pytest.mark.parametrize(
    "how",
    [
        "writable by all",
        "of another user",
        "a link to another user's",
        "a file",
        "a dangling link",
    ],
)
def test_S18_a_state_folder_that_others_control_is_refused(site, how, monkeypatch):
    stage = site.serve(shows())
    hostile(site, how)
    if "another user" in how:
        monkeypatch.setattr(os, "geteuid", lambda: 12345)  # root may work in anybody's folder
    with pytest.raises(StoreError):
        site.run_all(stage, "a")
    assert stage.raw.connections == 0
    assert not any(path.suffix == ".db" for path in site.folder.parent.rglob(f"{site.folder.name}*/**/*"))


def test_S19_what_a_prompt_says_is_not_in_the_words_of_a_run(site):
    stage = site.serve(by_prompt(shows(), **{"my password is hunter2": fails("400 Bad", message="no")}))
    path = site.write([{"id": "a", "prompt": "my password is hunter2"}, "b"], {"studio": kit.studio(stage)})
    line = ["-C", str(site.folder), "run", path.name, "--yes", "-v"]
    result = CliRunner().invoke(command_line, line, standalone_mode=False)
    assert (result.exception, result.return_value) == (None, 3)
    assert "1 of 2 jobs done" in result.output
    assert "hunter2" not in result.output
    assert [path.name for path in site.state.glob("*.log*")] == []


PLAIN = [
    "http://gw.example.com", "http://10.0.0.1", "http://127.0.0.1.example.com", "http://localhost.example.com",
    "ftp://gw.example.com", "//gw.example.com", "http://0.0.0.0", "http://169.254.169.254",
]  # fmt: skip


@pytest.mark.parametrize("url", PLAIN)
def test_S20_a_key_never_travels_readable(site, url):
    with pytest.raises(ManifestError) as caught:
        site.run_all(url, "a")
    assert caught.value.exit_code == 4
    assert not site.state.exists() or not (site.state / "batchgen.db").exists()


def test_S20_there_is_no_way_to_leave_tls_unchecked():
    words = {word for command in commands().values() for parameter in command.params for word in parameter.opts}
    assert not [word for word in words if any(part in word for part in ("insecure", "verify-tls", "no-verify", "ssl"))]
    sources = "".join(path.read_text("utf-8") for path in Path(batchgen.__file__).parent.rglob("*.py"))
    assert "verify=False" not in sources
    assert "CERT_NONE" not in sources


@pytest.mark.parametrize(
    "dialect", ["evil", "evil:Dialect", "os.system", "../evil", "batchgen.cli", "__import__('evil')"]
)
def test_S21_a_manifest_loads_no_code(site, monkeypatch, dialect):
    marker = site.folder / "ran"
    (site.folder / "evil.py").write_text(f"open({str(marker)!r}, 'w').close()\n")
    monkeypatch.chdir(site.folder)
    monkeypatch.syspath_prepend(str(site.folder))
    with pytest.raises(BatchgenError) as caught:
        site.run_all("https://gw.example.com", "a", preset=None, dialect=dialect)
    assert caught.value.exit_code == 4
    assert not marker.exists()
    assert "evil" not in sys.modules


INJECTIONS = [
    "{{ id.__class__ }}", "{{ ''.__class__.__mro__ }}", "{{ cycler.__init__.__globals__ }}", "{{ x }}",
    "{{ self.__init__ }}", "{% for i in range(9) %}x{% endfor %}", "{% include '/etc/passwd' %}",
    "{{ id.__getattribute__('upper')() }}", "{{ range(10**9) | join }}", "{{ id | attr('__class__') }}",
    "{{ id * 10**9 }}",
]  # fmt: skip


@pytest.mark.parametrize("template", INJECTIONS)
def test_S22_a_name_is_filled_in_and_never_computed(site, template):
    with pytest.raises(ManifestError):
        read_manifest(
            Project.of(site.folder, None),
            site.write(["a"], {"studio": kit.studio("https://gw.example.com")}, output={"file": template}),
        )


def test_S22_single_braces_are_just_text(site):
    stage = site.serve(shows())
    path = site.write(["a"], {"studio": kit.studio(stage)}, output={"file": "{id.__class__}-%(id)s-$HOME-{{ id }}"})
    assert site.carry_out(path).code == 0
    assert [image.name for image in site.images()] == ["{id.__class__}-%(id)s-$HOME-a.png"]


def test_S23_a_glob_takes_no_time_without_measure(site):
    (site.folder / ("a" * 60 + ".png")).write_bytes(drawing())
    job = {"id": "a", "prompt": "p", "images": ["*a" * 25 + "*b.png"]}
    began = time.monotonic()
    with pytest.raises(ManifestError):
        read_manifest(Project.of(site.folder, None), site.write([job], {"openai": {}}))
    assert time.monotonic() - began < patience(5)


def test_S24_environment_certificates_are_used_or_the_run_ends(site, monkeypatch, tmp_path):
    stage = site.serve(shows())
    bundle = tmp_path / "bundle.pem"
    bundle.write_text("not a certificate")
    monkeypatch.setenv("SSL_CERT_FILE", str(bundle))
    monkeypatch.setenv("PYTHONHTTPSVERIFY", "0")
    with pytest.raises(SettingsError, match="SSL_CERT_FILE"):
        site.run_all(stage, "a")
    assert stage.raw.connections == 0


def test_S25_every_dependency_has_one_version():
    constraints = Path(__file__).parents[2] / "constraints.txt"
    lines = [line.split("#")[0].strip() for line in constraints.read_text("utf-8").splitlines()]
    assert [line for line in lines if line and "==" not in line] == []


ELSEWHERE = {"S1": "tests/acceptance/test_files.py::test_no_key_is_anywhere"}
NOT_HERE = {
    "S8": "there is no report page yet; error texts are kept escaped for a terminal (S10)",
    "S12": "batchgen imports no archive of any kind, so there is no path in one to be trusted",
}
