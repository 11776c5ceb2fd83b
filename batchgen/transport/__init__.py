"""HTTP: sends a Call and returns a Reply. No other package imports the HTTP client.

Only what cannot cost money is repeated here: a connection that was never made, and the download of a result.
``retry.judge`` decides about everything else, through the job database. Whatever arrives is stored, however sloppy its
framing.
"""

from .client import ProviderClient, Transport
from .errors import LostResultError
from .response import BufferSink, ResponseHead, Sink, decompressed
from .statuses import is_temporary

__all__ = [
    "BufferSink",
    "LostResultError",
    "ProviderClient",
    "ResponseHead",
    "Sink",
    "Transport",
    "decompressed",
    "is_temporary",
]
