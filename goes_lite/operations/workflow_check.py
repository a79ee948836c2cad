"""Check what is kept of workflows: that timers, associations and the history agree with the instances.

Rule of this file: it knows no feature, as `record_check`. The instances are the truth: an index without a row means that a timer
never fires, or that an event never reaches its instance.
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from typing import Any, cast

from goes_lite.contract.backend import View
from goes_lite.contract.own_collections import (
    TIMER_PARKED,
    WORKFLOWS,
    associations_collection,
    instances_collection,
    timer_row_id,
    timers_collection,
)
from goes_lite.events.fields import OF_WORKFLOWS, AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.operations.reporting import Report

Document = dict[str, Any]

_ENDED = frozenset(("completed", "failed", "cancelled"))
_STATUSES = _ENDED | {"running", "compensating", "suspended"}


async def check_workflows(view: View, report: Report) -> None:
    """Check all workflows of a store, as of one moment."""
    for collection in await view.models.collections():
        if collection.startswith(WORKFLOWS):
            await _Check(view, report, collection.removeprefix(WORKFLOWS)).all()


class _Check:
    """The checks of one workflow."""

    def __init__(self, view: View, report: Report, name: str) -> None:
        self._view = view
        self._report = report
        self._name = name
        self._timers = timers_collection(name)
        self._associations = associations_collection(name)

    async def all(self) -> None:
        async for id, found in self._records(instances_collection(self._name)):
            await self._instance(id, found)
        async for id, found in self._records(self._timers):
            await self._timer(id, found)
        async for id, found in self._records(self._associations):
            for key in _texts(found.get("keys")):
                if id not in _associations(await self._get(key)):
                    self._wrong(
                        "association", key, f"has no association {id!r:.120}, which is kept for it: it is ignored"
                    )

    async def _records(self, collection: str) -> AsyncIterator[tuple[str, Document]]:
        async for record in self._view.models.query(collection):
            found = _document(record.data)
            if found is None:
                problem = f"the record {record.id!r:.120} of {collection!r} is not as it was written"
                self._report.wrong("workflow-wrong", problem, "restore it from a backup")
            else:
                yield record.id, found

    async def _get(self, key: str) -> Document:
        record = await self._view.models.get(instances_collection(self._name), key)
        return (record and _document(record.data)) or {}

    async def _instance(self, key: str, found: Document) -> None:
        if found.get("key") != key or found.get("status") not in _STATUSES or type(found.get("events")) is not int:
            self._wrong("wrong", key, "is not as it was written")
            return
        history = AggregateRef(OF_WORKFLOWS + self._name, key)
        recorded = await self._view.events.count(EventQuery(aggregates=[history]))
        if recorded != found["events"]:
            self._wrong("history", key, f"has a history of {recorded} events, and its record is of {found['events']}")
        for id, name in _rows(found).items():
            if await self._view.models.get(self._timers, id) is None:
                self._wrong("timer", key, f"waits for {name}, which never comes: no row is kept for it")
        for other in _associations(found):
            row = await self._view.models.get(self._associations, other)
            if key not in _texts(((row and _document(row.data)) or {}).get("keys")):
                self._wrong("association", key, f"is associated with {other!r:.120}, whose events never reach it")

    async def _timer(self, id: str, row: Document) -> None:
        key = str(row.get("key"))
        if id.startswith(TIMER_PARKED):
            self._wrong("timer", key, f"has a timer that could not be read and was put aside: {id!r:.80}")
        elif id not in _rows(await self._get(key)):
            self._wrong("timer", key, f"has no timer {row.get('name')!r:.80} as one is kept for it: it is ignored")

    def _wrong(self, code: str, key: str, problem: str) -> None:
        fix = f"look at it: goes-lite workflows show STORE {self._name}/{key}"
        self._report.wrong(
            f"workflow-{code}", f"the instance {key!r:.120} of the workflow {self._name!r} {problem}", fix
        )


def _document(data: str) -> Document | None:
    try:
        found: object = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return cast("Document", found) if isinstance(found, dict) else None


def _rows(found: Document) -> dict[str, str]:
    """Return the rows of the timers that an instance must have, by id, and what each is."""
    key, failing, timers = str(found.get("key")), found.get("failing"), found.get("timers")
    if not found or found.get("status") in _ENDED:
        return {}
    if isinstance(failing, dict):
        due: Any = cast("Document", failing).get("retry")
        return {timer_row_id("retry", "", key, due): "its next attempt"} if type(due) is int and due else {}
    named: Document = cast("Document", timers) if isinstance(timers, dict) else {}
    return {
        timer_row_id("timer", name, key, due): f"its timer {name!r:.80}"
        for name, due in named.items()
        if type(due) is int
    }


def _associations(found: Document) -> list[str]:
    return [] if found.get("status") in _ENDED else _texts(found.get("associations"))


def _texts(found: object) -> list[str]:
    return [one for one in cast("list[object]", found) if isinstance(one, str)] if isinstance(found, list) else []
