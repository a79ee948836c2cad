"""Building blocks for backends.

Belongs here: code that only backends use, and that names no backend. Authors of backends import it from this module, together
with whatever else they need of `goes_lite` that is neither a public name nor in `goes_lite.contract`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from goes_lite.events.event import id_bytes, metadata_json, restore, tags_json, time_micros
    from goes_lite.events.fields import aggregate_ref, check_name, check_text, from_micros, to_micros
    from goes_lite.events.query import EVERYTHING, check_for_query, check_query
    from goes_lite.kit.batch import AppendBatch, Step, check_batch, check_repeated
    from goes_lite.kit.branches import Branch, Window, branches, positions
    from goes_lite.kit.bus import InProcessBus
    from goes_lite.kit.committer import Committer, Operation, Retries, decide, mark_in_doubt
    from goes_lite.kit.events import AggregateRow, EventRows, Executor, LogEvents, Page, page_of
    from goes_lite.kit.fencing import changed_fence, check_fenced, fence_json, fence_of, standing
    from goes_lite.kit.importing import Import, check_import, check_new, check_same, tagged
    from goes_lite.kit.leases import (
        NOBODY,
        StoredLease,
        acquired,
        check_claim,
        check_current,
        checkpoint,
        held,
        renewed,
    )  # fmt: skip
    from goes_lite.kit.paging import keyset_pages, lower_bound, upper_bound
    from goes_lite.kit.patience import Patience
    from goes_lite.kit.reading import EventReader
    from goes_lite.kit.select import Found, Reading, answer, read_count, read_highest, read_page
    from goes_lite.kit.sql import MAX_INTEGER, SQLITE, Dialect, Sql, condition
    from goes_lite.kit.table_checkpoints import Checkpoints, Leases
    from goes_lite.kit.table_fence import fence_change, fence_of_tables, fenced
    from goes_lite.kit.tables import (
        Change,
        FrozenSession,
        Models,
        Record,
        Snapshots,
        Store,
        Tables,
        packed,
        reads,
        unpacked,
        writes,
    )  # fmt: skip
    from goes_lite.kit.transaction import (
        Session,
        StoresInside,
        TransactionBlock,
        UserTransaction,
        check_not_inside,
        check_write,
        current_session,
    )  # fmt: skip
    from goes_lite.kit.view import Moment, StoresView, ViewBlock, refuse_write
    from goes_lite.kit.watcher import LoopWatcher
    from goes_lite.runtime import Clock, Runtime, Signal, SystemClock

__all__ = [
    "EVERYTHING",
    "MAX_INTEGER",
    "NOBODY",
    "SQLITE",
    "AggregateRow",
    "AppendBatch",
    "Branch",
    "Change",
    "Checkpoints",
    "Clock",
    "Committer",
    "Dialect",
    "EventReader",
    "EventRows",
    "Executor",
    "Found",
    "FrozenSession",
    "Import",
    "InProcessBus",
    "Leases",
    "LogEvents",
    "LoopWatcher",
    "Models",
    "Moment",
    "Operation",
    "Page",
    "Patience",
    "Reading",
    "Record",
    "Retries",
    "Runtime",
    "Session",
    "Signal",
    "Snapshots",
    "Sql",
    "Step",
    "Store",
    "StoredLease",
    "StoresInside",
    "StoresView",
    "SystemClock",
    "Tables",
    "TransactionBlock",
    "UserTransaction",
    "ViewBlock",
    "Window",
    "acquired",
    "aggregate_ref",
    "answer",
    "branches",
    "changed_fence",
    "check_batch",
    "check_claim",
    "check_current",
    "check_fenced",
    "check_for_query",
    "check_import",
    "check_name",
    "check_new",
    "check_not_inside",
    "check_query",
    "check_repeated",
    "check_same",
    "check_text",
    "check_write",
    "checkpoint",
    "condition",
    "current_session",
    "decide",
    "fence_change",
    "fence_json",
    "fence_of",
    "fence_of_tables",
    "fenced",
    "from_micros",
    "held",
    "id_bytes",
    "keyset_pages",
    "lower_bound",
    "mark_in_doubt",
    "metadata_json",
    "packed",
    "page_of",
    "positions",
    "read_count",
    "read_highest",
    "read_page",
    "reads",
    "refuse_write",
    "renewed",
    "restore",
    "standing",
    "tagged",
    "tags_json",
    "time_micros",
    "to_micros",
    "unpacked",
    "upper_bound",
    "writes",
]  # fmt: skip

_MODULES = (
    "events.event", "events.fields", "events.query", "kit.batch", "kit.branches", "kit.select", "kit.bus", "kit.events",
    "kit.leases", "kit.paging", "kit.reading", "kit.sql", "kit.tables", "kit.table_checkpoints", "kit.fencing",
    "kit.table_fence", "kit.transaction", "kit.importing", "kit.view", "runtime", "kit.committer", "kit.patience",
    "kit.watcher",
)  # fmt: skip
"""The modules that define the names. Those that import asyncio come last, since a blocking program does without it."""


if not TYPE_CHECKING:  # a type checker that sees it accepts any name

    def __getattr__(name: str) -> object:
        from importlib import import_module

        if name in __all__:
            for module in _MODULES:
                if hasattr(found := import_module(f"goes_lite.{module}"), name):
                    return getattr(found, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
