"""The totals of the ledger against its rows, without a line of batchgen's code."""

from __future__ import annotations

from tests.axes import Axis

#: Rows of the ledger in a block of its totals.
BLOCK = 1_000
_MONEY = ("usd", "credits", "at_risk_usd", "at_risk_credits", "images", "input_tokens", "output_tokens")
_SUMS = ", ".join(f"coalesce(sum({name}), 0) as {name}" for name in _MONEY)
_CLOSED = f"select block, provider, outcome, sum(attempts) as n, {_SUMS} from ledger_totals group by 1, 2, 3"
_ROWS = f"""select (ledger.id - 1) / {BLOCK} as block, ledger.provider, coalesce(cause, state, '') as outcome,
    count(*) as n, {_SUMS} from ledger left join attempts on attempts.id = attempt_id group by 1, 2, 3"""


def differing_sums(axis: Axis) -> list[str]:
    """I6: each block of totals is the sum of its rows, and each full block is there."""
    closed, rows = ([tuple(row.values()) for row in axis.rows(query, ())] for query in (_CLOSED, _ROWS))
    [newest] = axis.rows("select coalesce(max(id), 0) as id from ledger", ())
    full = newest["id"] // BLOCK
    there = {row[0] for row in closed}
    expected = [row for row in rows if row[0] < (max(there) + 1 if there else 0)]
    problems = [] if sorted(closed) == sorted(expected) else [f"I6 totals {sorted(closed)} of rows {sorted(expected)}"]
    if there and max(there) >= full:
        problems.append(f"I6 block {max(there)} of the totals is closed, and not full")
    return problems
