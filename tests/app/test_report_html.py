"""The page of a report as HTML: its policy, and data that cannot break out of it."""

from __future__ import annotations

import base64
import hashlib
import json
import re

import pytest

from batchgen.app.report import html

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<!--<script>",
    "]]>",
    "line\u2028and\u2029paragraph",
    "\u202eturned round",
    "\x00\x07\x1b[31m",
    "=cmd|' /C calc'!A0",
    "half \ud83d of a pair",
    "\U0001f469\u200d\U0001f680",
]


def script_of(page: str) -> str:
    [found] = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    return found


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_data_comes_back_as_it_was(text):
    page = html.render({"batch": "shop", "prompt": text})
    [data] = re.findall(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert json.loads(data) == {"batch": "shop", "prompt": text}
    assert page.count("<script") == 2
    page.encode("utf-8")


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_chunk_is_one_line_that_hands_over_details(text):
    chunk = html.chunk(3, [{"yaml": text}])
    assert len(chunk.splitlines()) == 1
    match = re.fullmatch(r"batchgenDetails\(3,(.*)\);\n", chunk)
    assert match is not None
    assert json.loads(match[1]) == [{"yaml": text}]


def test_title_is_text():
    assert "<title>&lt;b&gt;shop&lt;/b&gt; · batchgen</title>" in html.render({"batch": "<b>shop</b>"})


def test_policy_allows_this_script_alone():
    page = html.render({"batch": "shop"})
    [policy] = re.findall(r'Content-Security-Policy" content="([^"]*)"', page)
    digest = base64.b64encode(hashlib.sha256(script_of(page).encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}';" in policy
    assert "default-src 'none'" in policy
    assert "connect-src" not in policy
    assert "unsafe" not in policy


def test_policy_allows_files_of_details_and_a_server_only_where_they_are_used():
    assert "script-src 'sha256-" in html.render({"batch": "a", "chunk": 500})
    assert "'self' file:;" in html.render({"batch": "a", "chunk": 500})
    live = html.render({"batch": "a"}, live={"events": "events"})
    assert "connect-src 'self'" in live
    assert '"live":{"events":"events"}' in live
