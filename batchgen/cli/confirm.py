"""Confirmation of spending: a stated budget, --yes, a small sum, or an answer at the terminal."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from ..errors import SpendNotConfirmed
from . import output
from .options import Session
from .render.changes import requeue_lines
from .render.format import count, hanging, warning_line
from .render.plan import key_lines, keys_of_plan, plan_lines, question
from .settings_file import is_from_file

if TYPE_CHECKING:
    from ..app.run import Confirm, RunOptions
    from ..manifest import Batch
    from ..planning.plan import Plan


def confirmation(session: Session, terms: RunOptions, *, yes: bool, ask: bool, real: bool = True) -> Confirm:
    """Return the function that confirms the spending of a plan, or raises SpendNotConfirmed.

    It asks only if *ask*. *real*: requests go to real providers, with keys.
    """
    has_budget = terms.budget is not None and not is_from_file("budget")

    def confirm(batch: Batch, plan: Plan) -> int | None:
        keys = key_lines(keys_of_plan(batch, plan)) if real else []
        if not session.quiet and not session.as_json:
            for warning in batch.warnings:
                output.say(warning_line(warning))
            shown = plan_lines(batch.name, plan, None, session.project().command_flags(batch.name), batch.manifest)
            lines = [*shown, *requeue_lines(batch, plan, terms), *keys, ""]
            for line in hanging(lines, output.columns(sys.stderr)):
                output.say(line)
            keys = []
        from ..app.budgets import SET_PRICE, is_capped, needs_price, require_prices

        unpriced = terms.allow_unpriced
        require_prices(batch, plan, terms.budget, unpriced=unpriced)
        unusable = [name for name in plan.priceless if needs_price(batch, name, terms.budget, unpriced=unpriced)]
        if unusable and not session.quiet:
            why = "the budget is in USD, and their price in USD is unknown"
            output.say(f"cannot be used as a fallback: {', '.join(unusable)}; {why}. {SET_PRICE}")
        if yes or has_budget:
            return None
        if ask and sys.stdin.isatty() and sys.stderr.isatty():
            return _ask(plan, keys) if plan.asks else None
        if is_capped(batch, plan):
            return None
        why = "there is no terminal to ask" if ask else "--no-input forbids to ask"
        in_file = "" if terms.budget is None else "A budget in a settings file only limits a run. "
        raise SpendNotConfirmed(
            f"spending was not confirmed: {why}. Nothing was sent. "
            f"{in_file}Add --yes, or set a limit: --budget USD, or budget: in the manifest"
        )

    return confirm


def _ask(plan: Plan, keys: Iterable[str]) -> int | None:
    """Ask at the terminal; return how many jobs to try first, None for all; raise SpendNotConfirmed.

    *keys* are lines on where keys go that were not shown with the plan: they come before the question.
    """
    for line in keys:
        output.say(line)
    while True:
        prompt = click.prompt(question(plan), default="", show_default=False, prompt_suffix=" ", err=True)
        answer = prompt.strip().lower()
        if answer in ("y", "yes"):
            return None
        if answer in ("", "n", "no"):
            raise SpendNotConfirmed("not confirmed. Nothing was sent.")
        if answer.isascii() and answer.isdigit() and int(answer) > 0:
            first = int(answer)
            if first >= plan.requests:
                return None
            output.say(f"trying the first {count(first, 'job')} of {plan.requests:,}")
            return first
        output.say("y: spend it; n: do not; a number such as 5: make the first 5 jobs, and leave the rest pending")
