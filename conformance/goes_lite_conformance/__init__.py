"""What every backend of goes_lite must do, as suites of rules.

from goes_lite_conformance import Contract, EventStoreTests, Storage

class Acme(Contract):
    def url(self, storage: Storage) -> str:
        return f"acme://{storage.folder}/log"

class TestEvents(Acme, EventStoreTests): ...
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

try:
    import pytest
except ModuleNotFoundError:
    _MISSING = "goes_lite_conformance needs pytest: pip install 'goes-lite[conformance]'"
    if sys.argv[:1] != ["-m"]:
        raise ModuleNotFoundError(_MISSING, name="pytest") from None
    sys.stderr.write(f"error: {_MISSING}\n")  # `python -m` would show a traceback
    sys.exit(2)

# Before they are imported: a rule that fails shows both sides of what it compared.
pytest.register_assert_rewrite(*(
    f"{__name__}.{module}"
    for module in (
        "harness", "event_store", "event_bus", "backend", "snapshot_store", "model_store",
        "checkpoints", "processor", "parity", "concurrency", "crash", "stateful", "sqlite_power", "workflow",
    )
))  # fmt: skip

from goes_lite_conformance.backend import BackendTests  # noqa: E402
from goes_lite_conformance.checkpoints import CheckpointAndLeaseTests  # noqa: E402
from goes_lite_conformance.concurrency import ConcurrencyTests  # noqa: E402
from goes_lite_conformance.crash import CrashTests  # noqa: E402
from goes_lite_conformance.event_bus import EventBusTests  # noqa: E402
from goes_lite_conformance.event_store import EventStoreTests  # noqa: E402
from goes_lite_conformance.harness.contract import Contract  # noqa: E402
from goes_lite_conformance.harness.place import Place  # noqa: E402
from goes_lite_conformance.harness.storage import Storage  # noqa: E402
from goes_lite_conformance.model_store import ModelStoreTests  # noqa: E402
from goes_lite_conformance.parity import ParityTests  # noqa: E402
from goes_lite_conformance.processor import ProcessorTests  # noqa: E402
from goes_lite_conformance.rule import Rule, needs, only, patience, rules_of  # noqa: E402
from goes_lite_conformance.snapshot_store import SnapshotStoreTests  # noqa: E402
from goes_lite_conformance.workflow import WorkflowTests  # noqa: E402

if TYPE_CHECKING:
    from goes_lite_conformance.stateful import StatefulTests

__all__ = [
    "BackendTests",
    "CheckpointAndLeaseTests",
    "ConcurrencyTests",
    "Contract",
    "CrashTests",
    "EventBusTests",
    "EventStoreTests",
    "ModelStoreTests",
    "ParityTests",
    "Place",
    "ProcessorTests",
    "Rule",
    "SnapshotStoreTests",
    "StatefulTests",
    "Storage",
    "WorkflowTests",
    "needs",
    "only",
    "patience",
    "rules_of",
]


if not TYPE_CHECKING:  # or a type checker would take any name for a suite

    def __getattr__(name: str) -> object:
        if name == "StatefulTests":  # the one suite that needs Hypothesis
            from goes_lite_conformance.stateful import StatefulTests

            return StatefulTests
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
