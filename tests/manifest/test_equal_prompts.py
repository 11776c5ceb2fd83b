"""Equal prompts: how a prompt is written in YAML or in a list changes neither its fingerprint nor its id."""

from __future__ import annotations

from pathlib import Path

import pytest

from batchgen.errors import ManifestError
from batchgen.manifest import load

HEAD = "version: 1\ndefaults: {provider: aigate, model: openai/gpt-image-2, size: 1024x1024, quality: low}\n"
YAML = [
    "jobs:\n  - {prompt: a red cube}\n",
    "jobs:\n  - prompt: |\n      a red cube\n",
    "jobs:\n  - prompt: |-\n      a red cube\n",
    "jobs:\n  - prompt: |+\n      a red cube\n\n\n",
    "jobs:\n  - prompt: >\n      a red\n      cube\n",
    'jobs:\n  - prompt: "a red\n      cube "\n',
    "prompts:\n  - 'a red cube  '\n",
    'prompts: ["\\ufeffa red cube\\r\\n"]\n',
]  # fmt: skip


def only_job(folder: Path, text: str | bytes):
    content = text if isinstance(text, bytes) else (HEAD + text).encode()
    (folder / "m.yaml").write_bytes(content)
    [job] = load(folder / "m.yaml").jobs
    return job


@pytest.mark.parametrize("text", YAML)
def test_yaml_styles_of_a_prompt_are_equal(tmp_path, text):
    first = only_job(tmp_path, YAML[0])
    job = only_job(tmp_path, text)
    assert (job.fingerprint, job.key) == (first.fingerprint, first.key)
    crlf = only_job(tmp_path, (HEAD + text).replace("\n", "\r\n").encode())
    assert (crlf.fingerprint, crlf.key) == (first.fingerprint, first.key)


@pytest.mark.parametrize("column", ["id,prompt\na", "name,prompt\na"])
def test_line_ends_of_a_csv_are_equal(tmp_path, column):
    text = f'{column},"red cube\non a table"\n'
    jobs = []
    for content in (text, text.replace("\n", "\r\n"), text.replace('table"', 'table  "')):
        (tmp_path / "l.csv").write_bytes(content.encode())
        jobs.append(only_job(tmp_path, "jobs:\n  - {from: l.csv}\n"))
    assert {(job.fingerprint, job.key, job.prompt) for job in jobs} == {
        (jobs[0].fingerprint, jobs[0].key, "red cube\non a table")
    }


def test_what_is_sent_has_plain_line_ends_and_no_trailing_white_space(tmp_path):
    assert only_job(tmp_path, 'prompts: [" a\\r\\n  red\\rcube \\n"]\n').prompt == " a\n  red\ncube"


@pytest.mark.parametrize("prompt", ['"\\u200b"', '"\\ufeff \\u00ad"', '"\\u2800"', '"{{ v }}"'])
def test_a_prompt_of_invisible_characters_is_an_error(tmp_path, prompt):
    with pytest.raises(ManifestError, match=r"m\.yaml:4:.*invisible"):
        only_job(tmp_path, f'vars: {{v: "\\u200b"}}\njobs: [{{prompt: {prompt}}}]\n')


@pytest.mark.parametrize("name", ["size", "quality", "background", "output_format", "model"])
@pytest.mark.parametrize("blank", [" ", "\u00a0", "\u200b", "\ufeff "])
def test_blanks_around_a_parameter_of_one_word_are_not_sent(tmp_path, name, blank):
    value = {"size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png"}.get(
        name, "gpt-image-2"
    )
    found = []
    for cell in (value, f"{value}{blank}", f"{blank}{value}"):
        (tmp_path / "l.csv").write_text(f"id,prompt,{name}\na,x,{cell}\n", encoding="utf-8")
        job = only_job(tmp_path, "jobs:\n  - {from: l.csv}\n")
        found.append((job.fingerprint, getattr(job.task, name)))
    job = only_job(tmp_path, f"jobs:\n  - {{id: a, prompt: x, {name}: '{value} '}}\n")
    assert {*found, (job.fingerprint, value)} == {found[0]}


@pytest.mark.parametrize(
    "text",
    [
        *("\u200b", "\u00ad\u200d", "\u2800", "\u3164", "\U000e0041\U000e0042", "\ufe0f", "\U000e0100", "\u17b4"),
        *("\ufff9\ufffb", "\U0001d173", "\u034f \u0301", "\u3000\u00a0"),
    ],
)
def test_prompts_that_show_nothing_are_refused(tmp_path, text):
    (tmp_path / "l.csv").write_text(f"id,prompt\na,{text}\n", encoding="utf-8")
    with pytest.raises(ManifestError):
        only_job(tmp_path, "jobs:\n  - {from: l.csv}\n")
    (tmp_path / "l.csv").write_text(f"id,prompt\na,{text}\u732b\n", encoding="utf-8")
    assert "\u732b" in only_job(tmp_path, "jobs:\n  - {from: l.csv}\n").prompt
