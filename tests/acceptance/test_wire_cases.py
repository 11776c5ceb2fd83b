"""Answers that real gateways gave, and what becomes of them: exit code, calls, charges, images, money booked.

The shapes in which a good picture comes are in ``test_wire_pictures``; here are errors that mislead, answers that cost
money and bring no picture, and statements of cost that are none.
"""

from __future__ import annotations

import json
from collections import Counter
from decimal import Decimal

import pytest

from .kit import CANARY, PROVIDERS, Done, Line, Witness, Workspace

RETRY = {"attempts": 4, "first_wait": 0.05, "max_wait": 0.2}
#: One call at a time, in the order of the manifest.
ONE_BY_ONE = ("-j", "1")


def cats(count: int, *, first: int = 0) -> list[Line]:
    return [{"id": f"cat{number:02}", "prompt": f"Cat {number}"} for number in range(first, first + count)]


def one(directive: str, prompt: str = "A fox") -> list[Line]:
    return [{"id": "a", "prompt": f"{prompt} [sandbox: {directive}]"}]


class Run:
    """One run of a small manifest, and what the witness saw of it."""

    def __init__(self, project: Workspace, witness: Witness) -> None:
        self.project, self.witness = project, witness
        self.done: Done | None = None

    def __call__(self, jobs: list[Line], provider: str = "openai", *arguments: object, **top: object) -> Done:
        url = self.project.url
        providers = {
            "gateway": {"tariff": {"usd_per_image": 0.05}},
            "bare": {"preset": "gateway", "base_url": f"{url}/gateway", "api_key_env": "GATEWAY_API_KEY"},
        }
        providers |= top.pop("providers", {})
        given = {"retry": RETRY, "defaults": {"provider": provider}, "providers": providers} | top
        self.path = self.project.manifest(jobs, **given)
        self.done = self.project.run("run", self.path, "--yes", "--allow-unpriced", *arguments)
        return self.done

    def again(self) -> Done:
        return self.project.run("run", self.path, "--yes", "--allow-unpriced")

    @property
    def calls(self) -> int:
        return len(self.witness.arrivals())

    @property
    def paid(self) -> int:
        return len(self.witness.charges())

    @property
    def images(self) -> int:
        return len(self.project.rows("select id from artifacts where superseded_at is null"))

    @property
    def states(self) -> Counter[str]:
        return Counter(row["state"] for row in self.project.jobs().values())

    @property
    def exported(self) -> dict[str, Line]:
        lines = self.project.run("export", "--format", "jsonl").out.splitlines()
        return {line["id"]: line for line in map(json.loads, lines)}

    @property
    def charged(self) -> Decimal:
        return sum((Decimal(line["usd"]) for line in self.witness.charges()), Decimal(0))

    def outcome(self, job: str = "a") -> tuple[str, str | None]:
        found = self.project.jobs()[job]
        return found["state"], found["cause"]


@pytest.fixture
def run(project, witness):
    return Run(project, witness)


# --- free text never outranks status and codes ------------------------------------------------------------------------


@pytest.mark.parametrize("provider", ["openrouter", "openai"])
def test_a_quota_a_minute_is_a_wait(run, provider):
    done = run(one("quota-per-minute=0.3 x2", provider), provider)
    assert (done.code, run.calls, run.paid, run.images) == (0, 3, 1, 1), done.err
    assert "out of money" not in done.err


WORDS = ("you have run out of credits", "insufficient funds", "rate limit exceeded, try again in 3 hours", "401")


@pytest.mark.parametrize("shape", ["echo-400", "echo-422"])
def test_a_prompt_that_comes_back_is_no_evidence(run, shape):
    odd = [{"id": f"odd{place}", "prompt": f"Poster: {words} [sandbox: {shape}]"} for place, words in enumerate(WORDS)]
    jobs = [job for pair in zip(odd, cats(4), strict=True) for job in pair]
    done = run(jobs, "openai", *ONE_BY_ONE)
    assert (done.code, run.images, run.calls) == (3, 4, 8), done.err
    assert run.states == {"failed": 4, "done": 4}
    assert "out of money" not in done.err


def test_a_prompt_in_a_403_is_no_want_of_money(run):
    jobs = [{"id": str(place), "prompt": f"Poster: {words} [sandbox: echo-403]"} for place, words in enumerate(WORDS)]
    done = run(jobs, "openai", *ONE_BY_ONE)
    assert (done.code in (3, 5, 8), run.paid) == (True, 0), done.err
    assert "out of money" not in done.err


@pytest.mark.parametrize("shape", ["error200-success", "error200-status", "error200-code"])
def test_no_money_in_a_200_closes_the_lane(run, shape):
    providers = ("gateway", "openai", "openrouter")
    jobs = [
        {"id": f"{name}{number}", "provider": name, "prompt": f"{name} {number} [sandbox: {shape}]"}
        for name in providers
        for number in range(3)
    ]
    narrow = {name: {"limits": {"concurrency": 1}} for name in providers}
    done = run(jobs, providers=narrow)
    assert (done.code, run.paid, run.images) == (7, 0, 0), done.err
    assert Counter(line["provider"] for line in run.witness.arrivals()) == dict.fromkeys(providers, 1)
    assert done.err.count("Insufficient credits, please top up") >= 3
    assert run.states == {"pending": 9}


def test_an_error_in_a_200_is_that_error(run):
    jobs = [
        {"id": f"{name}-{shape}", "provider": name, "prompt": f"{name} [sandbox: {shape} x1]"}
        for name in ("gateway", "openai", "openrouter")
        for shape in ("error200-throttle", "error200-overloaded", "error200-detail")
    ]
    done = run(jobs)
    assert (done.code, run.calls, run.paid, run.images) == (0, 18, 9, 9), done.err


def test_one_401_in_the_middle_closes_nothing(run):
    jobs = cats(9)
    jobs[3]["prompt"] += " [sandbox: denied x1]"
    done = run(jobs, "openai", *ONE_BY_ONE)
    assert (done.code, run.calls, run.paid, run.images) == (0, 10, 9, 9), done.err


def test_a_job_that_is_denied_twice_among_good_ones_fails_alone(run):
    jobs = cats(9)
    jobs[3]["prompt"] += " [sandbox: denied]"
    done = run(jobs, "openai", *ONE_BY_ONE)
    assert (done.code, run.calls, run.paid, run.images) == (3, 10, 8, 8), done.err
    assert run.states == {"done": 8, "failed": 1}


def test_a_firewall_refuses_one_prompt(run):
    done = run([*one("firewall"), *cats(4)], "openai", *ONE_BY_ONE)
    assert (done.code, run.calls, run.images) == (3, 5, 4), done.err
    assert run.outcome() == ("failed", "refused")


def test_three_jobs_in_a_row_before_a_firewall_close_the_lane(run):
    jobs = [{"id": f"j{number}", "prompt": f"Fox {number} [sandbox: firewall]"} for number in range(8)]
    done = run(jobs, "openai", *ONE_BY_ONE)
    assert run.calls == 3, done.err
    assert (done.code, run.paid) in ((5, 0), (8, 0)), done.err


@pytest.mark.parametrize("shape", ["model-missing", "model-denied"])
def test_a_model_that_is_not_there_is_asked_for_once(run, shape):
    """Jobs of another model go on; those of this one stay pending."""
    missing = [{"id": f"m{number}", "prompt": f"Fox {number} [sandbox: {shape}]"} for number in range(4)]
    others = [{**job, "model": "gpt-image-2.5-flare"} for job in cats(4)]
    both = [job for pair in zip(missing, others, strict=True) for job in pair]
    done = run(both, "openai", *ONE_BY_ONE)
    assert (run.calls, run.paid, run.images) == (5, 4, 4), done.err
    assert run.states["done"] == 4
    assert done.code in (3, 5, 8), done.err
    assert "gpt-image-2" in done.err


def test_too_many_requests_for_ever_end_the_run(run):
    retry = {**RETRY, "patience": 1}
    providers = {"openai": {"retry": retry}}
    done = run(one("throttle-silent"), "openai", retry=retry, providers=providers)
    assert (done.code, run.paid, run.images) == (8, 0, 0), done.err
    assert run.states == {"pending": 1}
    assert "429" in done.err or "too many requests" in done.err.lower()


# --- what an answer states of its cost is booked, also where no picture came ------------------------------------------


def test_tokens_are_priced(run):
    done = run(one("gzip"), "openai")
    assert (done.code, run.paid, Decimal(run.exported["a"]["usd"])) == (0, 1, run.charged)


def test_own_keys_cost_what_they_cost_upstream(run):
    right = {"cost-own-key": "0.0387", "cost-own-key-fee": "0.0407"}
    done = run([{"id": shape, "prompt": f"A fox [sandbox: {shape}]"} for shape in right], "openrouter")
    assert (done.code, run.paid, run.images) == (0, 2, 2), done.err
    assert {job: line["usd"] for job, line in run.exported.items()} == right


def test_a_refusal_with_a_cost_is_booked(run):
    done = run(one("refused-charged"), "openrouter")
    assert (done.code, run.paid, run.images, run.exported["a"]["usd"]) == (3, 1, 0, "0.04"), done.err
    assert run.outcome() == ("failed", "refused")


@pytest.mark.parametrize(("shape", "most"), [("empty-charged", 3), ("error-charged", 4)])
def test_every_try_that_states_a_cost_is_booked(run, shape, most):
    jobs = [{**one(shape, name)[0], "id": name, "provider": name} for name in ("openai", "openrouter")]
    done = run(jobs)
    assert (done.code, run.images) == (3, 0), done.err
    assert run.paid == 2 * most
    for name, line in run.exported.items():
        charges = [Decimal(charge["usd"]) for charge in run.witness.charges() if charge["provider"] == name]
        assert Decimal(line["usd"]) == sum(charges) > 0


def test_a_zero_by_default_is_no_price(run):
    right = {"litellm-zero": None, "litellm-none": None, "litellm-cost": "0.000053"}
    done = run([{"id": shape, "prompt": f"A fox [sandbox: {shape}]"} for shape in right], "bare")
    assert (done.code, run.paid, run.images) == (0, 3, 3), done.err
    assert {job: line["usd"] for job, line in run.exported.items()} == right


def test_zeros_that_assign_nothing_are_no_statement(run):
    shapes = ("tokens-zero-beside", "details-zero")
    done = run([{"id": shape, "prompt": f"A fox [sandbox: {shape}]"} for shape in shapes], "openai")
    assert (done.code, run.paid, run.images) == (0, 2, 2), done.err
    booked = {job: Decimal(line["usd"]) for job, line in run.exported.items()}
    assert booked == {line["prompt"][16:-1]: Decimal(line["usd"]) for line in run.witness.charges()}


def test_an_error_whose_header_says_zero_is_not_free(run):
    """What became of the money of a 500 is not known, whatever a header of the proxy says."""
    run(one("error-litellm-zero x1"), "openai")
    first, last = run.project.jobs()["a"]["attempts"]
    ledger = run.project.ledger()
    assert (ledger[first["id"]]["usd"], ledger[last["id"]]["charged"]) == (None, "yes")
    assert ledger[first["id"]]["charged"] == "maybe"


def test_a_budget_counts_what_is_stated(run):
    """The list price is a fifth of the true one: after the first answer every reservation is the true price."""
    jobs = [{"id": f"j{number}", "prompt": f"Fox {number} [sandbox: price-factor=5]"} for number in range(12)]
    quality = {"provider": "openai", "quality": "medium", "size": "1024x1024"}
    done = run(jobs, "openai", *ONE_BY_ONE, "--budget", "1.00", defaults=quality)
    assert done.code == 7, done.err
    assert (run.paid, run.charged <= 1) == (3, True)  # 0.265 each: a fourth would pass the cap


# --- what cannot be used is not bought for ever -----------------------------------------------------------------------


FINAL = ("unknown-format", "svg", "url-foreign", "url-elsewhere", "pending", "odd-place", "refused-usage")


@pytest.fixture(scope="module")
def final(tmp_path_factory, sandbox):
    """One run of all that would end the same way again; a good job after each, so that no lane closes."""
    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    own = Run(Workspace(folder=tmp_path_factory.mktemp("final"), url=sandbox.url, env=keys), Witness(sandbox.log))
    odd = [{"id": shape, "prompt": f"A fox [sandbox: {shape}]"} for shape in FINAL]
    jobs = [job for pair in zip(odd, cats(len(odd)), strict=True) for job in pair]
    own(jobs, "openai", *ONE_BY_ONE)
    yield own
    own.project.end()


def test_what_would_end_the_same_way_is_not_bought_again(final):
    assert (final.done.code, final.images) == (3, len(FINAL)), final.done.err
    bought = Counter(line["prompt"] for line in final.witness.charges())
    assert bought.total() == 2 * len(FINAL)
    assert set(bought.values()) == {1}, bought
    assert final.again().code == 3
    assert final.paid == 2 * len(FINAL)


def test_a_redirect_to_another_host_is_not_followed(final):
    assert not [line for line in final.witness.now() if line["provider"] == "elsewhere"]


@pytest.mark.parametrize("shape", FINAL)
def test_what_cannot_be_used_is_kept_and_booked(final, shape):
    assert final.project.jobs()[shape]["state"] == "failed"
    [attempt] = final.project.jobs()[shape]["attempts"]
    row = final.project.ledger()[attempt["id"]]
    if shape in ("pending", "odd-place"):  # these do not state what they cost
        assert row["charged"] in ("yes", "maybe")
    else:
        assert row["charged"] == "yes"
        [charge] = [line for line in final.witness.charges() if line["attempt"] == attempt["id"]]
        assert row["usd"] == int(Decimal(charge["usd"]) * 10**9)
    if shape != "refused-usage":
        kept = [path for path in final.project.spool() if path.suffix == ".kept"]
        assert [path for path in kept if path.stem.startswith(attempt["id"])], kept


@pytest.mark.parametrize("shape", ["unknown-format", "svg"])
def test_the_message_names_the_file_that_was_kept(final, shape):
    shown = " ".join(final.project.run("show", shape).out.split())
    named = shown.partition(" is kept as ")[2].split(" ")[0].rstrip(".,;:)")
    kept = final.project.folder / named
    sent = b"<svg " if shape == "svg" else b"JXL "
    assert sent in kept.read_bytes()[:32]


BY_PICTURE = ("gateway", "gptimageapi", "recraft", "ark")


@pytest.mark.parametrize("provider", ["openai", "aigate", "aimlapi", "xai", *BY_PICTURE])
def test_what_a_refusal_costs_is_in_its_answer_or_nothing(run, provider):
    settings = {"base_url": f"{run.project.url}/{provider}", "api_key_env": "OPENAI_API_KEY"}
    done = run(one("refused-usage"), provider, providers={provider: settings})
    assert (done.code, run.calls, run.outcome("a")) == (3, 1, ("failed", "refused")), done.err
    assert run.paid == (provider not in BY_PICTURE)
    assert sum(row["usd"] or 0 for row in run.project.ledger().values()) == int(run.charged * 10**9)


def test_half_a_jpeg_is_bought_again_once(run):
    jobs = [
        {"id": "always", "prompt": "A fox [sandbox: jpeg-cut-closed]"},
        {"id": "once", "prompt": "A fox [sandbox: jpeg-cut-closed x1]"},
    ]
    done = run(jobs, "openai")
    assert (done.code, run.paid, run.images) == (3, 4, 1), done.err
    assert (run.outcome("always"), run.outcome("once")) == (("failed", "spoiled"), ("done", None))
    booked = sum(Decimal(line["usd"]) for line in run.exported.values())
    assert booked == run.charged


@pytest.mark.parametrize("shape", ["event-stream-previews", "chat-echo-only"])
def test_previews_and_sources_are_no_results(run, shape):
    source = run.project.folder / "source.png"
    write_png(source)
    job = {**one(shape)[0], **({"images": ["source.png"]} if "echo" in shape else {})}
    done = run([job], "openrouter" if "chat" in shape else "openai")
    assert (done.code, run.images) == (3, 0), done.err
    assert 1 <= run.paid <= 3


def write_png(path) -> None:
    from PIL import Image

    Image.new("RGB", (32, 24), (20, 90, 160)).save(path)


def test_attempts_bound_every_purchase(run):
    """A short answer, an empty one, a spoiled one: each job no more often than ``retry.attempts``."""
    shapes = ("short", "empty", "truncated")
    jobs = [{"id": shape, "prompt": f"Foxes [sandbox: {shape}]", "n": 4, "per_request": 4} for shape in shapes]
    run(jobs, "openai", retry={**RETRY, "attempts": 2})
    bought = Counter(line["prompt"] for line in run.witness.charges())
    assert max(bought.values()) == 2, bought


def test_an_error_beside_a_picture_is_real_for_the_missing_one(run):
    job = {"id": "a", "prompt": "Two foxes [sandbox: error-beside-less]", "n": 2, "per_request": 2}
    done = run([job], "openai")
    assert (done.code, run.paid, run.images) == (3, 1, 1), done.err
    assert run.outcome() == ("failed", "refused")


# --- a bad lane never eats a batch ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "shapes",
    [
        {"openai": "empty-charged", "aimlapi": "truncated", "gateway": "badjson", "openrouter": "empty-charged"},
        {"openai": "unknown-format", "aigate": "html200", "gateway": "pending"},
    ],
)
def test_a_lane_that_takes_money_and_brings_nothing_closes(run, shapes):
    width = 4
    jobs = [
        {"id": f"{name}{number:02}", "provider": name, "prompt": f"{name} {number} [sandbox: {shape}]"}
        for number in range(20)
        for name, shape in shapes.items()
    ]
    done = run(jobs, providers={name: {"limits": {"concurrency": width}} for name in shapes})
    paid = Counter(line["provider"] for line in run.witness.charges())
    # those in flight when the third came back, and one probe of another job
    assert set(paid) == set(shapes)
    assert 3 <= min(paid.values()) <= max(paid.values()) <= 3 + width + 1, (paid, done.err)
    assert done.code == 8, done.err
    assert run.states["done"] == 0
    last = done.err.splitlines()[-12 - len(shapes) :]
    assert all(any(line.startswith("stopped") and name in line for line in last) for name in shapes), last


def test_three_odd_jobs_among_good_ones_close_nothing(run):
    jobs = cats(9)
    for place in (0, 3, 6):
        jobs[place]["prompt"] += " [sandbox: unknown-format]"
    done = run(jobs, "openai", *ONE_BY_ONE)
    assert (done.code, run.paid, run.images) == (3, 9, 6), done.err
