"""Warnings of models that will not be offered for long, whose prices are old, or that lack a mode of their provider."""

from __future__ import annotations

from datetime import date

from ..providers.mode_rules import skipped_mode
from ..providers.pricing import is_stale
from .problems import Problems
from .render import RenderedJob
from .routing import Candidate, ProviderTable


class ModelWarnings:
    """Warns once of each model of a provider."""

    def __init__(self, providers: ProviderTable, warnings: Problems, today: date | None) -> None:
        self._providers = providers
        self._warnings = warnings
        self._today = today
        self._models: set[tuple[str, str]] = set()  #: provider and model of those that were looked at

    def add(self, job: RenderedJob, candidate: Candidate) -> None:
        """Warn of a model that the provider will switch off or did not list, and of old prices."""
        task, model = candidate.task, candidate.model
        if (task.provider, task.model) in self._models:
            return
        self._models.add((task.provider, task.model))
        if model.ends:
            message = f"{task.provider} switches {task.model} off on {model.ends}"
            hint = f"write model: {model.successor}" if model.successor else ""
            self._warnings.add(job.problem("model", "deprecated_model", message, hint))
        if unlisted := self._providers.unlisted(candidate):
            self._warnings.add(job.problem("model", "unlisted_model", *unlisted))
        if self._today is not None and is_stale(model.tariff.date, self._today):
            message = f"the prices of {task.provider} {task.model} were read on {model.tariff.date}"
            hint = "look them up, and state yours with tariff:"
            self._warnings.add(job.problem("model", "stale_prices", message, hint))
        profile = self._providers.profile(task.provider)
        if profile is not None and (mode := skipped_mode(profile, model)):
            able = [title for title, other in profile.models.items() if mode in other.offered]
            message = f"{task.model} has no {mode} at {task.provider}: its jobs are bought in another of its modes"
            self._warnings.add(job.problem("model", "skipped_mode", message, f"models with {mode}: {', '.join(able)}"))
