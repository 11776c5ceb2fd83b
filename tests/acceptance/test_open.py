"""The open command: a job's image in a viewer, or its path."""

from __future__ import annotations

import shlex
import sys

import pytest

from batchgen.app.viewer import viewer
from batchgen.errors import UsageError

from .kit import wait_for
from .terminal import on_terminal

JOBS = [
    {"id": "cat", "provider": "openai", "quality": "low", "prompt": "Cat"},
    {"id": "a/dog", "provider": "openai", "quality": "low", "prompt": "Dog", "n": 2, "per_request": 2},
    {"id": "bad", "provider": "openai", "quality": "low", "prompt": "Bad [sandbox: refuse]"},
]


@pytest.fixture
def bought(project):
    assert project.run("run", project.manifest(JOBS), "--yes", "--concurrency", "1").code == 3
    return project


def test_without_a_terminal_the_path_is_printed(bought):
    assert bought.run("open", "cat").out == "output/shop/cat.png\n"
    assert bought.run("open", "a/dog").out.splitlines() == ["output/shop/a/dog-1.png", "output/shop/a/dog-2.png"]
    assert bought.run("open", "cat", "--print", "--batch", "shop").out == "output/shop/cat.png\n"
    assert bought.run("open", "cat", "--batch", "spring").code == 10
    assert bought.run("open", "a/dog", "--folder").out == "output/shop/a\n"
    assert bought.run("open", "cat", "--json").json["files"] == [str(bought.folder / "output/shop/cat.png")]


def test_the_beginning_of_an_id_is_answered_with_ids(bought):
    assert "No job 'a/' in this batch; did you mean 'a/dog'?" in bought.run("open", "a/").err
    assert "; 3 ids begin with '', such as 'cat'." in bought.run("show", "*").err
    assert "; did you mean 'bad'?" in bought.run("open", "B").err


def test_without_a_job_it_is_the_newest(bought):
    [newest] = bought.rows("select path from artifacts order by id desc limit 1")
    assert bought.run("open").out == f"{newest['path']}\n"


@pytest.mark.parametrize(("job", "words"), [("bad", "it is failed (refused)"), ("cow", "No job 'cow'")])
def test_a_job_without_an_image_is_an_error(bought, job, words):
    done = bought.run("open", job)
    assert done.code == 10
    assert words in done.err


def test_a_file_that_is_gone_is_an_error(bought):
    (bought.folder / "output/shop/cat.png").unlink()
    done = bought.run("open", "cat")
    assert done.code == 10
    assert "batchgen verify" in done.err


def test_at_a_terminal_the_viewer_gets_the_file(bought, tmp_path):
    seen, script = tmp_path / "seen", tmp_path / "viewer.py"
    script.write_text(f"import sys, pathlib; pathlib.Path({str(seen)!r}).write_text(sys.argv[-1])")
    bought.env["BATCHGEN_OPENER"] = shlex.join([sys.executable, str(script), "--full screen"])
    shown, code = on_terminal(bought, ["open", "cat"], "xterm")
    assert code == 0
    assert "output/shop/cat.png" in shown
    wait_for(seen.exists)
    wait_for(lambda: seen.read_text() == str(bought.folder / "output/shop/cat.png"))
    bought.env["BATCHGEN_OPENER"] = "no-such-viewer"
    assert "no-such-viewer cannot be started" in on_terminal(bought, ["open", "cat"], "xterm")[0]


def test_an_image_of_a_sandbox_run_is_shown_on_request(bare):
    (bare.folder / "m.yaml").write_text('jobs: [{id: cat, provider: openai, prompt: "Cat"}]')
    assert bare.run("run", "m.yaml", "--sandbox", "--latency", "none").code == 0
    assert bare.run("open", "cat", "--sandbox").out.endswith("/cat.png\n")
    assert bare.run("open", "cat").code == 10


def test_a_project_cannot_name_the_viewer(bought):
    (bought.folder / ".env").write_text("BATCHGEN_OPENER=evil\nBATCHGEN_PAGER=evil\n")
    done = bought.run("open", "cat")
    assert "BATCHGEN_OPENER" in done.err
    assert "BATCHGEN_PAGER" in done.err


def test_the_viewer_of_each_system():
    assert viewer({}, "darwin") == ["open"]
    assert viewer({}, "linux") is None
    assert viewer({"BATCHGEN_OPENER": "feh -F"}, "linux") == ["feh", "-F"]
    assert viewer({"BATCHGEN_OPENER": ""}, "linux") is None
    with pytest.raises(UsageError, match="BATCHGEN_OPENER"):
        viewer({"BATCHGEN_OPENER": "feh '"}, "linux")
