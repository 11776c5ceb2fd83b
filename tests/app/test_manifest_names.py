"""Names of manifests that no file can have."""

from __future__ import annotations

import pytest

from batchgen.app.manifests import batch_name, find_manifest, find_manifests
from batchgen.app.project import Project
from batchgen.errors import ManifestError


@pytest.mark.parametrize("word", ["m" * 300 + ".yaml", "m" * 5000, "jobs/" + "m" * 300 + ".yaml"])
def test_a_name_that_is_too_long_is_a_problem_and_shown_in_short(tmp_path, word):
    (tmp_path / "jobs").mkdir()
    project = Project.of(tmp_path, None)
    for find in (lambda: find_manifest(project, word, "plan"), lambda: find_manifests(project, [word], "validate")):
        with pytest.raises(ManifestError) as caught:
            find()
        [problem] = caught.value.problems
        assert problem.message == "is too long for a file name"
        assert len(str(problem)) < 200
    assert batch_name(project, word) == word


def test_a_link_that_leads_back_to_itself_is_a_problem(tmp_path):
    (tmp_path / "m.yaml").symlink_to("m.yaml")
    with pytest.raises(ManifestError, match="is a link that leads back to itself"):
        find_manifest(Project.of(tmp_path, None), "m.yaml", "plan")
