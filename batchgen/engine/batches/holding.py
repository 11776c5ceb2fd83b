"""Holding of submissions: why one cannot be looked at with the settings of this run."""

from __future__ import annotations

from collections.abc import Sequence

from ...files.result_files import SubmissionFiles
from ...providers import batches_of
from ...providers.profile import Profile
from ...store.submissions import Submission
from ..lane import Lane


def why_held(submission: Submission, profile: Profile, lanes: Sequence[Lane], files: SubmissionFiles) -> str | None:
    """Return why a submission is left alone: to another key or address, its batch is not known; None if it is not."""
    name, back = submission.provider, "put it back, and run again: the batch stays at the provider until then"
    if all(lane.account != submission.account for lane in lanes):
        return f"the key {submission.account or f'of {name}'} that submitted the batch is missing; {back}"
    try:
        model = profile.find(submission.model)[1]
    except LookupError:
        return f"the model {submission.model} is no longer in the settings of {name}; {back}"
    if batches_of(profile, model) is None:
        return f"{name} has no batches of {submission.model} in these settings; {back}"
    address = files.read_address()
    if submission.remote_id is not None and address not in (None, profile.base_url):
        return f"base_url of {name} was {address} when the batch was submitted; {back}"
    return None
