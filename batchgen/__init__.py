"""Images in bulk from paid APIs: overnight, unattended, every cent accounted for.

``batchgen help python`` describes the interface for programs. Its names are imported when they are first used, so that
``import batchgen`` costs almost nothing.
"""

TYPE_CHECKING = False  # importing it from typing would be the greater part of the cost
if TYPE_CHECKING:
    from .api import (
        AlreadyRunning,
        Amount,
        Batch,
        BatchgenError,
        ExitCode,
        Job,
        KeyMissing,
        LedgerLine,
        ManifestError,
        NotFound,
        Plan,
        Problem,
        Progress,
        Request,
        Result,
        SchemaMismatch,
        SettingsError,
        SpendNotConfirmed,
        StoreError,
        UsageError,
        jobs,
        ledger,
        load,
        plan,
        run,
        run_async,
    )
    from .version import __version__

__all__ = [
    "AlreadyRunning",
    "Amount",
    "Batch",
    "BatchgenError",
    "ExitCode",
    "Job",
    "KeyMissing",
    "LedgerLine",
    "ManifestError",
    "NotFound",
    "Plan",
    "Problem",
    "Progress",
    "Request",
    "Result",
    "SchemaMismatch",
    "SettingsError",
    "SpendNotConfirmed",
    "StoreError",
    "UsageError",
    "__version__",
    "jobs",
    "ledger",
    "load",
    "plan",
    "run",
    "run_async",
]


def __getattr__(name: str) -> object:
    """Import a name of the interface."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "__version__":
        from . import version as module
    else:
        from . import api as module  # type: ignore[no-redef]
    value = globals()[name] = getattr(module, name)
    return value


def __dir__() -> list[str]:
    """Return the names of the interface too."""
    return sorted({*globals(), *__all__})
