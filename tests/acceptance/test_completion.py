"""Completion and help: right in a real shell, and quick, for a person waits for both."""

from __future__ import annotations

import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.timing import patience

PROGRAM = Path(sys.executable).with_name("batchgen")
HEAVY = {"rich", "pydantic", "sqlalchemy", "httpx", "aiohttp", "anyio", "PIL", "yaml", "jinja2", "asyncio", "apprise"}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_script_for_every_shell(project, shell):
    script = project.run("completion", shell)
    assert script.code == 0
    assert f"_BATCHGEN_COMPLETE={shell}_complete" in script.out
    if shutil.which(shell):
        subprocess.run([shell, "-n"], input=script.out, text=True, check=True, timeout=patience(20))


class Bash:
    """A bash on a terminal, in which somebody types."""

    def __init__(self, folder: Path) -> None:
        self._ours, theirs = pty.openpty()
        path = f"{PROGRAM.parent}{os.pathsep}{os.environ['PATH']}"
        env = {"PATH": path, "HOME": str(folder), "TERM": "dumb", "PS1": "", "LC_ALL": "C.UTF-8"}
        self._bash = subprocess.Popen(
            ["bash", "--norc", "--noprofile", "-i"],
            stdin=theirs, stdout=theirs, stderr=theirs, env=env, cwd=folder, start_new_session=True,
        )  # fmt: skip
        os.close(theirs)
        self.type("bind 'set enable-bracketed-paste off'; bind 'set bell-style none'; stty -echoctl\n")
        self.type('eval "$(batchgen completion bash)"; echo rea""dy\n', until="ready")

    def type(self, text: str, until: str = "") -> str:
        """Type *text*; return what appears up to *until*."""
        os.write(self._ours, text.encode())
        seen, end = "", time.monotonic() + 20
        while until not in seen or not until:
            if select.select([self._ours], [], [], 0.05)[0]:
                seen += os.read(self._ours, 65536).decode()
            elif not until:
                break
            assert time.monotonic() < end, f"{until!r} did not come; there is {seen!r}"
        return seen

    def complete(self, line: str, whole: str) -> str:
        """Type *line* and the tabulator, wait for *whole*, and take it back."""
        seen = self.type(f"{line}\t", until=whole)
        self.type("\x15")
        return seen

    def close(self) -> None:
        self._bash.kill()
        self._bash.wait(patience(10))
        os.close(self._ours)


@pytest.fixture(scope="module")
def bash(tmp_path_factory) -> Iterator[Bash]:
    if not (shutil.which("bash") and PROGRAM.exists()):
        pytest.skip("there is no bash here, or no batchgen that it could find")
    folder = tmp_path_factory.mktemp("home")
    (folder / "night.yaml").touch()
    # a file of settings that cannot be read keeps nobody from completing
    (folder / "batchgen.yaml").write_text("options: [", encoding="utf-8")
    bash = Bash(folder)
    yield bash
    bash.close()


@pytest.mark.parametrize(
    ("line", "whole"),
    [
        ("batchgen verif", "batchgen verify "),
        ("batchgen run --max-f", "batchgen run --max-failures "),
        ("batchgen run --progress pl", "batchgen run --progress plain "),
        ("batchgen list --status fa", "batchgen list --status failed "),
        ("batchgen db vac", "batchgen db vacuum "),
        ("batchgen completion f", "batchgen completion fish "),
        ("batchgen help exi", "batchgen help exit-codes "),
        ("batchgen run ni", "batchgen run night.yaml "),
        ("batchgen resume ni", "batchgen resume night.yaml "),
    ],
    ids=["command", "option", "choice", "choice-of-many", "command-of-a-command", "argument", "topic", "file", "maybe"],
)
def test_a_real_bash_completes(bash, line, whole):
    assert bash.complete(line, whole).rstrip("\a").endswith(whole)


def test_all_that_begins_so_is_offered_in_the_order_of_use(project):
    def offered(words, index):
        env = {"_BATCHGEN_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(index)}
        return [line.partition(",")[2] for line in project.run(**env).out.splitlines()]

    assert offered("batchgen re", 1) == ["retry", "report", "redo", "resume"]
    assert {"--budget", "--stop-at", "--log-file"} <= set(offered("batchgen run --", 2))
    assert offered("batchgen help re", 2) == ["report", "recovery", "retry", "report", "redo", "resume"]
    assert offered("batchgen unknown ", 2) == ["list", "retry", "drop", "adopt", "settle"]


@pytest.mark.parametrize(
    ("arguments", "completing"),
    [(["--help"], ""), (["run", "--help"], ""), (["retry", "--help"], ""), ([], "batchgen run --pro")],
    ids=["all", "run", "retry", "completion"],
)
def test_help_and_completion_load_nothing_heavy(tmp_path, arguments, completing):
    (tmp_path / "batchgen.yaml").write_text("options: [", encoding="utf-8")
    program = (
        "import sys; from batchgen.cli import main; sys.argv = ['batchgen', *sys.argv[1:]]\n"
        "try: main()\n"
        "except SystemExit as leave: assert not leave.code\n"
        f"print('heavy:', sorted({HEAVY!r} & set(sys.modules)))"
    )
    env = {"_BATCHGEN_COMPLETE": "bash_complete", "COMP_WORDS": completing, "COMP_CWORD": "2"} if completing else {}
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        capture_output=True, text=True, check=True, cwd=tmp_path, env=os.environ | env,
    )  # fmt: skip
    *said, heavy = done.stdout.splitlines()
    assert heavy == "heavy: []"
    assert said if not completing else "plain,--progress" in said
