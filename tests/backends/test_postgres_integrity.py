"""What `verify` lets a PostgreSQL server check of itself: each planted condition is found, and nothing in a sound store."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import pytest

pytest.importorskip("asyncpg", reason="asyncpg is not installed")

from goes_lite_conformance.harness.samples import note, registry

from goes_lite import AggregateRef, blocking
from goes_lite.blocking import operations
from tests.backends.postgres_kit import needs_postgres, store_url

needs_postgres()
pytestmark = [pytest.mark.server, pytest.mark.once]

Database = blocking.BlockingDatabase


@pytest.fixture
def db() -> Generator[Database]:
    with blocking.connect(store_url(), registry=registry) as db:
        order = AggregateRef("order", "1")
        db.events.append([note(f"{number}", order, number, tags=[f"n:{number}"]) for number in range(1, 6)])
        yield db


def change(db: Database, *statements: str) -> None:
    with db.transaction() as tx:
        for statement in statements:
            tx.execute(statement)


def test_nothing_is_found_in_a_sound_store(db: Database) -> None:
    assert db.integrity() == []
    assert operations.verify(db).problems == ()


PLANTED: dict[str, tuple[Sequence[str], str, str]] = {
    "an index is gone": (
        ["DROP INDEX events_of_aggregate"],
        "index-missing",
        "nothing keeps aggregate_key, version of 'events' unique",
    ),
    "an index was built halfway": (
        ["UPDATE pg_index SET indisvalid = false WHERE indexrelid = to_regclass('events_by_name')"],
        "index-invalid",
        "the index 'events_by_name' of 'events' is not valid",
    ),
    "a constraint was not checked": (
        ["ALTER TABLE models ADD CONSTRAINT own CHECK (version > 0) NOT VALID"],
        "constraint-unvalidated",
        "the constraint 'own' of 'models'",
    ),
    "a function was changed": (
        [
            """CREATE OR REPLACE FUNCTION note_commit(mark uuid, mark_number bigint) RETURNS text LANGUAGE sql
               AS 'SELECT pg_current_xact_id_if_assigned()::text'""",
        ],
        "function-differs",
        "the function 'note_commit'",
    ),
    "an aggregate is gone": (
        ["DELETE FROM aggregates"],
        "reference-lost",
        "the event at position 1 refers to the aggregate",
    ),
    "a name is gone": (["DELETE FROM event_names"], "reference-lost", "the event at position 1 refers to the name"),
    "an event is gone": (
        ["DELETE FROM events WHERE position = 3", "DELETE FROM event_tags WHERE position = 3"],
        "aggregate-version",
        "order(1) is listed with version 5, but has 4 events, of the versions 1 to 5",
    ),
    "another time": (["UPDATE aggregates SET first_time = 7"], "aggregate-time", "first and last time 7 and"),
    "another order": (
        [
            "UPDATE events SET version = 9 WHERE position = 2",
            "UPDATE events SET version = 2 WHERE position = 3",
            "UPDATE events SET version = 3 WHERE position = 2",
        ],
        "version-order",
        "version 3 of order(1) is at position 2, after 3",
    ),
    "a tag does not lead to its event": (
        ["DELETE FROM event_tags WHERE position = 4"],
        "tag-missing",
        "the event at position 4 is not found by its tag 'n:4'",
    ),
    "a tag leads to another event": (
        ["INSERT INTO event_tags VALUES ('n:4', 5)"],
        "tag-extra",
        "the tag 'n:4' leads to the event at position 5",
    ),
}


@pytest.mark.parametrize("planted", PLANTED)
def test_each_condition_is_found(planted: str, db: Database) -> None:
    statements, code, said = PLANTED[planted]
    change(db, *statements)
    found = [one for one in db.integrity() if one.code == code]
    assert found
    assert said in found[0].message
    assert {one.code for one in db.integrity()} <= {code, "version-order"}


def test_tags_that_are_no_json_hide_nothing_else(db: Database) -> None:
    change(db, "UPDATE events SET tags = '{' WHERE position = 1", "UPDATE aggregates SET last_time = 7")
    assert {one.code for one in db.integrity()} == {"aggregate-time"}
    assert "field-unreadable" in {one.code for one in operations.verify(db).problems}


def test_an_index_that_does_not_fit_its_table(db: Database) -> None:
    """Where a database has amcheck: a row that is missing in an index, as a failing disk leaves it."""
    with db.transaction() as tx:
        if not tx.execute("SELECT 1 FROM pg_available_extensions WHERE name = 'amcheck'"):
            pytest.skip("this PostgreSQL comes without amcheck")
        # a schema of its own, which nobody else uses; the store finds it wherever it is
        tx.execute("CREATE EXTENSION IF NOT EXISTS amcheck SCHEMA public")
    assert db.integrity() == []
    ready = "UPDATE pg_index SET indisready = {} WHERE indexrelid = to_regclass('events_by_name')"
    again = "UPDATE pg_class SET relname = relname WHERE oid = to_regclass('events')"
    change(db, ready.format("false"), again)
    db.events.append([note("9")])
    change(db, ready.format("true"), again)
    (found,) = db.integrity()
    assert found.code == "index-damaged"
    assert "the index 'events_by_name' of 'events' does not fit its table" in found.message
    change(db, found.fix)
    assert db.integrity() == []
