"""What released versions stored can be read for ever: every file of this folder, and there is one for each format of today."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

import pytest

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, operations
from goes_lite.codec.json_schema import json_schema
from goes_lite.events import built_in
from goes_lite.operations import Receipt
from goes_lite.schema import gaps
from goes_lite.schema.nodes import node_of
from tests.golden import earlier, make, program

HERE = Path(__file__).parent
MOST = 64 * 1024
"""Bytes of one file, in a repository that keeps all of them for ever."""


def files(pattern: str) -> list[Path]:
    return sorted(HERE.glob(pattern))


def receipt() -> Receipt:
    return Receipt.from_json(make.RECEIPT.read_text(encoding="utf-8"))


@pytest.fixture(params=[path.name for path in files("sqlite-*.db.gz")], name="packed")
def each_format_of_a_file(request: pytest.FixtureRequest) -> Path:
    """A store that was written in each format."""
    return HERE / str(request.param)


@pytest.fixture
def db(packed: Path, tmp_path: Path) -> Iterator[BlockingDatabase]:
    """That store, which cannot be written."""
    with make.opened(packed, tmp_path) as found:
        yield found


def account(db: BlockingDatabase, id: str) -> tuple[str, Decimal, int]:
    found = db.repository(program.Account).fetch(id)
    return found.holder, found.limit, found.paid


def test_every_format_of_today_has_its_file() -> None:
    """Whoever changes a format makes a file of the new one: `python -m tests.golden.make`, and commits it."""
    wanted = {make.STORE, make.EXPORTED, make.RECEIPT, *(HERE / f"{name}.db.gz" for name in earlier.VERSIONS)}
    wanted |= {HERE / name for name in {**make.schemas(), **make.tables()}}
    assert sorted(path.name for path in wanted if not path.exists()) == []
    assert [path.name for path in HERE.iterdir() if path.is_file() and path.stat().st_size > MOST] == []


def test_formats_with_a_file_are_as_they_were() -> None:
    """The tables of servers, and built-in events: a change of one is a new version."""
    for name, text in {**make.schemas(), **make.tables()}.items():
        assert (HERE / name).read_text(encoding="utf-8") == text, name


@pytest.mark.parametrize("path", files("goes.*.schema.json"), ids=lambda path: path.name)
def test_built_in_events_of_every_version_can_be_read(path: Path) -> None:
    found = re.fullmatch(r"(.*)-(\d+)\.schema\.json", path.name)
    assert found
    cls, schema = built_in._types[found[1]]
    assert schema == int(found[2]), "an older version: test here that it is upcast"
    assert gaps(node_of(json.loads(path.read_text(encoding="utf-8"))), node_of(json_schema(cls))) == []


@pytest.mark.parametrize("name", [path.name.removesuffix(".db.gz") for path in files("*.*-*.db.gz")])
def test_an_event_of_every_version_is_read_as_today(name: str, tmp_path: Path) -> None:
    today = "account.opened-3" if name.startswith("customer.joined") else name
    with make.opened(HERE / f"{name}.db.gz", tmp_path) as db:
        (event,) = db.events.query()
        assert event.data == earlier.VERSIONS[today][1]
        assert f"{event.encoded.schema}" == name.rpartition("-")[2]
        if event.name == "account.opened":
            assert account(db, "1") == ("Lovelace, Ada", Decimal("100.00"), 0)
        assert not operations.verify(db).problems


def test_a_store_is_sound_and_has_what_it_had(db: BlockingDatabase) -> None:
    assert not operations.verify(db).problems
    assert operations.check(db, receipt()).holds
    assert operations.digest(db).hash == receipt().hash
    events = db.events.query().list()
    opened = program.AccountOpened("Ada", "Lovelace", Decimal("100.00"))
    paid = [program.AccountPaid(amount) for amount in (250, 7, 1000)]
    assert [event.data for event in events][:7] == [opened, opened, opened, *paid, program.EVERYTHING]
    assert [event.position for event in events][6:8] == [7, 9]  # the one between was deleted
    assert events[6].tags == {"kind:all", "odd:\u00fc"}
    assert (events[2].metadata["actor"], events[2].metadata["correlation"]) == ("ada", "c-1")


def test_what_follows_the_log_is_where_it_was(db: BlockingDatabase) -> None:
    name, limit = "Lovelace, Ada", Decimal("100.00")
    assert [account(db, id) for id in ("1", "2", "3")] == [(name, limit, 250), (name, limit, 0), (name, limit, 1007)]
    assert len(db.snapshots.query().list()) == 2
    sums = db.models_of("payments", program.Sum).get("all")
    assert sums is not None
    assert sums == program.Sum(1257, ("1", "3", "3"))
    parked = db.processor("fussy", program.fussy).parked()
    assert [(one.position, one.behind, one.error) for one in parked] == [(5, 0, "ValueError: seven"), (6, 5, "")]
    assert {one.name: one.position for one in db.processors()} == {"fussy": 8, "payments": 8, "workflow:reminder": 20}
    outcomes = [event.data for event in db.events.query(goes.EventQuery(["goes.command.outcome"]))]
    assert isinstance(outcomes[0], goes.CommandOutcome)
    assert outcomes[0][:7] == (
        program.FAILED, "letter.send", "rejected", None, "no-address", "eve has no address", '{"street": null}',
    )  # fmt: skip
    (waiting,) = [one for one in db.commands.accepted() if one.id == program.WAITING]
    assert (waiting.name, waiting.state) == ("letter.send", "waiting")
    instances = db.workflows.list("reminder")
    assert [(one.key, one.status, [*one.timers]) for one in instances] == [
        ("1", "running", ["late"]), ("2", "running", ["late"]), ("3", "completed", []),
    ]  # fmt: skip
    assert [one.state["payments"] for one in instances] == [1, 0, 2]
    assert db.workflows.show(program.Reminder(), "1")[-1].state == program.Reminding("1", 1)


def test_a_program_goes_on_with_it(packed: Path, tmp_path: Path) -> None:
    """It is brought up to date, keeps what it has, and everything continues after what was done."""
    path = make.unpacked(packed, tmp_path)
    path.chmod(0o600)
    with goes.blocking.connect(path, registry=program.registry) as db:
        accounts = db.repository(program.Account, snapshots=goes.Every(2))
        for id in ("1", "2"):
            accounts.use(id, lambda account: account.record(program.AccountPaid(1000)))
        db.projection(program.Payments()).catch_up()
        assert db.models_of("payments", program.Sum).get("all") == program.Sum(3257, ("1", "3", "3", "1", "2"))
        db.processor("fussy", program.fussy, retry=goes.Retry(1, then="park", order="strict")).catch_up()
        db.workflow(program.Reminder()).catch_up()
        assert [one.status for one in db.workflows.list("reminder")] == ["completed"] * 3
        assert operations.check(db, receipt()).holds
        assert not operations.verify(db).problems


def test_an_export_of_every_version_makes_the_same_log(tmp_path: Path) -> None:
    for exported in files("export-*.jsonl"):
        with goes.blocking.connect(tmp_path / f"{exported.name}.db", registry=program.registry) as db:
            operations.import_from(db, exported)
            assert operations.check(db, receipt()).holds
            assert account(db, "3") == ("Lovelace, Ada", Decimal("100.00"), 1007)


def test_the_script_makes_what_is_missing_and_no_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It makes a store of today with the same content, and keeps the files that are there."""
    monkeypatch.setattr(make, "HERE", tmp_path)
    for name in ("STORE", "EXPORTED", "RECEIPT"):
        monkeypatch.setattr(make, name, tmp_path / getattr(make, name).name)
    kept = tmp_path / "note.taken-1.db.gz"
    kept.write_bytes(b"kept")
    make.main()
    assert kept.read_bytes() == b"kept"
    assert {path.name for path in tmp_path.iterdir()} >= {make.STORE.name, "customer.joined-1.db.gz"}
    folder = tmp_path / "unpacked"
    folder.mkdir()
    with make.opened(make.STORE, folder) as db:
        assert account(db, "3") == ("Lovelace, Ada", Decimal("100.00"), 1007)
        assert len(db.events.query().list()) == 20
