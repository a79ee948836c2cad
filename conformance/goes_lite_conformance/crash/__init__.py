"""Killed at any moment: what was acknowledged is there, nothing is half-written, and nobody else is disturbed.

Processes are killed with SIGKILL (or what ends a process at once on this system), after a random number of words and
microseconds, and what they leave is judged in this process. With one round 16 are killed at random moments; with 100
(`--rounds 100`) 1,600 are, for each variant of the backend that several processes can use. (Where pytest is told to end
tests that seem to hang, such a run needs `-o faulthandler_timeout=0`.)

Belongs here: rules about processes that are killed, what such processes write (`writing`), and who judges what they leave.
"""

from __future__ import annotations

from goes_lite_conformance.crash.appends import AppendRules
from goes_lite_conformance.crash.processors import ProcessorRules
from goes_lite_conformance.crash.survivors import SurvivorRules
from goes_lite_conformance.crash.transactions import TransactionRules

__all__ = ["CrashTests"]


class CrashTests(AppendRules, TransactionRules, ProcessorRules, SurvivorRules):
    """Rules CR: what a process that is killed leaves to others."""
