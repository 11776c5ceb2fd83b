"""Keys and batchgen.yaml: found where they may be, refused where they cannot work, never shown."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path

import pytest

from batchgen.app.config import keys
from batchgen.app.config.keys import Key, find_key, find_keys, missing_key
from batchgen.app.config.settings import project_settings
from batchgen.errors import KeyMissing, SettingsError

SECRET = "sk-canary-4711-never-shown"


def key_file(folder: Path, text: str | bytes = SECRET, mode: int = 0o600) -> Path:
    path = folder / "key file"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(mode)
    return path


def printing(text: str) -> str:
    return shlex.join([sys.executable, "-c", f"import sys; sys.stdout.write({text!r})"])


def refused(values: dict[str, str]) -> str:
    with pytest.raises(KeyMissing) as caught:
        find_key("AIGATE_API_KEY", values)
    error: BaseException | None = caught.value
    while error is not None:
        assert "canary" not in f"{error} {error!r}"
        error = error.__cause__
    return str(caught.value)


def test_a_key_comes_from_its_variable():
    assert find_key("AIGATE_API_KEY", {"AIGATE_API_KEY": SECRET}) == Key(
        value=SECRET, source="the environment variable AIGATE_API_KEY"
    )


def test_a_key_never_shows_in_a_repr():
    key = find_key("A", {"A": SECRET})
    assert SECRET not in repr(key)
    assert SECRET not in f"{key} {[key]} { ({'k': key}) }"
    assert "environment variable A" in repr(key)


def test_blanks_and_a_line_break_around_a_key_do_no_harm(tmp_path):
    assert find_key("A", {"A": f"  {SECRET}\n"}).value == SECRET
    assert find_key("A", {"A_FILE": str(key_file(tmp_path, f"{SECRET}\r\n"))}).value == SECRET
    assert find_key("A", {"A_COMMAND": printing(f"{SECRET}\n")}).value == SECRET


def test_variable_file_and_command_are_asked_in_this_order(tmp_path):
    everything = {
        "A": "sk-variable",
        "A_FILE": str(key_file(tmp_path, "sk-file")),
        "A_COMMAND": printing("sk-command"),
    }
    found = []
    for gone in ("A", "A_FILE", "A_COMMAND"):
        key = find_key("A", everything)
        found.append((key.value, key.source.split(" (")[0]))
        del everything[gone]
    assert found == [
        ("sk-variable", "the environment variable A"),
        ("sk-file", "A_FILE"),
        ("sk-command", "A_COMMAND"),
    ]
    assert find_key("A", everything) is None


def test_names_are_asked_in_their_order():
    def found(values):
        return {name: key.value for name, key in find_keys(["A", "B"], values).items()}

    assert found({"B": "sk-of-b"}) == {"B": "sk-of-b"}
    assert found({"B": "sk-of-b", "A": "sk-of-a"}) == {"A": "sk-of-a", "B": "sk-of-b"}
    assert found({"B": "sk-of-b", "A_COMMAND": printing("sk-cmd")}) == {"A": "sk-cmd", "B": "sk-of-b"}
    assert found({"B": "sk-one", "A": "sk-one"}) == {"A": "sk-one"}


@pytest.mark.parametrize(
    "values", [{}, {"A": ""}, {"A": "  \n"}, {"A": "", "A_FILE": "", "A_COMMAND": ""}, {"B": "sk-b"}]
)
def test_an_empty_variable_is_none(values):
    assert find_key("A", values) is None


@pytest.mark.parametrize(
    "value",
    [
        f"{SECRET}\nX-Evil: 1",
        f"{SECRET}\rX",
        f"\u201c{SECRET}\u201d",
        f"\u2018{SECRET}",
        f"{SECRET} {SECRET}",
        f"{SECRET}\t1",
        f"{SECRET}\x00",
        f"{SECRET}\x7f",
        f"{SECRET}\u00e9",
        f"{SECRET}\u200b",
        f"\ufeff{SECRET}",
        f"Bearer {SECRET}",
        SECRET + "x" * 5000,
        "abc",
    ],
)
def test_what_cannot_be_a_key_is_refused_without_being_shown(tmp_path, value):
    for way in ("variable", "file", "command"):
        check_refused(tmp_path, value, way)


def check_refused(tmp_path, value, way):
    if way == "variable":
        values = {"AIGATE_API_KEY": value}
    elif way == "file":
        values = {"AIGATE_API_KEY_FILE": str(key_file(tmp_path, value))}
    elif "\x00" in value or len(value) > 4096:
        return  # neither fits into a command line
    else:
        values = {"AIGATE_API_KEY_COMMAND": printing(value)}
    said = refused(values)
    assert "does not contain an API key" in said
    assert ("too short" in said) == (len(value.strip()) < 4)
    assert "AIGATE_API_KEY" in said


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o610, 0o777])
def test_key_file_readable_by_others_is_refused_with_a_fix(tmp_path, mode):
    path = key_file(tmp_path, mode=mode)
    said = refused({"AIGATE_API_KEY_FILE": str(path)})
    assert f"chmod 600 {shlex.quote(str(path))}" in said


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_key_file_of_its_owner_alone_is_taken(tmp_path, mode):
    assert find_key("A", {"A_FILE": str(key_file(tmp_path, mode=mode))}).value == SECRET


def test_a_key_file_that_is_not_there_no_file_or_no_text_is_refused(tmp_path):
    assert "No such file" in refused({"AIGATE_API_KEY_FILE": str(tmp_path / "nowhere")})
    (tmp_path / "folder").mkdir(mode=0o700)
    assert "Is a directory" in refused({"AIGATE_API_KEY_FILE": str(tmp_path / "folder")})


@pytest.mark.parametrize("data", [b"", b"\n", b"\xff\xfecanary", b"canary\xe9"])
def test_a_key_file_that_is_empty_or_no_utf8_is_refused(tmp_path, data):
    assert "does not contain an API key" in refused({"AIGATE_API_KEY_FILE": str(key_file(tmp_path, data))})


PYTHON = shlex.quote(sys.executable)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (f'{PYTHON} -c \'import sys; print("sk-can" + "ary"); sys.exit(3)\'', "exited with code 3"),
        ("/nowhere/at-all", "cannot be run: FileNotFoundError"),
        ("'unfinished", "cannot be run: ValueError"),
        (f'{PYTHON} -c \'import sys; sys.stdout.buffer.write(b"can" + b"ary\\xff")\'', "does not contain an API key"),
        (printing(""), "does not contain an API key"),
    ],
)
def test_failing_key_command_is_reported_without_its_output(command, said):
    told = refused({"AIGATE_API_KEY_COMMAND": command})
    assert said in told
    assert "AIGATE_API_KEY_COMMAND" in told


def test_a_command_is_run_without_a_shell(tmp_path):
    victim = tmp_path / "victim"
    command = f"{printing(SECRET)} ; touch {shlex.quote(str(victim))} $(touch {shlex.quote(str(victim))})"
    assert find_key("A", {"A_COMMAND": command}).value == SECRET
    assert not victim.exists()


def test_a_command_that_hangs_or_asks_is_given_up(monkeypatch):
    monkeypatch.setattr(keys, "COMMAND_TIMEOUT", 0.2)
    hanging = shlex.join([sys.executable, "-c", "import time; time.sleep(60)"])
    assert "TimeoutExpired" in refused({"AIGATE_API_KEY_COMMAND": hanging})
    monkeypatch.setattr(keys, "COMMAND_TIMEOUT", 10)
    asking = shlex.join([sys.executable, "-c", "input('password? ')"])
    assert "exited with code 1" in refused({"AIGATE_API_KEY_COMMAND": asking})


def test_the_text_about_a_missing_key_names_every_way():
    said = missing_key("aigate", ("AIGATE_API_KEY", "OPENAI_API_KEY"))
    for word in ("aigate", "AIGATE_API_KEY", "OPENAI_API_KEY", "AIGATE_API_KEY_FILE", "AIGATE_API_KEY_COMMAND"):
        assert word in said


# --- batchgen.yaml ------------------------------------------------------------------------------------------------


def project(folder: Path, text: str = "providers: {aigate: {limits: {concurrency: 3}}}") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "batchgen.yaml").write_text(text, encoding="utf-8")
    return folder


FOUND = {"providers": {"aigate": {"limits": {"concurrency": 3}}}}


def test_the_project_file_is_found_here_or_above(tmp_path):
    deep = tmp_path / "a" / "b" / "c"
    deep.mkdir(parents=True)
    (tmp_path / ".git").mkdir()
    assert project_settings(deep) == {}
    project(tmp_path)
    assert project_settings(deep) == FOUND
    assert project_settings(tmp_path) == FOUND


def test_the_nearest_project_file_wins(tmp_path):
    project(tmp_path, "providers: {far: {}}")
    project(tmp_path / "a")
    assert project_settings(tmp_path / "a" / "b") == FOUND


def test_the_search_ends_at_the_root_of_a_repository(tmp_path):
    project(tmp_path)
    inner = tmp_path / "repo"
    (inner / ".git").mkdir(parents=True)
    (inner / "sub").mkdir()
    assert project_settings(inner / "sub") == {}
    project(inner)
    assert project_settings(inner / "sub") == FOUND


def test_the_search_ends_at_the_home_folder(tmp_path, monkeypatch):
    project(tmp_path)
    home = tmp_path / "home" / "ann"
    (home / "work").mkdir(parents=True)
    monkeypatch.setenv("HOME", str(home))
    assert project_settings(home / "work") == {}
    project(home)
    assert project_settings(home / "work") == FOUND


@pytest.mark.parametrize("text", ["", "# nothing yet\n", "---\n", "{}", "providers:\n"])
def test_an_empty_project_file_sets_nothing(tmp_path, text):
    assert not project_settings(project(tmp_path, text)).get("providers")


@pytest.mark.parametrize(
    "text",
    [
        "providers: [",
        "jobs: []",
        "providers: {}\nkeys: {aigate: x}",
        "- providers",
        "just words",
        "providers: [aigate]",
        "providers: {aigate: 5}",
        "providers: {aigate: null}",
        "providers: aigate",
        "!!python/object/apply:os.system [echo]",
        "providers: !!python/name:os.system",
        "\x00",
        "1: 2",
    ],
)
def test_a_project_file_that_cannot_be_understood_is_named(tmp_path, text):
    with pytest.raises(SettingsError) as caught:
        project_settings(project(tmp_path, text))
    assert str(tmp_path / "batchgen.yaml") in str(caught.value)


def test_a_project_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "batchgen.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(SettingsError, match=r"batchgen\.yaml"):
        project_settings(tmp_path)
