"""The only package that speaks HTTP: a Call goes out, a Reply comes back.

Repeated here is only what cannot cost money: a connection that was never made, and the download of a result.  All else
belongs to ``retry.judge``, through the job table.  What arrives is kept, however its server framed it.
"""

from .client import ProviderClient, Transport
from .response import ResponseHead, decompressed

__all__ = ["ProviderClient", "ResponseHead", "Transport", "decompressed"]
