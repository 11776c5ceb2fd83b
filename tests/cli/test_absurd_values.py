"""Absurd numbers, durations and times: usage errors with an example, and problems with a place in YAML."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator
from datetime import timedelta

import click
import pytest
import yaml
from click.testing import CliRunner

from batchgen.cli.main import batchgen
from batchgen.cli.params import Parsed
from batchgen.errors import ManifestError

#: Values that overflow, are no number, are negative, or have a form of their own.
ABSURD = (
    "1e400", "1e300", "-1", "-5m", "nan", "inf", "-inf", "1e9d", "99999999999999h", "9" * 20, "9" * 400, "9" * 5000,
    "24:00", "25:00", "0x10", "", "  ", "1e9999999", "½", "3 4", "1,5", "5 m", "m", "60/m", "--",
)  # fmt: skip
#: What a value may come to: seconds of a century, a count, nano-USD of a million dollars.
MOST = 10**18


def commands(command: click.Command, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    if not isinstance(command, click.Group):
        yield path, command
        return
    ctx = click.Context(command)
    for name in command.list_commands(ctx):
        child = command.get_command(ctx, name)
        assert child is not None
        yield from commands(child, (*path, name))


NUMERIC = [
    pytest.param(path, option, id=f"{'-'.join(path)}:{option.opts[-1]}")
    for path, command in commands(batchgen)
    for option in command.params
    if isinstance(option, click.Option) and not option.is_flag and not option.count
    if isinstance(option.type, (Parsed, click.types.IntParamType, click.types.FloatParamType))
]


def test_every_numeric_option_is_bounded():
    """A plain click type would accept ``inf`` and integers that no database holds."""
    assert len(NUMERIC) > 60
    loose = [case.id for case in NUMERIC if not isinstance(case.values[1].type, Parsed)]
    assert loose == []


@pytest.mark.parametrize(("path", "option"), NUMERIC)
def test_absurd_value_of_an_option_is_a_usage_error_or_a_sane_value(path, option):
    ctx = click.Context(click.Command(path[-1]))
    for text in ABSURD:
        try:
            value = option.type.convert(text, option, ctx)
        except click.UsageError:
            continue
        numbers = [value.total_seconds()] if isinstance(value, timedelta) else [value]
        for number in numbers:
            if isinstance(number, (int, float)):
                assert math.isfinite(number)
                assert abs(number) <= max(MOST, 2**63), text


@pytest.mark.parametrize(
    ("words", "example"),
    [
        (("--max-time", "1e9d"), "such as 6h, 30m or 90s"),
        (("--max-time", "99999999999999h"), "such as 6h, 30m or 90s"),
        (("--max-time", "-5m"), "such as 6h, 30m or 90s"),
        (("--stop-at", "24:00"), "such as 06:30"),
        (("--stop-at", "25:00"), "such as 06:30"),
        (("--wait-lock", "1e400"), "such as 600, 10m or 1h"),
        (("--wait-lock", "nan"), "such as 600, 10m or 1h"),
        (("--wait-lock", "-1"), "such as 600, 10m or 1h"),
        (("--rate", "openai=1e300/s"), "such as openai=60/m, 2/s or 5000/d"),
        (("--rate", "openai=-1/m"), "such as openai=60/m, 2/s or 5000/d"),
        (("--budget", "9" * 40), "such as 40 or 0.50"),
        (("--budget", "nan"), "such as 40 or 0.50"),
        (("--concurrency", "9" * 5000), "from 1 to 5000, such as 8"),
        (("--limit", "9" * 25), "such as 10"),
        (("--max-failures", "1e9%"), "such as 20, or a share such as 5%"),
        (("--latency", "nan"), "seconds such as 0.5"),
    ],
)
def test_absurd_option_of_run_ends_with_code_2_and_an_example(tmp_path, monkeypatch, words, example):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "m.yaml").write_text("jobs: [{prompt: A cat, provider: openai}]\n")
    monkeypatch.setattr(sys, "argv", ["batchgen"])
    result = CliRunner().invoke(batchgen, ["run", "m.yaml", "--sandbox", *words])
    assert result.exit_code == 2, result.output
    assert example in " ".join(result.output.split())
    assert not (tmp_path / ".batchgen").exists()


HUGE = 10**400
#: Paths of numbers in a manifest.
NUMBERS = (
    ("budget", "usd"), ("budget", "per_day", "usd"), ("budget", "per_month", "credits", "aigate"), ("confirm_above",),
    ("budget", "per_provider", "openai"), ("retry", "attempts"), ("retry", "first_wait"), ("retry", "max_wait"),
    ("retry", "patience"), ("providers", "openai", "timeout", "total"), ("providers", "openai", "timeout", "connect"),
    ("providers", "openai", "limits", "requests_per_second"), ("providers", "openai", "limits", "requests_per_day"),
    ("providers", "openai", "limits", "concurrency"), ("providers", "openai", "limits", "spacing"),
    ("providers", "openai", "limits", "burst"), ("providers", "openai", "limits", "images_per_minute"),
    ("providers", "openai", "tariff", "usd_per_image"), ("defaults", "n"), ("defaults", "seed"),
    ("defaults", "priority"), ("defaults", "route", "failover_after"), ("defaults", "output_compression"),
)  # fmt: skip
#: Seconds and counts that would overflow a calendar, a window or the database.
BOUNDED = tuple(path for path in NUMBERS if path != ("defaults", "seed"))
VALUES = (".inf", "-.inf", ".nan", "1e300", "-1e300", str(HUGE), f"-{HUGE}", "9" * 40, "1e400", "'1e400'", "-0.0")


@pytest.mark.parametrize("path", NUMBERS, ids=".".join)
def test_absurd_number_in_a_manifest_is_a_problem_with_a_place(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    for value in VALUES:
        body: dict = {"jobs": [{"prompt": "A cat", "provider": "openai"}], "vars": {"a": 1}}
        node = body
        for key in path[:-1]:
            node = node.setdefault(key, {})
        node[path[-1]] = "VALUE"
        (tmp_path / "m.yaml").write_text(yaml.safe_dump(body).replace("VALUE", value))
        result = CliRunner().invoke(batchgen, ["plan", "m.yaml"])
        if path in BOUNDED and value in ("1e300", "9" * 40):
            assert result.exit_code != 0, value
        if result.exit_code == 0:
            continue
        assert isinstance(result.exception, ManifestError), (value, result.exception)
        assert f": {'.'.join(path)}" in str(result.exception), (value, str(result.exception))
