"""A job in another provider's terms.  Pure.

Sizes, spellings and formats are fitted when the request is made (``fit``); here stands what is left out where a
provider does not take it, because the image is the same without.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from ..task import Task
from .profile import Profile, UnknownModel

#: Fields whose absence changes no picture that would be delivered: how strictly a prompt is checked, and how large
#: the file is.
HARMLESS = ("moderation", "output_compression")


def translate(task: Task, profile: Profile) -> Task:
    """Return *task* as *profile* would be asked for it; what does not fit all the same is for ``fit.check``."""
    task = replace(task, provider=profile.name)
    try:
        task = replace(task, model=(found := profile.find(task.model or None))[0])
    except UnknownModel:
        return task
    rules = found[1].rules(task.kind)
    dropped: dict[str, Any] = {
        name: None for name in HARMLESS if rules and getattr(task, name) is not None and name not in rules.fields
    }
    return replace(task, **dropped) if dropped else task
