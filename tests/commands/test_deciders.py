"""Deciders: two functions, and repositories, snapshots and commands that work on them as on any aggregate."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import pytest

import goes_lite as goes
from goes_lite.database import Database
from goes_lite.errors import CommandRejected, ConfigError, RegistrationError
from tests.commands.commands_kit import raised
from tests.conftest_kit import SQLitePlace

registry = goes.Registry()


@registry.event("deposited")
@dataclass(frozen=True)
class Deposited:
    cents: int


@registry.event("closed")
@dataclass(frozen=True)
class Closed:
    pass


@registry.commands.event("deposit")
@dataclass(frozen=True)
class Deposit:
    account: str
    cents: int


@registry.commands.event("close")
@dataclass(frozen=True)
class Close:
    account: str


@dataclass(frozen=True)
class Account:
    cents: int = 0
    open: bool = True


def decide(account: Account, command: Deposit | Close) -> list[object]:
    if not account.open:
        raise CommandRejected("account_closed", "the account is closed")
    match command:
        case Deposit(cents=0):
            return []
        case Deposit(cents=cents):
            return [Deposited(cents)]
        case Close():
            return [Deposited(-account.cents), Closed()]


def evolve(account: Account, event: Deposited | Closed) -> Account:
    match event:
        case Deposited(cents):
            return Account(account.cents + cents)
        case Closed():
            return Account(account.cents, open=False)


def made(**options: Any) -> goes.Decider[Any]:
    arguments: dict[str, Any] = {
        "initial": Account(), "decide": decide, "evolve": evolve, "events": [Deposited, Closed],
        "commands": [Deposit, Close], "id": "account", "registry": registry, **options,
    }  # fmt: skip
    return goes.Decider("account", **arguments)


accounts = made()


def deciding(command: Deposit | Close) -> Any:
    """A change of an account."""

    def change(account: Any) -> None:
        account.decide(command)

    return change


def test_in_a_repository(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        repository = db.repository(accounts.aggregate)
        await repository.use("1", deciding(Deposit("1", 5)), create=True)
        await repository.use("1", deciding(Close("1")))
        account = await repository.fetch("1")
        assert (account.state, account.version) == (Account(0, open=False), 3)
        assert [event.data async for event in db.events.query()] == [Deposited(5), Deposited(-5), Closed()]
        with raised(CommandRejected):
            await repository.use("1", deciding(Deposit("1", 5)))

    world.with_handle(test, registry=registry)


def test_with_commands(world: SQLitePlace) -> None:
    async def test(db: Database) -> None:
        commands = db.commands
        commands.serve(accounts.aggregate)
        assert commands.handled == ("deposit", "close")
        await commands.dispatch(Deposit("1", 5))
        await commands.dispatch(Deposit("2", 0))
        await commands.dispatch(Close("1"))
        with raised(CommandRejected, code="account_closed", command="deposit"):
            await commands.dispatch(Deposit("1", 5))
        assert await db.events.count() == 3

    world.with_handle(test, registry=registry)


def test_snapshots_keep_the_state(world: SQLitePlace) -> None:
    async def test(db: Any) -> None:
        repository = db.repository(accounts.aggregate, snapshots=goes.Every(2))
        for cents in (1, 2, 3):
            await repository.use("1", deciding(Deposit("1", cents)), create=True)
        snapshot = await db.snapshots.latest(goes.AggregateRef("account", "1"))
        assert snapshot.version == 2
        assert '"state":{"cents":3,"open":true}' in snapshot.state
        assert (await repository.fetch("1")).state == Account(6)

    world.with_handle(test, registry=registry)


def test_the_functions_are_tested_as_they_are() -> None:
    assert accounts.fold([Deposited(5), Deposited(2)]) == Account(7)
    assert accounts.decide_on(Account(7), Close("1")) == [Deposited(-7), Closed()]
    assert repr(accounts) == "<Decider 'account'>"


def test_a_state_that_is_changed_in_place_is_one_of_its_own() -> None:
    """Each aggregate begins with a copy of the initial state."""

    def count(state: list[int], event: Deposited) -> list[int]:
        state.append(event.cents)
        return state

    lists = made(initial=list[int](), state=list[int], evolve=count, events=[Deposited])
    one, two = lists.aggregate("1"), lists.aggregate("2")
    one.record(Deposited(5))
    assert (one.state, two.state, lists.initial) == ([5], [], [])
    assert copy.deepcopy(one).state == [5]


@pytest.mark.parametrize("answer", [None, "text", {"a": 1}, 5], ids=repr)
def test_decide_that_answers_no_events(answer: Any) -> None:
    def decide(state: Account, command: object) -> Any:
        return answer

    with raised(ConfigError, "decide must return a list of events"):
        made(decide=decide).aggregate("1").decide(Deposit("1", 5))


def test_what_cannot_be_a_decider() -> None:
    with raised(RegistrationError):
        made(events=[])
    with raised(RegistrationError):
        goes.Decider("a name", initial=0, decide=decide, evolve=evolve, events=[Deposited])  # type: ignore[arg-type]
    with (
        goes.blocking.connect("sqlite:///:memory:", registry=registry) as db,
        raised(RegistrationError, "handles no command"),
    ):
        db.commands.serve(made(commands=[]).aggregate)
    with (
        goes.blocking.connect("sqlite:///:memory:", registry=registry) as db,
        raised(RegistrationError),
    ):
        db.repository(made(initial=range(5)).aggregate, snapshots=goes.Every(2))
