"""Nothing is spent without a key, without consent, or beyond a budget."""

from __future__ import annotations

from decimal import Decimal

import pytest

from .kit import check_books, check_files, sums

JOBS = [{"id": f"j{number}", "provider": "openai", "quality": "low", "prompt": f"P{number}"} for number in range(6)]
PRICE = Decimal("0.005885")  # 196 tokens out at 30 USD a million, one token in at 5


def test_without_a_key_nothing_is_sent(project, witness):
    manifest = project.manifest([*JOBS, {"id": "a", "provider": "aimlapi", "prompt": "Q"}])
    project.env.pop("OPENAI_API_KEY")
    project.env.pop("AIMLAPI_API_KEY")
    done = project.run("run", manifest, "--yes")
    assert (done.code, done.out) == (5, "")
    assert "OPENAI_API_KEY" in done.err
    assert "AIMLAPI_API_KEY" in done.err
    assert witness.arrivals() == []

    keyed = project.run("run", manifest, "--yes", OPENAI_API_KEY="one-key", AIMLAPI_API_KEY="another-key")
    assert (keyed.code, keyed.out) == (0, "")
    assert {line["key_tail"] for line in witness.charges()} == {"-key"}
    assert len(witness.charges()) == 7


def test_a_key_may_come_from_a_file_or_a_command_or_under_a_name_of_ones_own(project, witness, tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("from-a-file-AAAA\n")
    secret.chmod(0o600)
    mine = {"preset": "gateway", "base_url": f"{project.url}/gateway", "api_key_env": "STUDIO_KEY"}
    manifest = project.manifest(
        [
            {"id": "a", "provider": "openai", "prompt": "A"},
            {"id": "b", "provider": "aimlapi", "prompt": "B"},
            {"id": "c", "provider": "studio", "prompt": "C"},
        ],
        providers={"studio": mine},
    )
    project.env = {
        "OPENAI_API_KEY_FILE": str(secret),
        "AIMLAPI_API_KEY_COMMAND": "echo from-a-command-BBBB",
        "STUDIO_KEY": "of-my-own-CCCC",
    }
    assert project.run("run", manifest, "--yes").code == 0
    assert {line["provider"]: line["key_tail"] for line in witness.arrivals()} == {
        "openai": "AAAA",
        "aimlapi": "BBBB",
        "gateway": "CCCC",
    }


def test_without_consent_nothing_is_sent(project, witness):
    manifest = project.manifest(JOBS)
    done = project.run("run", manifest)
    assert (done.code, done.out) == (6, "")
    assert "--yes" in done.err
    assert "--budget" in done.err
    assert witness.arrivals() == []
    assert project.run("run", manifest, "--budget", "1").code == 0
    assert len(witness.charges()) == 6
    assert project.run("run", manifest).code == 0  # nothing to do needs nobody's consent
    assert len(witness.arrivals()) == 6


def test_a_budget_in_the_manifest_is_consent(project, witness):
    assert project.run("run", project.manifest(JOBS[:1], budget={"usd": 1})).code == 0
    assert len(witness.charges()) == 1


@pytest.mark.parametrize("where", ["flag", "manifest"])
def test_a_tiny_budget_stops_in_an_orderly_way_and_a_higher_one_goes_on(project, witness, where):
    def run(usd: str):
        if where == "flag":
            return project.run("run", project.manifest(JOBS), "--budget", usd)
        return project.run("run", project.manifest(JOBS, budget={"usd": float(usd)}))

    cap = "0.015"  # two of six
    short = run(cap)
    assert (short.code, short.out) == (7, "")
    assert "budget" in short.err
    charged = sums(witness.charges(), "usd")
    assert PRICE <= charged["openai"] <= Decimal(cap)
    sent = len(witness.arrivals())
    assert sent == len(witness.charges())
    states = [row["state"] for row in project.rows("select state from jobs")]
    assert (states.count("done"), states.count("pending")) == (sent, 6 - sent)
    assert run("1").code == 0
    assert len(witness.charges()) == 6
    check_books(project, witness.charges())
    check_files(project)


def test_a_budget_in_credits_holds(project, witness):
    jobs = [{"id": f"c{n}", "provider": "gptimageapi", "quality": "medium", "prompt": f"C{n}"} for n in range(4)]
    done = project.run("run", project.manifest(jobs, budget={"credits": {"gptimageapi": 13}}))
    assert done.code == 7
    assert sums(witness.charges(), "credits") == {"gptimageapi": Decimal(12)}


def test_a_budget_that_is_no_amount(project, witness):
    manifest = project.manifest(JOBS)
    for wrong in ("lots", "-1", "nan"):
        assert project.run("run", manifest, f"--budget={wrong}").code == 2
    assert witness.arrivals() == []
    assert not project.state.exists()
