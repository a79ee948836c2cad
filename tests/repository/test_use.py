"""Repository.use: fetch, change, save, and again on a conflict; also by many at once."""

from __future__ import annotations

import asyncio
import functools
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from goes_lite.contract.event_store import AppendCondition
from goes_lite.errors import AggregateNotFound, AppendConditionFailed, ConcurrencyError, ConfigError
from goes_lite.events.fields import AggregateRef
from goes_lite.events.query import EventQuery
from goes_lite.repository import Repository
from goes_lite.repository import _queues as queues
from goes_lite.repository._queues import queues_of
from goes_lite.repository.schedule import Every
from tests.repository.repository_kit import NOON, Account, Moved, filled, memory, spied, state


async def test_use_fetches_changes_saves_and_returns_what_the_function_returns() -> None:
    """`change` may be a function or a coroutine function; an aggregate that it returns is saved by then."""
    async with memory() as db:
        accounts = Repository(db, Account)

        async def change(account: Account) -> str:
            await asyncio.sleep(0)
            account.move(2)
            return f"balance {account.balance}"

        def moved(account: Account) -> Account:
            account.move(3)
            return account

        await accounts.use("a", lambda account: account.open("Ann"), create=True)
        assert await accounts.use("a", change) == "balance 2"
        account = await accounts.use("a", moved)
        assert state(account) == state(await accounts.fetch("a")) == (3, False, 5, [], "Ann")
        assert account.pending == ()
        assert await accounts.use("a", lambda account: account.balance) == 5
        with pytest.raises(AggregateNotFound):
            await accounts.use("b", change)


async def test_an_error_that_a_function_returns_is_its_result() -> None:
    """It is not raised, and nothing is tried again."""
    async with memory() as db:
        accounts = Repository(db, Account)
        await filled(accounts, "a", 0)
        calls: list[int] = []

        def change(account: Account) -> ConcurrencyError:
            calls.append(account.version)
            return ConcurrencyError(account.ref, 1, 2)

        assert isinstance(await accounts.use("a", change), ConcurrencyError)
        assert calls == [1]


async def test_change_has_to_be_a_function() -> None:
    """Whatever is passed instead is refused before anything is loaded."""
    async with memory() as db:
        accounts = Repository(db, Account)
        for wrong in (None, 7, "move"):
            with pytest.raises(ConfigError, match="change must be a function"):
                await accounts.use("a", cast("Any", wrong))


async def test_use_retries_on_a_fresh_instance() -> None:
    """The second try sees what was stored meanwhile and nothing of what the first try did."""
    seen: list[tuple[int, int, list[str]]] = []
    refused: list[Exception] = []
    async with memory() as db:
        backend, spy = spied(db)
        others = Repository(db, Account)
        accounts = Repository(backend, Account, cache=10, on_conflict=lambda account, error: refused.append(error))
        await filled(accounts, "a", 0)

        async def interfere() -> None:
            spy.before_append = None
            await others.use("a", lambda account: account.move(100))

        def change(account: Account) -> None:
            seen.append((account.version, account.balance, list(account.words)))
            account.words.append("polluted")
            account.move(1)

        spy.before_append = interfere
        await accounts.use("a", change)
        assert seen == [(1, 0, []), (2, 100, [])]
        assert [getattr(error, "actual", None) for error in refused] == [2]
        stored = await accounts.fetch("a")
        assert (stored.version, stored.balance) == (3, 101)


async def test_use_gives_up_after_its_tries() -> None:
    """The ConcurrencyError of the last try comes through; there are exactly `tries` of them.

    The second is made at once, those after it follow a pause.
    """
    pauses: list[float] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)

    async with memory() as db:
        runtime = SimpleNamespace(clock=db.runtime.clock, sleep=sleep)
        backend, spy = spied(db, runtime=runtime)
        others = Repository(db, Account)
        accounts = Repository(backend, Account, tries=4, backoff=1.0)
        await filled(others, "a", 0)
        calls: list[int] = []

        async def interfere() -> None:
            await others.use("a", lambda account: account.move(100))

        def change(account: Account) -> None:
            calls.append(account.version)
            account.move(1)

        spy.before_append = interfere
        with pytest.raises(ConcurrencyError) as caught:
            await accounts.use("a", change)
        assert (caught.value.expected, caught.value.actual) == (4, 5)
        assert caught.value.tries == 4
        assert str(caught.value).startswith("after 4 tries: account(a) is at version 5, ")
        assert calls == [1, 2, 3, 4]
        assert len(pauses) == 2
        assert all(0 <= pause <= 0.25 for pause in pauses)


async def test_a_change_that_uses_its_own_aggregate_gives_up_in_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """It refuses itself at every try; it does not wait for itself for ever."""
    async with memory() as db:
        accounts = Repository(db, Account, tries=3)

        async def change(account: Account) -> None:
            await accounts.use("a", lambda inner: inner.move(1), create=True)
            account.move(100)

        monkeypatch.setattr(queues, "MAX_TURN", 600.0)
        async with asyncio.timeout(120):  # less than the patience of one turn
            with pytest.raises(ConcurrencyError):
                await accounts.use("a", change, create=True)
        assert (await accounts.fetch("a")).balance == 3


async def test_an_error_in_change_comes_through_and_nothing_is_saved() -> None:
    """As itself, at once, even if it is a ConcurrencyError of something else."""
    calls: list[int] = []
    async with memory() as db:
        accounts = Repository(db, Account)
        await filled(accounts, "a", 0)
        for error in (ValueError("no"), ConcurrencyError(AggregateRef("other", "x"), 1, 2)):

            def change(account: Account, error: Exception = error) -> None:
                calls.append(1)
                account.move(1)
                raise error

            with pytest.raises(type(error)) as caught:
                await accounts.use("a", change)
            assert caught.value is error
        assert len(calls) == 2
        assert (await accounts.fetch("a")).version == 1


async def test_a_change_that_records_nothing_writes_nothing() -> None:
    async with memory() as db:
        accounts = Repository(db, Account)
        version = await accounts.use("a", lambda account: account.version, create=True)
        assert (version, await db.events.head(), await accounts.exists("a")) == (0, 0, False)


async def test_a_condition_from_change_is_judged_with_the_save() -> None:
    """A dynamic consistency boundary: what the decision read lies beyond the aggregate.

    Refused, it is tried again on fresh reading; `save` takes the condition directly.
    """
    async with memory() as db:
        backend, spy = spied(db)
        accounts = Repository(backend, Account)
        others = Repository(db, Account)
        opened = EventQuery(names=["test.repository.opened"])
        seen: list[int] = []

        async def change(account: Account) -> AppendCondition:
            after = await db.events.head()
            seen.append(await db.events.count(opened))
            account.open("Ann" if not seen[-1] else "Ben")
            return AppendCondition(opened, after)

        async def interfere() -> None:
            spy.before_append = None
            await others.use("b", lambda account: account.open("Bob"), create=True)

        spy.before_append = interfere
        condition = await accounts.use("a", change, create=True)
        assert seen == [0, 1]
        assert (condition.after, (await accounts.fetch("a")).owner) == (1, "Ben")
        late = accounts.new("c")
        late.open("Cy")
        with pytest.raises(AppendConditionFailed):
            await accounts.save(late, condition=AppendCondition(opened, 0))
        assert len(late.pending) == 1


async def test_32_tasks_on_one_aggregate_lose_no_change() -> None:
    """Every change is made exactly once, on top of all the others."""
    async with memory() as db:
        accounts = Repository(db, Account, cache=4, snapshots=Every(10))
        await asyncio.gather(
            *(accounts.use("a", functools.partial(Account.move, amount=2**n), create=True) for n in range(32))
        )
        account = await accounts.fetch("a")
        assert (account.version, account.balance) == (32, 2**32 - 1)
        assert repr(queues_of(db)) == "<AggregateQueues for 0 keys>"


def test_threads_on_one_file_lose_no_change(tmp_path: Path) -> None:
    """The blocking face, eight threads over two handles on one file: every change is made exactly once."""
    from goes_lite import blocking

    url = f"sqlite:///{tmp_path / 'app.db'}"
    failed: list[BaseException] = []
    with blocking.connect(url) as one, blocking.connect(url) as other:
        repositories = [
            one.repository(Account, cache=4),
            other.repository(Account, snapshots=Every(7)),
        ]

        def work(thread: int) -> None:
            try:
                for n in range(5):
                    amount = 2 ** (thread * 5 + n)
                    repositories[thread % 2].use("a", functools.partial(Account.move, amount=amount), create=True)
            except BaseException as error:  # shown by the test, not by the thread
                failed.append(error)

        threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failed == []
        for repository in repositories:
            account = repository.fetch("a")
            assert (account.version, account.balance) == (40, 2**40 - 1)


async def test_no_message_recommends_what_was_done() -> None:
    """After many tries of `use` it is not `use` that helps, and a past version cannot be created."""
    async with memory() as db:
        accounts = Repository(db, Account, tries=2)

        async def interfere(account: Account) -> None:
            account.record(Moved(1))
            other = await Repository(db, Account).fetch(account.id, create=True)
            other.record(Moved(1))
            await db.events.append(other.pending)

        with pytest.raises(ConcurrencyError, match="after 2 tries: .*more tries") as caught:
            await accounts.use("1", interfere, create=True)
        assert "Repository.use" not in str(caught.value)
        for when in (3, NOON):
            with pytest.raises(AggregateNotFound, match="no past version: check its id"):
                await accounts.fetch_version("nobody", when)
