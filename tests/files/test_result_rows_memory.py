"""A result file of 2 GB is read within 200 MB of memory, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROWS, IMAGE = 500, 4_000_000
#: Reads every row twice, as a collection does: once to find it, and once to publish it.
PROGRAM = """
import re, sys
from pathlib import Path
from batchgen.files.result_rows import ResultRows
from batchgen.providers.openai_batch import OpenAIBatch

rows = ResultRows(OpenAIBatch().read_row)
rows.scan([Path(sys.argv[1])])
total = sum(len(rows.row(key).reply.body) for key in rows.places)
# Not getrusage: its peak begins with that of the process that started this one.
peak = re.search(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())[1]
print(len(rows.places), rows.unreadable, total, peak)
"""


@pytest.mark.slow
def test_rows_of_two_gigabytes_need_the_memory_of_one(tmp_path: Path) -> None:
    file = tmp_path / "output"
    image = b"A" * IMAGE
    with file.open("wb") as stream:
        for number in range(ROWS):
            stream.write(b'{"id": "batch_req", "custom_id": "%d", "response": {"status_code": 200, "body": ' % number)
            stream.write(b'{"data": [{"b64_json": "' + image + b'"}]}}, "error": null}\n')
    assert file.stat().st_size > 2_000_000_000
    found = subprocess.run([sys.executable, "-c", PROGRAM, str(file)], capture_output=True, text=True, check=True)
    file.unlink()
    count, unreadable, total, kilobytes = map(int, found.stdout.split())
    assert (count, unreadable) == (ROWS, 0)
    assert total > ROWS * IMAGE
    assert kilobytes < 200_000, kilobytes
