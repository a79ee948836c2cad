"""How accepted commands end: they are removed, or kept as failed. Those that ask for it have their outcome written as an event.

Rule of this file: both happen in one transaction, for a command that still waits. So an outcome is written once, whichever
worker handled the command, and whichever was killed in between. On a backend without transactions, a condition of the append
makes the first outcome of a command the only one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any, Literal, NamedTuple
from uuid import UUID

from goes_lite.commands._accepted import KeptCommand, accepted_in, error_fields, read
from goes_lite.contract.backend import TRANSACTIONS, Backend, Transaction
from goes_lite.contract.event_store import AppendCondition
from goes_lite.contract.own_collections import COMMANDS
from goes_lite.errors import AppendConditionFailed, CommandRejected, ModelConflict, ModelNotFound
from goes_lite.events.context import Context
from goes_lite.events.event import Event
from goes_lite.events.outcome import COMMAND_OUTCOME, REPORT, CommandOutcome, reported_tags
from goes_lite.events.query import EventQuery

TRIES = 10
"""How often it is tried to settle a command that others change at the same time."""


class Verdict(NamedTuple):
    """The outcome of a command."""

    outcome: Literal["done", "rejected", "failed"]
    result: str | None = None
    """The result of its handler, as JSON."""
    fields: Mapping[str, Any] = {}
    """The fields of the accepted command that store the error."""

    @property
    def removes(self) -> bool:
        """Whether the accepted command is not needed any more."""
        return self.outcome == "done" or self.fields.get("code") == WITHDRAWN


def done(result: str | None) -> Verdict:
    """It was handled; the result is JSON."""
    return Verdict("done", result)


def failed(error: Exception, **fields: Any) -> Verdict:
    """It is given up, or was rejected."""
    rejected = isinstance(error, CommandRejected)
    return Verdict("rejected" if rejected else "failed", None, {**error_fields(error), **fields})


WITHDRAWN = "withdrawn"
withdrawn = Verdict("failed", None, {"error": "it was withdrawn", "code": WITHDRAWN, "details": "{}"})
"""It was removed before it was handled."""


def asks(metadata: Mapping[str, str]) -> bool:
    """Whether a command with this metadata asks for its outcome."""
    return REPORT in metadata


def outcome_event(
    store: Backend | Transaction, backend: Backend, id: UUID, command: str, metadata: Mapping[str, str], said: Verdict
) -> Event[CommandOutcome]:
    """Return the event that tells an outcome: caused by the command, with its correlation and the tags that it asks for."""
    error = str(said.fields.get("error", ""))
    if said.outcome == "rejected":  # without the type, which is that of the rejection
        error = error.partition(": ")[2]
    code, details = str(said.fields.get("code", "")), str(said.fields.get("details", "{}"))
    return Event(
        CommandOutcome(id, command, said.outcome, said.result, code, error, details, said.fields.get("attempts", 1)),
        metadata=Context.of(metadata, str(id)).metadata, time=store.runtime.clock.now(),
        tags={f"command:{id}", *(reported_tags(metadata) or ())}, registry=backend.registry,
    )  # fmt: skip


async def settle(backend: Backend, accepted: KeptCommand, said: Verdict, tx: Transaction | None = None) -> bool:
    """End an accepted command, as it was when it was begun, and write its outcome if it asks for that.

    Nothing happens if it ended elsewhere in the meantime; return whether it ended here.
    """
    if not asks(accepted.metadata):
        return await _end(tx or backend, accepted.id, said)
    if tx is not None:
        return await _settle_in(tx, backend, accepted, said)
    if TRANSACTIONS not in backend.abilities:
        await tell_once(backend, backend, accepted.id, accepted.command, accepted.metadata, said)
        return await _end(backend, accepted.id, said)
    if await backend.models.get(COMMANDS, str(accepted.id)) is None:
        return False  # the transaction of its handler ended it, as usual
    for attempt in range(1, TRIES + 1):
        try:
            async with backend.transaction() as own:
                return await _settle_in(own, backend, accepted, said)
        except ModelConflict:
            if attempt == TRIES:
                raise
    raise AssertionError("the last try returns or raises")


async def settle_handled(
    tx: Transaction, backend: Backend, id: UUID, command: str, metadata: Mapping[str, str], result: str | None
) -> None:
    """End a command that asks for its outcome, in the transaction in which it was handled."""
    if await accepted_in(tx).delete(str(id)):
        await tx.events.append([outcome_event(tx, backend, id, command, metadata, done(result))])


async def tell_once(
    store: Backend | Transaction, backend: Backend, id: UUID, command: str, metadata: Mapping[str, str], said: Verdict
) -> None:
    """Write the outcome of a command that does not wait any more, unless it is in the log already."""
    query = EventQuery([COMMAND_OUTCOME], tags=[f"command:{id}"])
    if not await store.events.query(query, limit=1).list():
        with suppress(AppendConditionFailed):  # somebody was faster
            event = outcome_event(store, backend, id, command, metadata, said)
            await store.events.append([event], condition=AppendCondition(query))


def merged(one: Mapping[str, str], other: Mapping[str, str]) -> dict[str, str]:
    """Return the metadata of a command that is accepted again, with all tags for which it asks."""
    tags = (reported_tags(one) or frozenset()) | (reported_tags(other) or frozenset())
    return {**one, REPORT: json.dumps(sorted(tags), ensure_ascii=False)}


async def _settle_in(tx: Transaction, backend: Backend, accepted: KeptCommand, said: Verdict) -> bool:
    record = await tx.models.get(COMMANDS, str(accepted.id))
    if record is None:
        return False
    found = read(record, tx.runtime.clock.now())
    if said.outcome != "done" and (found.state == "failed" or found.attempts != accepted.attempts):
        return False  # it failed elsewhere, or a worker that began it after this one decides
    if said.fields:
        said = said._replace(fields={"attempts": found.attempts, **said.fields})
    if said.removes:
        if not await tx.models.delete(COMMANDS, record.id):
            return False
    else:
        await accepted_in(tx).put(record.id, replace(found, **said.fields, state="failed"), expected=record.version)
    await tx.events.append([outcome_event(tx, backend, found.id, found.command, found.metadata, said)])
    return True


async def _end(store: Backend | Transaction, id: UUID, said: Verdict) -> bool:
    if said.removes:
        return await accepted_in(store).delete(str(id))
    try:
        await accepted_in(store).use(str(id), lambda found: replace(found, **said.fields, state="failed"))
    except ModelNotFound:  # withdrawn, or handled elsewhere, in the meantime
        return False
    return True
