"""Who agrees to spend: a stated budget, --yes, a small sum, or a person at a terminal."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import click

from ..errors import SpendNotConfirmed
from . import output
from .options import Session
from .render.plan import amend_lines, key_lines, keys_of_plan, many, plan_lines, question
from .settings_file import from_a_file

if TYPE_CHECKING:
    from ..app.run import Confirm, RunOptions
    from ..manifest import Batch
    from ..planning.plan import Plan


_PRICE = (
    "State the price (providers: NAME: tariff: {usd_per_image: 0.05}), or a budget in its credits, "
    "or say --allow-unpriced"
)


def agreement(session: Session, terms: RunOptions, *, yes: bool, ask: bool, real: bool = True) -> Confirm:
    """Return what agrees to a plan, or refuses; it asks only if *ask*.  *real*: keys are sent."""
    stated = terms.budget is not None and not from_a_file("budget")

    def agree(batch: Batch, wish: Plan) -> int | None:
        keys = key_lines(keys_of_plan(batch, wish)) if real else []
        if not session.quiet and not session.as_json:
            for warning in batch.warnings:
                output.say(f"warning: {output.nearer(warning)}")
            for line in [*plan_lines(batch.name, wish, None), *amend_lines(wish, terms.overrides), *keys, ""]:
                output.say(line)
            keys = []
        needs = _needing_a_price(batch, terms)
        _refuse_unpriced(dict.fromkeys(lane.provider for lane in wish.lanes if lane.unpriced), needs)
        if (idle := [name for name in wish.priceless if needs(name)]) and not session.quiet:
            unpriced = "there is a budget in USD, and nobody knows its price in USD"
            output.say(f"{', '.join(idle)} can take over nothing: {unpriced}.  {_PRICE}")
        if yes or stated:
            return None
        if not (ask and sys.stdin.isatty() and sys.stderr.isatty()):
            if _is_capped(batch, wish):
                return None
            why = "there is no terminal to ask" if ask else "--no-input forbids to ask"
            unsaid = "" if terms.budget is None else "A budget in a settings file only limits what is agreed to.  "
            raise SpendNotConfirmed(
                f"nobody agreed to spend: {why}.  Nothing was sent.  "
                f"{unsaid}Say --yes, or name a limit: --budget USD, or budget: in the manifest"
            )
        return _asked(wish, keys) if wish.asks else None

    return agree


def _is_capped(batch: Batch, wish: Plan) -> bool:
    """Tell whether the manifest's budget covers everything that would be sent: only then it is consent."""
    if any(limit.usd is not None and limit.only is None for limit in batch.budget):
        return True
    covered = {limit.only for limit in batch.budget if limit.usd is not None}
    covered |= {name for limit in batch.budget for name in limit.credits}
    asked = {*(lane.provider for lane in wish.lanes), *wish.alternates}
    return bool(batch.budget) and asked <= covered


def _asked(wish: Plan, keys: Iterable[str] = ()) -> int | None:
    """Ask at the terminal; return how many jobs to try first, None for all; raise SpendNotConfirmed.

    *keys* are lines on where keys go that were not shown with the plan: they come before the question.
    """
    for line in keys:
        output.say(line)
    while True:
        said = click.prompt(question(wish), default="", show_default=False, prompt_suffix=" ", err=True).strip().lower()
        if said in ("y", "yes"):
            return None
        if said in ("", "n", "no"):
            raise SpendNotConfirmed("not confirmed.  Nothing was sent.")
        if said.isascii() and said.isdigit() and int(said) > 0:
            first = int(said)
            if first >= wish.requests:
                return None
            output.say(f"trying the first {many(first, 'job')} of {wish.requests:,}")
            return first
        output.say("y spends it, n does not, and a number such as 5 makes the first 5 jobs and leaves the rest")


def _needing_a_price(batch: Batch, terms: RunOptions) -> Callable[[str], bool]:
    """Return what tells whether a provider's calls go out only with a price in USD, for the sake of a budget."""
    in_credits = {name for limit in batch.budget for name in limit.credits}
    usd = terms.budget is not None or any(limit.usd is not None for limit in batch.budget)
    told = terms.allow_unpriced or any(limit.unpriced for limit in batch.budget)
    return lambda name: usd and not told and name not in in_credits


def _refuse_unpriced(unpriced: Iterable[str], needs: Callable[[str], bool]) -> None:
    """Raise SpendNotConfirmed where a budget could not be kept, because nobody knows what a request costs."""
    if lacking := [name for name in unpriced if needs(name)]:
        raise SpendNotConfirmed(
            f"there is a budget in USD, but no price in USD for {', '.join(lacking)}, so nobody could say whether it "
            f"holds.  Nothing was sent.  {_PRICE}"
        )
