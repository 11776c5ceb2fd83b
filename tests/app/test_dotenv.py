"""Files of variables, and the layers of settings."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.app.config import dotenv, settings
from batchgen.errors import SettingsError

FILE = Path("x.env")


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=b", "b"), ("export A=b", "b"), ("  A = b c  ", "b c"), ("A=b # said", "b"), ("A=b#c", "b#c"), ("A=", ""),
        ("A='b # $c'", "b # $c"),
        ('A="b\\n\\"c\\""', 'b\n"c"'), ("A=b=c", "b=c"), ("A= # nothing", ""), ("A='b' # c", "b"),
        ("A=# your key here", ""), ("A=b$c${HOME}", "b$c${HOME}"), ('A="b\\$c # d"', "b$c # d"), ("A='b\\$c'", "b\\$c"),
    ],
)  # fmt: skip
def test_a_line(line, value):
    assert dotenv.parse(f"# head\n\n{line}\n", FILE) == {"A": value}


@pytest.mark.parametrize("line", ["A", "A='b", 'A="b', "1A=b", "A='b'c", "secret-word"])
def test_a_line_that_is_none_is_told_without_its_value(line):
    with pytest.raises(SettingsError, match=r"x.env:2: ") as told:
        dotenv.parse(f"OK=1\n{line}", FILE)
    assert "secret-word" not in str(told.value)


def test_what_is_said_already_stays_in_whatever_way(tmp_path, monkeypatch):
    monkeypatch.setattr(dotenv, "origins", {})
    path = tmp_path / ".env"
    path.write_text("A=1\nB=2\nC=3\nD=4\n", encoding="utf-8")
    path.chmod(0o600)
    environment = {"A": "mine", "B_FILE": "/f", "C_COMMAND": "c"}
    assert not dotenv.load(path, environment)
    assert environment == {"A": "mine", "B_FILE": "/f", "C_COMMAND": "c", "D": "4"}
    assert dotenv.origins == {"D": path}
    path.chmod(0o644)
    assert dotenv.load(path, {})


def test_a_project_goes_before_the_users_own_settings(tmp_path, monkeypatch):
    own = tmp_path / "own.yaml"
    own.write_text("confirm_above: 7\nproviders: {openai: {limits: {concurrency: 3, burst: 2}}}", encoding="utf-8")
    monkeypatch.setenv("BATCHGEN_CONFIG", str(own))
    project = tmp_path / "shop"
    (project / ".git").mkdir(parents=True)
    assert settings.project_settings(project)["confirm_above"] == 7
    (project / "batchgen.yaml").write_text("providers: {openai: {limits: {concurrency: 4}}}", encoding="utf-8")
    found = settings.project_settings(project)
    assert found == {"confirm_above": 7, "providers": {"openai": {"limits": {"concurrency": 4, "burst": 2}}}}
    assert [layer.file.name for layer in settings.layers(project)] == ["batchgen.yaml", "own.yaml"]
    own.unlink()
    with pytest.raises(SettingsError, match=r"own.yaml"):
        settings.project_settings(project)
