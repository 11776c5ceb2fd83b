"""Output for every eye and ear: narrow terminals, dumb ones, none at all, no colours, and no UTF-8."""

from __future__ import annotations

import json
import re

import pytest

from .kit import PROVIDERS
from .terminal import Screen, on_terminal

#: Figures that differ from run to run.
_FIGURES = [
    (r"\n +(?=\S)", " "),  # a line that hangs below its label
    (r"in \d+ s, \d+ per minute", "in N s, N per minute"), (r"\d+ images/min", "N images/min"),
    (r"about \d+ (s|min) left", "about N s left"),
]  # fmt: skip
OFFICIAL = {name: {"base_url": f"https://{name}.example"} for name in PROVIDERS}


def normal(text: str) -> str:
    for pattern, instead in _FIGURES:
        text = re.sub(pattern, instead, text)
    return text


@pytest.fixture
def manifest(bare):
    """A batch for the sandbox, one call after the other, one of them refused."""
    jobs = [{"id": f"j{n}", "provider": "openai", "quality": "low", "prompt": f"P{n}"} for n in range(4)]
    jobs[1]["prompt"] += " [sandbox: refuse]"
    limits = {"openai": OFFICIAL["openai"] | {"limits": {"concurrency": 1}}}
    return bare.manifest(jobs, providers=OFFICIAL | limits)


END = """\
failed    1 refused, job j1: Your request was rejected by the safety system. If you believe this is an error, \
contact support…
shop: 3 of 4 jobs done; this run made 3 images in N s, N per minute
spent     $0.0177 by this run, $0.0177 for this batch ($0.0177 priced)
files     sandbox-output/shop
next      refused: change the prompt or the source image, then run again
          batchgen show --sandbox j1    shows every attempt of a job
exit code 3: ran to the end; some jobs failed or are unknown"""


@pytest.mark.parametrize("columns", [40, 100])
def test_the_live_table_fits_its_terminal_and_goes(bare, manifest, columns):
    text, code = on_terminal(bare, ["run", "--sandbox", "--latency", "0.6", manifest], "xterm-256color", columns)
    assert code == 3
    during = text[text.index("\x1b[?25l") : text.rindex("\x1b[?25h")]
    drawn = re.sub(r"\x1b\[\??[\d;]*[A-Za-z]", "", during)
    heads = {" ".join(line.split()) for line in drawn.splitlines() if line.startswith("provider")}
    full = "provider done in flight failed images/min spent waiting for"
    assert heads == ({full} if columns == 100 else {"provider done in flight spent"})
    bars = {line[len("shop  ") :].split("  ")[0] for line in drawn.splitlines() if line.startswith("shop  ")}
    assert len(bars) > 1
    assert set("".join(bars)) <= set("\u2501\u2500")
    assert any(line.startswith("this run  ") for line in drawn.splitlines())
    assert max(len(line) for line in drawn.splitlines()) <= columns
    # the table is gone; what stands there is what was said before it, and the end
    shown = "\n".join(Screen().feed(text).shown)
    assert "waiting for" not in shown
    assert normal(shown).rstrip().endswith(normal(END))


def test_show_breaks_its_lines_between_words(bare):
    job = {"id": "cat", "provider": "openai", "prompt": "A small orange cat that sleeps on a table of oak by a window"}
    assert bare.run("run", "--sandbox", "--latency", "none", bare.manifest([job], providers=OFFICIAL)).code == 0
    text, code = on_terminal(bare, ["show", "cat", "--sandbox"], "xterm", 50)
    assert code == 0
    lines = text.splitlines()
    assert lines[1:3] == ["prompt    A small orange cat that sleeps on a", "          table of oak by a window"]
    assert "file      sandbox-output/shop/cat.png" in lines
    assert max(map(len, lines)) <= 50


@pytest.mark.parametrize(
    ("term", "arguments", "env"),
    [
        ("dumb", [], {}),
        ("xterm", ["--progress", "plain"], {}),
        ("xterm", ["--progress", "plain", "--color", "never"], {}),
        ("xterm", ["--progress", "plain"], {"NO_COLOR": "1"}),
    ],
    ids=["dumb", "plain", "never", "no-color"],
)
def test_plain_progress_is_lines_that_can_be_read_aloud(bare, manifest, term, arguments, env):
    words = ["run", "--sandbox", "--latency", "1.3", *arguments, manifest]
    text, code = on_terminal(bare, words, term, 40, **env)
    assert code == 3
    assert "\x1b" not in text
    assert text.count("\r") == text.count("\r\n")  # nothing is written over
    shown = normal(text.replace("\r\n", "\n"))
    assert shown.rstrip().endswith(normal(END))
    progress = [line for line in shown.splitlines() if "images/min" in line]
    assert progress
    for line in progress:
        assert re.fullmatch(
            r"\d of 4 jobs done(, 1 failed)?, [01] in flight, N images/min, spent \$[\d.]+(, about N s left)?", line
        )


@pytest.mark.parametrize(
    ("arguments", "env", "coloured"),
    [
        ([], {}, True), (["--color", "never"], {}, False), ([], {"NO_COLOR": "1"}, False),
        (["--color=always"], {"NO_COLOR": "1"}, True), ([], {"BATCHGEN_COLOR": "never"}, False),
    ],
    ids=["auto", "never", "no-color", "always-wins", "by-environment"],
)  # fmt: skip
def test_colours_at_a_terminal(bare, arguments, env, coloured):
    text, code = on_terminal(bare, [*arguments, "--help"], "xterm-256color", **env)
    assert code == 0
    assert ("\x1b[" in text) is coloured


@pytest.mark.parametrize(("choice", "coloured"), [("auto", False), ("always", True)])
def test_colours_without_a_terminal(bare, choice, coloured):
    assert ("\x1b[" in bare.run("--color", choice, "--help", NO_COLOR="").out) is coloured


def test_help_on_a_narrow_terminal(bare):
    text, code = on_terminal(bare, ["db", "--help"], "xterm-256color", 40, NO_COLOR="1")
    assert code == 0
    lines = [line.rstrip() for line in text.replace("\r", "").splitlines()]
    usage = next(number for number, line in enumerate(lines) if line.startswith("Usage:"))
    assert all(line.startswith("  batchgen db ") for line in lines[:usage] if line)  # commands are not broken up
    assert max(map(len, lines[usage:])) <= 50
    assert any("recover" in line for line in lines)


LOCALE_C = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}  # Python alone would make UTF-8 of it
PROMPT = "Käse für \N{SNOWMAN} und \U0001f600 …"


@pytest.mark.parametrize(
    "env",
    [
        pytest.param({"PYTHONIOENCODING": "latin-1"}, id="latin-1", marks=pytest.mark.slow),
        pytest.param({"PYTHONIOENCODING": "ascii"}, id="ascii", marks=pytest.mark.slow),
        pytest.param(LOCALE_C, id="C"),
    ],
)
def test_without_utf_8_nothing_breaks(project, env):
    """What comes is read as UTF-8 here, so it has to be ASCII, but for latin-1's own words."""
    jobs = [{"id": "no", "provider": "openai", "prompt": f"{PROMPT} [sandbox: refuse]"}]
    assert project.run("run", project.manifest(jobs), "--yes", "-v", **env).code == 3
    status = project.run("status", **env)
    assert "contact support..." in status.out
    assert status.out.isascii()
    shown = project.run("show", "no", "--json", **env)
    assert shown.out.isascii()
    assert shown.json["prompt"] == jobs[0]["prompt"]
    assert project.run("export", **env).out.isascii()
    failed = project.run("--json", "show", "\N{SNOWMAN}", **env)
    assert failed.err.isascii()
    # in an ASCII locale the argument itself is no text
    assert json.loads(failed.err)["code"] == failed.code == (2 if env is LOCALE_C else 10)
    if env.get("PYTHONIOENCODING") != "latin-1":
        assert "K\\xe4se f\\xfcr \\u2603" in project.run("list", **env).out


def test_file_name_unknown_to_the_locale_stops_before_sending(project, witness):
    jobs = [{"id": "käse", "provider": "openai", "quality": "low", "prompt": "A"}]
    refused = project.run("run", project.manifest(jobs), "--yes", **LOCALE_C)
    assert refused.code == 4
    assert "PYTHONUTF8=1" in refused.err
    assert witness.arrivals() == []
    assert project.run("run", "m.yaml", "--yes", **LOCALE_C | {"PYTHONUTF8": "1"}).code == 0
