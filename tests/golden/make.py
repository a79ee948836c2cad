"""Make the files of this folder that are missing, for the formats of today: `python -m tests.golden.make`.

A file that is there is never written again: it is what a released version wrote. Commit what this makes together with the change
of the format.
"""

from __future__ import annotations

import gzip
import json
import logging
import sqlite3
import tempfile
from collections.abc import Callable
from contextlib import closing, suppress
from datetime import datetime, timezone
from functools import partial
from pathlib import Path

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, operations
from goes_lite.codec.json_schema import json_schema
from goes_lite.errors import CommandRejected, DriverMissing
from goes_lite.events import built_in, workflow
from goes_lite.operations.canonical import FORM
from goes_lite.operations.export_lines import VERSION as EXPORT
from goes_lite.sqlite._schema import VERSION as SQLITE
from tests.golden import earlier, program

HERE = Path(__file__).parent
assert workflow.ENDED  # its import makes the events of workflows known
STORE = HERE / f"sqlite-{SQLITE}.db.gz"
EXPORTED = HERE / f"export-{EXPORT}.jsonl"
RECEIPT = HERE / f"receipt-{FORM}.json"


def packed(fill: Callable[[Path], object]) -> bytes:
    """Return the store that the function fills, as one file without a log next to it, compressed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "store.db")
        fill(path)
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return gzip.compress(path.read_bytes(), 9, mtime=0)


def everything(path: Path) -> None:
    """Fill a store with something of everything."""
    for name in ("customer.joined-1", "customer.joined-2"):
        registry, data = earlier.VERSIONS[name]
        with goes.blocking.connect(path, registry=registry) as db:
            db.events.append([goes.Event(data, aggregate=("account", name[-1]), version=1, registry=registry)])
    with goes.blocking.connect(path, registry=program.registry) as db:
        accounts = db.repository(program.Account, snapshots=goes.Every(2))
        opened = earlier.VERSIONS["account.opened-3"][1]
        with goes.Context.bind(actor="ada", correlation="c-1"):
            accounts.use("3", lambda account: account.record(opened), create=True)
        for id, amount in (("1", 250), ("3", 7), ("3", 1000)):
            accounts.use(id, partial(pay, amount))
        db.events.append(
            [
                goes.Event(program.EVERYTHING, registry=program.registry, tags=["kind:all", "odd:\u00fc"]),
                goes.Event(program.NoteTaken("gone"), aggregate=("pad", "p"), version=1, registry=program.registry),
            ]
        )
        db.events.delete(goes.AggregateRef("pad", "p"))
        db.projection(program.Payments()).catch_up()
        db.processor("fussy", program.fussy, retry=goes.Retry(1, then="park", order="strict")).catch_up()
        db.commands.schedule(
            program.SendLetter("bob"), at=datetime(2999, 1, 1, tzinfo=timezone.utc), id=program.WAITING
        )
        db.commands.handle(program.SendLetter, refuse)
        db.commands.dispatch_async(program.SendLetter("eve"), id=program.FAILED, report=True)
        db.workflow(program.Reminder()).catch_up()
        with db.commands.worker(attempts=1), suppress(CommandRejected):
            db.commands.outcome(program.FAILED, timeout=60)
        db.workflow(program.Reminder()).catch_up()
        db.leases.acquire("printer", "golden", 60)


def pay(amount: int, account: program.Account) -> None:
    """Pay into an account."""
    account.record(program.AccountPaid(amount))


def refuse(command: program.SendLetter) -> None:
    """Refuse to write to eve."""
    if command.to == "eve":
        raise CommandRejected("no-address", "eve has no address", details={"street": None})


def of_version(name: str, path: Path) -> None:
    """Fill a store with one event, as a version of the program stored it."""
    registry, data = earlier.VERSIONS[name]
    with goes.blocking.connect(path, registry=registry) as db:
        db.events.append([goes.Event(data, aggregate=("account", "1"), version=1, registry=registry)])


def unpacked(packed: Path, folder: Path) -> Path:
    """Unpack a store into the folder, as a file that nobody may write."""
    path = folder / packed.name.removesuffix(".gz")
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    path.chmod(0o444)
    return path


def opened(packed: Path, folder: Path) -> BlockingDatabase:
    """Unpack a store into the folder, and open it for reading, with the program of today."""
    return goes.blocking.connect(unpacked(packed, folder), registry=program.registry, read_only=True)


def schemas() -> dict[str, str]:
    """Return the JSON Schemas of the built-in events, by file."""
    found: dict[str, str] = {}
    for name, (cls, schema) in built_in._types.items():
        found[f"{name}-{schema}.schema.json"] = json.dumps(json_schema(cls), indent=1) + "\n"
    return found


def tables() -> dict[str, str]:
    """Return the statements that create the store of each server, by file, without those whose driver is not installed."""
    found: dict[str, str] = {}
    with suppress(ImportError, DriverMissing):
        from goes_lite_postgres import _schema as postgres

        statements = [statement for migration in postgres.MIGRATIONS for statement in migration]
        found[f"postgresql-{postgres.VERSION}.sql"] = ";\n".join(statements) + "\n"
    with suppress(ImportError, DriverMissing):
        from goes_lite_mongo import _schema as mongo

        found[f"mongodb-{mongo.SCHEMA}.txt"] = "\n".join(json.dumps(one) for one in mongo.commands("")) + "\n"
    return found


def derived(folder: Path) -> None:
    """Write what follows from the store of today's format: its export, and its receipt."""
    with opened(STORE, folder) as db:
        if not EXPORTED.exists():
            operations.export_to(db, EXPORTED)
        if not RECEIPT.exists():
            RECEIPT.write_text(operations.digest(db).to_json(), encoding="utf-8")


def main() -> None:
    """Make what is missing."""
    before = {path.name for path in HERE.iterdir()}
    if not STORE.exists():
        STORE.write_bytes(packed(everything))
    for name in earlier.VERSIONS:
        path = HERE / f"{name}.db.gz"
        if not path.exists():
            path.write_bytes(packed(partial(of_version, name)))
    for name, text in {**schemas(), **tables()}.items():
        if not (HERE / name).exists():
            (HERE / name).write_text(text, encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        derived(Path(folder))
    for path in sorted(HERE.iterdir()):
        if path.name not in before and path.is_file():
            print(f"{path.stat().st_size:>7} {path.name}")


if __name__ == "__main__":
    logging.disable()  # of the failures that are meant
    main()
