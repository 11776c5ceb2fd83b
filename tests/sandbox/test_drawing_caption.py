"""The caption of a sandbox image: its lines fit in their box, whatever the letters."""

import pytest

from batchgen.sandbox import drawing


@pytest.mark.parametrize("text", ["A BIG WIDE WOMAN WAVING AT MAMMOTHS " * 6, "illicit lilies until twilight " * 9, ""])
def test_caption_lines_fit_their_box(text):
    font, lines, spacing = drawing._wrap(text, width=480, height=120, short=480)
    assert len(lines) * spacing <= 120
    assert all(font.getlength(line) <= 480 * 1.05 for line in lines)
