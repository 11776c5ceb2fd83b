"""The tabs of these tests notice what a page does wrong."""

from __future__ import annotations

import pytest

POLICY = "default-src 'none'; script-src 'unsafe-inline'; img-src file:"
STRICT = f'<meta http-equiv=Content-Security-Policy content="{POLICY}">'


def page(tmp_path, body: str, head: str = ""):
    path = tmp_path / "index.html"
    path.write_text(f"<!doctype html><html lang=en><meta charset=utf-8>{head}<title>t</title>{body}", encoding="utf-8")
    return path


def test_harmless_page_passes(visitor, tmp_path):
    tab = visitor.open(page(tmp_path, "<p>Hello</p><script>document.body.dataset.ready = 1</script>", STRICT))
    assert tab.wait("() => document.body.dataset.ready") == "1"
    assert tab.find("p").text_content() == "Hello"


@pytest.mark.parametrize(
    ("body", "problem"),
    [
        ("<script>throw new Error('broken')</script>", "broken"),
        ("<script>console.error('wrong')</script>", "wrong"),
        ("<script>Promise.reject(new Error('late'))</script>", "late"),
        ("<img src='missing.png' alt=''>", "ERR_FILE_NOT_FOUND"),
        ("<p style='color: red'>styled</p>", "policy: style-src"),
        ("<img src='data:image/gif;base64,R0lGODlhAQABAAAAACw=' alt=''>", "policy: img-src"),
        ("<script>fetch('http://127.0.0.1:9/')</script>", "policy: connect-src"),
    ],
)
def test_faults_of_a_page_are_problems(visitor, tmp_path, body, problem):
    tab = visitor.open(page(tmp_path, body, STRICT))
    tab.wait("() => document.readyState === 'complete'")
    tab.page.wait_for_timeout(50)
    with pytest.raises(AssertionError, match=problem):
        tab.check()
    tab.allowed.append(".")
    tab.check()


def test_requests_to_the_network_are_problems(visitor, tmp_path):
    tab = visitor.open(page(tmp_path, "<img src='http://127.0.0.1:9/a.png' alt=''>"))
    tab.allowed.append("ERR_UNSAFE_PORT|ERR_CONNECTION")
    with pytest.raises(AssertionError, match=r"127\.0\.0\.1"):
        tab.check()
    tab.requests.clear()
