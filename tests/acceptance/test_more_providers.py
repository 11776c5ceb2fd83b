"""Azure, xAI, Recraft and Ark end to end: images, money and keys, with the sandbox as witness."""

from __future__ import annotations

import shutil
from decimal import Decimal

import pytest

from .kit import CANARY, ROOT, SECRET, Witness, Workspace, claimed, sums

KEYS = {
    "azure": "AZURE_OPENAI_API_KEY",
    "xai": "XAI_API_KEY",
    "recraft": "RECRAFT_API_TOKEN",
    "ark": "ARK_API_KEY",
}
PHOTO = ROOT / "jobs" / "photos" / "speaker.webp"
CROWN = ROOT / "jobs" / "photos" / "crown.png"


@pytest.fixture
def studio(tmp_path, sandbox):
    project = Workspace(folder=tmp_path, url=sandbox.url, env=dict.fromkeys(KEYS.values(), CANARY))
    shutil.copy(PHOTO, tmp_path / "a.webp")
    shutil.copy(CROWN, tmp_path / "b.png")
    yield project
    project.end()


def manifest(project: Workspace, provider: str, jobs: list[dict], **settings: object) -> object:
    own = {"base_url": f"{project.url}/{provider}", **settings}
    return project.manifest(jobs, defaults={"provider": provider}, providers={provider: own})


JOBS = {
    "azure": [
        {"id": "one", "prompt": "A cat", "quality": "low"},
        {"id": "two", "prompt": "A dog", "quality": "low", "images": ["b.png"]},
    ],
    "xai": [
        {"id": "one", "prompt": "A cat", "n": 2, "per_request": 2},
        {"id": "two", "prompt": "A dog", "images": ["a.webp"], "size": "16:9"},
        {"id": "three", "prompt": "A cow", "images": ["a.webp", "b.png"], "quality": "medium"},
    ],
    "recraft": [
        {"id": "one", "prompt": "A cat", "size": "1344x768", "seed": 3},
        {"id": "two", "prompt": "A dog", "images": ["a.webp"], "extra": {"strength": 0.5}},
    ],
    "ark": [
        {"id": "one", "prompt": "A cat", "resolution": "2K"},
        {"id": "two", "prompt": "A dog", "images": ["a.webp", "b.png"], "size": "2560x1440"},
    ],
}


@pytest.mark.parametrize("provider", KEYS)
def test_ledger_is_what_the_provider_charged_and_the_key_is_nowhere(studio, sandbox, provider):
    witness = Witness(sandbox.log)
    done = studio.run("run", manifest(studio, provider, JOBS[provider]), "--yes")
    assert done.code == 0, done.err
    charges = witness.charges()
    assert len(charges) == len(JOBS[provider])
    assert {line["key_tail"] for line in charges} == {CANARY[-4:]}
    usage = studio.run("usage", "--json").json
    assert claimed(usage, "usd") == sums(charges, "usd")
    assert len(studio.images()) == sum(job.get("n", 1) for job in JOBS[provider])
    kept = [path for path in studio.folder.rglob("*") if path.is_file()]
    assert not [path for path in kept if SECRET.encode() in path.read_bytes()]
    assert SECRET not in done.out + done.err


@pytest.mark.parametrize("provider", KEYS)
def test_wrong_key_closes_the_lane_and_costs_nothing(studio, sandbox, provider):
    witness = Witness(sandbox.log)
    done = studio.run("run", manifest(studio, provider, JOBS[provider]), "--yes", **{KEYS[provider]: f"bad-{CANARY}"})
    assert done.code == 5, done.err
    assert witness.charges() == []
    assert {job["state"] for job in studio.jobs().values()} == {"pending"}
    assert SECRET not in done.out + done.err


@pytest.mark.parametrize("provider", KEYS)
def test_empty_account_closes_the_lane(studio, sandbox, provider):
    witness = Witness(sandbox.log)
    key = {KEYS[provider]: f"poor-{CANARY}"}
    done = studio.run("run", manifest(studio, provider, JOBS[provider]), "--yes", **key)
    assert done.code == 7, done.err
    assert (witness.charges(), {job["state"] for job in studio.jobs().values()}) == ([], {"pending"})


@pytest.mark.parametrize("provider", KEYS)
def test_refusal_is_final_and_a_throttle_is_not(studio, sandbox, provider):
    jobs = [
        {"id": "bad", "prompt": "Bad [sandbox: refuse]"},
        {"id": "slow", "prompt": "Slow [sandbox: throttle x1 retry-after=0.1]"},
    ]
    witness = Witness(sandbox.log)
    done = studio.run("run", manifest(studio, provider, jobs), "--yes")
    assert done.code == 3, done.err
    states = {key: (job["state"], job["cause"]) for key, job in studio.jobs().items()}
    assert states == {"bad": ("failed", "refused"), "slow": ("done", None)}
    assert len(witness.charges()) == 1


@pytest.mark.parametrize("provider", KEYS)
def test_check_of_a_key_is_free(studio, sandbox, provider):
    settings = f"providers: {{{provider}: {{base_url: '{studio.url}/{provider}'}}}}\n"
    (studio.folder / "batchgen.yaml").write_text(settings, encoding="utf-8")
    witness = Witness(sandbox.log)
    good = studio.run("providers", "check", provider)
    assert good.code == 0, good.out + good.err
    bad = studio.run("providers", "check", provider, **{KEYS[provider]: f"bad-{CANARY}"})
    assert bad.code == 5, bad.out + bad.err
    assert witness.charges() == []


def test_azure_needs_an_address_before_anything_is_sent(studio):
    text = "defaults: {provider: azure}\njobs: [{id: a, prompt: A cat}]\n"
    (studio.folder / "m.yaml").write_text(text, encoding="utf-8")
    done = studio.run("run", "m.yaml", "--yes")
    assert done.code == 4
    assert "https://RESOURCE.openai.azure.com" in done.err
    assert studio.run("providers", "list").code == 0


def test_limit_of_money_holds_with_a_stated_cost(studio, sandbox):
    jobs = [{"id": f"j{number}", "prompt": f"Cat {number}", "quality": "low"} for number in range(6)]
    path = studio.manifest(
        jobs,
        defaults={"provider": "xai"},
        providers={"xai": {"base_url": f"{studio.url}/xai"}},
        budget={"usd": 0.1},
    )
    witness = Witness(sandbox.log)
    assert studio.run("run", path, "--yes").code == 7
    assert sums(witness.charges(), "usd")["xai"] <= Decimal("0.1")
