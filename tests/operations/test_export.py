"""Exports: every field comes back from the lines, hashes are those of a digest, and an interrupted export is continued."""

from __future__ import annotations

import asyncio
import io
import json
import tracemalloc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
from goes_lite_conformance.harness.samples import A, count, note, registry, story
from goes_lite_conformance.strategies import drafts, versioned
from hypothesis import given
from hypothesis import strategies as st

import goes_lite as goes
from goes_lite import blocking
from goes_lite.blocking import operations
from goes_lite.errors import ConfigError, InvalidQueryError
from goes_lite.events.event import Event, id_bytes, metadata_json, tags_json, time_micros
from goes_lite.operations import ExportReader, ExportWriter, Header, digest, export, log_hash
from goes_lite.operations.canonical import Folder
from tests.conftest_kit import SQLitePlace
from tests.operations.export_kit import FAR, PAYLOADS, awkward, export_bytes, lines_of, stored

MEMORY = "sqlite:///:memory:"


def everything_of(event: Event[Any]) -> tuple[Any, ...]:
    """All that an event is, as it is stored."""
    return (
        event.position, id_bytes(event), event.name, time_micros(event), event.aggregate, event.version,
        metadata_json(event), tags_json(event), *event.encoded, event.data,
    )  # fmt: skip


def read(exported: bytes) -> list[Event[Any]]:
    reader = ExportReader(io.BytesIO(exported))
    events: list[Event[Any]] = []
    while batch := reader.next_batch():
        events += batch.events
    assert reader.end is not None
    assert reader.end.events == len(events)
    return events


def written(events: Sequence[Event[Any]], upto: int | None = None) -> bytes:
    """The export of a log of these events, at their positions."""
    stream = io.BytesIO()
    last = events[-1].position if events else 0
    writer = ExportWriter(stream, Header("store/1", "here", FAR, 0, upto or last, None))
    for start in range(0, len(events), 7):
        writer.add(events[start : start + 7])
    writer.finish()
    return stream.getvalue()


def test_every_field_comes_back(world: SQLitePlace) -> None:
    async def test(db: Any) -> None:
        await db.events.append(awkward())
        stream = io.BytesIO()
        end = await export(db, stream) if world.face == "async" else operations.export(db.target, stream)
        receipt = await digest(db) if world.face == "async" else operations.digest(db.target)
        expected = await db.events.stored().list()
        assert [everything_of(one) for one in read(stream.getvalue())] == [everything_of(one) for one in expected]
        last = lines_of(stream.getvalue())[-1]
        assert last == {"end": True, "events": receipt.events, "upto": receipt.head, "hash": receipt.hash.hex()}
        assert (end.events, end.hash) == (receipt.events, receipt.hash)

    world.with_handle(test)


def test_other_programs_read_it() -> None:
    """The lines are what docs/export.md says."""
    with blocking.connect(MEMORY, registry=registry) as db:
        event = note("tea\n", A, 1, metadata={"who": "ada"}, tags=["b:2", "a:1"])
        db.events.append([event, count(3)])
        receipt = operations.digest(db)
        first, one, two, block, last = lines_of(export_bytes(db))
        assert first["format"] == "goes_lite export"
        assert (first["version"], first["store"], first["location"]) == (1, db.identity, db.location)
    assert (first["after"], first["upto"], first["partial"], first["query"]) == (0, 2, False, None)
    assert one == {
        "position": 1, "id": str(event.id), "event": "sample.noted", "time": event.time.isoformat()[:26] + "Z",
        "aggregate": A.name, "aggregate_id": A.id, "version": 1, "metadata": {"who": "ada"}, "tags": ["a:1", "b:2"],
        "encoding": "json", "schema": event.encoded.schema, "data": json.loads(event.encoded.payload),
    }  # fmt: skip
    assert (two["aggregate"], two["aggregate_id"], two["version"]) == (None, None, 0)
    assert (two["metadata"], two["tags"]) == ({}, [])
    assert block == {"block": 0, "events": 2, "hash": receipt.blocks[0].hash.hex()}
    assert last["hash"] == receipt.hash.hex()


@pytest.mark.parametrize(("encoding", "payload"), PAYLOADS)
def test_payloads_keep_their_bytes(encoding: str, payload: str | bytes) -> None:
    event = stored(5, encoding, payload, metadata={"data": "x"}, aggregate=A, version=1)
    exported = written([event])
    (found,) = read(exported)
    assert everything_of(found) == everything_of(event)
    line = lines_of(exported)[1]
    form = next(form for form in ("data", "text", "binary") if form in line)
    readable = (
        isinstance(payload, str)
        and encoding == "json"
        and payload.startswith(('{"a"', " [1", '{"pos', '"\u2028', '"['))
    )
    assert (form == "data") == (readable or payload == "[" * 99 + "]" * 99)
    assert (form == "binary") == isinstance(payload, bytes)


@given(st.lists(drafts(), max_size=8).map(versioned), st.lists(st.integers(1, 2500), min_size=8, max_size=8))
def test_any_log_comes_back(events: list[Event[Any]], gaps: list[int]) -> None:
    position = 0
    log: list[Event[Any]] = []
    for event, gap in zip(events, gaps, strict=False):
        position += gap
        log.append(event.at(position))
    exported = written(log)
    assert [everything_of(one)[:-1] for one in read(exported)] == [everything_of(one)[:-1] for one in log]
    folder = Folder()
    folder.add(log)
    assert lines_of(exported)[-1]["hash"] == log_hash(folder.finish()).hex()
    assert [line["block"] for line in lines_of(exported) if "block" in line] == [one.number for one in folder.blocks]


def test_blocks_end_every_thousand_positions(tmp_path: Path) -> None:
    with blocking.connect(tmp_path / "app.db", registry=registry, durability="memory") as db:
        db.events.append([count(number) for number in range(2500)])
        receipt = operations.digest(db)
        seen: list[int] = []
        lines = lines_of(export_bytes(db, progress=seen.append))
    assert [(number, line["hash"]) for number, line in enumerate(lines) if "block" in line] == [
        (1001, receipt.blocks[0].hash.hex()), (2002, receipt.blocks[1].hash.hex()), (2503, receipt.blocks[2].hash.hex()),
    ]  # fmt: skip
    assert seen == sorted(seen)
    assert seen[-1] == 2500


def test_a_part_of_the_log_says_so() -> None:
    with blocking.connect(MEMORY, registry=registry) as db:
        db.events.append([*story(A, 2), count(1), count(2), note("tagged", tags=["a:b"])])
        query = goes.EventQuery(["sample.counted"], min_time=FAR.replace(year=1999)) | goes.EventQuery(tags=["a:b"])
        first, *found, _, last = lines_of(export_bytes(db, query=query))
        assert [line["position"] for line in found] == [3, 4, 5]
        assert (first["partial"], last["events"], last["upto"]) == (True, 3, 5)
        assert [alternative.get("names") for alternative in first["query"]] == [["sample.counted"], None]
        first, *found, _, last = lines_of(export_bytes(db, after=2, upto=4))
        assert (first["partial"], first["after"], [line["position"] for line in found]) == (True, 2, [3, 4])
        first, *found, _, last = lines_of(export_bytes(db, upto=4))
        assert (first["partial"], len(found), last["upto"]) == (False, 4, 4)
        assert [len(lines_of(export_bytes(db, upto=99))), len(lines_of(export_bytes(db, upto=0)))] == [8, 2]
        with pytest.raises(InvalidQueryError):
            export_bytes(db, after=-1)
        with pytest.raises(InvalidQueryError):
            export_bytes(db, query="everything")


def test_names_that_no_program_knows_and_former_ones(tmp_path: Path) -> None:
    """The stored name is exported, whatever the registry of the handle calls it."""
    with blocking.connect(tmp_path / "app.db", registry=registry) as db:
        db.events.append([count(1)])
    with blocking.connect(tmp_path / "app.db", registry=goes.Registry(), read_only=True) as db:
        assert lines_of(export_bytes(db))[1]["event"] == "sample.counted"


class Interrupted(Exception):
    pass


def stop_after(number: int) -> Any:
    def progress(events: int) -> None:
        if events >= number:
            raise Interrupted

    return progress


def test_an_interrupted_export_is_continued(tmp_path: Path) -> None:
    target, part = tmp_path / "log.jsonl", tmp_path / "log.jsonl.part"
    with blocking.connect(tmp_path / "app.db", registry=registry, durability="memory") as db:
        db.events.append([count(number) for number in range(5500)])
        with pytest.raises(Interrupted):
            operations.export_to(db, target, progress=stop_after(2100))
        assert not target.exists()
        with pytest.raises(ConfigError, match="resume it, or remove"):
            operations.export_to(db, target)
        with part.open("ab") as torn:  # as a kill leaves it
            torn.write(b'{"position":99')
        db.events.append([note("later")])
        begun = lines_of(part.read_bytes().splitlines(keepends=True)[0])[0]
        end = operations.export_to(db, target, resume=True)
        assert (end.events, end.upto, end.hash) == (5500, 5500, operations.digest(db, upto=5500).hash)
        with pytest.raises(ConfigError, match="exists already"):
            operations.export_to(db, target)
    assert not part.exists()
    lines = lines_of(target.read_bytes())
    assert lines[0] == begun
    assert [event.position for event in read(target.read_bytes())] == [*range(1, 5501)]


@pytest.mark.parametrize("cut", [0, 1, 40, -1, -5])
def test_a_part_of_any_length_is_continued(tmp_path: Path, cut: int) -> None:
    """Cut in the header, after it, in the last line, and complete but for its name."""
    target, part = tmp_path / "log.jsonl", tmp_path / "log.jsonl.part"
    with blocking.connect(tmp_path / "app.db", registry=registry, durability="memory") as db:
        db.events.append([count(number) for number in range(1100)])
        whole = export_bytes(db)
        part.write_bytes(whole[:cut] if cut != -1 else whole)
        operations.export_to(db, target, resume=True)
        assert lines_of(target.read_bytes())[1:] == lines_of(whole)[1:]


def test_a_part_that_was_changed_is_continued_before_the_change(tmp_path: Path) -> None:
    target, part = tmp_path / "log.jsonl", tmp_path / "log.jsonl.part"
    with blocking.connect(tmp_path / "app.db", registry=registry, durability="memory") as db:
        db.events.append([count(number) for number in range(2100)])
        whole = export_bytes(db)
        part.write_bytes(whole.replace(b'"count":1500', b'"count":1501')[:-300])
        assert operations.export_to(db, target, resume=True).hash == operations.digest(db).hash
        assert len(read(target.read_bytes())) == 2100


def test_a_part_of_another_export_is_left_alone(tmp_path: Path) -> None:
    target, part = tmp_path / "log.jsonl", tmp_path / "log.jsonl.part"
    with blocking.connect(MEMORY, registry=registry) as other:
        other.events.append([count(1)])
        part.write_bytes(export_bytes(other)[:-5])
    before = part.read_bytes()
    with blocking.connect(tmp_path / "app.db", registry=registry) as db:
        db.events.append([count(1), count(2)])
        with pytest.raises(ConfigError, match="the part of another export"):
            operations.export_to(db, target, resume=True)
        assert part.read_bytes() == before
        part.write_bytes(export_bytes(db, upto=1)[:-5])
        with pytest.raises(ConfigError, match="the part of another export"):
            operations.export_to(db, target, resume=True, query=goes.EventQuery(["sample.noted"]))
        with pytest.raises(ConfigError, match="the part of another export"):
            operations.export_to(db, target, resume=True, upto=2)
        assert operations.export_to(db, target, resume=True, upto=1).events == 1


def test_a_full_disk_leaves_no_file_that_looks_finished(tmp_path: Path) -> None:
    class Full(io.BytesIO):
        def write(self, data: Any, /) -> int:
            if self.tell() > 20_000:
                raise OSError(28, "No space left on device")
            return super().write(data)

    with blocking.connect(MEMORY, registry=registry) as db:
        db.events.append([count(number) for number in range(500)])
        full = Full()
        with pytest.raises(OSError, match="No space left"):
            operations.export(db, full)
        assert b'"end":true' not in full.getvalue()


class Nowhere(io.RawIOBase):
    """A stream that keeps nothing."""

    def writable(self) -> bool:
        return True

    def write(self, data: Any, /) -> int:
        return len(data)


def test_memory_does_not_grow_with_the_log(tmp_path: Path) -> None:
    """Of an export, and of reading one: of three times as many events it is the same."""
    peaks: list[tuple[int, int]] = []
    for number in (1500, 4500):
        path = tmp_path / f"{number}.jsonl"
        with blocking.connect(tmp_path / f"{number}.db", registry=registry, durability="memory") as db:
            for start in range(0, number, 1500):
                db.events.append([note("x" * 100) for _ in range(start, start + 1500)])
            operations.export(db, cast("BinaryIO", Nowhere()), upto=1)  # what is loaded or cached once
            exporting = peak_of(partial(operations.export, db, cast("BinaryIO", Nowhere())))
            operations.export_to(db, path)
        peaks.append((exporting, peak_of(partial(read_through, path))))
    (small, read_small), (large, read_large) = peaks
    assert large < small + (1 << 20)
    assert read_large < read_small + (1 << 20)


def read_through(path: Path) -> None:
    with path.open("rb") as stream:
        reader = ExportReader(stream)
        while reader.next_batch() is not None:
            pass


def peak_of(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_appends_meanwhile_are_not_included(tmp_path: Path) -> None:
    async def run() -> None:
        async with goes.connect(tmp_path / "app.db", registry=registry, durability="memory") as db:
            await db.events.append([count(number) for number in range(1500)])
            appending = [asyncio.create_task(db.events.append([note(str(number))])) for number in range(20)]
            stream = io.BytesIO()
            end = await export(db, stream)
            await asyncio.gather(*appending)
            assert end.hash == (await digest(db, upto=end.upto)).hash

    asyncio.run(run())
