"""What is installed from a wheel works far from the source tree."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile

import pytest

from .kit import IMAGES, ROOT

SOURCES = ("batchgen", "migrations", "jobs")
TEXTS = ("pyproject.toml", "README.md", "LICENSE", "CHANGELOG.md")


@pytest.mark.slow
def test_wheel_runs_the_demonstration(bare, tmp_path):
    tree, wheels, venv = tmp_path / "tree", tmp_path / "wheels", tmp_path / "venv"
    tree.mkdir()
    for name in SOURCES:  # a copy: building leaves nothing behind in the checkout
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "_jobs", "_migrations"))
    for name in TEXTS:
        if (ROOT / name).exists():
            shutil.copy(ROOT / name, tree)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "-q"]
    build = ["wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", wheels, tree]
    subprocess.run([*pip, *build], check=True, capture_output=True, timeout=50)
    [wheel] = wheels.glob("batchgen-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert "batchgen/_jobs/demo.yaml" in names
    assert "batchgen/providers/presets.yaml" in names
    assert any(name.startswith("batchgen/_migrations/versions/") for name in names)
    assert "batchgen/page/built/page.js" in names
    assert not [name for name in names if name.startswith(("tests", "batchgen/page/src", "batchgen/page/build"))]

    subprocess.run([sys.executable, "-m", "venv", "--without-pip", venv], check=True, timeout=30)
    home = next(venv.glob("lib/python*/site-packages"))
    subprocess.run([*pip, "install", "--no-deps", "--no-index", "--target", home, wheel], check=True, timeout=30)
    # the dependencies as they are here; a .pth file named there is not followed, so batchgen comes from the wheel
    (home / "zz-dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    bare.program = (str(venv / "bin" / "python"), "-m", "batchgen")
    far = tmp_path / "far"
    far.mkdir()
    bare.move_to(far)
    where = [str(venv / "bin" / "python"), "-c", "import batchgen; print(batchgen.__file__)"]
    bare.env["PYTHONPATH"] = ""
    found = subprocess.run(
        where, cwd=far, env=bare.environment(), capture_output=True, text=True, check=True, timeout=20
    )
    assert found.stdout.startswith(str(home))
    demo = bare.run("demo", "--latency", "none")
    assert demo.code == 0, demo.err
    assert len([path for path in far.rglob("*") if path.suffix in IMAGES]) == 30
    assert bare.run("status", "--sandbox", "--json").json["jobs"]["done"] == 27
    assert "migrations" not in demo.err
