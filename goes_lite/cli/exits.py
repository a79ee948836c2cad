"""How a command ends: exit codes, and the error for wrong arguments."""

from __future__ import annotations

OK, FINDINGS, USAGE, UNAVAILABLE, DEFECT, INTERRUPTED = 0, 1, 2, 3, 70, 130
"""Exit codes. DEFECT is for what should never happen: an exception that is no error of goes_lite."""


class UsageError(Exception):
    """The words after `goes-lite` are wrong. `hint` is the command that helps."""

    def __init__(self, message: str, hint: str = "") -> None:
        self.hint = hint
        super().__init__(message)
