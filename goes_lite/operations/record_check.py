"""Check what a store keeps besides events: checkpoints and leases, parked events, commands and receipts, read models.

Rule of this file: it reads the records that the features keep (see `contract.own_collections`), and knows none of the features.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, cast

from goes_lite.contract.backend import View
from goes_lite.contract.checkpoints import LeaseStore
from goes_lite.contract.model_store import ModelRecord
from goes_lite.contract.own_collections import COMMANDS, PROCESSORS, PROJECTIONS, RECEIPTS, parked_collection
from goes_lite.errors import InvalidQueryError
from goes_lite.events.fields import is_micros
from goes_lite.operations.reporting import Report

Document = dict[str, Any]


class RecordCheck:
    """The checks of one store, as of one moment; `head` is that of the log."""

    def __init__(self, view: View, report: Report, head: int) -> None:
        self._view = view
        self._report = report
        self._head = head

    async def consumers(self, leases: LeaseStore) -> None:
        """Check that no checkpoint is ahead of the log, that all belong to this store, and what is kept under their names."""
        identity, expect = self._view.identity, self._report.expect
        for checkpoint in await self._view.checkpoints.all():
            name, position, store, _ = checkpoint
            self._report.counts["checkpoints"] += 1
            if position > self._head:
                self._report.wrong(
                    "checkpoint-ahead",
                    f"the checkpoint {name!r} is at {position}, but the head is {self._head}",
                    f"reset the processor {name!r}, or restore the store again",
                )
            if store != identity:
                self._report.wrong(
                    "checkpoint-foreign",
                    f"the checkpoint {name!r} belongs to the store {store}, but this one is {identity}",
                    f"reset the processor {name!r}",
                )
            found = await self._view.checkpoints.get(name)
            expect(
                found == checkpoint,
                "checkpoint-lookup",
                f"the checkpoint {name!r} is listed as {checkpoint}, but get() returns {found}",
            )
            if lease := await leases.get(name):
                self._report.counts["leases"] += 1
                expect(lease.token >= 1 and bool(lease.owner), "lease-wrong", f"the lease {name!r} cannot be: {lease}")
            await self._own(parked_collection(name), "parked", self._parked)

    async def own(self) -> None:
        """Check commands, receipts, and the records of processors and projections."""
        await self._own(COMMANDS, "commands", _command)
        await self._own(RECEIPTS, "receipts", _receipt)
        await self._own(PROCESSORS, "records", _numbers)
        await self._own(PROJECTIONS, "records", self._projection)

    async def models(self, collection: str) -> None:
        """Check that each record of a collection is valid JSON, with a unique id and a version."""
        before: str | None = None
        async for record in self._view.models.query(collection):
            what = f"the model {record.id!r} of {collection!r}"
            self._report.counts["models"] += 1
            expect = self._report.expect
            expect(before is None or before < record.id, "model-order", f"{what} is listed after {before!r}")
            before = record.id
            expect(record.version >= 1, "model-version", f"{what} has version {record.version}")
            expect(
                await self._view.models.get(collection, record.id) == record,
                "model-lookup",
                f"{what} is not what get() returns",
            )
            try:
                json.loads(record.data)
            except (ValueError, RecursionError) as error:
                self._report.wrong(
                    "model-unreadable", f"{what} is not valid JSON: {error}", "rebuild the projection that made it"
                )

    async def _own(self, collection: str, what: str, check: Callable[[str, Document], str]) -> None:
        """Check the records of a collection of goes_lite's own; `check` returns what is wrong with one, if anything is."""
        try:
            pages = self._view.models.query(collection)
            while page := await pages.next_page():
                for record in page:
                    self._report.counts[what] += 1
                    if problem := _problem(record, check):
                        self._report.wrong(
                            f"{what}-wrong",
                            f"the record {record.id!r} of {collection!r} is not as it was written: {problem}",
                        )
        except InvalidQueryError:  # the name of a checkpoint may be longer than that of a processor
            return

    def _parked(self, id: str, found: Document) -> str:
        position = found.get("position")
        if type(position) is not int or id != f"{position:019d}":
            return f"its position is {position!r:.80}"
        if position > self._head:
            return f"it is of the event at position {position}, but the head is {self._head}"
        if type(found.get("name")) is not str or type(found.get("error")) is not str:
            return "it has no name or error"
        return "" if _is_count(found.get("attempts")) else f"its attempts are {found.get('attempts')!r:.80}"

    def _projection(self, id: str, found: Document) -> str:
        until = found.get("replay_until", 0)
        if not _is_count(found.get("version")) or not _is_count(until):
            return "its version is no number"
        return f"it was read up to {until}, but the head is {self._head}" if until > self._head else ""


def _problem(record: ModelRecord, check: Callable[[str, Document], str]) -> str:
    if record.version < 1:
        return f"it has version {record.version}"
    try:
        found: object = json.loads(record.data)
    except (ValueError, RecursionError) as error:
        return f"it is not valid JSON: {error!s:.80}"
    return check(record.id, cast("Document", found)) if isinstance(found, dict) else "it is no object"


def _command(id: str, found: Document) -> str:
    if found.get("id") != id:
        return f"it is of the command {found.get('id')!r:.80}"
    if found.get("state", "waiting") not in ("waiting", "failed", "sent"):
        return f"its state is {found.get('state')!r:.80}"
    due = found.get("due")
    if type(due) is not int or not is_micros(due):
        return f"it is due at {due!r:.80}"
    texts = ("command", "encoding", "payload", "time")
    return "" if all(type(found.get(field)) is str for field in texts) else "it has no command, payload or time"


def _receipt(id: str, found: Document) -> str:
    data = found.get("data")
    if type(data) is not str or len(data) != 64 or not all(character in "0123456789abcdef" for character in data):
        return f"the hash of its command is {data!r:.80}"
    result = found.get("result")
    if result is not None and type(result) is not str:
        return f"its result is {result!r:.80}"
    return "" if type(found.get("command")) is type(found.get("time")) is str else "it has no command or time"


def _numbers(id: str, found: Document) -> str:
    return "" if all(map(_is_count, found.values())) else f"it has {found!r:.80}"


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 0
