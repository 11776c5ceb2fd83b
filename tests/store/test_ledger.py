from __future__ import annotations

from batchgen.store.ledger import Counts, Failure, UsageLine, add, figures, merged, status_document

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


def test_money_at_risk_is_separate_from_money_spent() -> None:
    spend = status_document("b", Counts(), [DOUBT], [])["spend"]
    assert (spend["usd"], spend["at_risk_usd"]) == ("0.0000015", "0.053")
    unguessed = UsageLine(provider="p", model="m", attempts=1, unpriced=1, at_risk=1)
    assert status_document("b", Counts(), [unguessed], [])["spend"]["at_risk_usd"] is None


def test_unknown_price_is_never_zero() -> None:
    refused = UsageLine(provider="gptimageapi", model="gpt-image-2", attempts=1, usd_by_basis={"priced": 0})
    together = merged([TIER, refused])
    assert (together.attempts, together.unpriced, together.usd) == (3, 2, None)
    assert status_document("b", Counts(), [TIER, refused], [])["spend"]["usd"] is None
    assert figures([TIER, refused])["usd"] is None


def test_lines_are_merged_without_a_loss() -> None:
    assert merged([DOUBT]) == DOUBT
    twice = merged([DOUBT, DOUBT])
    assert twice.usd_by_basis == {"priced": 2_000, "estimated": 1_000}
    assert (twice.attempts, twice.images, twice.input_tokens, twice.output_tokens) == (6, 4, None, 14)
    assert (twice.at_risk, twice.at_risk_usd, twice.at_risk_credits, twice.credits) == (2, 106_000_000, None, None)


def test_nothing_spent_is_zero() -> None:
    assert status_document("b", Counts(), [], [])["spend"]["usd"] == "0"
    assert UsageLine(provider="p", model="m", attempts=3).usd == 0
    assert add([]) is None
    assert add([None, 2, 3]) == 5
