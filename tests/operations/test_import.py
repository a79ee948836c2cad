"""Imports: the same log on any backend, or a store that says that it is not finished."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import A, B, count, note, registry, story
from goes_lite_conformance.strategies import drafts, versioned
from hypothesis import given
from hypothesis import strategies as st

import goes_lite as goes
from goes_lite import blocking
from goes_lite.blocking import operations
from goes_lite.contract.own_collections import IMPORTS, UNFINISHED
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore
from goes_lite.errors import ConfigError, ImportUnfinished, InvalidExport, StoreDamaged, StoreUnavailable
from goes_lite.operations import digest, import_from, import_log
from tests.conftest_kit import SQLitePlace
from tests.operations.export_kit import PAYLOADS, awkward, export_bytes, lines_of, stored
from tests.operations.test_export import everything_of, written

MEMORY = "sqlite:///:memory:"


def log_of_everything() -> list[goes.Event[Any]]:
    """Every kind of field and payload, with gaps between the positions."""
    events = [event.at(position) for position, event in enumerate(awkward(), 1)]
    start = len(events) + 100
    strange = [stored(start + 7 * at, *payload) for at, payload in enumerate(PAYLOADS)]
    return [*events, *strange, note("last").at(4321)]


def test_into_each_backend(url: str) -> None:
    """Every field is the same, and so are the positions and the digest."""
    log = log_of_everything()
    exported = written(log, upto=4400)

    async def run() -> None:
        async with goes.connect(url, registry=goes.Registry()) as db:
            seen: list[int] = []
            done = await import_log(db, io.BytesIO(exported), progress=seen.append)
            assert (done.events, done.resumed, done.head) == (len(log), 0, 4400)
            assert seen[-1] == len(log)
            found = await db.events.stored().list()
            assert [everything_of(one)[:-1] for one in found] == [everything_of(one)[:-1] for one in log]
            assert (await digest(db)).hash == done.hash
        async with goes.connect(url, registry=registry) as db:
            appended = await db.events.append([note("after the import"), note("A", A, 5)])
            assert appended.positions == (4401, 4402)
            assert (await db.events.load(A))[-1].version == 5

    asyncio.run(run())
    with blocking.connect(url, registry=registry) as db:
        again = export_bytes(db, upto=4400)
    assert lines_of(again)[1:] == lines_of(exported)[1:]


@given(
    st.lists(drafts(), max_size=8).map(versioned),
    st.lists(st.tuples(st.integers(1, 1500), st.sampled_from(PAYLOADS)), min_size=8, max_size=8),
    st.integers(0, 50),
)
def test_any_store_comes_back(
    events: list[goes.Event[Any]], more: list[tuple[int, tuple[str, str | bytes]]], unused: int
) -> None:
    """Of a store with these events and payloads: through the format into another store, and out of that again."""
    position = 0
    log: list[goes.Event[Any]] = []
    for event, (gap, payload) in zip(events, more, strict=False):
        position += gap
        log.append(event.at(position))
        log.append(stored(position + 1, *payload))
        position += 1
    with blocking.connect(MEMORY, registry=registry) as source, blocking.connect(MEMORY) as target:
        source.events.import_events(log, head=position + unused)
        exported = export_bytes(source)
        operations.import_log(target, io.BytesIO(exported))
        assert lines_of(export_bytes(target))[1:] == lines_of(exported)[1:]
        assert target.events.head() == source.events.head() == position + unused
        assert operations.digest(target).hash == operations.digest(source).hash
        assert [everything_of(one) for one in target.events.stored()] == [
            everything_of(one) for one in source.events.stored()
        ]


def test_on_each_face(world: SQLitePlace) -> None:
    exported = written(log_of_everything())

    async def test(db: Any) -> None:
        path = world.storage.folder / "log.jsonl"
        path.write_bytes(exported)
        if world.face == "async":
            done = await import_from(db, path)
        else:
            done = operations.import_from(db.target, path)
        assert done.head == 4321
        assert await db.events.head() == 4321

    world.with_handle(test)


class Cut(io.BytesIO):
    """A stream that breaks off with an error, as a connection does."""

    def __init__(self, exported: bytes, lines: int) -> None:
        super().__init__(exported)
        self.left = lines

    def readline(self, size: int | None = -1, /) -> bytes:
        self.left -= 1
        if self.left < 0:
            raise ConnectionResetError("gone")
        return super().readline(size)


def test_an_interrupted_import_is_unusable_until_it_is_resumed(url: str) -> None:
    with blocking.connect(MEMORY, registry=registry) as source:
        source.events.append([count(number) for number in range(1700)])
        exported = export_bytes(source)
        identity = source.identity
        expected = operations.digest(source)
        source.events.append([note("later")])
        another = export_bytes(source)
    with blocking.connect(url, registry=registry) as db, pytest.raises(ConnectionResetError):
        operations.import_log(db, Cut(exported, 1200))
    with pytest.raises(ImportUnfinished, match=f"an import of the store {identity} was not finished"):
        blocking.connect(url, registry=registry)

    async def refused() -> None:
        with pytest.raises(ImportUnfinished) as caught:
            await goes.connect(url, registry=registry)
        assert caught.value.source == identity

    asyncio.run(refused())
    with blocking.connect(url, registry=registry, unfinished=True) as db:
        assert 0 < db.events.head() < 1700
        with pytest.raises(ImportUnfinished):
            operations.import_log(db, io.BytesIO(another))
        with pytest.raises(ConnectionResetError):
            operations.import_log(db, Cut(exported, 1000))
        part = db.events.head()
        done = operations.import_log(db, io.BytesIO(exported))
        assert (done.events, done.resumed) == (1700, part)
    with blocking.connect(url, registry=registry) as db:
        assert operations.digest(db).hash == expected.hash
        assert db.models.query(IMPORTS).list() == []


def test_a_file_that_is_wrong_changes_nothing(url: str, tmp_path: Path) -> None:
    """Also if only its last line is wrong."""
    with blocking.connect(MEMORY, registry=registry) as source:
        source.events.append([count(number) for number in range(1100)])
        exported = export_bytes(source)
    path = tmp_path / "log.jsonl"
    path.write_bytes(exported[:-20] + b'0"}\n')
    with blocking.connect(url, registry=registry) as db:
        with pytest.raises(InvalidExport) as caught:
            operations.import_from(db, path)
        assert caught.value.line == len(exported.splitlines())
        assert db.events.head() == 0
        assert db.models.query(IMPORTS).list() == []
    with blocking.connect(url, registry=registry) as db:
        path.write_bytes(exported)
        assert operations.import_from(db, path).events == 1100


def gap(log: list[goes.Event[Any]]) -> None:
    del log[1]


def twice(log: list[goes.Event[Any]]) -> None:
    log[-1] = log[0].at(log[-1].position)


def first_version_missing(log: list[goes.Event[Any]]) -> None:
    del log[0]


def same_id(log: list[goes.Event[Any]]) -> None:
    log[600] = note("another", id=log[3].id).at(601)


WRONG = [
    (gap, 3, "version 3 of .* follows version 1"),
    (first_version_missing, 2, "version 2 of .* follows version 0"),
    (same_id, 602, "the id of line 5|was there before"),
    (twice, 702, "version 1 of .* follows version 3|the id of line 2|was there before"),
]


@pytest.mark.parametrize(("change", "line", "told"), WRONG, ids=[one[0].__name__ for one in WRONG])
def test_lines_that_do_not_fit_together(
    change: Callable[[list[goes.Event[Any]]], None], line: int, told: str, tmp_path: Path
) -> None:
    """In a file they are found before anything is stored; in a stream, the store stays unfinished."""
    log = [event.at(number) for number, event in enumerate([*story(A, 3), *(count(n) for n in range(698))], 1)]
    change(log)
    exported = written(log)
    path = tmp_path / "log.jsonl"
    path.write_bytes(exported)
    with blocking.connect(tmp_path / "app.db") as db:
        with pytest.raises(InvalidExport, match=told) as caught:
            operations.import_from(db, path)
        assert caught.value.line == line
        assert (db.events.head(), db.models.query(IMPORTS).list()) == (0, [])
        with pytest.raises(InvalidExport, match=told) as caught:
            operations.import_log(db, io.BytesIO(exported))
        assert caught.value.line == line
    with pytest.raises(ImportUnfinished):
        blocking.connect(tmp_path / "app.db")


def test_a_store_with_events_is_refused(tmp_path: Path) -> None:
    with blocking.connect(tmp_path / "app.db", registry=registry) as db:
        db.events.append([count(1)])
        exported = export_bytes(db)
        with pytest.raises(ConfigError, match="has events up to position 1: an import needs an empty store"):
            operations.import_log(db, io.BytesIO(exported))
        assert db.events.head() == 1
    with blocking.connect(tmp_path / "app.db", registry=registry) as db:
        assert db.models.query(IMPORTS).list() == []


def test_part_of_a_log_is_taken_only_if_that_is_wanted(tmp_path: Path) -> None:
    with blocking.connect(MEMORY, registry=registry) as source:
        source.events.append([*story(A, 2), *story(B, 2), count(1)])
        query = goes.EventQuery(aggregates=[B])
        of_b, rest = export_bytes(source, query=query), export_bytes(source, after=1)
    path = tmp_path / "b.jsonl"
    path.write_bytes(of_b)
    with blocking.connect(tmp_path / "app.db", registry=registry) as db:
        for wrong in (of_b, rest):
            with pytest.raises(ConfigError, match="only part of a log"):
                operations.import_log(db, io.BytesIO(wrong))
        with pytest.raises(ConfigError, match="only part of a log"):
            operations.import_from(db, path)
        assert db.events.head() == 0
        done = operations.import_from(db, path, partial=True)
        assert (done.events, done.head) == (2, 5)
        assert [event.position for event in db.events.query()] == [3, 4]
    gap = pytest.raises(InvalidExport, match="version 2 of .* follows version 0")
    with blocking.connect(tmp_path / "rest.db", registry=registry) as db, gap:
        operations.import_log(db, io.BytesIO(rest), partial=True)


def test_a_store_that_keeps_something_else_is_noticed(tmp_path: Path) -> None:
    """The log is read back from the store and compared before it is declared finished."""

    class Forgetful(WrappedStore):
        async def import_events(self, events: Any, *, head: int = 0) -> int:
            return await super().import_events([one for one in events if one.position != 2], head=head)

    exported = written([count(number).at(number) for number in range(1, 5)])

    async def run() -> None:
        async with goes.connect(tmp_path / "app.db", registry=registry) as db:
            with pytest.raises(StoreDamaged, match="the imported log has the hash"):
                await import_log(WrappedBackend(db.backend, Forgetful), io.BytesIO(exported))
        with pytest.raises(ImportUnfinished):
            await goes.connect(tmp_path / "app.db")

    asyncio.run(run())


def test_a_store_that_goes_away_meanwhile(tmp_path: Path) -> None:
    class Away(WrappedStore):
        async def import_events(self, events: Any, *, head: int = 0) -> int:
            raise StoreUnavailable("here", "gone")

    exported = written([count(1).at(1)])

    async def run() -> None:
        async with goes.connect(tmp_path / "app.db", registry=registry) as db:
            with pytest.raises(StoreUnavailable):
                await import_log(WrappedBackend(db.backend, Away), io.BytesIO(exported))
        async with goes.connect(tmp_path / "app.db", unfinished=True) as db:
            assert (await import_log(db, io.BytesIO(exported))).events == 1

    asyncio.run(run())


@pytest.mark.parametrize("mark", ['{"header":"x","source":"other/1"}', '"?"', "[]", "7"])
def test_marks_of_others(tmp_path: Path, mark: str) -> None:
    with blocking.connect(tmp_path / "app.db", registry=registry) as db:
        db.models.put(IMPORTS, UNFINISHED, mark)
    source = json.loads(mark)["source"] if "other" in mark else "?"
    with pytest.raises(ImportUnfinished) as caught:
        blocking.connect(tmp_path / "app.db", read_only=True)
    assert caught.value.source == source
    with pytest.raises(ConfigError, match="unfinished must be True or False"):
        blocking.connect(tmp_path / "app.db", unfinished="yes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
