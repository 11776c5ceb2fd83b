"""``doctor``: what it finds, where settings come from, and that it gives no secret away."""

from __future__ import annotations

import sqlite3
from contextlib import closing

import certifi
import pytest

from batchgen.sandbox import launch
from batchgen.sandbox.log import read_log

from .kit import CANARY, SECRET, finish, wait_for

ONE = [{"id": "one", "provider": "openai", "quality": "low", "prompt": "One"}]


def finding(done, about):
    return [one for one in done.json["findings"] if one["about"] == about]


def test_all_is_well_and_nothing_is_written(project, witness):
    before = sorted(project.folder.iterdir())
    done = project.run("doctor", "--json", BATCHGEN_BUDGET="4")
    assert done.code == 0, done.err
    abouts = {one["about"] for one in done.json["findings"]}
    assert abouts >= {
        "python", "packages", "settings", "keys", "certificates", "clock", "disk", "output", "lock", "job table"
    }  # fmt: skip
    [output] = finding(done, "output")
    assert output["says"].startswith("none yet: no batch has run here; batchgen doctor MANIFEST")
    keys = [one["says"] for one in finding(done, "keys")]
    assert "openai: the environment variable OPENAI_API_KEY, ends in 0000" in keys
    assert SECRET not in done.out + done.err
    assert {"name": "BATCHGEN_BUDGET", "value": "4", "source": "the environment"} in done.json["settings"]
    assert sorted(project.folder.iterdir()) == before
    assert witness.arrivals() == []
    plain = project.run("doctor")
    assert (plain.code, SECRET in plain.out, "job database" in plain.out) == (0, False, True)
    assert (project.run("doctor", "-q").out, project.run("doctor", "-q").code) == ("", 0)


def test_each_setting_is_reported_with_its_file(project):
    (project.folder / "batchgen.yaml").write_text("providers: {openai: {limits: {burst: 2}}}", encoding="utf-8")
    own = project.folder / "own.yaml"
    own.write_text("confirm_above: 7\nproviders: {openai: {limits: {burst: 3}}}", encoding="utf-8")
    (project.folder / ".env").write_text("BATCHGEN_BUDGET=3\n", encoding="utf-8")
    done = project.run("doctor", "--json", "--config", own)
    told = {one["name"]: (one["value"], one["source"]) for one in done.json["settings"]}
    assert told["providers.openai.limits.burst"] == (2, str(project.folder / "batchgen.yaml"))
    assert told["confirm_above"] == (7, str(own))
    assert told["BATCHGEN_BUDGET"] == ("3", str(project.folder / ".env"))


def test_what_is_wrong_is_reported_by_its_code(project):
    manifest = project.manifest(ONE)
    assert project.run("doctor", OPENAI_API_KEY="not a key\n").code == 5
    assert project.run("doctor", SSL_CERT_FILE="/dev/null").code == 4
    (project.folder / "batchgen.yaml").write_text("wrong: 1\n", encoding="utf-8")
    wrong = project.run("doctor", "--json")
    assert (wrong.code, wrong.json["settings"]) == (4, [])
    assert (
        sum("unknown key 'wrong'" in one["says"] for one in wrong.json["findings"]) == 1
    )  # though keys need the settings, too
    (project.folder / "batchgen.yaml").write_text("options: {run: {stop_att: 3, max_failurs: 2}}\n", encoding="utf-8")
    bad = [line for line in project.run("doctor").out.splitlines() if line.startswith("BAD")]
    assert [line.split()[1] for line in bad] == ["settings", "settings"]
    (project.folder / "batchgen.yaml").unlink()
    assert project.run("run", manifest, "--yes").code == 0
    table = project.state / "batchgen.db"
    with closing(sqlite3.connect(table)) as connection:
        connection.execute("update batches set updated_at = updated_at + 86400000000")
        connection.commit()
    back = project.run("doctor", "--json")
    assert (back.code, finding(back, "clock")[0]["verdict"]) == (1, "bad")
    with closing(sqlite3.connect(table)) as connection:
        connection.execute("update alembic_version set version_num = '9999'")
        connection.commit()
    assert project.run("doctor").code == 12
    table.write_bytes(b"no table" * 1000)
    assert project.run("doctor").code == 1


def test_a_run_that_is_on_is_named(project, witness):
    slow = [{"id": "slow", "provider": "openai", "quality": "low", "prompt": "Slow [sandbox: slow=3]"}]
    run = project.start("run", project.manifest(slow), "--yes")
    wait_for(lambda: witness.arrived >= 1, run)
    done = project.run("doctor", "--json")
    assert done.code == 0
    assert f"process {run.pid} " in finding(done, "lock")[0]["says"]
    assert finish(run).code == 0


def test_online_asks_the_providers(project, witness):
    base = {"providers": {"openai": {"base_url": f"{project.url}/openai"}}}
    project.env = {"OPENAI_API_KEY": CANARY}
    (project.folder / "batchgen.yaml").write_text(str(base), encoding="utf-8")
    done = project.run("doctor", "--online", "--json")
    assert done.code == 0, done.out
    assert [one["name"] for one in done.json["online"]] == ["openai"]
    assert witness.charges() == []


@pytest.mark.parametrize(
    ("wrong_by", "verdict", "words"),
    [
        (0, "ok", "agrees with that of openai within 5 s"),
        (-90, "note", "s ahead of that of openai"),
        (1800, "bad", "30 min behind that of openai"),
    ],
)
def test_wrong_clock_is_found_from_answers_online(project, tmp_path, wrong_by, verdict, words):
    project.env = {"OPENAI_API_KEY": CANARY}
    with launch.start(tmp_path / "far", latency="none", idle_exit=60, extra=["--clock", str(wrong_by)]) as far:
        base = {"providers": {"openai": {"base_url": far.base_url("openai")}}}
        (project.folder / "batchgen.yaml").write_text(str(base), encoding="utf-8")
        done = project.run("doctor", "--online", "--json")
        assert [line["event"] for line in read_log(far.log)] == ["free"]
    _, told = finding(done, "clock")
    assert (told["verdict"], words in told["says"]) == (verdict, True), told
    assert done.code == (1 if verdict == "bad" else 0)


def test_proxies_and_certificates_are_told_with_whom_they_concern(project):
    (project.folder / "batchgen.yaml").write_text(
        "providers: {here: {preset: openai, base_url: 'http://127.0.0.1:9'}}", encoding="utf-8"
    )
    names = ("https_proxy", "http_proxy", "all_proxy", "no_proxy")
    quiet = dict.fromkeys([*names, *map(str.upper, names)], "")
    assert [one["says"] for one in finding(project.run("doctor", "--json", **quiet), "proxies")] == ["none"]
    said = quiet | {"https_proxy": f"http://me:{SECRET}@proxy.example:3128", "no_proxy": "aimlapi.com"}
    done = project.run("doctor", "--json", **said)
    proxy, past = finding(done, "proxies")
    assert proxy["says"].startswith("https_proxy=http://proxy.example:3128 for aigate, ")
    assert "openai" in proxy["says"]
    assert not {"aimlapi", "here", "sandbox"} & set(proxy["says"].replace(",", "").split())
    assert (proxy["verdict"], past["says"]) == ("note", "NO_PROXY: aimlapi reached without them")
    assert SECRET not in done.out + done.err
    flaws = {
        "socks5://p:1": "socks5 proxies are not supported",
        "p:3128": "it has no scheme",
        "http://": "it has no host",
        "http://p:99999": "it is not a valid URL",
    }
    for address, flaw in flaws.items():
        done = project.run("doctor", "--json", **(quiet | {"https_proxy": address}))
        [proxy] = finding(done, "proxies")
        assert (done.code, proxy["verdict"], flaw in proxy["says"]) == (8, "bad", True), proxy
    [token] = finding(project.run("doctor", "--json", **(quiet | {"https_proxy": f"https://{SECRET}@p:1"})), "proxies")
    assert (token["verdict"], token["says"].partition(" ")[0]) == ("note", "https_proxy=https://p:1")
    [unused] = finding(project.run("doctor", "--json", **(quiet | {"all_proxy": "socks5://p:1"})), "proxies")
    assert (unused["verdict"], "does not use it" in unused["says"]) == ("note", True)
    authorities = project.env.get("SSL_CERT_FILE") or certifi.where()
    [certificates] = finding(project.run("doctor", "--json", SSL_CERT_FILE=authorities), "certificates")
    assert f"SSL_CERT_FILE={authorities}" in certificates["says"]
    assert "apply to aigate, " in certificates["says"]
    assert "here" not in certificates["says"].split()
