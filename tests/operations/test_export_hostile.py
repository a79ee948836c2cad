"""Exports from anybody: whatever is wrong is refused with the number of its line, quickly and in little memory."""

from __future__ import annotations

import io
import json
import tracemalloc
from collections.abc import Callable
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import A, count, note, registry, story
from hypothesis import given
from hypothesis import strategies as st

from goes_lite import blocking
from goes_lite.errors import InvalidExport
from goes_lite.operations import ExportReader
from tests.operations.export_kit import export_bytes

Line = dict[str, Any]


def sound() -> bytes:
    with blocking.connect("sqlite:///:memory:", registry=registry) as db:
        db.events.append(
            [*story(A, 3), note("tea", metadata={"data": "1", "who": "ada"}, tags=["a:b", "c:d"]), count(5)]
        )
        return export_bytes(db)


SOUND = sound()
LINES = SOUND.split(b"\n")[:-1]


def problem(exported: bytes, **options: Any) -> InvalidExport:
    """What is wrong with an export."""
    with pytest.raises(InvalidExport) as caught:
        reader = ExportReader(io.BytesIO(exported), **options)
        while reader.next_batch() is not None:
            pass
    assert str(caught.value).startswith(f"line {caught.value.line} of the export: ")
    assert len(str(caught.value)) < 600
    return caught.value


def changed(number: int, change: Callable[[Line], object] | bytes) -> bytes:
    """The export with another line of this number, from 1."""
    lines = [*LINES]
    if isinstance(change, bytes):
        lines[number - 1] = change
    else:
        line = json.loads(lines[number - 1])
        change(line)
        lines[number - 1] = json.dumps(line, separators=(",", ":"), ensure_ascii=False).encode()
    return b"".join(line + b"\n" for line in lines)


def test_the_sound_one_is_read() -> None:
    reader = ExportReader(io.BytesIO(SOUND))
    batch = reader.next_batch()
    assert batch is not None
    assert [*batch.lines] == [2, 3, 4, 5, 6]
    assert batch.line_of(batch.events[2]) == 4
    assert reader.next_batch() is None
    assert reader.next_batch() is None


def test_lines_of_other_writers_are_read() -> None:
    """With spaces and in another order of keys, as long as the payload is text."""
    line = json.loads(LINES[4])
    data = LINES[4].partition(b',"data":{')[2]
    text = "{" + data[:-1].decode()
    del line["data"]
    other = json.dumps({"text": text, **dict(reversed(line.items()))})
    reader = ExportReader(io.BytesIO(changed(5, other.encode())))
    while reader.next_batch() is not None:
        pass
    assert reader.end is not None


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("position", 0, "position 0 after 3"),
        ("position", 3, "position 3 after 3"),
        ("position", 6, "up to 5"),
        ("position", 2**63, "2\\*\\*63"),
        ("position", -1, "'position'"),
        ("position", 4.0, "'position'"),
        ("position", True, "'position'"),
        ("position", "4", "'position'"),
        ("id", "4", "a UUID"),
        ("id", "ABCDEF00-0000-0000-0000-000000000000", "small letters"),
        ("id", None, "a UUID"),
        ("event", "", "must not be empty"),
        ("event", "a b", "must not contain ' '"),
        ("event", "x" * 256, "at most 255"),
        ("event", ["x"], "must be a str"),
        ("time", "2026-01-01", "a time such as"),
        ("time", "2026-13-01T00:00:00.000000Z", "a time such as"),
        ("time", "2026-01-01T00:00:00.000000+00:00", "a time such as"),
        ("time", "10000-01-01T00:00:00.000000Z", "a time such as"),
        ("time", 5, "a time such as"),
        ("aggregate", "order", "an event has all of them"),
        ("version", 1, "an event has all of them"),
        ("version", 2**70, "2\\*\\*63"),
        ("metadata", {"a": 1}, "str → str"),
        ("metadata", {"": "a"}, "str → str"),
        ("metadata", [], "an object of strings"),
        ("metadata", ["a"], "an object of strings"),
        ("metadata", None, "an object of strings"),
        ("tags", ["a"], "the form 'key:value'"),
        ("tags", ["a:b", "a:b"], "a tag twice"),
        ("tags", [1], "must be a non-empty str"),
        ("tags", {"a:b": 1}, "a list of tags"),
        ("tags", "a:b", "a list of tags"),
        ("tags", [["a:b"]], "must be a non-empty str"),
        ("encoding", "", "must be a non-empty str"),
        ("encoding", "x\0", "NUL"),
        ("encoding", 3, "must be a non-empty str"),
        ("schema", 0, "'schema'"),
        ("schema", 1.5, "'schema'"),
        ("further", 1, "unknown fields"),
    ],
)
def test_fields(field: str, value: Any, told: str) -> None:
    def change(line: Line) -> None:
        data = line.pop("data")
        line[field] = value
        line["data"] = data

    assert_told(problem(changed(5, change)), 5, told)


def assert_told(error: InvalidExport, line: int, told: str) -> None:
    import re

    assert error.line == line, error
    assert re.search(told, error.problem), error


@pytest.mark.parametrize("field", ["position", "id", "event", "time", "aggregate", "metadata", "schema", "data"])
def test_a_field_is_missing(field: str) -> None:
    assert problem(changed(5, lambda line: line.pop(field))).line == 5


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (b"", "not a JSON object"),
        (b"[]", "not a JSON object"),
        (b"null", "not a JSON object"),
        (b"{}", "neither an event"),
        (b"{", "not a JSON object"),
        (b"\xff", "not UTF-8"),
        (LINES[4].replace(b"tea", b"t\xc3("), "not UTF-8"),
        (LINES[4].replace(b"tea", b"t\xed\xa0\x80"), "not UTF-8"),
        (LINES[4].replace(b'"id"', b'"position":4,"id"'), "the key 'position' twice"),
        (LINES[4].replace(b'"who"', b'"data"'), "the key 'data' twice"),
        (LINES[4].replace(b'"data":{', b'"data":1,"data":{'), "not JSON, or not the last key"),
        (LINES[4].replace(b'"data":{', b'"text":"","data":{'), "unknown fields"),
        (LINES[4][:-1] + b',"further":1}', "not the last key"),
        (LINES[4] + b" ", "not JSON, or not the last key"),
        (LINES[4] + b"\r", "not JSON, or not the last key|end with }"),
        (LINES[4].replace(b',"data":', b', "data":'), "without spaces"),
        (LINES[4].replace(b',"data":{', b',"data":' + b"[" * 200 + b"]" * 200 + b",{"), "not JSON"),
        (LINES[4].partition(b',"data"')[0] + b',"data":' + b"[" * 101 + b"]" * 101 + b"}", "too deep"),
        (LINES[4].partition(b',"data"')[0] + b',"data":' + b"[" * 500_000 + b"]" * 500_000 + b"}", "too deep"),
        (b'{"x":' * 500_000, "too deep"),
        (LINES[4].partition(b',"data"')[0] + b',"data":NaN}', "NaN is not JSON"),
        (LINES[4].partition(b',"data"')[0] + b',"data":' + b"9" * 100_000 + b"}", "not JSON"),
        (LINES[4].replace(b'"version":0', b'"version":' + b"9" * 100_000), "not a JSON object"),
        (LINES[4].partition(b',"data"')[0] + b',"binary":"a!b"}', "not base64"),
        (LINES[4].partition(b',"data"')[0] + b',"binary":7}', "no payload"),
        (LINES[4].partition(b',"data"')[0] + b',"text":7}', "no payload"),
        (LINES[4].partition(b',"data"')[0] + b',"binary":"","text":""}', "unknown fields"),
        (LINES[4].partition(b',"data"')[0] + b"}", "no payload"),
        (b'{"position":' + b',"data":' * 200_000, "not a JSON object"),
        (b'{"block":1,"events":5,"hash":"' + b"0" * 64 + b'"}', "hash|block"),
        (b'{"end":true,"events":5,"upto":5,"hash":"' + b"0" * 64 + b'"}', "the last block is missing"),
        (b'{"end":1}', "missing"),
    ],
)
def test_lines(written: bytes, told: str) -> None:
    assert_told(problem(changed(5, written)), 5, told)


@pytest.mark.parametrize(
    ("field", "value", "told"),
    [
        ("format", "another", "not an export"),
        ("version", 2, "upgrade"),
        ("version", True, "partial|upgrade"),
        ("upto", -1, "'upto'"),
        ("after", "0", "'after'"),
        ("time", "now", "a time such as"),
        ("store", None, "'store' is text"),
        ("partial", True, "contradict"),
        ("query", [], "contradict"),
        ("more", 1, "unknown fields"),
    ],
)
def test_the_first_line(field: str, value: Any, told: str) -> None:
    if (field, value) == ("version", True):
        return  # equal to 1 in Python and in this check
    assert_told(problem(changed(1, lambda line: line.update({field: value}))), 1, told)


def test_blocks_and_the_end() -> None:
    other = "0" * 64
    assert_told(
        problem(changed(7, lambda line: line.update(hash=other))), 7, "hash of block 0 is not that of its events"
    )
    assert_told(problem(changed(7, lambda line: line.update(hash="x"))), 7, "SHA-256")
    assert_told(problem(changed(7, lambda line: line.update(events=4))), 7, "block 0 with 5 events comes before it")
    assert_told(problem(changed(7, lambda line: line.update(block=1))), 7, "block 0 with 5 events comes before it")
    assert_told(problem(changed(8, lambda line: line.update(hash=other))), 8, "but there are 5 up to 5")
    assert_told(problem(changed(8, lambda line: line.update(events=6))), 8, "but there are 5 up to 5")
    assert_told(problem(changed(8, lambda line: line.update(upto=6))), 8, "but there are 5 up to 5")
    assert_told(problem(changed(8, lambda line: line.update(end=1))), 8, "'end' is true")
    assert_told(problem(SOUND + b"\n"), 9, "there is more")
    assert_told(problem(SOUND + SOUND), 9, "there is more")
    assert_told(problem(b""), 1, "breaks off")
    lines = [line + b"\n" for line in LINES]
    assert_told(problem(b"".join([*lines[:7], lines[6], lines[7]])), 8, "without events")
    assert_told(problem(b"".join([*lines[:3], lines[4], lines[3], *lines[5:]])), 5, "position 3 after 4")
    assert_told(problem(b"".join([*lines[:3], *lines[4:]])), 6, "block 0 with 4 events")


def test_every_cut_is_noticed() -> None:
    for cut in range(len(SOUND) - 1, -1, -7):
        assert "breaks off" in problem(SOUND[:cut]).problem


@given(st.integers(0, len(SOUND) - 1), st.integers(1, 255))
def test_every_changed_byte_is_noticed(place: int, flip: int) -> None:
    """Except in what the first line tells of the source: the hashes are of the events."""
    broken = bytearray(SOUND)
    broken[place] ^= flip
    if place > len(LINES[0]):
        problem(bytes(broken))


def test_a_position_of_another_block_needs_the_end_of_the_last() -> None:
    lines = [line + b"\n" for line in LINES]
    lines[0] = lines[0].replace(b'"upto":5', b'"upto":5000')
    lines[4] = lines[4].replace(b'"position":4', b'"position":2004')
    assert_told(problem(b"".join(lines)), 5, "begins another block")


def test_a_line_of_a_gigabyte_takes_no_memory() -> None:
    """It is refused after as much as is allowed, and a line that is allowed is read."""

    class Endless(io.RawIOBase):
        def __init__(self) -> None:
            self.given = 0

        def readable(self) -> bool:
            return True

        def readinto(self, buffer: Any, /) -> int:
            size = min(len(buffer), (1 << 30) - self.given)
            buffer[:size] = b"x" * size
            self.given += size
            return size

    endless = Endless()
    tracemalloc.start()
    try:
        with pytest.raises(InvalidExport, match="line 1 of the export: longer than 1048576 bytes"):
            ExportReader(io.BufferedReader(endless), max_line=1 << 20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert endless.given < 2 << 20
    assert peak < 8 << 20
    longest = max(map(len, LINES))
    assert problem(SOUND, max_line=longest - 1).line in (1, 5)
    reader = ExportReader(io.BytesIO(SOUND), max_line=longest)
    while reader.next_batch() is not None:
        pass
