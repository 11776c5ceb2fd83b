"""Wording of prompts: which texts are the same, which are blank, and what is sent."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from batchgen.wording import canonical, canonical_value, is_blank, tidy


@given(
    st.text(st.sampled_from(" \t\r\n\u200b\ufeff\u00a0\u00ad\u2028aé\u0301e\u200d\U0001f600"), max_size=12) | st.text()
)
def test_canonical_form_is_stable(text):
    assert canonical(canonical(text)) == canonical(text) == canonical(tidy(text))


@given(st.text(max_size=30))
def test_tidy_changes_only_line_ends_and_the_end(text):
    assert tidy(text) == text.replace("\r\n", "\n").replace("\r", "\n").rstrip()


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "\n",
        "\u200b",
        "\ufeff\ufeff",
        "\u00ad \u00a0",
        "\u200d",
        "\ufe0f",
        "\u3164",
        "\u2800\n",
        "\U000e0041",
        "\U000e0100",
    ],
)
def test_a_text_without_a_visible_character_is_blank(text):
    assert is_blank(text)


@pytest.mark.parametrize("text", ["x", "\u200bx", "\U0001f468\u200d\U0001f373", "\u2764\ufe0f", "名", "\u1100"])
def test_a_text_with_a_visible_character_is_not_blank(text):
    assert not is_blank(text)


def test_emoji_and_scripts_keep_their_joiners():
    for text in (
        "\U0001f468\u200d\U0001f373",
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "\u2764\ufe0f",
    ):
        assert canonical(text) == text


def test_canonical_values_keep_their_shape():
    assert canonical_value({"a ": ["x ", 1, None, {"b": "y\r\nz"}]}) == {"a ": ["x", 1, None, {"b": "y\nz"}]}
