"""Who may do a job, and who comes before."""

from __future__ import annotations

import json

import pytest

from batchgen.route import ALL, FAILOVER_AFTER, ModelFilter, Route

ROUTE = Route(others=("b", "c"))


@pytest.mark.parametrize(
    ("provider", "ahead"), [("a", ()), ("b", ("a",)), ("c", ("a", "b")), ("d", None)], ids=["home", "b", "c", "none"]
)
def test_each_provider_waits_for_all_before_it(provider, ahead):
    assert ROUTE.before("a", provider) == ahead


@pytest.mark.parametrize(("provider", "ahead"), [("a", ()), ("b", ()), ("c", ()), ("d", None)])
def test_at_once_nobody_waits_but_strangers_stay_out(provider, ahead):
    assert Route(others=("b", "c"), any_order=True).before("a", provider) == ahead


@pytest.mark.parametrize(
    "route",
    [ROUTE, Route(others=("b",), failover_after=0.5), Route(others=("b",), any_order=True), Route(others=())],
    ids=["plain", "after", "at once", "nobody"],
)
def test_a_route_comes_back_from_the_job_table_as_it_went(route):
    assert Route.of_json(json.loads(json.dumps(route.as_json()))) == route


def test_a_route_of_an_earlier_version_goes_in_order():
    assert Route.of_json({"others": ["b", "c"], "after": FAILOVER_AFTER}) == ROUTE


@pytest.mark.parametrize(
    ("models", "taken"),
    [
        (ALL, "xyz"),
        (ModelFilter(frozenset("x")), "yz"),
        (ModelFilter(frozenset("xy"), only=True), "xy"),
        (ModelFilter(only=True), ""),
    ],
    ids=["all", "all but", "only", "nothing"],
)
def test_a_lane_takes_the_models_named_or_all_but_those(models, taken):
    assert "".join(filter(models.matches, "xyz")) == taken
    assert "".join(filter(models.without("x").matches, "xyz")) == taken.replace("x", "")
