"""What a run left open is brought to its end by the next one, whatever became of its provider and keys."""

from __future__ import annotations

import pytest

from batchgen.app.config.keys import ApiKeys
from batchgen.errors import StoreError
from batchgen.providers.presets import profile
from batchgen.store.writer import Writer
from tests.faults.kit import drawing, shows, site, studio

SECOND = "SECOND_KEY"


@pytest.fixture
def place(tmp_path, monkeypatch):
    with site(tmp_path, monkeypatch) as made:
        monkeypatch.delenv(SECOND, raising=False)
        yield made


def cut_off(place, monkeypatch, path):
    """Run until the first answer is in the spool, and end there as where the disk fails."""

    async def fail(*_args, **_facts):
        raise StoreError("the disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Writer, "settle", fail)
        with pytest.raises(StoreError):
            place.carry_out(path)


def test_answer_of_a_removed_provider_does_not_stop_the_next_run(place, monkeypatch):
    stage = place.serve(shows(drawing()))
    cut_off(place, monkeypatch, place.write(["a"], {"old": studio(stage)}))
    assert place.carry_out(place.write(["a", "b"], {"new": studio(stage)})).code == 0
    assert place.states() == {"a": ("done", None), "b": ("done", None)}


def test_what_had_arrived_is_told_as_delivered(place, monkeypatch):
    stage = place.serve(shows(drawing()))
    path = place.write(["a", "b"], {"studio": studio(stage)})
    cut_off(place, monkeypatch, path)
    known = place.carry_out(path).ended.resumed
    assert known.calls == known.delivered >= 1
    assert (known.again, known.held, known.usd) == ([], [], 0)
    assert place.carry_out(path).ended.resumed is None


def test_answer_without_its_key_is_delivered_not_rebought(place, monkeypatch):
    down, up = place.serve(shows(drawing(shade=1))), place.serve(shows(drawing(shade=2)))
    providers = {"first": studio(down), "second": studio(up, api_key_env=SECOND)}
    route = {"defaults": {"provider": ["second", "first"]}}
    monkeypatch.setenv(SECOND, "sk-second-0001")
    cut_off(place, monkeypatch, place.write(["a"], providers, **route))
    monkeypatch.delenv(SECOND)
    turned = {"defaults": {"provider": ["first", "second"]}}
    assert place.carry_out(place.write(["a"], providers, **turned)).code == 0
    assert len(up.posts) + len(down.posts) == 1
    assert place.states() == {"a": ("done", None)}


@pytest.mark.parametrize(
    ("names", "found", "accounts"),
    [
        (("A",), {"A": "1"}, (None,)),
        (("A", "B"), {"A": "1", "B": "2"}, ("A", "B")),
        (("A", "B"), {"B": "2"}, ("B",)),
        (("A", "B"), {}, (None,)),
        (("A", "B"), {"": "rehearsal"}, (None,)),
    ],
    ids=["one", "two", "one of two", "none of two", "sandbox run"],
)
def test_calls_keep_their_account_whichever_keys_are_set(names, found, accounts):
    known = profile("studio", {"preset": "gateway", "base_url": "https://gw.example.com", "api_key_env": list(names)})
    assert ApiKeys(keys={"studio": found}).accounts(known) == accounts
