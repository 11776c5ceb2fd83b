"""The memory of one answer is used again for the next: no page comes from the system twice."""

from __future__ import annotations

import platform
import subprocess
import sys
import textwrap

import pytest

CODE = """
    import resource, sys, threading
    from batchgen.app.allocator import keep_memory

    def answers():
        for _ in range(5):
            one()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            one()
        print((resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before) // 20)

    def one():
        body = bytes(3_500_000)
        text = str(memoryview(body), "ascii")
        return body, text, bytes(2_600_000)

    if sys.argv[1:]:
        keep_memory()
    thread = threading.Thread(target=answers)
    thread.start()
    thread.join()
    """


def page_faults(*options: str) -> int:
    command = [sys.executable, "-c", textwrap.dedent(CODE), *options]
    return int(subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout)


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library keeps memory by rules of its own")
def test_memory_of_an_answer_is_used_again():
    assert page_faults("keep") < 100 < page_faults()
