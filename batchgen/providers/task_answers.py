"""Answers of providers of remote tasks: the reply with the status that its body states, and its document."""

from __future__ import annotations

from dataclasses import dataclass, replace

from .base import Reply
from .jsonbody import Json, Unreadable, read
from .task_body import text_at
from .task_rules import TaskRules


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, and the document in it."""

    reply: Reply
    document: Json = None

    @property
    def good(self) -> bool:
        """Whether its status is one of success."""
        return 200 <= self.reply.status < 300


def read_answer(reply: Reply, rules: TaskRules) -> Answer:
    """Return the answer with its document, or with the part that arrived of one that is cut off."""
    try:
        document = read(reply.body)
    except Unreadable as error:
        document = error.part
    stated = text_at(document, rules.errors.status) if rules.errors.status and reply.status == 200 else ""
    is_error = len(stated) == 3 and stated.isdigit() and stated[0] in "45"
    return Answer(replace(reply, status=int(stated)) if is_error else reply, document)
