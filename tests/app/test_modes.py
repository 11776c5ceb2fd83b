"""The mode of a call, by the settings of its provider and the clock of this machine."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from batchgen.app.modes import mode_clock
from batchgen.app.supervisor import SILENCE, silence_limit
from batchgen.mode import Mode
from batchgen.providers.presets import profile
from batchgen.task import Kind, Task

FLEX = {"modes": {"flex": {"factor": 0.5}}}


def test_mode_clock_follows_the_local_time_and_the_model() -> None:
    started = datetime(2026, 12, 1, 22, 0).astimezone()
    now = [started.astimezone(UTC)]
    settings = {
        "modes": [{"flex": "until 06:00"}, "standard"],
        "models": {"gemini-3-pro-image": FLEX},
    }
    mode_of = mode_clock({"openrouter": profile("openrouter", settings)}, now[0], lambda: now[0])
    pro, plain = (
        Task(kind=Kind.GENERATE, prompt="a cat", provider="openrouter", model=name)
        for name in ("gemini-3-pro-image", "gemini-3.1-flash-image")
    )
    assert (mode_of(pro), mode_of(plain)) == (Mode.FLEX, Mode.STANDARD)
    now[0] += timedelta(hours=8)
    assert mode_of(pro) is Mode.STANDARD


def test_mode_clock_is_standard_without_settings() -> None:
    started = datetime(2026, 12, 1, 22, 0, tzinfo=UTC)
    mode_of = mode_clock({"openai": profile("openai")}, started, lambda: started)
    for provider in ("openai", "gone"):
        assert mode_of(Task(kind=Kind.GENERATE, prompt="x", provider=provider, model="gpt-image-2")) is Mode.STANDARD


def test_silence_limit_follows_the_slowest_mode_of_the_settings() -> None:
    assert silence_limit({"gemini": profile("gemini")}) == SILENCE
    assert silence_limit({"gemini": profile("gemini", {"modes": "flex"})}) == 1500
