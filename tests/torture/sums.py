"""The totals of the ledger against its rows, without a line of batchgen's code."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

#: Rows of the ledger in a block of its totals.
BLOCK = 1_000
_MONEY = ("usd", "credits", "at_risk_usd", "at_risk_credits", "images", "input_tokens", "output_tokens")
_SUMS = ", ".join(f"coalesce(sum({name}), 0)" for name in _MONEY)


def differing_sums(folder: Path) -> list[str]:
    """I6: each block of totals is the sum of its rows, and each full block is there."""
    with closing(sqlite3.connect(folder / ".batchgen" / "batchgen.db", timeout=10)) as table:
        closed = table.execute(
            f"select block, provider, outcome, sum(attempts), {_SUMS} from ledger_totals group by 1, 2, 3"
        ).fetchall()
        rows = table.execute(
            f"""select (ledger.id - 1) / {BLOCK}, ledger.provider, coalesce(cause, state, ''), count(*), {_SUMS}
            from ledger left join attempts on attempts.id = attempt_id group by 1, 2, 3"""
        ).fetchall()
        [newest] = table.execute("select coalesce(max(id), 0) from ledger").fetchone()
    full = newest // BLOCK
    there = {row[0] for row in closed}
    expected = [row for row in rows if row[0] < (max(there) + 1 if there else 0)]
    problems = [] if sorted(closed) == sorted(expected) else [f"I6 totals {sorted(closed)} of rows {sorted(expected)}"]
    if there and max(there) >= full:
        problems.append(f"I6 block {max(there)} of the totals is closed, and not full")
    return problems
