"""Which aggregate has a key, and which key an aggregate has: two maps that tell one fact."""

from __future__ import annotations

from typing import Any, cast

import pytest

import goes_lite as goes
from goes_lite.database import Database
from goes_lite.errors import InvalidQueryError, ProcessorStopped, RegistrationError
from tests.conftest_kit import SQLitePlace
from tests.lookup.lookup_kit import (
    KEYS,
    PATIENCE,
    A,
    B,
    C,
    EmailChanged,
    Greeted,
    History,
    Joined,
    Left,
    emails,
    registry,
)


def test_a_key_is_found_by_its_aggregate_and_the_other_way_round(world: SQLitePlace) -> None:
    """Until it changes, or goes; events of no aggregate, and of other kinds, are passed over."""

    async def test(db: Database) -> None:
        history, bound = History(), db.lookup(emails)
        async with db.projection(emails):
            await db.events.append(history.events((A, Joined("a@x")), (B, Joined("b@x")), (None, Joined("a@x"))))
            await bound.wait_ready(PATIENCE)
            assert [await bound.find(key) for key in ("a@x", "b@x", "A@x", "")] == [A, B, None, None]
            assert [await bound.key_of(ref) for ref in (A, B, C)] == ["a@x", "b@x", None]
            assert await bound.key_of(("customer", "a")) == "a@x"
            await db.events.append(history.events((A, EmailChanged("a@x", "new@x")), (B, Greeted()), (B, Left("b@x"))))
            await bound.wait_ready(PATIENCE)
            assert [await bound.find(key) for key in ("a@x", "b@x", "new@x")] == [None, None, A]
            assert [await bound.key_of(ref) for ref in (A, B)] == ["new@x", None]
            await db.events.append(history.events((A, EmailChanged("new@x", None))))
            await bound.wait_ready(PATIENCE)
            assert await bound.find("new@x") is None
            assert await bound.key_of(A) is None
        assert [record.id for place in emails.places for record in await db.models.query(place).list()] == []

    world.with_handle(test)


def test_two_aggregates_with_one_key_are_both_kept(world: SQLitePlace) -> None:
    """In the order in which they got it; what takes it from one leaves it to the other; getting it again is nothing new."""

    async def test(db: Database) -> None:
        history, bound = History(), db.lookup(emails)
        async with db.projection(emails):
            await db.events.append(
                history.events((B, Joined("x")), (A, Joined("x")), (C, Joined("x")), (B, Joined("x")))
            )
            await bound.wait_ready(PATIENCE)
            assert await bound.all("x") == [B, A, C]
            assert await bound.find("x") == B
            await db.events.append(history.events((B, EmailChanged("x", "y"))))
            await bound.wait_ready(PATIENCE)
            assert await bound.all("x") == [A, C]
            assert await bound.find("x") == A
            await db.events.append(history.events((C, Left("x")), (B, EmailChanged("y", "x"))))
            await bound.wait_ready(PATIENCE)
            assert await bound.all("x") == [A, B]
            assert await bound.all("y") == []

    world.with_handle(test)


def test_each_lookup_has_maps_of_its_own(world: SQLitePlace) -> None:
    """Also of the same events, and of the same keys; beside its own, it writes nothing."""
    domains = goes.Lookup("domains", {Joined: lambda event: event.data.email.partition("@")[2], Left: None})

    async def test(db: Database) -> None:
        history = History()
        handle = db.inline(emails).inline(domains)
        await handle.events.append(history.events((A, Joined("x")), (B, Joined("y@x")), (C, Joined("z@x"))))
        assert await db.lookup(emails).all("x") == [A]
        assert await db.lookup(domains).all("x") == [B, C]
        assert await db.lookup(domains).key_of(A) == ""
        await handle.events.append(history.events((A, EmailChanged("x", None)), (B, Left("y@x"))))
        assert await db.lookup(emails).all("x") == []
        assert await db.lookup(domains).all("x") == [C]

    world.with_handle(test)


def five(event: goes.Event[Any]) -> int:
    return 5


def test_inline_it_is_right_when_the_append_returns(world: SQLitePlace) -> None:
    """And ready; what it cannot take is not stored."""

    async def test(db: Database) -> None:
        history, handle = History(), db.inline(emails)
        await handle.events.append(history.events((A, Joined("x"))))
        await handle.lookup(emails).wait_ready(0)
        assert await handle.lookup(emails).find("x") == A

        numbers = goes.Lookup("numbers", {Left: cast(Any, five)})
        with pytest.raises(InvalidQueryError, match="a key of 'numbers' must be a str, not int: 5"):
            await db.inline(numbers).events.append(history.events((B, Left("x"))))
        assert await db.events.head() == 1

    world.with_handle(test)


def test_a_function_that_answers_another_type_stops_the_projection(world: SQLitePlace) -> None:
    """In front of the event."""
    numbers = goes.Lookup("numbers", {Left: cast(Any, five), Joined: lambda event: event.data.email})

    async def test(db: Database) -> None:
        history = History()
        await db.events.append(history.events((A, Joined("x")), (B, Left("x"))))
        with pytest.raises(ProcessorStopped) as stopped:
            await db.projection(numbers, retry=goes.Retry(1)).run()
        assert stopped.value.position == 2
        assert isinstance(stopped.value.__cause__, InvalidQueryError)
        assert await db.lookup(numbers).find("x") == A

    world.with_handle(test)


@pytest.mark.parametrize("key", [5, None, b"x", ["x"]], ids=repr)
def test_a_key_is_a_str(world: SQLitePlace, key: Any) -> None:
    async def test(db: Database) -> None:
        bound = db.lookup(emails)
        for question in (bound.find, bound.all, bound.claim):
            with pytest.raises(InvalidQueryError, match="a key of 'emails' must be a str"):
                await question(key)
        with pytest.raises(InvalidQueryError, match="a key of 'emails' must be a str"):
            emails.tag(key)
        with pytest.raises(InvalidQueryError, match="an aggregate must be"):
            await bound.key_of(key)

    world.with_handle(test)


@pytest.mark.parametrize(
    "arguments",
    [
        ("", KEYS), ("a b", KEYS), ("a:b", KEYS), ("a" * 151, KEYS), (5, KEYS), ("a", {}), ("a", {Joined: "email"}),
        ("a", [Joined]), ("a", {"a b": None}), ("a", KEYS, 0), ("a", KEYS, "1"), ("a", KEYS, True),
    ],
)  # fmt: skip
def test_wrong_arguments(arguments: tuple[Any, ...]) -> None:
    """RegistrationError, at once."""
    with pytest.raises(RegistrationError):
        goes.Lookup(*arguments[:2], **({"version": arguments[2]} if arguments[2:] else {}))


def test_wrong_kinds() -> None:
    """A kind that is not registered, and one that is there twice, are found when the registry is known."""
    with goes.blocking.connect(":memory:", registry=registry) as db:
        with pytest.raises(goes.errors.UnregisteredTypeError):
            db.projection(goes.Lookup("a", {int: None}))
        with pytest.raises(RegistrationError, match="two keys for 'customer.joined'"):
            db.projection(goes.Lookup("a", {Joined: None, "customer.joined": None}))


def test_repr() -> None:
    assert repr(emails) == "<Lookup 'emails', version 1>"
    with goes.blocking.connect(":memory:", registry=registry) as db:
        assert repr(emails.of(db)).startswith("<<Lookup 'emails', version 1> of <SQLiteBackend sqlite:///:memory:")
        assert emails.of(db).lookup is emails
