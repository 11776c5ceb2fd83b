"""The key in a curl command: the shell inserts it, in the provider's own header."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from batchgen.app.reproduce import command, key_header
from batchgen.providers.base import Call
from batchgen.providers.presets import profile

KEY = "canary-4711"
CALL = Call(method="POST", url="https://gw.example/api/v1/images/generations", json={"prompt": "a"})


def shown_by_the_shell(quoted: str) -> str:
    shell = shutil.which("sh")
    assert shell
    argv = [shell, "-c", f"printf %s {quoted}"]
    return subprocess.run(argv, env={"STUDIO_KEY": KEY}, capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("auth", "header"),
    [
        ({}, f"Authorization: Bearer {KEY}"),
        ({"value": "Key {key}"}, f"Authorization: Key {KEY}"),
        ({"header": "x-key", "value": "{key}"}, f"x-key: {KEY}"),
        ({"header": "x-key", "value": 'v"$HOME`id`\\{key}:end'}, f'x-key: v"$HOME`id`\\{KEY}:end'),
    ],
)
def test_shell_inserts_the_key_in_its_form(auth, header):
    settings = {"preset": "gateway", "base_url": "https://gw.example", "api_key_env": "STUDIO_KEY", "auth": auth}
    quoted = key_header(profile("studio", settings))
    assert quoted
    assert KEY not in quoted
    assert shown_by_the_shell(quoted) == header
    assert f"--header {quoted}" in command(CALL, quoted, {})


def test_provider_without_a_key_has_no_such_header():
    assert key_header(profile("sandbox")) is None
    assert "--header 'Content-Type" in command(CALL, None, {})
