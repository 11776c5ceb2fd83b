"""The options of a run that the next one needs as well, from its command line."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from batchgen.app.repeated_options import command_of_call, repeated_options, shard_of_command


@pytest.mark.parametrize(
    ("command", "options"),
    [
        ("", ""),
        ("batchgen run m.yaml --yes", ""),
        ("batchgen run m.yaml --backend ray --address h:6379 --yes", " --backend ray --address h:6379"),
        ("batchgen run --workers=4 --backend=ray m.yaml", " --backend ray --workers 4"),
        ("batchgen run m.yaml --budget 1 --out 'my pictures' --budget 2", " --budget 2 --out 'my pictures'"),
        ("batchgen run m.yaml --shard 2/3 --limit 4", " --shard 2/3"),
        ("batchgen run m.yaml --address", ""),
        ("batchgen run m.yaml --out postgresql://ann:pw@h/shop", " --out postgresql://ann@h/shop"),
        ("batchgen.run('it's.yaml', backend='ray')", ""),
        ("batchgen.run('m.yaml')", ""),
        (command_of_call("it's.yaml", {"budget": Decimal("0.5"), "backend": "ray", "address": "h:1", "workers": 3}),
         " --budget 0.5 --backend ray --address h:1 --workers 3"),
        (command_of_call("m.yaml", {"output": Path("my pictures"), "address": None}), " --out 'my pictures'"),
    ],
)  # fmt: skip
def test_options_that_the_next_run_needs_are_found_in_the_command_of_the_last(command, options):
    assert repeated_options(command) == options


@pytest.mark.parametrize(
    ("command", "shard"),
    [("batchgen run --shard 2/3", (2, 3)), ("batchgen run", None), ("batchgen run --shard x", None)],
)
def test_shard_is_read_from_a_command(command, shard):
    assert shard_of_command(command) == shard
