"""What an error means for the command line: the exit code, and the command that helps."""

from __future__ import annotations

from goes_lite import errors
from goes_lite.cli.catalog import rows
from goes_lite.cli.exits import FINDINGS, UNAVAILABLE, USAGE

_HINTS: tuple[tuple[type[Exception], str], ...] = (
    (errors.StoreLocked, "doctor"),
    (errors.StoreDamaged, "verify"),
    (errors.NetworkFilesystem, "doctor"),
    (errors.CheckpointMismatch, "consumers"),
    (errors.ImportUnfinished, "import"),
    (errors.UnknownBackend, "config"),
)
"""The command that helps after an error, for the first class that fits."""

_HELD_BY_THE_STORE = (errors.StoreError, errors.AppendInDoubtError, errors.BusError, errors.StillRunning)
_FOUND_IN_THE_STORE = (errors.CodecError, errors.UnknownEventError, errors.ModelError)


def exit_code(error: BaseException) -> int:
    """Return 3 if the store cannot be used, 1 if what it holds cannot be read, else 2: what was asked is wrong."""
    if isinstance(error, _HELD_BY_THE_STORE):
        return UNAVAILABLE
    if isinstance(error, _FOUND_IN_THE_STORE):
        return FINDINGS
    return USAGE if isinstance(error, errors.GoesError) else UNAVAILABLE


def hint_for(error: BaseException) -> str:
    """Return the command that helps, or nothing."""
    return next((f"goes-lite {name}" for kind, name in _HINTS if isinstance(error, kind) and name in rows()), "")
