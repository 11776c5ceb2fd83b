"""Start-up: commands load only what they need; ``make bench`` measures the CPU they take."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

#: Libraries that take long to import.
HEAVY = frozenset(
    ("sqlalchemy", "alembic", "pydantic", "yaml", "jinja2", "PIL", "httpx", "rich", "aiohttp", "apprise", "anyio")
)
#: What serves only those who do not work on this machine alone.
REMOTE = frozenset(("obstore", "psycopg", "ray", "sqlalchemy.dialects.postgresql"))
MANIFEST = """\
name: shop
jobs:
  - {id: lamp, provider: openai, quality: low, prompt: A lamp}
"""
PROGRAM = """\
import json, sys
from batchgen.cli import main
code = None
try:
    main()
except SystemExit as error:
    code = error.code
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""


def loaded(folder: Path, *words: str) -> set[str]:
    """Return the heavy libraries that a command has loaded."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *words], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    assert code in (None, 0), done.stderr
    return (HEAVY | REMOTE) & set(modules)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a finished sandbox run."""
    folder = tmp_path_factory.mktemp("startup")
    (folder / "m.yaml").write_text(MANIFEST)
    run = [sys.executable, "-m", "batchgen", "run", "m.yaml", "--sandbox"]
    subprocess.run(run, cwd=folder, capture_output=True, timeout=120, check=True)
    return folder


@pytest.mark.parametrize("words", [["--help"], ["run", "--help"], ["--version"]])
def test_help_loads_click_alone(folder, words):
    assert loaded(folder, *words) == set()


@pytest.mark.parametrize("words", [["status"], ["list"], ["list", "runs"], ["show", "lamp"], ["usage"]], ids=" ".join)
def test_looking_commands_load_only_the_database(folder, words):
    assert loaded(folder, *words, "--sandbox") <= {"sqlalchemy"}


@pytest.mark.parametrize("words", [["validate", "m.yaml"], ["plan", "m.yaml", "--sandbox"]], ids=lambda words: words[0])
def test_planning_loads_no_network_and_no_images(folder, words):
    assert loaded(folder, *words) <= {"sqlalchemy", "pydantic", "yaml", "jinja2", "anyio"}


def test_run_with_nothing_to_send_loads_no_http_client(folder):
    assert not loaded(folder, "run", "m.yaml", "--sandbox") & {"httpx", "rich", "alembic", "apprise"}


def test_a_run_on_this_machine_loads_nothing_for_others(folder):
    assert loaded(folder, "run", "m.yaml", "--sandbox") & REMOTE == set()
