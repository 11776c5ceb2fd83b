from __future__ import annotations

import json

from batchgen.ledger import Counts, Failure, UsageLine, add, status_document, usage_document

AIML = UsageLine(
    provider="aimlapi",
    model="gpt-image-2",
    attempts=10,
    images=10,
    input_tokens=120,
    credits=1_073_410_000,
    usd_by_basis={"reported": 536_705_000},
)
TIER = UsageLine(provider="gptimageapi", model="gpt-image-2", attempts=2, images=2, credits=12_000, unpriced=2)
DOUBT = UsageLine(
    provider="aigate",
    model="gpt-image-2",
    attempts=3,
    images=2,
    output_tokens=7,
    usd_by_basis={"priced": 1_000, "estimated": 500},
    unpriced=1,
    at_risk=1,
    at_risk_usd=53_000_000,
)


def test_status_has_the_shape_scripts_rely_on() -> None:
    counts = Counts(pending=1, done=10, failed=2, images=10)
    failures = [Failure(cause="refused", count=2, key="x", message="no")]
    assert status_document("autumn", counts, [AIML], failures) == {
        "schema_version": 1,
        "batch": "autumn",
        "jobs": {"total": 13, "pending": 1, "running": 0, "done": 10, "failed": 2, "unknown": 0, "cancelled": 0},
        "images": 10,
        "attempts": 10,
        "spend": {"usd": "0.536705", "credits": {"aimlapi": "1073410"}, "at_risk_usd": "0", "unpriced": 0},
        "failures": [{"cause": "refused", "count": 2}],
        "orphaned": 0,
    }


def test_usage_has_the_shape_scripts_rely_on() -> None:
    document = json.loads(json.dumps(usage_document([AIML])))
    assert document["schema_version"] == 1
    assert document["by"] == [
        {
            "provider": "aimlapi",
            "model": "gpt-image-2",
            "attempts": 10,
            "images": 10,
            "input_tokens": 120,
            "output_tokens": None,
            "credits": "1073410",
            "usd": "0.536705",
            "usd_by_source": {"reported": "0.536705", "priced": "0", "estimated": "0", "unknown": "0"},
            "at_risk_usd": "0",
            "unpriced": 0,
        }
    ]
    assert document["totals"]["usd"] == "0.536705"
    assert document["totals"]["credits"] == {"aimlapi": "1073410"}


def test_an_unknown_price_is_null_never_zero() -> None:
    line = usage_document([TIER])["by"][0]
    assert line["usd"] is None
    assert line["usd_by_source"]["unknown"] is None
    assert usage_document([TIER])["totals"]["usd"] is None


def test_a_sum_that_leaves_something_out_says_so() -> None:
    totals = usage_document([AIML, TIER])["totals"]
    assert (totals["usd"], totals["unpriced"]) == ("0.536705", 2)
    assert totals["usd_by_source"]["unknown"] is None
    assert totals["credits"] == {"aimlapi": "1073410", "gptimageapi": "12"}


def test_money_at_risk_stands_apart_from_money_spent() -> None:
    spend = status_document("b", Counts(), [DOUBT], [])["spend"]
    assert (spend["usd"], spend["at_risk_usd"]) == ("0.0000015", "0.053")
    unguessed = UsageLine(provider="p", model="m", attempts=1, unpriced=1, at_risk=1)
    assert status_document("b", Counts(), [unguessed], [])["spend"]["at_risk_usd"] is None


def test_nothing_spent_is_zero() -> None:
    assert status_document("b", Counts(), [], [])["spend"]["usd"] == "0"
    free = UsageLine(provider="p", model="m", attempts=3)
    assert usage_document([free])["by"][0]["usd"] == "0"
    assert add([]) is None
    assert add([None, 2, 3]) == 5
