"""The audit log of a store: who changed it by hand, when, what and why.

An entry is a read model in the collection `goes:audit`, so every backend keeps it, and a backup has it. It is written before
the change, and completed after it: an entry without an outcome tells of a change that was cut short.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime

from goes_lite.contract.backend import Backend
from goes_lite.contract.model_store import ModelStore
from goes_lite.contract.models import Models
from goes_lite.contract.own_collections import AUDIT
from goes_lite.errors import GoesError
from goes_lite.errors.functions import error_text
from goes_lite.events.ids import new_id_text
from goes_lite.runtime import Runtime

BEGUN, DONE = "begun", "done"


@dataclass(frozen=True)
class AuditEntry:
    """One change of a store by hand."""

    time: datetime
    """When it was begun (aware, UTC)."""
    who: str
    """The user and the machine, such as `ada@host`."""
    action: str
    """What was done, such as `delete`: a command, without its arguments."""
    target: str
    """What it was done to, such as `order/2026-001`."""
    effect: dict[str, int] = field(default_factory=dict[str, int])
    """How much it changed, by kind, such as `{"events": 3}`: as planned, then as done."""
    reason: str = ""
    outcome: str = BEGUN
    """`begun`, `done`, or the error that ended it."""


def audit_log(models: ModelStore, runtime: Runtime) -> Models[AuditEntry]:
    """Return the entries of a store, by ids that sort by time."""
    return Models(models, AUDIT, AuditEntry, runtime)


async def audited(
    backend: Backend,
    entry: AuditEntry,
    change: Callable[[], Awaitable[Mapping[str, int]]],
) -> AuditEntry:
    """Do the change, which returns what it changed, and keep an entry of it; return the completed entry.

    If the change raises, or is interrupted, the entry says so, and the exception propagates.
    """
    log, id = audit_log(backend.models, backend.runtime), new_id_text()
    await log.put(id, entry, expected=0)
    try:
        effect = await change()
    except BaseException as exc:
        with suppress(GoesError):  # the store may be the reason
            await log.put(id, replace(entry, outcome=error_text(exc)))
        raise
    done = replace(entry, effect=dict(effect), outcome=DONE)
    await log.put(id, done)
    return done
