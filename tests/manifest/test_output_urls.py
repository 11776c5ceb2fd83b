"""Output folders that are addresses."""

from pathlib import Path

import pytest

from batchgen.errors import ManifestError
from batchgen.files import object_store
from batchgen.manifest import load
from batchgen.manifest.load import NEEDS_EXTRA
from batchgen.object_url import ObjectUrl

MANIFEST = "name: shop\noutput:\n  dir: {}\njobs:\n  - {{prompt: x, provider: openai}}\n"


@pytest.fixture
def read(tmp_path):
    def read(folder):
        (tmp_path / "m.yaml").write_text(MANIFEST.format(folder), encoding="utf-8")
        return load(tmp_path / "m.yaml")

    return read


@pytest.mark.parametrize("scheme", ["s3", "gs", "az"])
def test_place_in_a_store_is_rendered(read, scheme):
    batch = read(f"'{scheme}://bucket/out/{{{{ name }}}}/'")
    assert batch.folder == ObjectUrl.parse(f"{scheme}://bucket/out/shop")


def test_file_address_is_a_folder(read):
    assert read("'file:///srv/my%20images/{{ name }}'").folder == Path("/srv/my images/shop")


@pytest.mark.parametrize(
    ("folder", "words"),
    [
        ("s3://", "names no bucket"),
        ("s3://AKIA:secret@bucket/out", "credentials and ports"),
        ("s3://bucket/../out", "has . or .."),
        ("http://bucket/out", "not a scheme of an object store"),
        ("S3://bucket/out", "not a scheme of an object store"),
        ("file://server/share", "a folder of this machine"),
    ],
)
def test_wrong_address_has_a_place_in_the_file(read, folder, words):
    with pytest.raises(ManifestError) as caught:
        read(folder)
    [problem] = caught.value.problems
    assert (problem.line, problem.column, problem.path) == (3, 8, "output.dir")
    assert words in problem.message
    assert "secret" not in str(caught.value)


def test_missing_extra_is_a_warning_with_what_to_type(read, monkeypatch):
    monkeypatch.setattr(object_store, "find_spec", lambda _name: None)
    [warning] = read("s3://bucket/out").warnings
    assert (warning.code, warning.line) == (NEEDS_EXTRA, 3)
    assert "batchgen[cloud]" in warning.hint
