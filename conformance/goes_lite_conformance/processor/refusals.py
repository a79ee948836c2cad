"""Invalid arguments of processors: refused at once, without any effect."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Any

from goes_lite.contract.backend import TRANSACTIONS
from goes_lite.database import Database
from goes_lite.errors import AbilityMissing, ConfigError, InvalidQueryError
from goes_lite.processor import Continuously, Periodically, Retry
from goes_lite_conformance.harness.asserts import each_refused, refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import note
from goes_lite_conformance.processor._given import NAME, stands

Calls = dict[str, Callable[[], Any]]


def making(make: Callable[..., Any], *args: Any, **options: Any) -> Callable[[], Any]:
    """Return a call that makes it."""

    async def call() -> Any:
        return make(*args, **options)

    return call


class RefusalRules(Contract):
    """Rules PR-BAD."""

    async def test_wrong_arguments(self, db: Database) -> None:
        """PR-BAD-001: A bad name, query or start raises InvalidQueryError; a bad handler, batch or lease, ConfigError."""
        odd: Any
        calls: Calls = {}
        for odd in ("", "a\0b", "\ud800", "x" * 201, "é" * 101, None, 5, b"p"):
            calls[f"name {odd!r:.20}"] = making(db.processor, odd, print)
        for odd in ("end", "", -1, 1.5, True, None, "1", datetime(2026, 1, 1)):
            calls[f"start {odd!r}"] = making(db.processor, NAME, print, start=odd)
        for odd in ("sample.noted", None, ["sample.noted"]):
            calls[f"query {odd!r}"] = making(db.processor, NAME, print, query=odd)
        await each_refused(InvalidQueryError, calls)
        calls = {"handler": making(db.processor, NAME, "print")}
        for odd in (0, -1, 1.0, "1", True):
            calls[f"batch {odd!r}"] = making(db.processor, NAME, print, batch=odd)
        for odd in (0, -1, float("nan"), float("inf"), 1e9, "1", True, None):
            calls[f"lease {odd!r}"] = making(db.processor, NAME, print, lease=odd)
        await each_refused(ConfigError, calls)
        db.processor("x" * 200, print)
        db.processor("é" * 100, print, start=datetime.now().astimezone())

    async def test_wrong_policies(self) -> None:
        """PR-BAD-002: An invalid Retry or schedule raises ConfigError when it is constructed."""
        odd: Any
        calls: Calls = {
            "then": making(Retry, then="skip"),
            "order": making(Retry, then="park", order="loose"),
            "strict without park": making(Retry, order="strict"),
            "max_wait < debounce": making(Continuously, 1.0, 0.5),
        }
        for odd in (0, -1, 1.5, "5", None, True):
            calls[f"attempts {odd!r}"] = making(Retry, odd)
        for odd in (-1, float("nan"), float("inf"), "1", None):
            calls[f"debounce {odd!r}"] = making(Continuously, odd)
            calls[f"every {odd!r}"] = making(Periodically, odd)
        calls["every 0"] = making(Periodically, 0)
        await each_refused(ConfigError, calls)

    async def test_wrong_positions(self, db: Database) -> None:
        """PR-BAD-003: Waiting for an invalid position raises InvalidQueryError."""
        processor: Any = db.processor(NAME, print)
        await each_refused(
            InvalidQueryError,
            {repr(odd): partial(processor.wait_for, odd, 0) for odd in (-1, 1.5, "1", None, True)},
        )

    async def test_without_transactions(self, db: Database) -> None:
        """PR-BAD-004: A transactional handler raises AbilityMissing on a backend without transactions, and only there."""
        if TRANSACTIONS in db.abilities:
            db.processor(NAME, print, transactional=True)
            return
        with refused(AbilityMissing, ability=TRANSACTIONS):
            db.processor(NAME, print, transactional=True)

    async def test_nothing_happens_before_it_is_run(self, db: Database) -> None:
        """PR-BAD-005: A processor that is created and never run handles nothing and leaves nothing in the store."""
        calls: list[Any] = []
        await db.events.append([note("1")])
        db.processor(NAME, calls.append)
        assert (calls, await stands(db), await db.checkpoints.all(), await db.leases.get(NAME)) == ([], 0, [], None)
