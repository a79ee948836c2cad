"""Whole logs into each backend and out of it: a real one, and one with every kind of field in three encodings."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import CONFUSABLE, NOON

import goes_lite as goes
from goes_lite import blocking
from goes_lite.blocking import operations
from tests.examples import example_kit
from tests.operations.export_kit import LONG, export_bytes, lines_of

REAL_LOG = example_kit.EXAMPLES.parents[1] / "shared" / "data" / "bpic2012.xes.gz"
BATCH = 2000


def loan_log() -> Iterator[goes.Event[Any]]:
    """The events of the loan log, as examples/loan_log.py makes them: 262,200 steps of 13,087 cases."""
    example = example_kit.module("loan_log")
    source = example.Source(REAL_LOG)
    try:
        for traces in source.batches():
            for trace in traces:
                yield from example.events_of(trace, example.case_id(trace))
    finally:
        source.close()


@pytest.fixture(scope="module", params=[2000, pytest.param(20_000, marks=pytest.mark.slow)])
def loans(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, rounds: int) -> tuple[int, Path]:
    """The number of its first events in a store, and the store; all of them with `--all --rounds 14`."""
    if not REAL_LOG.exists():
        pytest.skip(f"the BPI Challenge 2012 log is not at {REAL_LOG}")
    path = tmp_path_factory.mktemp("loans") / "loans.db"
    events = islice(loan_log(), request.param * rounds)
    with blocking.connect(path, durability="memory") as db:
        while batch := [*islice(events, BATCH)]:
            db.events.append(batch)
        return db.events.head(), path


def test_the_loan_log(loans: tuple[int, Path], url: str, tmp_path: Path) -> None:
    """From a file through the format into the store, and from there through the format into a file: digests are equal."""
    number, path = loans
    with blocking.connect(path, registry=goes.Registry(), read_only=True) as source:
        end = operations.export_to(source, tmp_path / "loans.jsonl")
        receipt = operations.digest(source)
    assert end.events == number
    with blocking.connect(url, registry=goes.Registry()) as db:
        done = operations.import_from(db, tmp_path / "loans.jsonl")
        assert (done.hash, operations.digest(db).hash) == (receipt.hash, receipt.hash)
        operations.export_to(db, tmp_path / "again.jsonl")
    with blocking.connect(tmp_path / "again.db") as back:
        operations.import_from(back, tmp_path / "again.jsonl")
        assert operations.check(back, receipt).relation == "same"


@dataclass(frozen=True)
class Everything:
    text: str
    number: int
    amount: Decimal
    raw: bytes
    span: timedelta
    inner: dict[str, list[float | None]]


@pytest.mark.skipif(find_spec("msgspec") is None, reason="msgspec is not installed")
@pytest.mark.skipif(find_spec("google.protobuf") is None, reason="protobuf is not installed")
def test_all_kinds_of_fields_in_three_encodings(url: str) -> None:
    """As their programs read them afterwards, too."""
    from google.protobuf.struct_pb2 import Struct

    programs = goes.Registry()
    programs.register("of.json", Everything)
    packed = goes.Registry()
    packed.register("of.msgpack", Everything, codec="msgpack")
    programs.register("of.protobuf", Struct)
    message = Struct()
    message.update({"a": [1, "é\0", None], "b": {"c": True}})
    values = [
        Everything(
            text, -(2**63), Decimal("1.50"), text.encode() + b"\0\xff", timedelta(microseconds=1), {text: [1e300, None]}
        )
        for text in ["", "\0\x1b\u2028", *CONFUSABLE]
    ]
    events: list[goes.Event[Any]] = []
    for number, value in enumerate(values, 1):
        fields: dict[str, Any] = {"metadata": {"k": value.text, "ü": ""}, "time": NOON, "tags": [f"t:{number}\u202e"]}
        ref = ("ordér", LONG)
        events.append(goes.Event(value, aggregate=ref, version=3 * number - 2, registry=programs, **fields))
        events.append(goes.Event(value, aggregate=ref, version=3 * number - 1, registry=packed, **fields))
        events.append(goes.Event(message, aggregate=ref, version=3 * number, registry=programs, **fields))
    with blocking.connect("sqlite:///:memory:", registry=programs) as source:
        source.events.append(events)
        receipt = operations.digest(source)
        exported = export_bytes(source)
    lines = [line for line in lines_of(exported) if "position" in line]
    assert {(line["encoding"], next(form for form in ("data", "binary") if form in line)) for line in lines} == {
        ("json", "data"), ("msgpack", "binary"), ("protobuf", "binary"),
    }  # fmt: skip
    with blocking.connect(url, registry=goes.Registry()) as db:
        operations.import_log(db, io.BytesIO(exported))
        assert operations.check(db, receipt).relation == "same"
        assert lines_of(export_bytes(db))[1:] == lines_of(exported)[1:]
    programs.register("of.msgpack", Everything, codec="msgpack")
    with blocking.connect(url, registry=programs) as db:
        assert [*db.events.query()] == events
