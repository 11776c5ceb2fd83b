"""Nothing is spent without a key, without consent, or beyond a budget."""

from __future__ import annotations

import json
import os
import pty
import re
import time
from contextlib import suppress
from decimal import Decimal

import pytest

from tests.forkserver import Popen
from tests.timing import patience

from .kit import Done, Workspace, check_books, check_files, sums

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


def test_key_comes_from_file_command_or_own_variable(project, witness, tmp_path):
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
def test_tiny_budget_stops_and_a_higher_one_continues(project, witness, where):
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


#: An image as aimlapi makes it where a job names neither size nor quality, in USD: its price wavers by two percent.
DEAR = Decimal("0.0541")


def test_job_without_parameters_is_estimated_by_defaults(project, witness):
    jobs = [{"id": f"d{number}", "provider": "aimlapi", "prompt": f"D{number}"} for number in range(12)]
    manifest = project.manifest(jobs)
    plan = project.run("plan", manifest, "--json").json
    assert Decimal(plan["usd"]["high"]) < 12 * Decimal("0.06")
    done = project.run("run", manifest, "--budget", "0.50")
    assert done.code == 7
    assert Decimal("0.43") < sums(witness.charges(), "usd")["aimlapi"] <= Decimal("0.50")
    check_books(project, witness.charges())


def test_too_low_prices_cost_at_most_the_calls_in_flight(project, witness):
    tariff = {"usd_per_image": 0.0108}
    settings = {"aimlapi": {"tariff": tariff, "limits": {"concurrency": 32}}}
    jobs = [{"id": f"e{n:03}", "provider": "aimlapi", "prompt": f"E{n} [sandbox: slow=2]"} for n in range(92)]
    manifest = project.manifest(jobs, providers=settings)
    done = project.run("run", manifest, "--budget", "1")
    assert done.code == 7
    lines = witness.lines()
    first = next(number for number, line in enumerate(lines) if line["event"] == "answer")
    at_first = sum(line["event"] == "arrival" for line in lines[:first])
    assert at_first == len(witness.arrivals()) == 32
    charges = witness.charges()
    assert sums(charges, "usd")["aimlapi"] <= at_first * DEAR
    check_books(project, charges)
    assert "The price list of aimlapi is too low for gpt-image-2: it has at most $0.0108 per image" in done.err
    assert "To set it: providers: {aimlapi: {models: {gpt-image-2: {tariff: {usd_per_image: 0.05" in done.err
    summary = max((project.state / "runs").iterdir()) / "summary.json"
    (told,) = json.loads(summary.read_text())["underpriced"]
    assert (told["provider"], told["listed_usd"]) == ("aimlapi", "0.0108")
    assert Decimal("0.05") < Decimal(told["found_usd"]) <= DEAR

    # a plan and the next run begin with what this one found
    assert "  earlier calls\n" in project.run("plan", manifest).out
    plan = project.run("plan", manifest, "--json").json
    assert 60 * Decimal("0.05") < Decimal(plan["usd"]["expected"]) == Decimal(plan["usd"]["high"]) <= 60 * DEAR
    again = project.run("run", manifest, "--budget", "1")
    assert again.code == 7
    assert Decimal("0.94") < sums(witness.charges(), "usd")["aimlapi"] - sums(charges, "usd")["aimlapi"] <= 1
    assert "The price list of aimlapi is too low" in again.err


def test_a_budget_that_is_no_amount(project, witness):
    manifest = project.manifest(JOBS)
    for wrong in ("lots", "-1", "nan"):
        assert project.run("run", manifest, f"--budget={wrong}").code == 2
    assert witness.arrivals() == []
    assert not project.state.exists()


# --- at a terminal ------------------------------------------------------------

QUESTION = "a number of jobs to try first]"


def at_a_terminal(project: Workspace, *arguments: object, answers: tuple[str, ...] = ()) -> Done:
    """Run batchgen at a real terminal, and type each of *answers* when it asks; all that shows is in ``err``."""
    project.axis.push()
    began = time.monotonic()
    leader, follower = pty.openpty()
    process = Popen(
        [*project.program, *map(str, arguments)],
        cwd=project.folder,
        env=project.environment() | {"TERM": "dumb"},
        stdin=follower,
        stdout=follower,
        stderr=follower,
        start_new_session=True,
    )
    project.started.append(process)
    os.close(follower)
    shown, left = "", list(answers)
    with suppress(OSError):  # the terminal of a process that ended
        while piece := os.read(leader, 65_536):
            shown += piece.decode()
            if left and shown.count(QUESTION) > len(answers) - len(left):
                os.write(leader, f"{left.pop(0)}\n".encode())
    os.close(leader)
    assert not left, shown
    process.wait(patience(30))
    return project.ended(process, b"", shown.encode(), began)


def asked(done: Done) -> list[str]:
    return re.findall(r"Spend [^?]*\?", done.err)


def test_a_small_sum_is_spent_without_a_question(project, witness):
    done = at_a_terminal(project, "run", project.manifest(JOBS))
    assert (done.code, asked(done)) == (0, [])
    assert len(witness.charges()) == 6


@pytest.mark.parametrize("answer", ["y", "YES"])
def test_the_user_agrees(project, witness, answer):
    manifest = project.manifest(JOBS, confirm_above=0.01)
    done = at_a_terminal(project, "run", manifest, answers=(answer,))
    assert done.code == 0
    assert re.fullmatch(r"Spend about \$0\.0\d+ to \$0\.0\d+ on 6 images\?", *asked(done))
    assert len(witness.charges()) == 6
    assert asked(at_a_terminal(project, "run", manifest)) == []  # nothing to send


@pytest.mark.parametrize("answer", ["n", "", "No"], ids=["n", "return", "No"])
def test_the_user_refuses(project, witness, answer):
    done = at_a_terminal(project, "run", project.manifest(JOBS, confirm_above=0), answers=(answer,))
    assert done.code == 6
    assert "not confirmed. Nothing was sent." in done.err
    assert witness.arrivals() == []
    assert not (project.folder / "output").exists()


def test_manifest_budget_is_no_consent_at_a_terminal(project, witness):
    manifest = project.manifest(JOBS, confirm_above=0.01, budget={"usd": 5000})
    refused = at_a_terminal(project, "run", manifest, answers=("n",))
    assert (refused.code, len(asked(refused))) == (6, 1)
    assert witness.arrivals() == []
    typed = at_a_terminal(project, "run", manifest, "--budget", "0.5")  # now, and by whoever runs it
    assert (typed.code, asked(typed)) == (0, [])


def test_spent_budget_reports_the_rest_and_the_price_of_a_call(project, witness):
    done = project.run("run", project.manifest(JOBS), "--budget", "0.001")
    assert done.code == 7
    assert "the budget of this run is used up: 0.001 USD left, and the next call may cost 0.00" in done.err
    assert witness.arrivals() == []


def test_the_user_tries_a_few_first(project, witness):
    manifest = project.manifest(JOBS, confirm_above=0.01)
    tried = at_a_terminal(project, "run", manifest, answers=("2",))
    assert tried.code == 0
    assert "trying the first 2 jobs of 6" in tried.err
    assert witness.prompts() == ["P0", "P1"]
    assert "batchgen run m.yaml    resumes the 4 pending jobs" in tried.err
    rest = at_a_terminal(project, "run", manifest, answers=("99",))
    assert (rest.code, len(asked(rest))) == (0, 1)
    assert witness.prompts() == [f"P{number}" for number in range(6)]
    check_books(project, witness.charges())
    check_files(project)


def test_a_trial_is_of_what_was_selected(project, witness):
    manifest = project.manifest(JOBS, confirm_above=0)
    done = at_a_terminal(project, "run", manifest, "--id", "j[345]", answers=("2",))
    assert "on 3 images?" in asked(done)[0]
    assert witness.prompts() == ["P3", "P4"]


def test_a_trial_leaves_what_changed_beyond_it(project, witness):
    assert project.run("run", project.manifest(JOBS), "--yes").code == 0
    edited = project.manifest([job | {"prompt": f"{job['prompt']} anew"} for job in JOBS], confirm_above=0)
    tried = at_a_terminal(project, "run", edited, answers=("2",))
    assert tried.code == 0
    assert "done with the 2 selected; 4 changed but not redone yet" in tried.err
    assert {row["state"] for row in project.jobs().values()} == {"done"}
    assert witness.prompts() == sorted([*(f"P{number}" for number in range(6)), "P0 anew", "P1 anew"])


def test_a_retry_puts_nothing_back_before_the_user_agreed(project, witness):
    jobs = [JOBS[0], JOBS[1] | {"prompt": "one [sandbox: refuse x1]"}, JOBS[2] | {"prompt": "two [sandbox: refuse x1]"}]
    manifest = project.manifest(jobs, confirm_above=0)
    assert project.run("run", manifest, "--yes").code == 3
    refused = at_a_terminal(project, "retry", manifest, answers=("n",))
    assert (refused.code, len(asked(refused))) == (6, 1)
    assert "on 2 images?" in asked(refused)[0]
    assert {key: row["state"] for key, row in project.jobs().items()} == {"j0": "done", "j1": "failed", "j2": "failed"}
    assert at_a_terminal(project, "retry", manifest, answers=("1",)).code == 3
    assert {key: row["state"] for key, row in project.jobs().items()} == {"j0": "done", "j1": "done", "j2": "failed"}
    assert len(witness.arrivals()) == 4


def test_what_is_no_answer_is_asked_again(project, witness):
    manifest = project.manifest(JOBS, confirm_above=0)
    done = at_a_terminal(project, "run", manifest, answers=("perhaps", "0", "-3", "1.5", "n"))
    assert (done.code, len(asked(done))) == (6, 5)
    assert "a number such as 5: make the first 5 jobs" in done.err
    assert witness.arrivals() == []


def test_without_a_price_the_user_is_always_asked(project, witness):
    jobs = [{"id": "a", "provider": "gptimageapi", "quality": "low", "prompt": "A"}]
    jobs.append({"id": "b", "provider": "gateway", "prompt": "B"})
    done = at_a_terminal(project, "run", project.manifest(jobs, confirm_above=1000), answers=("n",))
    assert asked(done) == [
        "Spend 2 credits at gptimageapi and an unknown amount (1 request without a price) on 2 images?"
    ]
    assert witness.arrivals() == []


def test_above_a_dollar_the_user_is_asked_unless_they_said_otherwise(project, witness):
    jobs = [job | {"quality": "high"} for job in JOBS]
    done = at_a_terminal(project, "run", project.manifest(jobs), answers=("n",))
    assert (done.code, len(asked(done))) == (6, 1)
    assert witness.arrivals() == []
    for said in (("--yes",), ("--budget", "20")):
        done = at_a_terminal(project, "run", project.manifest(jobs, name="n.yaml"), *said, "--limit", "1")
        assert (done.code, asked(done)) == (0, [])
    assert len(witness.charges()) == 2


def test_two_models_of_a_provider_lack_one_key(project):
    jobs = [JOBS[0], JOBS[1] | {"model": "gpt-image-2.5-flare"}]
    project.env.pop("OPENAI_API_KEY")
    done = project.run("run", project.manifest(jobs), "--yes")
    assert (done.code, done.err.count("no API key for openai")) == (5, 1)


def test_budget_in_settings_caps_all_batches_together(project, witness):
    """A night with two manifests: together they stay below the day's budget, and raising it continues both."""
    settings = project.folder / "batchgen.yaml"
    settings.write_text("budget:\n  per_day: {usd: 0.03}\n  per_month: 300\n")
    first = project.manifest(JOBS[:3], "one.yaml", output={"dir": "output/one"})
    first.write_text(first.read_text().replace("name: shop", "name: one"))
    second = project.manifest([job | {"id": f"{job['id']}x"} for job in JOBS], "two.yaml")
    assert project.run("run", first, "--yes").code == 0
    short = project.run("run", second, "--yes")
    assert short.code == 7, short.err
    assert "the budget of all batches today is used up" in short.err
    assert (
        "raise budget.per_day.usd at batchgen.yaml:2 above 0.03, or wait for the next day; then: batchgen run"
        in short.err
    )
    assert re.search(r"it starts again on \d\d \w+ at 00:00", short.err)
    spent = sums(witness.charges(), "usd")["openai"]
    assert Decimal("0.03") - PRICE * 2 < spent <= Decimal("0.03")
    plan = project.run("plan", second, "--json").json
    assert [budget["scope"] for budget in plan["budgets"]] == ["all batches today", "all batches this month"]
    assert Decimal(plan["budgets"][0]["usd"]["used"]) == spent
    again = project.run("run", second, "--yes")
    assert again.code == 7
    assert sums(witness.charges(), "usd")["openai"] == spent

    settings.write_text("budget: {per_day: 1}\n")
    assert project.run("run", second, "--yes").code == 0
    assert len(witness.charges()) == 9
    check_books(project, witness.charges())


def test_budget_in_settings_is_not_consent_and_wants_prices(project, witness):
    (project.folder / "batchgen.yaml").write_text("budget: {per_month: {usd: 5}}\n")
    assert project.run("run", project.manifest(JOBS)).code == 6
    studio = {"preset": "gateway", "base_url": f"{project.url}/gateway", "api_key_env": "OPENAI_API_KEY"}
    manifest = project.manifest([{"id": "a", "provider": "studio", "prompt": "P"}], providers={"studio": studio})
    refused = project.run("run", manifest, "--yes")
    assert refused.code == 6
    assert "the price in USD is unknown for studio" in refused.err
    assert witness.arrivals() == []
    assert project.run("run", manifest, "--yes", "--allow-unpriced").code == 0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("budget: {usd: 40}", "1:10: budget.usd: unknown key 'usd' (this file limits all batches by day and month"),
        ("budget: {per_dya: 4}", "1:10: budget.per_dya: unknown key 'per_dya' (did you mean 'per_day'?)"),
        ("budget: {per_day: {usd: -1}}", "1:25: budget.per_day.usd: should be at least 0, is -1"),
        ("budget: {per_day: {eur: 1}}", "1:20: budget.per_day.eur: unknown key 'eur' (there are: usd, credits)"),
        ("budget: 40", "is the number 40 (write  budget: {per_day: {usd: 40}})"),
        ("budget: 7.50 a month", "is '7.50 a month' (write  budget: {per_month: {usd: 7.50}})"),
    ],
)
def test_budget_in_settings_is_checked(project, text, message):
    (project.folder / "batchgen.yaml").write_text(f"{text}\n")
    done = project.run("run", project.manifest(JOBS), "--yes")
    assert (done.code, done.out) == (4, "")
    assert message in done.err
