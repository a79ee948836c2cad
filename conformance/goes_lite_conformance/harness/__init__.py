"""Where a rule runs: storages, faces, worker processes and samples. Public, for tests of your own.

Belongs here: what several suites need to set a scene. A rule itself belongs into a suite.
"""

from __future__ import annotations

from goes_lite_conformance.harness.asserts import each_refused, refused, same, unchanged
from goes_lite_conformance.harness.contract import Contract, in_thread
from goes_lite_conformance.harness.faces import awaited, run
from goes_lite_conformance.harness.place import Alongside, Moment, Place, pause, until
from goes_lite_conformance.harness.storage import Declared, Hook, Storage
from goes_lite_conformance.harness.workers import Process, Processes, Worker, listen, say
from goes_lite_conformance.rule import Face

__all__ = [
    "Alongside",
    "Contract",
    "Declared",
    "Face",
    "Hook",
    "Moment",
    "Place",
    "Process",
    "Processes",
    "Storage",
    "Worker",
    "awaited",
    "each_refused",
    "in_thread",
    "listen",
    "pause",
    "refused",
    "run",
    "same",
    "say",
    "unchanged",
    "until",
]
