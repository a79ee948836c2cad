"""No public call lets an error of Python's insides or of a driver out, whatever it is given."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import goes_lite as goes
from tests import wrong_arguments_kit as kit

slow = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
quick = settings(max_examples=3 * settings().max_examples, deadline=None, suppress_health_check=slow)


@pytest.fixture(scope="module", name="db")
def open_database() -> Iterator[goes.blocking.BlockingDatabase]:
    with goes.blocking.connect("sqlite:///:memory:", registry=kit.registry) as db:
        db.repository(kit.Order).use("1", kit.Order.place, create=True)
        yield db


@pytest.fixture(scope="module", name="blocking_calls")
def calls_of_the_blocking_face(db: goes.blocking.BlockingDatabase) -> list[kit.Call]:
    orders = db.repository(kit.Order)
    snapshot, lease = orders.snapshot(orders.fetch("1")), db.leases.acquire("l", "me", 60)
    return [*kit.calls_of_database(db, snapshot, lease), *kit.calls_of_values()]


@quick
@given(data=st.data(), value=kit.odd)
def test_a_wrong_argument_is_an_error_of_ours(
    data: st.DataObject, value: Any, blocking_calls: list[kit.Call], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One argument of a public call of the blocking face, or of a value, is wrong: it is taken, or refused by a GoesError."""
    call = data.draw(st.sampled_from(blocking_calls))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.getbasetemp())  # a path may be good by accident
        kit.check(call, value, partial(kit.settled, call, value))


@pytest.fixture(scope="module", name="async_calls")
def calls_of_the_async_face(blocking_calls: list[kit.Call]) -> Iterator[tuple[list[kit.Call], asyncio.Runner]]:
    public = {call.label for call in blocking_calls}  # objects of the async face also have methods for other packages
    with asyncio.Runner() as runner:

        async def opened() -> tuple[goes.Database, list[kit.Call]]:
            db = await goes.connect("sqlite:///:memory:", registry=kit.registry)
            orders = db.repository(kit.Order)
            await orders.use("1", kit.Order.place, create=True)
            snapshot = await orders.snapshot(await orders.fetch("1"))
            calls = kit.calls_of_database(db, snapshot, await db.leases.acquire("l", "me", 60))
            return db, [call for call in calls if call.label in public]

        db, calls = runner.run(opened())
        yield calls, runner
        runner.run(db.close())


@settings(quick, max_examples=settings().max_examples)
@given(data=st.data(), value=kit.odd)
def test_a_wrong_argument_is_an_error_of_ours_on_the_async_face(
    data: st.DataObject,
    value: Any,
    async_calls: tuple[list[kit.Call], asyncio.Runner],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """The same there."""
    calls, runner = async_calls
    call = data.draw(st.sampled_from(calls))

    async def act() -> None:
        result: Any = call(value)
        if inspect.isawaitable(result):
            await result
        elif hasattr(result, "next_page"):
            await result.next_page()

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.getbasetemp())
        kit.check(call, value, lambda: runner.run(act()))


@quick
@given(data=st.data(), value=kit.odd)
def test_a_wrong_argument_in_a_transaction(data: st.DataObject, value: Any, db: goes.blocking.BlockingDatabase) -> None:
    """Inside a transaction too, which goes on after the error, or says that it was rolled back."""
    with db.transaction() as tx:
        snapshot = None
        calls = [*kit.calls_of_stores("tx", tx, snapshot), *kit.calls("tx.execute", tx.execute)]
        call = data.draw(st.sampled_from(calls))
        kit.check(call, value, partial(kit.settled, call, value))
        assert tx.execute("SELECT 1") == [(1,)]


def test_unknown_and_missing_arguments_are_errors_of_python() -> None:
    """The one built-in error: a TypeError for a call that does not fit the signature."""
    wrong: Any = goes.EventQuery
    with pytest.raises(TypeError, match="nmaes"):
        wrong(nmaes=["x"])
    with goes.blocking.connect("sqlite:///:memory:") as db:
        missing: Any = db.events.load
        with pytest.raises(TypeError, match="aggregate"):
            missing()
