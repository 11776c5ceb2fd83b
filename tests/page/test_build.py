"""The built page is the one that its sources make, and names what it borrows."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from PIL import Image

from tests.needs import need_program

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "batchgen" / "page"
BUILT = PAGE / "built"
MANIFEST = json.loads((BUILT / "manifest.json").read_text(encoding="utf-8"))
PACKAGES = json.loads((PAGE / "package.json").read_text(encoding="utf-8"))
STALE = "the built page is not that of its sources: run `make assets`"


def digests(folder: Path, names) -> dict[str, str]:
    return {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in names}


def sources() -> list[str]:
    found = [*PAGE.glob("*.json"), *PAGE.glob("*.mjs"), *PAGE.glob("src/*"), *PAGE.glob("style/*")]
    return [path.relative_to(PAGE).as_posix() for path in found]


def test_built_page_belongs_to_its_sources():
    assert digests(PAGE, sources()) == MANIFEST["sources"], STALE


def test_built_files_are_those_of_the_build():
    assert (
        digests(BUILT, (path.name for path in BUILT.iterdir() if path.name != "manifest.json")) == MANIFEST["outputs"]
    )


def test_versions_are_exact_and_installed():
    versions = PACKAGES["dependencies"] | PACKAGES["devDependencies"]
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in versions.values())
    assert {name: about["version"] for name, about in MANIFEST["packages"].items()} == versions
    assert all(about["integrity"].startswith("sha512-") for about in MANIFEST["packages"].values())


def test_borrowed_code_comes_with_its_licence():
    licences, script = ((BUILT / name).read_text(encoding="utf-8") for name in ("LICENSES.txt", "page.js"))
    assert set(MANIFEST["borrowed"]) == set(PACKAGES["dependencies"])
    for name, about in MANIFEST["borrowed"].items():
        assert about["license"] == "MIT"
        for text in (licences, script):
            assert f"{name} {about['version']} (MIT)" in text
            assert "Permission is hereby granted" in text
            assert re.search(r"Copyright \(c\) [\d-]+\S* \w+", text)


def test_built_script_can_stand_in_a_page():
    script = (BUILT / "page.js").read_text(encoding="utf-8")
    style = (BUILT / "page.css").read_text(encoding="utf-8")
    assert not re.search(r"</script|<!--", script, re.IGNORECASE)
    assert "</style" not in style.lower()
    assert not re.search(r"^\s*(import|export)\b", script, re.MULTILINE)


@pytest.mark.parametrize("name", sorted(path.name for path in BUILT.iterdir()))
def test_built_files_name_no_machine_and_no_registry(name):
    text = (BUILT / name).read_text(encoding="utf-8")
    assert "sourceMappingURL" not in text
    folders = ("home", "tmp", "root")
    assert not [word for word in ("node_modules", "registry", *(f"/{name}/" for name in folders)) if word in text]
    assert "file:" + "///" not in text


def test_no_file_of_the_page_is_long():
    for name in sources():
        lines = (PAGE / name).read_text(encoding="utf-8").splitlines()
        assert len(lines) <= 350, name
        assert max(map(len, lines), default=0) <= 120, name


def test_no_lock_file_and_no_packages_lie_with_the_sources():
    assert not list(PAGE.glob("*lock*"))
    assert not (PAGE / "node_modules").exists()


def test_picture_of_the_page_is_small():
    """It is part of the package; `python -m tests.page.picture` takes it again."""
    path = ROOT / "batchgen" / "help" / "page.webp"
    with Image.open(path) as picture:
        assert picture.width == 1280
    assert path.stat().st_size <= 120_000


#: What npm prints where it has no network.
OFFLINE = re.compile(r"npm (ERR!|error) code (ENOTFOUND|EAI_AGAIN|ECONNREFUSED|ECONNRESET|ETIMEDOUT|ENETUNREACH)")


@pytest.mark.slow
@pytest.mark.timeout(180)
def test_a_second_build_is_the_same_byte_for_byte(tmp_path):
    """Sources and packages elsewhere, and the types are right."""
    need_program("npm")
    copy = tmp_path / "batchgen" / "page"
    shutil.copytree(PAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "Makefile", tmp_path)
    made = subprocess.run(["make", "assets"], cwd=tmp_path, capture_output=True, text=True, check=False, timeout=150)
    if OFFLINE.search(made.stderr):
        pytest.skip("the npm registry cannot be reached from here")
    assert made.returncode == 0, made.stdout + made.stderr
    names = [path.name for path in BUILT.iterdir()]
    assert digests(copy / "built", names) == digests(BUILT, names), STALE
