"""Rows that are gone: whoever reads what depends on them is told so, and never gets a part that looks like the whole."""

from __future__ import annotations

import pytest

from goes_lite.errors import GoesError, StoreDamaged
from goes_lite.events.fields import AggregateRef
from tests.backends.sqlite_kit import note, numbers, sql, sql_of_killed, store

ORDER = AggregateRef("order", "1")


def fill(path: str, driver: str, versions: int = 5) -> None:
    with store(path, driver) as db:
        db.events.append([note(version, aggregate=ORDER, version=version) for version in range(1, versions + 1)])
        db.events.append([note(0, aggregate=("order", "2"), version=1), note(9)])


LOST = {
    "the first": ("DELETE FROM events WHERE version = 1 AND position = 1", "without its event of version 1"),
    "one in the middle": ("DELETE FROM events WHERE version = 3", "without its event of version 3"),
    "the last": ("DELETE FROM events WHERE version = 5", "without its event of version 5"),
    "all": ("DELETE FROM events WHERE position <= 5", "without its event of version 1"),
    "a version": ("UPDATE events SET version = 7 WHERE version = 5", "without its event of version 5"),
    "the version of the aggregate": ("UPDATE aggregates SET version = 4 WHERE id = '1'", "stored at version 4"),
}


@pytest.mark.parametrize("what", LOST)
def test_an_aggregate_that_has_lost_events_is_not_loaded(path: str, driver: str, what: str) -> None:
    """StoreDamaged names the aggregate and the version; parts that do not contain it are loaded, and so are others."""
    fill(path, driver)
    statement, message = LOST[what]
    sql(path, statement)
    with store(path, driver) as db:
        for _ in range(2):
            with pytest.raises(StoreDamaged, match=f"'order', id '1'.*{message}"):
                db.events.load(ORDER)
        assert len(db.events.load(AggregateRef("order", "2"))) == 1
        assert db.events.load(AggregateRef("order", "3")) == []
        with db.transaction() as tx, pytest.raises(StoreDamaged):
            tx.events.load(ORDER)


def test_parts_of_an_aggregate(path: str, driver: str) -> None:
    """Whatever the bounds are, an undamaged aggregate is whole; of a damaged one, those parts are that are there."""
    fill(path, driver)
    bounds = [(after, upto) for after in range(8) for upto in (None, *range(8))]

    def loaded(after: int, upto: int | None) -> list[int] | None:
        try:
            return [event.version for event in db.events.load(ORDER, after=after, upto=upto)]
        except GoesError:
            return None

    with store(path, driver) as db:
        for after, upto in bounds:
            assert loaded(after, upto) == [*range(after + 1, min(5, 5 if upto is None else upto) + 1)]
    sql(path, "DELETE FROM events WHERE version = 4")
    with store(path, driver) as db:
        for after, upto in bounds:
            whole = [*range(after + 1, min(5, 5 if upto is None else upto) + 1)]
            assert loaded(after, upto) == (None if 4 in whole else whole)


def test_an_event_whose_aggregate_is_gone(path: str, driver: str) -> None:
    """The events are not mistaken for events without an aggregate."""
    fill(path, driver)
    sql(path, "DELETE FROM aggregates WHERE id = '1'")
    with store(path, driver) as db:
        with pytest.raises(StoreDamaged, match="position 1 has version 1, but its aggregate is gone"):
            numbers(db)
        assert [event.position for event in db.events.query(after=5)] == [6, 7]


def test_the_last_position_is_lost_while_the_file_is_open(path: str, driver: str) -> None:
    """A query does not end early, an append does not take a position twice."""
    with store(path, driver) as db:
        db.events.append([note(number) for number in range(200)])
        sql_of_killed(path, "DELETE FROM sqlite_sequence")
        with pytest.raises(StoreDamaged, match="last position"):
            numbers(db)
        with pytest.raises(StoreDamaged, match="last position"):
            db.events.append([note(1000), note(1001)])
        assert db.events.count() == 200
        db.events.append([note(1000, aggregate=ORDER, version=1)])  # SQLite looks at the rows, too
        assert len(numbers(db)) == 201
        sql_of_killed(path, "UPDATE sqlite_sequence SET seq = 'x'")
        for use in (db.events.head, lambda: db.events.append([note(1), note(2)])):
            with pytest.raises(StoreDamaged, match="sqlite_sequence has 'x'"):
                use()
