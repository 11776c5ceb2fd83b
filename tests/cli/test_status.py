"""The status of a batch as lines."""

from __future__ import annotations

from batchgen.app.project import CommandFlags
from batchgen.cli.render.status import failure_lines, status_lines
from batchgen.store.ledger import Counts, Failure


def test_status_separates_thousands_in_every_count():
    lines = status_lines("shop", Counts(done=442, running=57, pending=2501, images=1442), (), (), CommandFlags())
    assert lines[0] == "shop: 3,000 jobs: 442 done, 57 running, 2,501 pending"
    assert lines[1] == "images    1,442"


def test_failures_of_one_cause_are_counted_with_thousands():
    failure = Failure(cause="refused", count=1234, key="cat", message="no")
    assert failure_lines([failure]) == ["failed    1,234 refused, such as cat: no"]
