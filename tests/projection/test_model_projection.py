"""Read models by id: which an event is about, how methods change them, and what becomes of a batch in which one raises."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any
from uuid import UUID

import pytest

import goes_lite as goes
from goes_lite.errors import EncodeError, InvalidQueryError, ProcessorStopped
from tests.projection.projection_kit import (
    Amount,
    Bill,
    Bills,
    Cancelled,
    Failing,
    Ignored,
    Noted,
    Paid,
    Placed,
    Tagged,
    WordAdded,
    at_once,
    bills,
    caught_up,
    event,
    folded,
    log,
    story,
)

BAD = "11111111-2222-3333-4444-555555555555"


async def projected(db: Any, projection: goes.Projection, *events: goes.Event[Any], **options: Any) -> dict[str, Bill]:
    """The read models of these events."""
    await db.events.append(events)
    await caught_up(db, projection, **options)
    return await bills(db)


async def stopped_at(db: Any, projection: goes.Projection, **options: Any) -> tuple[int, BaseException | None]:
    """The position at which it stops, and what was raised there."""
    processor = db.projection(projection, retry=goes.Retry(1), **options)
    with pytest.raises(ProcessorStopped) as stopped:
        await processor.run()
    return stopped.value.position, stopped.value.__cause__


# --- which read models an event is about ------------------------------------------------------------------------------


async def test_an_event_is_about_the_read_model_of_its_aggregate(db: Any) -> None:
    """One of no aggregate is about none."""
    found = await projected(db, Bills(), *story("1", Placed("ann", 5)), *story("2", Paid(2)), event(Placed("bob", 7)))

    assert found == {"1": Bill(5), "2": Bill(0, 2)}


class Customers(goes.ModelProjection[Bill], name="bills"):
    """Its key is a method, but for one event."""

    answers: Any = None

    def key(self, event: goes.Event[Any]) -> Any:
        return self.answers(event) if callable(self.answers) else self.answers

    @goes.projects(Placed)
    def placed(self, bill: Bill, event: goes.Event[Placed]) -> Bill:
        return replace(bill, cents=bill.cents + event.data.cents)

    @goes.projects(Paid, key=lambda event: event.aggregate and f"paid {event.aggregate.id}")
    def paid(self, bill: Bill, event: goes.Event[Paid]) -> Bill:
        return replace(bill, paid=bill.paid + event.data.cents)


def answering(answer: Any) -> Customers:
    customers = Customers()
    customers.answers = answer
    return customers


def by(key: Callable[[goes.Event[Any]], Any]) -> Customers:
    return answering(key)


class Colour(str, Enum):  # noqa: UP042 - whose str() is not its text
    RED = "red"


def two(event: goes.Event[Placed]) -> Any:
    return (f"{event.data.customer}{n}" for n in range(2))


@pytest.mark.parametrize(
    ("answer", "ids"),
    [
        (None, []),
        ("a", ["a"]),
        (["a", "b"], ["a", "b"]),
        ([], []),
        (["a", "b", "a"], ["a", "b"]),
        ({"a", "b"}, ["a", "b"]),
        (two, ["ann0", "ann1"]),
        (Colour.RED, ["red"]),
    ],
)
async def test_key_says_which_read_models_an_event_is_about(db: Any, answer: Any, ids: list[str]) -> None:
    """None, one, several; one that is named twice counts once."""
    found = await projected(db, answering(answer), *story("1", Placed("ann", 5)))

    assert found == dict.fromkeys(ids, Bill(5))
    assert list(await db.live(answering(answer))) == ids or isinstance(answer, set)


async def test_a_method_may_have_a_key_of_its_own(db: Any) -> None:
    found = await projected(db, by(lambda event: event.data.customer), *story("1", Placed("ann", 5), Paid(2)))

    assert found == {"ann": Bill(5), "paid 1": Bill(0, 2)}


async def test_each_decorator_has_a_key_of_its_own(db: Any) -> None:
    """Of several above one method, each says what its own events are about; an override without one changes nothing."""

    class Stacked(goes.ModelProjection[Bill], name="bills"):
        @goes.projects(Placed, key=lambda event: event.data.customer)
        @goes.projects(Paid)
        @goes.projects(Tagged, key=lambda event: event.data.orders)
        def count(self, bill: Bill, event: goes.Event[Any]) -> None:
            bill.cents += 1

    class Sub(Stacked):
        def count(self, bill: Bill, event: goes.Event[Any]) -> None:
            bill.cents += 10

    class Decorated(Stacked):
        @goes.projects(Placed)
        def count(self, bill: Bill, event: goes.Event[Any]) -> None:
            bill.cents += 100

    await db.events.append([*story("1", Placed("ann", 5), Paid(2)), event(Tagged(["7", "8"], []))])

    assert await db.live(Stacked()) == {"ann": Bill(1), "1": Bill(1), "7": Bill(1), "8": Bill(1)}
    assert await db.live(Sub()) == {"ann": Bill(10), "1": Bill(10), "7": Bill(10), "8": Bill(10)}
    assert await db.live(Decorated()) == {"1": Bill(100)}


@pytest.mark.parametrize(
    ("answer", "shown"),
    [(5, "5"), (["a", None], "None"), (b"a", "b'a'"), (UUID(BAD), "UUID"), (["a", ["b"]], r"\['b'\]"), (True, "True")],
)
async def test_a_key_that_answers_no_id(db: Any, answer: Any, shown: str) -> None:
    """InvalidQueryError, as the failure of the event that it was asked about, and of no other."""
    await db.events.append(story("1", Placed("good", 1), Placed("bad", 2), Placed("good", 3)))
    projection = by(lambda event: event.data.customer if event.data.customer == "good" else answer)

    position, cause = await stopped_at(db, projection)

    assert position == 2
    assert isinstance(cause, InvalidQueryError)
    assert str(cause).startswith("key must return the id of a read model (a str), several of them, or None, not ")
    assert await bills(db) == {"good": Bill(1)}
    with pytest.raises(InvalidQueryError, match=shown):
        await db.live(projection)
    with pytest.raises(InvalidQueryError, match=shown):
        await db.inline(projection).events.append([event(Ignored())])


@pytest.mark.parametrize("answer", ["", "a\0b", "\ud800", "x" * 1025])
async def test_a_key_that_answers_what_no_store_could_keep(db: Any, answer: str) -> None:
    await db.events.append(story("1", Placed("ann", 1), Placed("bad", 2)))

    position, cause = await stopped_at(db, by(lambda event: "ok" if event.data.customer == "ann" else answer))

    assert (position, type(cause)) == (2, InvalidQueryError)
    assert str(cause).startswith("the id of a read model")


# --- how methods change them ------------------------------------------------------------------------------------------


async def test_a_method_answers_a_new_read_model_or_changes_the_given_one(db: Any) -> None:
    """Or removes it, and the next event begins with a new one: in one batch, or in one batch each."""
    data = [Placed("ann", 5), Paid(2), Cancelled(), Paid(1), WordAdded("x"), WordAdded("y")]
    expected = {"1": Bill(0, 1, ["x", "y"])}

    assert await projected(db, Bills(), *story("1", *data)) == expected
    await db.projection(Bills()).reset()
    await caught_up(db, Bills(), batch=1)
    assert await bills(db) == expected == folded(await log(db))


async def test_what_is_removed_is_gone(db: Any) -> None:
    """Also if it was stored before, also if it never was; nothing is left of it in the store."""
    await projected(db, Bills(), *story("1", Placed("ann", 5)))

    assert await projected(db, Bills(), *story("1", Cancelled(), after=1), *story("2", Cancelled())) == {}
    assert await db.models.query("bills").list() == []


async def test_a_read_model_begins_as_initial_says(db: Any) -> None:
    class Named(Bills):
        def initial(self, id: str) -> Bill:
            return Bill(words=[id])

    found = await projected(
        db, Named(), *story("a", WordAdded("x")), *story("b", Paid(1)), *story("a", Cancelled(), Paid(1), after=1)
    )

    assert found == {"a": Bill(0, 1, ["a"]), "b": Bill(0, 1, ["b"])}


async def test_an_event_of_which_several_read_models_take_a_list(db: Any) -> None:
    """Whatever a method takes of an event into one read model, no other one gets to see what becomes of it there."""
    events = [
        event(Tagged(["1", "2"], ["tagged"])),
        *story("1", WordAdded("one")),
        *story("2", WordAdded("two")),
    ]

    assert await projected(db, Bills(), *events) == {
        "1": Bill(words=["tagged", "one"]),
        "2": Bill(words=["tagged", "two"]),
    }
    assert await db.live(Bills()) == await bills(db)


async def test_what_is_as_it_was_is_not_written(db: Any) -> None:
    """The version of the record counts writes: one for each batch that changes it, none for one that does not."""
    await projected(db, Bills(), *story("1", Placed("ann", 5), Paid(1), Paid(1)))
    await projected(db, Bills(), *story("1", Paid(0), Placed("ann", 0), after=3))
    record = await db.models.get("bills", "1")
    assert record.version == 1
    await projected(db, Bills(), *story("1", Paid(1), after=5))
    record = await db.models.get("bills", "1")
    assert record.version == 2


async def test_read_models_of_other_types(db: Any) -> None:
    """Anything that can be the data of an event: also what is no class, and what is falsy."""

    class Sums(goes.ModelProjection[int], name="sums", collection="numbers"):
        @goes.projects(Amount, key=lambda event: event.name)
        def add(self, total: int, event: goes.Event[Amount]) -> int:
            return total + event.data.cents

    class Words(goes.ModelProjection[dict[str, int]], name="words"):
        @goes.projects(WordAdded)
        def count(self, words: dict[str, int], event: goes.Event[WordAdded]) -> None:
            words[event.data.word] = words.get(event.data.word, 0) + 1

    await db.events.append([
        *(event(Amount(cents), name=name) for cents, name in ((5, "shop.credited"), (3, "shop.debited"), (-5, "shop.credited"))),
        *story("1", WordAdded("x"), WordAdded("y"), WordAdded("x")),
    ])  # fmt: skip
    await caught_up(db, Sums())
    await caught_up(db, Words())

    sums, words = db.models_of("numbers", int), db.models_of("words", dict[str, int])
    assert {name: await sums.get(name) for name in ("shop.credited", "shop.debited")} == {
        "shop.credited": 0,
        "shop.debited": 3,
    }
    assert await words.get("1") == {"x": 2, "y": 1}


async def test_it_is_told_of_nothing_else(db: Any) -> None:
    """An event that no method is for is passed over; so is one that its own query leaves out."""

    class Fewer(Bills):
        def query(self, registry: goes.Registry) -> goes.EventQuery:
            return goes.EventQuery(["shop.placed", "shop.ignored"])

    found = await projected(db, Fewer(), event(Ignored()), *story("1", Placed("ann", 5), Paid(3)), event(Ignored()))

    assert found == {"1": Bill(5)}
    checkpoint = await db.checkpoints.get("bills")
    assert checkpoint.position == 4


# --- a method that raises ---------------------------------------------------------------------------------------------


class Choosy(Bills):
    """Raises on some events."""

    def fails(self, number: int) -> bool:
        return True

    @goes.projects(Failing)
    def failing(self, bill: Bill, event: goes.Event[Failing]) -> None:
        bill.paid += 1000  # nobody must see this
        if self.fails(event.data.number):
            raise ValueError(f"no {event.data.number}")


BATCH = [Placed("ann", 5), Noted(["w"]), WordAdded("x"), Failing(1), WordAdded("y"), Failing(2), Paid(3)]


async def test_what_came_before_the_event_on_which_it_raises_counts_once(db: Any) -> None:
    """It stops at that event: nothing of it is stored, nor of what lies behind it, and what lies before it counts once."""
    await db.events.append(story("1", *BATCH))

    position, cause = await stopped_at(db, Choosy())

    assert (position, str(cause)) == (4, "no 1")
    assert await bills(db) == {"1": Bill(5, 0, ["w", "x"])}
    checkpoint = await db.checkpoints.get("bills")
    assert checkpoint.position == 3


async def test_an_event_on_which_it_raises_is_tried_again(db: Any) -> None:
    """What other events gave to the read models meanwhile is as if nothing had happened, lists of theirs included."""
    await db.events.append(story("1", *BATCH))
    tries: list[int] = []

    def fails(number: int) -> bool:
        tries.append(number)
        return tries.count(number) < 3

    projection = Choosy()
    projection.fails = fails  # type: ignore[method-assign]
    await caught_up(db, projection, retry=goes.Retry(3, backoff=at_once))

    assert await bills(db) == {"1": Bill(5, 2003, ["w", "x", "y"])}


async def test_an_event_on_which_it_raises_is_parked(db: Any) -> None:
    """The others count; it counts once it is re-driven."""
    await db.events.append(story("1", *BATCH))
    projection = Choosy()
    async with db.projection(projection, retry=goes.Retry(1, then="park")) as processor:
        await processor.wait_for(7, 30)
        assert await bills(db) == {"1": Bill(5, 3, ["w", "x", "y"])}
        letters = await processor.parked()
        assert [(letter.position, letter.error) for letter in letters] == [
            (4, "ValueError: no 1"),
            (6, "ValueError: no 2"),
        ]
        projection.fails = lambda number: number == 2  # type: ignore[method-assign]
        await processor.redrive()
        while len(await processor.parked()) > 1:
            await db.commits.wait(db.commits.count, 0.01)
    assert await bills(db) == {"1": Bill(5, 1003, ["w", "x", "y"])}


async def test_a_key_that_raises_is_about_its_event(db: Any) -> None:
    """Though the keys of a whole batch are asked for before anything else is done."""
    await db.events.append(story("1", Placed("ann", 1), Placed("bob", 2), Placed("eve", 4)))

    asked: list[str] = []

    def key(event: goes.Event[Placed]) -> str:
        asked.append(event.data.customer)
        if event.data.customer == "bob":
            raise LookupError("bob")
        return event.data.customer

    position, cause = await stopped_at(db, answering(key))
    assert (position, type(cause), asked.count("bob")) == (2, LookupError, 1)
    async with db.projection(answering(key), retry=goes.Retry(1, then="park")) as processor:
        await processor.wait_for(3, 30)
        assert [letter.position for letter in await processor.parked()] == [2]
    assert await bills(db) == {"ann": Bill(1), "eve": Bill(4)}


async def test_a_generator_that_raises_half_way_is_about_its_event(db: Any) -> None:
    await db.events.append(story("1", Placed("ann", 1), Placed("bob", 2)))

    def key(event: goes.Event[Placed]) -> Any:
        yield event.data.customer
        if event.data.customer == "bob":
            raise LookupError("bob")

    position, cause = await stopped_at(db, answering(key))

    assert (position, type(cause)) == (2, LookupError)
    assert await bills(db) == {"ann": Bill(1)}


async def test_initial_that_raises_is_about_its_event(db: Any) -> None:
    class Picky(Bills):
        def initial(self, id: str) -> Bill:
            if id == "2":
                raise LookupError(id)
            return Bill()

    await db.events.append([*story("1", Paid(1)), *story("2", Paid(1)), *story("3", Paid(1))])

    position, cause = await stopped_at(db, Picky())

    assert (position, type(cause)) == (2, LookupError)
    assert set(await bills(db)) == {"1"}


@dataclass
class Tree:
    children: list[Tree] = field(default_factory=list["Tree"])


class Wrong(goes.ModelProjection[Bill], name="bills"):
    @goes.projects(Placed)
    def placed(self, bill: Bill, event: goes.Event[Placed]) -> Bill:
        return replace(bill, cents=event.data.cents) if event.data.customer != "bad" else replace(bill, cents="many")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


async def test_a_read_model_that_cannot_be_kept(db: Any) -> None:
    """The event that makes it so is found, though a batch is written as one; what others made counts."""
    await db.events.append([*story("1", Placed("ann", 5), Placed("bad", 6)), *story("2", Placed("bob", 7))])

    position, cause = await stopped_at(db, Wrong())

    assert (position, type(cause)) == (2, EncodeError)
    assert await bills(db) == {"1": Bill(5)}
    async with db.projection(Wrong(), retry=goes.Retry(1, then="park")) as processor:
        await processor.wait_for(3, 30)
        assert [letter.position for letter in await processor.parked()] == [2]
    assert await bills(db) == {"1": Bill(5), "2": Bill(7)}


async def test_a_read_model_that_contains_itself(db: Any) -> None:
    """Whatever making JSON of it raises, it is the event's failure, not the processor's."""

    class Trees(goes.ModelProjection[Tree], name="trees"):
        @goes.projects(Placed)
        def placed(self, tree: Tree, event: goes.Event[Placed]) -> None:
            tree.children.append(tree if event.data.customer == "bad" else Tree())

    await db.events.append(
        [*story("1", Placed("ann", 5)), *story("2", Placed("bad", 6)), *story("3", Placed("eve", 1))]
    )

    position, _ = await stopped_at(db, Trees())

    assert position == 2
    assert [record.id for record in await db.models.query("trees").list()] == ["1"]


async def test_a_stored_read_model_that_does_not_fit(db: Any) -> None:
    """It is the failure of the events that are about it: the type was changed, and the version was not."""
    await db.models.put("bills", "2", '{"cents": "many"}')
    await db.events.append(
        [*story("1", Placed("ann", 5)), *story("2", Placed("bob", 6)), *story("3", Placed("eve", 7))]
    )

    position, _ = await stopped_at(db, Bills())
    assert position == 2
    async with db.projection(Bills(), retry=goes.Retry(1, then="park")) as processor:
        await processor.wait_for(3, 30)
        assert [letter.position for letter in await processor.parked()] == [2]
    assert [record.id for record in await db.models.query("bills").list()] == ["1", "2", "3"]
