"""Tables for analysis: what is in them, by any reader of CSV or Parquet."""

from __future__ import annotations

import csv
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import NOON, A, count, note, registry

import goes_lite as goes
from goes_lite import blocking
from goes_lite.blocking import operations
from goes_lite.contract.own_collections import IMPORTS
from goes_lite.errors import ConfigError, DriverMissing, InvalidQueryError
from goes_lite.operations import tables as tables_module
from goes_lite.operations.tables import FIELDS, MAX_COLUMNS
from tests.operations.export_kit import stored

MEMORY = "sqlite:///:memory:"


def read_csv(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return [*csv.DictReader(file)]


def store_of(*payloads: tuple[str, str | bytes], name: str = "sample.raw") -> blocking.BlockingDatabase:
    db = blocking.connect(MEMORY, registry=goes.Registry(), unknown="raw")
    events = [stored(number, *payload) for number, payload in enumerate(payloads, 1)]
    for event in events:
        event._name = name
    db.events.import_events(events)
    return db


def test_columns_and_values(tmp_path: Path) -> None:
    with blocking.connect(MEMORY, registry=registry) as db:
        db.events.append([
            note('a,\n"b"', A, 1, time=NOON, metadata={"who": "ada", "ü": ""}, tags=["k:2", "k:1"]), count(-5), note("é"),
        ])  # fmt: skip
        seen: list[int] = []
        found = operations.write_tables(db, tmp_path / "tables", "csv", progress=seen.append)
        ids = [str(event.id) for event in db.events.query()]
    assert [(one.event, one.file.name, one.rows) for one in found] == [
        ("sample.counted", "sample.counted.csv", 1), ("sample.noted", "sample.noted.csv", 2),
    ]  # fmt: skip
    assert found[1].columns == (*FIELDS, "data.text", "metadata.who", "metadata.ü")
    assert seen[-1] == 6
    first, second = read_csv(found[1].file)
    assert first == {
        "position": "1", "time": NOON.isoformat(timespec="microseconds")[:26] + "Z", "id": ids[0], "aggregate": A.name,
        "aggregate_id": A.id, "version": "1", "schema": "1", "tags": "k:1 k:2", "data.text": 'a,\n"b"',
        "metadata.who": "ada", "metadata.ü": "",
    }  # fmt: skip
    assert (second["aggregate"], second["version"], second["data.text"]) == ("", "0", "é")


NESTED: tuple[tuple[str, str | bytes], ...] = (
    ("json", '{"a":{"b":{"c":1},"d":[1,{"e":null}]},"f":true,"g":null}'),
    ("json", '{"a":{"b":2.5},"f":false,"h":"x","i":123456789012345678901234567890}'),
    ("json", "[1,2]"),
    ("json", "{broken"),
    ("msgpack", b"\x80"),
    ("json", "[" * 5000),
)


def test_nested_and_other_payloads(tmp_path: Path) -> None:
    with store_of(*NESTED) as db:
        (table,) = operations.write_tables(db, tmp_path / "tables", "csv")
    rows = read_csv(table.file)
    one, two, three, four, five, six = rows
    assert (one["data.a.b.c"], one["data.a.d"], one["data.f"], one["data.g"]) == ("1", '[1, {"e": null}]', "True", "")
    assert (two["data.a.b"], two["data.h"], two["data.i"]) == ("2.5", "x", "123456789012345678901234567890")
    assert (three["payload"], four["payload"], five["payload"], six["payload"]) == (
        "[1,2]",
        "{broken",
        "gA==",
        "[" * 5000,
    )


def test_events_are_chosen(tmp_path: Path) -> None:
    with blocking.connect(MEMORY, registry=registry) as db:
        db.events.append([count(1), note("x"), count(2), count(3)])
        query = goes.EventQuery(["sample.counted"])
        (table,) = operations.write_tables(db, tmp_path / "tables", "csv", query=query, after=1, upto=3)
        assert operations.write_tables(db, tmp_path / "none", "csv", query=goes.EventQuery(["sample.closed"])) == []
    assert [row["position"] for row in read_csv(table.file)] == ["3"]


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("../../etc/passwd", "%2F..%2Fetc%2Fpasswd.csv"),
        ("CON:x", "CON%3Ax.csv"),
        ("ordér", "ord%C3%A9r.csv"),
        ("..", "event.csv"),
    ],
)
def test_names_of_files(tmp_path: Path, name: str, file: str) -> None:
    """Whatever an event is called, its table is in the folder."""
    with store_of(("json", "{}"), name=name) as db:
        (table,) = operations.write_tables(db, tmp_path / "tables", "csv")
    assert [one.name for one in (tmp_path / "tables").iterdir()] == [file]
    assert table.file == tmp_path / "tables" / file


def test_names_that_differ_in_case_and_many_of_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables_module, "OPEN_FILES", 2)
    events = [stored(number, "json", f'{{"n":{number}}}') for number in range(1, 13)]
    for number, event in enumerate(events):
        event._name = ("a.b", "A.B", "c", "d")[number % 4]
    with blocking.connect(MEMORY, unknown="raw", registry=goes.Registry()) as db:
        db.events.import_events(events)
        found = operations.write_tables(db, tmp_path / "tables", "csv")
    assert {one.event: one.file.name for one in found} == {
        "A.B": "A.B.csv", "a.b": "a.b-2.csv", "c": "c.csv", "d": "d.csv",
    }  # fmt: skip
    assert [[row["data.n"] for row in read_csv(one.file)] for one in found] == [
        ["2", "6", "10"], ["1", "5", "9"], ["3", "7", "11"], ["4", "8", "12"],
    ]  # fmt: skip


def test_what_is_refused(tmp_path: Path) -> None:
    with blocking.connect(MEMORY, registry=registry) as db:
        db.events.append([count(1)])
        with pytest.raises(ConfigError, match="exists already"):
            operations.write_tables(db, tmp_path, "csv")
        with pytest.raises(InvalidQueryError, match="'csv' or 'parquet'"):
            operations.write_tables(db, tmp_path / "x", "xlsx")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        assert db.models.query(IMPORTS).list() == []
    keys = ",".join(f'"{number}":1' for number in range(MAX_COLUMNS))
    with store_of(("json", f"{{{keys}}}")) as db, pytest.raises(ConfigError, match="more than 2000 columns"):
        operations.write_tables(db, tmp_path / "x", "csv")
    assert not (tmp_path / "x").exists()


@pytest.mark.skipif(find_spec("pyarrow") is not None, reason="pyarrow is installed")
def test_parquet_needs_a_package(tmp_path: Path) -> None:
    with blocking.connect(MEMORY) as db, pytest.raises(DriverMissing, match=r"goes-lite\[parquet\]"):
        operations.write_tables(db, tmp_path / "x", "parquet")


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed: pip install 'goes-lite[parquet]'")
def test_parquet(tmp_path: Path) -> None:
    parquet: Any = import_module("pyarrow.parquet")
    with store_of(*NESTED) as db:
        (table,) = operations.write_tables(db, tmp_path / "tables", "parquet")
    found = parquet.read_table(table.file)
    kinds = {field.name: str(field.type) for field in found.schema}
    assert kinds["time"] == "timestamp[us, tz=UTC]"
    assert (kinds["position"], kinds["data.f"], kinds["data.a.b"], kinds["data.a.d"]) == (
        "int64",
        "bool",
        "double",
        "string",
    )
    rows = found.to_pylist()
    assert rows[0]["time"] == NOON
    assert (rows[0]["data.a.b.c"], rows[1]["data.a.b"], rows[1]["data.i"]) == (1, 2.5, "123456789012345678901234567890")
    assert [row["payload"] for row in rows] == [None, None, "[1,2]", "{broken", "gA==", "[" * 5000]


@pytest.mark.skipif(find_spec("pyarrow") is None, reason="pyarrow is not installed: pip install 'goes-lite[parquet]'")
def test_parquet_columns_of_several_types(tmp_path: Path) -> None:
    parquet: Any = import_module("pyarrow.parquet")
    with store_of(
        ("json", '{"a":1,"b":1,"c":null}'), ("json", '{"a":1.5,"b":"x","c":null}'), ("json", '{"b":true}')
    ) as db:
        (table,) = operations.write_tables(db, tmp_path / "tables", "parquet")
    rows = parquet.read_table(table.file).to_pylist()
    assert [(row["data.a"], row["data.b"], row["data.c"]) for row in rows] == [
        (1.0, "1", None), (1.5, "x", None), (None, "true", None),
    ]  # fmt: skip
