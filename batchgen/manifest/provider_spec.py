"""Settings of a provider as the manifest states them, where they differ from its preset. Pure values."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import ConfigDict, Field

from ..providers import profile
from ..providers.auth import Auth
from ..providers.cost import Cost
from ..providers.model import Tariff
from .fields import Modes, Strict, Text, Texts, Variables


class LimitsSpec(profile.Limits):
    """Limits of the requests to a provider."""

    model_config = ConfigDict(strict=True)


class GroupSpec(profile.Group):
    """Models that share limits at the provider."""

    model_config = ConfigDict(strict=True)

    models: Texts = Field(min_length=1, description="Names of models, or globs of them")  # type: ignore[assignment]


class AuthSpec(Auth):
    """Header with the key of a provider."""

    model_config = ConfigDict(strict=True)


class PollingSpec(profile.Polling):
    """Limits of polls."""

    model_config = ConfigDict(strict=True)


class TimeoutsSpec(profile.Timeouts):
    """Timeouts of a provider, in seconds."""

    model_config = ConfigDict(strict=True)


class BatchSpec(profile.BatchSettings):
    """Size of the batches of a provider."""

    model_config = ConfigDict(strict=True)


class RetrySpec(profile.Retry):
    """Retry policy of a job."""

    model_config = ConfigDict(strict=True)


OnUnknown = Literal["retry", "hold"]
ON_UNKNOWN = "Request whose outcome is unknown: buy it once more (retry), or leave the decision to you (hold)"


class ProviderSpec(Strict):
    """Settings of a provider that differ from its preset."""

    preset: Text | None = Field(None, description="The preset to start from; default: the provider's own name")
    dialect: Text | None = Field(None, description="The wire format, for a provider without a preset")
    base_url: str | None = Field(
        None, min_length=1, description="Base URL, to which the paths are added; https, or http to loopback"
    )
    api_key_env: Variables | None = Field(
        None,
        description="Name of the environment variable with the key; with several names, each is an account with its "
        "own limits",
    )
    auth: AuthSpec | None = Field(
        None,
        description="Header that carries the key, for a provider that wants another one than Authorization: Bearer",
    )
    query: dict[str, Text] | None = Field(None, description="Query parameters of every request, such as api-version")
    paths: dict[str, str] | None = Field(None, description="Paths by operation: generate, edit, chat")
    limits: LimitsSpec | None = Field(None, description="Limits of the requests to the provider")
    groups: dict[str, GroupSpec] | None = Field(
        None, description="Models with limits of their own, in addition to those of the provider"
    )
    timeout: TimeoutsSpec | None = Field(None, description="Seconds to connect, and for a whole attempt")
    retry: RetrySpec | None = Field(None, description="Retry policy of this provider; default: the manifest's")
    url_hosts: list[str] | None = Field(
        None, description="Hosts that result URLs may point to; *.x.com covers subdomains"
    )
    tariff: Tariff | None = Field(None, description="Price of an image")
    cost: Cost | None = Field(None, description="Where an answer states its cost, if that is a field of its own")
    on_unknown: OnUnknown | None = Field(None, description=ON_UNKNOWN)
    default_model: Text | None = Field(None, description="Model of jobs that do not name one")
    request_id_header: Text | None = Field(
        None, description="Header in which the provider accepts the client's own request id"
    )
    idempotency_header: Text | None = Field(
        None, description="Header of an idempotency key; set it only if the provider promises to charge a key once"
    )
    modes: Modes | None = Field(
        None, description="How its calls are bought: standard, flex or batch, one after another; {flex: until 06:00}"
    )
    batch: BatchSpec | None = Field(None, description="Size of batches, in the mode batch")
    key_hosts: list[str] | None = Field(
        None, description="Other hosts that get the key, where remote tasks are polled; *.x.com covers subdomains"
    )
    polling: PollingSpec | None = Field(None, description="Limits of the polls of remote tasks")
    task: dict[str, Any] | None = Field(
        None, description="How remote tasks work at this provider, for the dialect task: batchgen help tasks"
    )
    models: dict[str, dict[str, Any]] | None = Field(None, description="Settings that differ from the preset, by model")
