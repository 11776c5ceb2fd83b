"""A way round whatever is down, as its users see it: other providers, other keys; the sandbox's log is the witness."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter

import pytest

from .kit import CANARY, check_books, check_files

BOTH = {"provider": ["aimlapi", "openai"], "model": "gpt-image-2", "quality": "low"}
POOR = f"poor-{CANARY}"


def jobs(count=6):
    return [{"id": f"j{number}", "prompt": f"a fox, number {number}"} for number in range(count)]


def by_provider(witness):
    return Counter(line["provider"] for line in witness.charges())


def states(project):
    return Counter(row["state"] for row in project.jobs().values())


def test_what_one_provider_cannot_be_paid_for_the_next_one_does(project, witness):
    path = project.manifest(jobs(), defaults=BOTH)
    planned = project.run("plan", path)
    assert "fallback  openai, where the first provider of a job fails; $" in planned.out
    assert project.run("plan", path, "--json").json["alternates"]["providers"] == ["openai"]
    done = project.run("run", path, "--yes", AIMLAPI_API_KEY=POOR)
    assert (done.code, states(project)) == (0, {"done": 6}), done.err
    assert "failover  openai: 6 jobs of aimlapi (out of money)" in done.err
    assert by_provider(witness) == {"openai": 6}
    refused = sum(line["provider"] == "aimlapi" for line in witness.arrivals())
    assert 1 <= refused <= 4  # those in flight when the first was refused
    check_files(project)
    check_books(project, witness.charges())
    assert {row["provider"] for row in project.rows("select provider from ledger where usd > 0")} == {"openai"}
    used = project.run("usage", "--json").json["calls"]
    assert {"provider": "openai", "for": "aimlapi", "outcome": "delivered", "count": 6} in used
    assert {"provider": "aimlapi", "for": "aimlapi", "outcome": "money", "count": refused} in used
    assert "openai: 6 delivered for aimlapi" in project.run("usage").out
    exported = [json.loads(line) for line in project.run("export").out.splitlines()]
    assert {line["provider"] for line in exported} == {"openai"}
    sidecars = [json.loads(file.read_text()) for file in project.files() if file.suffix == ".json"]
    assert {beside["asked"]["provider"] for beside in sidecars} == {"openai"}
    moved = next(key for key, job in project.jobs().items() if len(job["attempts"]) == 2)
    text = project.run("show", moved).out
    assert "fallback  openai" in text
    assert " openai  delivered" in text
    again = project.run("run", path, "--yes")
    assert (again.code, len(witness.charges())) == (0, 6), again.err


def test_a_fallback_without_a_price_in_usd_is_named_beside_the_sum(project):
    jobs_ = [{"id": "a", "prompt": "P", "provider": ["openai", "gptimageapi"], "quality": "low"}]
    planned = project.run("plan", project.manifest(jobs_))
    [line] = [line for line in planned.out.splitlines() if line.startswith("fallback")]
    assert re.fullmatch(r"fallback  gptimageapi, where .* fails; \$\S+ at most; no price in USD: gptimageapi", line)


def test_unreachable_provider_fails_over_at_once_if_configured(project, witness):
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        studio = {"preset": "gateway", "base_url": f"http://127.0.0.1:{closed.getsockname()[1]}"}
        path = project.manifest(
            jobs(),
            defaults={"provider": ["studio", "openai"], "model": "gpt-image-2", "route": {"failover_after": 0}},
            providers={"studio": studio},
        )
        done = project.run("run", path, "--yes", GATEWAY_API_KEY=CANARY, STUDIO_API_KEY=CANARY)
    assert (done.code, states(project)) == (0, {"done": 6}), done.err
    assert by_provider(witness) == {"openai": 6}
    assert "failover  openai: 6 jobs of studio" in done.err


def test_what_a_used_up_quota_leaves_the_next_provider_does(project, witness):
    limits = {"aimlapi": {"limits": {"requests_per_day": 2}}}
    done = project.run("run", project.manifest(jobs(5), defaults=BOTH, providers=limits), "--yes")
    assert (done.code, states(project)) == (0, {"done": 5}), done.err
    assert by_provider(witness) == {"aimlapi": 2, "openai": 3}


def test_fallback_without_a_key_takes_no_jobs_and_is_reported(project, witness):
    path = project.manifest(jobs(2), defaults=BOTH)
    del project.env["OPENAI_API_KEY"]
    done = project.run("run", path, "--yes")
    assert (done.code, by_provider(witness)) == (0, {"aimlapi": 2}), done.err
    assert (
        "openai cannot be used as a fallback: no API key for openai: set the environment variable OPENAI_API_KEY"
        in done.err
    )
    path = project.manifest(jobs(4), defaults=BOTH)
    broke = project.run("run", path, "--yes", AIMLAPI_API_KEY=POOR)
    assert (broke.code, states(project)) == (7, {"done": 2, "pending": 2}), broke.err


def test_fallback_without_a_price_takes_no_jobs_under_a_budget(project, witness):
    mine = {"studio": {"preset": "gateway", "base_url": f"{project.url}/gateway", "api_key_env": "OPENAI_API_KEY"}}
    plain = [{"id": f"j{number}", "prompt": f"P{number}"} for number in range(3)]
    path = project.manifest(plain, defaults={"provider": ["aimlapi", "studio"]}, providers=mine)
    text = (
        "cannot be used as a fallback: studio; the budget is in USD, and their price in USD is unknown. Set the price"
    )
    broke = project.run("run", path, "--budget", 1, AIMLAPI_API_KEY=POOR)
    assert (broke.code, states(project), text in broke.err) == (7, {"pending": 3}, True), broke.err
    done = project.run("run", path, "--budget", 1, "--allow-unpriced", AIMLAPI_API_KEY=POOR)
    assert (done.code, by_provider(witness), text in done.err) == (0, {"gateway": 3}, False), done.err


@pytest.mark.parametrize("strategy", ["cheapest", "weighted", "fastest"])
def test_every_strategy_buys_each_image_once(project, witness, strategy):
    path = project.manifest(jobs(12), defaults=BOTH | {"route": strategy})
    done = project.run("run", path, "--yes")
    assert (done.code, states(project)) == (0, {"done": 12}), done.err
    bought = by_provider(witness)
    assert bought.total() == 12
    if strategy == "cheapest":
        assert len(bought) == 1
    if strategy == "weighted":
        assert set(bought) == {"aimlapi", "openai"}
        other = project.manifest(
            jobs(12), defaults=BOTH | {"route": {"strategy": "weighted", "weights": {"openai": 1}}}
        )
        assert project.run("run", other, "--yes").code == 0
        assert witness.charges() == witness.charges()[:12]  # other weights move no job that is done
    check_files(project)
    check_books(project, witness.charges())


SECOND = CANARY.replace("0000", "1111")


def test_each_of_several_keys_is_an_account_of_its_own(project, witness):
    keys = {"openai": {"api_key_env": ["FIRST_KEY", "SECOND_KEY"], "limits": {"concurrency": 1}}}
    path = project.manifest(jobs(8), defaults=BOTH | {"provider": "openai"}, providers=keys)
    done = project.run("run", path, "--yes", FIRST_KEY=CANARY, SECOND_KEY=SECOND)
    assert (done.code, states(project)) == (0, {"done": 8}), done.err
    assert {line["key_tail"] for line in witness.arrivals()} == {"0000", "1111"}
    assert {row["account"] for row in project.rows("select account from attempts")} == {"FIRST_KEY", "SECOND_KEY"}


def test_a_key_whose_account_is_empty_leaves_its_jobs_to_the_other(project, witness):
    keys = {"openai": {"api_key_env": ["FIRST_KEY", "SECOND_KEY"], "limits": {"concurrency": 1}}}
    path = project.manifest(jobs(), defaults=BOTH | {"provider": "openai"}, providers=keys)
    done = project.run("run", path, "--yes", FIRST_KEY=POOR, SECOND_KEY=SECOND)
    assert (done.code, states(project)) == (0, {"done": 6}), done.err
    assert len(witness.charges()) == 6
    assert sum(line["key_tail"] == "0000" for line in witness.arrivals()) == 1
    check_books(project, witness.charges())


def test_every_key_is_listed_by_where_it_came_from(project):
    (project.folder / "batchgen.yaml").write_text("providers: {openai: {api_key_env: [FIRST_KEY, SECOND_KEY]}}\n")
    keys = {"FIRST_KEY": CANARY, "SECOND_KEY": SECOND}
    [openai] = [one for one in project.run("providers", "--json", **keys).json["providers"] if one["name"] == "openai"]
    assert openai["keys"] == ["the environment variable FIRST_KEY", "the environment variable SECOND_KEY"]
    assert openai["key"] == openai["keys"][0]
    shown = project.run("providers", **keys).out
    assert all(where in shown for where in openai["keys"])
    assert CANARY[:-4] not in shown
