"""Every shape in which a good picture comes: one run of them all, and each job is bought once, delivered and booked."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from dataclasses import dataclass
from decimal import Decimal

import pytest
from PIL import Image

from batchgen.sandbox.log import read_log
from batchgen.sandbox.shapes import GOOD, SHAPES

from .kit import CANARY, PROVIDERS, Done, Line, Witness, Workspace, opened

#: Of which no estimate says what it costs.
WITHOUT_TARIFF = "bare"
PLACES = "A good picture in another place (images):"
#: What the sandbox sends as another kind of file, and the extension under which it is delivered.
EXTENSIONS = {
    "jpeg": ".jpg", "jpeg-video": ".jpg", "jpeg-padding": ".jpg", "jpeg-trailer": ".jpg", "gif": ".gif",
    "avif": ".avif", "bmp": ".bmp", "tiff": ".tiff", "webp": ".webp",
}  # fmt: skip
#: What LiteLLM's header is worth where nothing else states a cost: nano-USD, None where it says nothing.
HEADERS = {"litellm-zero": None, "litellm-none": None, "litellm-cost": 53_000}
#: Shapes with a number of their own.
NUMBERS = {"big-header": ("", "=60000"), "url-403": ("", "=1"), "url-redirect": ("", "=3")}


def providers_of(name: str, group: str) -> tuple[str, ...]:
    if name in HEADERS:
        return (WITHOUT_TARIFF,)
    if name == "price-factor":
        return ("openai", "openrouter")  # whose answers say what they cost
    if SHAPES[name].endpoint == "chat":
        return ("openrouter", "aigate") if "cost" not in name else ("openrouter",)
    if SHAPES[name].endpoint == "images":
        return ("openai", "gateway", "gptimageapi") if group == PLACES else ("openai",)
    return ("openai", "openrouter", "gateway")


CASES = [
    f"{provider}.{name}{number}"
    for group, shapes in GOOD.items()
    for name in shapes
    for number in NUMBERS.get(name, ("",))
    for provider in providers_of(name, group)
]


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the one run."""

    project: Workspace
    done: Done
    jobs: dict[str, Line]
    charges: dict[str, list[Line]]  #: by job
    ledger: dict[str, Line]
    artifacts: dict[str, list[Line]]  #: by job
    downloads: list[Line]


def job(case: str) -> Line:
    provider, _, directive = case.partition(".")
    found: Line = {"id": case, "provider": provider, "prompt": f"{case} of a fox [sandbox: {directive}]"}
    if provider in ("openrouter", "aigate"):
        found["model"] = "google/gemini-3.1-flash-image-preview"
    if directive.startswith("chat-echo"):
        found["images"] = ["source.png"]
    return found


@pytest.fixture(scope="module")
def outcome(tmp_path_factory, sandbox):
    keys = {f"{name.upper()}_API_KEY": CANARY for name in PROVIDERS}
    project = Workspace(folder=tmp_path_factory.mktemp("project"), url=sandbox.url, env=keys)
    Image.new("RGB", (40, 30), (10, 200, 30)).save(project.folder / "source.png")
    bare = {"preset": "gateway", "base_url": f"{sandbox.url}/gateway", "api_key_env": "GATEWAY_API_KEY"}
    providers = {"gateway": {"tariff": {"usd_per_image": 0.05}}, WITHOUT_TARIFF: bare}
    retry = {"attempts": 4, "first_wait": 0.05, "max_wait": 0.2}
    path = project.manifest([job(case) for case in CASES], providers=providers, retry=retry)
    witness = Witness(sandbox.log)
    done = project.run("run", path, "--yes", "--allow-unpriced", seconds=90)
    assert done.code != 4, done.err
    charges = defaultdict(list)
    for line in witness.charges():
        charges[line["prompt"].partition(" of a fox")[0]].append(line)
    artifacts = defaultdict(list)
    for row in project.rows("select j.key, a.* from artifacts a join jobs j on j.id = a.job_id"):
        artifacts[row["key"]].append(row)
    downloads = [line for line in read_log(sandbox.log) if line["event"] == "download"]
    yield Outcome(
        project=project, done=done, jobs=project.jobs(), charges=charges, ledger=project.ledger(),
        artifacts=artifacts, downloads=downloads,
    )  # fmt: skip
    project.end()


@pytest.mark.parametrize("case", CASES)
def test_a_good_picture_is_bought_once_and_delivered(outcome, case):
    found = outcome.jobs[case]
    causes = [(attempt["cause"], attempt["message"]) for attempt in found["attempts"]]
    assert (found["state"], len(outcome.charges[case])) == ("done", 1), causes
    [row] = outcome.artifacts[case]
    file = outcome.project.folder / row["path"]
    data = file.read_bytes()
    assert (len(data), hashlib.sha256(data).hexdigest()) == (row["bytes"], row["sha256"])
    assert opened(file) == (row["width"], row["height"]) == (48, 48)
    assert file.suffix == EXTENSIONS.get(case.partition(".")[2], ".png")
    check_cost(outcome, case)


def check_cost(outcome, case):
    """The ledger has what the picture cost, exactly where the answer says it."""
    [charge] = outcome.charges[case]
    [attempt] = outcome.jobs[case]["attempts"]
    assert charge["attempt"] in (attempt["id"], None)
    row = outcome.ledger[attempt["id"]]
    assert row["charged"] == "yes"
    name = case.partition(".")[2]
    if name in HEADERS:
        assert row["usd"] == HEADERS[name]
    elif charge["usd"] is not None:
        exact = int(Decimal(charge["usd"]) * 10**9)
        sure = row["basis"] in ("reported", "priced")
        assert row["usd"] == exact if sure else row["usd"] >= exact, (row, charge)
        assert sure or name in ("raw-image", "cost-zero") or case.startswith("aigate."), row


def test_the_run_ends_well(outcome):
    assert outcome.done.code == 0, outcome.done.err
    assert sum(len(lines) for lines in outcome.charges.values()) == len(CASES)


def test_the_key_goes_only_where_the_provider_itself_asks_for_it(outcome):
    keyed = {line["path"] for line in outcome.downloads if line["key_tail"]}
    asked = {line["path"] for line in outcome.downloads if line["status"] in (401, 403) and not line["key_tail"]}
    assert keyed
    assert keyed <= asked
