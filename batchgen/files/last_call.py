"""The last call of obstore without a thread, which the end of the interpreter waits for."""

from __future__ import annotations

import atexit
import math
import time


class LastCall:
    """The last call without a thread.

    Threads of obstore release what such a call was given a moment after it returns; if the interpreter ends at that
    moment, the process aborts. So its end waits for them.
    """

    at = -math.inf
    seconds = 0.25

    def wait(self) -> None:
        """Wait until nothing of the last call is left."""
        time.sleep(max(0.0, self.at + self.seconds - time.monotonic()))


last_call = LastCall()
atexit.register(last_call.wait)
