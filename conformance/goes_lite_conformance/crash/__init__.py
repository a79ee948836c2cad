"""Killed at any moment: what was acknowledged is stored, nothing is half-written, and no other process is affected.

Processes are killed with SIGKILL (or the equivalent of this system) after a random number of messages and
microseconds, and what they leave is judged in this process. With one round 16 are killed at random moments, with 100
(`--rounds 100`) 1,600, for each variant of the backend that several processes can use. (If pytest is configured to
end tests that seem to hang, such a run needs `-o faulthandler_timeout=0`.)

Belongs here: rules about killed processes, what these processes write (`writing`), and the judges of what they leave.
"""

from __future__ import annotations

from goes_lite_conformance.crash.appends import AppendRules
from goes_lite_conformance.crash.processors import ProcessorRules
from goes_lite_conformance.crash.survivors import SurvivorRules
from goes_lite_conformance.crash.transactions import TransactionRules

__all__ = ["CrashTests"]


class CrashTests(AppendRules, TransactionRules, ProcessorRules, SurvivorRules):
    """Rules CR: what a killed process leaves to others."""
