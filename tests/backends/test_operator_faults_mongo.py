"""Faults of operators on MongoDB: each is a row of docs/faults.md."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from goes_lite_conformance.harness.samples import note, registry
from goes_lite_conformance.servers import mongo

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase
from goes_lite.errors import (
    AppendInDoubtError,
    ForeignFile,
    GoesError,
    StoreDamaged,
    StoreFull,
    StoreReadOnly,
    StoreTooNew,
    StoreUnavailable,
)
from tests.backends.mongo_kit import needs_mongo
from tests.operator_faults import situation

needs_mongo()

from pymongo import MongoClient  # noqa: E402 - not before it is known to be there

A = goes.AggregateRef("a", "1")


class Operator:
    """Somebody with all rights on a server."""

    def __init__(self, server: mongo.MongoServer, login: str = "") -> None:
        self.server = server
        self.client: MongoClient[dict[str, Any]] = MongoClient(self.url("", login))

    def url(self, database: str, login: str = "", options: str = "") -> str:
        more = "&authSource=admin" if login else ""
        host = f"{login}{'@' if login else ''}127.0.0.1:{self.server.port}"
        return f"mongodb://{host}/{database}?replicaSet=rs0{more}{options}"

    def fail(self, command: str, times: int, **how: Any) -> None:
        """Let the next so many commands of that name fail, of clients that call themselves doomed."""
        data = {"failCommands": [command], "appName": "doomed", **how}
        self.server.command("configureFailPoint", "failCommand", mode={"times": times}, data=data)


@pytest.fixture(scope="module")
def operator() -> Iterator[Operator]:
    with mongo.server("--setParameter", "enableTestCommands=1", fsync=False) as server:
        operator = Operator(server)
        with operator.client:
            yield operator


@pytest.fixture
def name() -> str:
    """The name of a database that no other test uses."""
    return f"t{uuid4().hex[:16]}"


@contextmanager
def opened(url: str, **options: Any) -> Generator[BlockingDatabase]:
    """Open a store with little patience."""
    options.setdefault("retry_timeout", 0.5)
    with goes.blocking.connect(url, registry=registry, **options) as db:
        yield db


def refused(error: type[GoesError], url: str, **options: Any) -> None:
    """Fail unless opening the store raises that error."""
    options.setdefault("connect_timeout", 1.0)
    with pytest.raises(error) as caught:
        goes.blocking.connect(url, **options)
    assert "secret" not in str(caught.value)


def texts(db: BlockingDatabase) -> list[str]:
    return [event.data.text for event in db.events.query()]


def one(text: str, version: int = 1) -> goes.Event[Any]:
    return note(text, A, version)


# --- something of the store is dropped ------------------------------------------------------------------------------


@situation(
    sees="nothing: the program goes on, slower",
    then="The next program that opens the store makes the indexes again. Until then an append that is repeated by its events "
    "alone is not recognised, unless they belong to aggregates.",
)
def test_indexes_are_dropped(operator: Operator, name: str) -> None:
    """Indexes of the store are dropped."""
    url = operator.url(name)
    with opened(url) as db:
        first = [one("1")]
        db.events.append(first)
        operator.client[name].events.drop_indexes()
        db.events.append([one("2", 2)])
        assert db.events.append(first).already_committed
        assert [event.version for event in db.events.load(A)] == [1, 2]
    with opened(url) as db:
        assert texts(db) == ["1", "2"]
    assert "events_by_id" in operator.client[name].events.index_information()


@situation(
    sees="StoreDamaged: …: the store is damaged (the index 'events_by_id' of 'events' has another definition): drop it "
    "and connect again",
    then="The store cannot be opened, since it would take an event twice. Handles that are open go on.",
)
def test_an_index_of_another_definition(operator: Operator, name: str) -> None:
    """An index is replaced by one of the same name and another definition."""
    url = operator.url(name)
    with opened(url) as db:
        db.events.append([one("1")])
        operator.client[name].events.drop_index("events_by_id")
        operator.client[name].events.create_index([("id", 1)], name="events_by_id")
        assert texts(db) == ["1"]
    refused(StoreDamaged, url)


@situation(
    sees=(
        (
            "StoreDamaged: …: the store is damaged (the aggregate 'a', id '1', is stored at version 2, but without its event of "
            "version 1): restore a backup…"
        ),
        "StoreDamaged: …: the store is damaged (the collections 'events' are missing): restore a backup…",
    ),
    then="Aggregates that have lost events do not load, and the store cannot be opened any more.",
)
def test_a_collection_is_dropped(operator: Operator, name: str) -> None:
    """The collection of the events is dropped."""
    url = operator.url(name)
    with opened(url) as db:
        db.events.append([one("1"), one("2", 2)])
        operator.client[name].events.drop()
        with pytest.raises(StoreDamaged):
            db.events.load(A)
    refused(StoreDamaged, url)
    assert "events" not in operator.client[name].list_collection_names()


@situation(
    sees="StoreDamaged: …: the store is damaged (its document with the head of the log is missing): restore a backup…",
    then="An open handle writes nothing. A program that opens the store then creates a new, empty one, with another identity: "
    "its positions begin at 1, and checkpoints of the old one are refused.",
)
def test_the_database_is_dropped(operator: Operator, name: str) -> None:
    """The whole database is dropped."""
    url = operator.url(name)
    with opened(url) as db:
        db.events.append([one("1")])
        operator.client.drop_database(name)
        with pytest.raises(StoreDamaged):
            db.events.append([one("2", 2)])
        with pytest.raises(StoreDamaged), db.transaction() as tx:
            tx.events.append([one("2", 2)])
        identity = db.identity
    with opened(url) as db:
        assert (db.events.head(), db.identity == identity) == (0, False)


@situation(
    sees=(
        "StoreDamaged: …: the store is damaged (its document with the head of the log is missing): restore a backup…",
        "ForeignFile: …: not a goes_lite store (the collection 'events' does not belong to a store), left unchanged: …",
    ),
    then="Nothing is written, and the store cannot be opened. Restore the document, with the identity and the highest position.",
)
def test_the_counter_is_dropped(operator: Operator, name: str) -> None:
    """The collection of the counter is dropped."""
    url = operator.url(name)
    with opened(url) as db:
        db.events.append([one("1")])
        operator.client[name].store.drop()
        with pytest.raises(StoreDamaged):
            db.events.append([one("2", 2)])
    refused(ForeignFile, url)
    assert operator.client[name].events.count_documents({}) == 1


@situation(
    sees=(
        (
            "StoreDamaged: …: the store is damaged (the aggregate 'a', id '1', is stored at version 3, but without its event of "
            "version 3): restore a backup…"
        ),
        (
            "StoreDamaged: …: the store is damaged (the aggregate 'a', id '1', is stored at version 3, but without its event of "
            "version 2): restore a backup…"
        ),
    ),
    then="Other aggregates load, and queries return what is left.",
)
def test_events_are_deleted(operator: Operator, name: str) -> None:
    """Events are deleted by hand, the last ones of an aggregate or others."""
    with opened(operator.url(name)) as db:
        db.events.append([one("1"), one("2", 2), one("3", 3)])
        operator.client[name].events.delete_one({"version": 3})
        with pytest.raises(StoreDamaged):
            db.events.load(A)
        assert [event.version for event in db.events.load(A, upto=2)] == [1, 2]
        operator.client[name].events.delete_one({"version": 2})
        with pytest.raises(StoreDamaged):
            db.events.load(A)
        assert texts(db) == ["1"]


@situation(
    sees="StoreTooNew: …: written by a newer goes_lite (schema 99, this one knows up to …): upgrade goes-lite",
    then="Nothing is changed.",
)
def test_a_newer_release(operator: Operator, name: str) -> None:
    """An older release is rolled back to after a newer one has upgraded the store."""
    with opened(operator.url(name)) as db:
        db.events.append([one("1")])
    operator.client[name].store.update_one({"_id": "store"}, {"$set": {"schema": 99}})
    refused(StoreTooNew, operator.url(name))
    operator.client[name].store.update_one({"_id": "store"}, {"$set": {"schema": 1}})
    with opened(operator.url(name)) as db:
        assert texts(db) == ["1"]


# --- servers --------------------------------------------------------------------------------------------------------


@situation(
    sees="StoreFull: …: no room left on the disk (or a quota is reached), nothing was written: make room and retry",
    then="Nothing is stored in part, and reading goes on. With room again, the same handle can write.",
)
def test_the_disk_is_full(operator: Operator, name: str) -> None:
    """The server refuses writes because its disk is full."""
    with opened(operator.url(name, options="&appName=doomed")) as db:
        db.events.append([one("1")])
        operator.fail("insert", 1, errorCode=14031)
        with pytest.raises(StoreFull):
            db.events.append([one("2", 2), one("3", 3)])
        assert (texts(db), db.events.head()) == (["1"], 1)
        assert db.events.append([one("2", 2)]).position == 2


@situation(
    sees="StoreUnavailable: …: the server has ended a transaction, because it was open for longer than "
    "transactionLifetimeLimitSeconds, or because somebody killed its session, so nothing of it is stored: run it again",
    then="Nothing of the transaction is stored. A processor runs it again, which costs no attempt; keep transactions short.",
)
def test_a_session_is_killed(operator: Operator, name: str) -> None:
    """The session of a transaction is killed, or the transaction is open for too long."""
    with opened(operator.url(name)) as db:
        with pytest.raises(StoreUnavailable), db.transaction() as tx:
            tx.events.append([one("1")])
            operator.server.command("killAllSessions", [])
            tx.models.put("c", "1", "{}")
        assert (db.events.head(), db.models.get("c", "1")) == (0, None)
        assert db.events.append([one("1")]).position == 1


@situation(
    sees="nothing: followers look for themselves",
    then="A change stream only wakes followers. Nothing is missed or repeated.",
)
def test_the_oplog_has_rolled_over(operator: Operator, name: str) -> None:
    """The oplog has rolled over what a change stream wants."""
    url = operator.url(name, options="&appName=doomed")
    with opened(url) as db, opened(operator.url(name)) as other:
        following = db.events.follow(after=0)
        operator.fail("getMore", 3, errorCode=286)
        for version in range(1, 6):
            other.events.append([one(str(version), version)])
            assert next(following).version == version
        following.close()


@situation(
    sees="StoreUnavailable: …: no primary is reachable: …",
    then="Once the server answers, the same handle goes on, and appending the same events again settles an append in doubt. How "
    "soon a frozen server is noticed is for the driver's options heartbeatFrequencyMS and connectTimeoutMS to say: by "
    "default, after 30 seconds.",
)
def test_the_primary_is_frozen() -> None:
    """The primary is frozen: its connections stay open, and nothing answers."""
    with mongo.server(fsync=False) as server:
        url = f"{server.url}&heartbeatFrequencyMS=500&connectTimeoutMS=1000"
        with opened(url) as db:
            db.events.append([one("1")])
            os.kill(server.child.pid, signal.SIGSTOP)
            try:
                with pytest.raises((StoreUnavailable, AppendInDoubtError)):
                    db.events.append([one("2", 2)])
                with pytest.raises(StoreUnavailable):
                    db.events.head()
            finally:
                os.kill(server.child.pid, signal.SIGCONT)
            server.child.wait_ready()
            with opened(url, retry_timeout=60) as patient:
                known = texts(patient)
                assert known in (["1"], ["1", "2"])
                assert patient.events.append([one("3", len(known) + 1)]).position == len(known) + 1


@situation(
    sees=(
        (
            "StoreUnavailable: …: a standalone server has no transactions; use a replica set, of one member at least: start "
            "mongod with --replSet rs0, and run rs.initiate() once in mongosh"
        ),
        "StoreUnavailable: …: the replica set is not initiated yet: run rs.initiate() once in mongosh",
        "StoreUnavailable: …: the server belongs to the replica set 'rs0', not to 'other': correct replicaSet in the URL",
    ),
    then="Nothing is created.",
)
def test_no_replica_set_as_expected(operator: Operator, tmp_path: Path) -> None:
    """The server is not the replica set that it should be: it is a standalone, not initiated, or has another name."""
    with mongo.server(fsync=False, replica_set=None) as server:
        refused(StoreUnavailable, server.url)
    fresh = mongo.MongoServer(tmp_path, mongo.MEMBER, "rs0", initiated=False)
    fresh.start()
    try:
        refused(StoreUnavailable, f"mongodb://127.0.0.1:{fresh.port}/")
    finally:
        fresh.kill()
    refused(StoreUnavailable, operator.url("shop").replace("rs0", "other"))


@situation(
    sees=(
        "StoreUnavailable: …: the replica set 'rs0' of … has no primary: start its other members, a majority has to be there",
        (
            "StoreUnavailable: …: directConnection is set in the URL, and that server is not the primary: leave it out, and name "
            "the other members, so that the driver finds the one that is"
        ),
    ),
    then="Nothing is written. Once there is a primary again, the same handle goes on.",
)
def test_no_majority_is_there() -> None:
    """Too many members of the replica set are down, or the URL names one that is not the primary."""
    with mongo.members(2) as members:
        primary = members.primary()
        other = next(one for one in members.servers if one is not primary)
        refused(StoreUnavailable, f"mongodb://127.0.0.1:{other.port}/?directConnection=true")
        with opened(members.url, retry_timeout=60) as db:
            db.events.append([one("1")])
            primary.kill()
            refused(StoreUnavailable, members.url)
            primary.child.start()
            db.events.append([one("2", 2)])
            assert texts(db) == ["1", "2"]


# --- who may do what ------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Operator]:
    """A server with users."""
    key = tmp_path_factory.mktemp("mongo") / "key"
    key.write_text("a key that the members of the replica set share")
    key.chmod(0o600)
    with mongo.server("--auth", "--keyFile", str(key), fsync=False) as server:
        server.command("createUser", "root", pwd="secret", roles=["root"])  # the first one, from this machine
        operator = Operator(server, "root:secret")
        with operator.client:
            yield operator


def user(operator: Operator, role: str, database: str) -> str:
    name = f"u{uuid4().hex[:12]}"
    operator.client.admin.command("createUser", name, pwd="secret", roles=[{"role": role, "db": database}])
    return name


@situation(
    sees="StoreUnavailable: …: the server refuses the login: Authentication failed. (code 18). Check user, password and "
    "authSource",
    then="Open connections go on; new ones are refused at once. Nothing is lost: connect with the new password.",
)
def test_the_password_is_changed(guarded: Operator, name: str) -> None:
    """The password of the user is changed while programs run."""
    login = user(guarded, "readWrite", name)
    url = guarded.url(name, f"{login}:secret")
    with opened(url) as db:
        db.events.append([one("1")])
        guarded.client.admin.command("updateUser", login, pwd="secret-too")
        refused(StoreUnavailable, url)
        with opened(guarded.url(name, f"{login}:secret-too")) as other:
            assert other.events.append([one("2", 2)]).position == 2


@situation(
    sees="StoreReadOnly: …: the user lacks a privilege (…), so nothing can be written: grant the role readWrite, see "
    "docs/mongodb.md",
    then="Reading and following go on. With the role granted, the same handle can write.",
)
def test_rights_are_revoked(guarded: Operator, name: str) -> None:
    """The user has no right to write any more."""
    login = user(guarded, "readWrite", name)
    with opened(guarded.url(name, f"{login}:secret")) as db:
        db.events.append([one("1")])
        guarded.client.admin.command("grantRolesToUser", login, roles=[{"role": "read", "db": name}])
        guarded.client.admin.command("revokeRolesFromUser", login, roles=[{"role": "readWrite", "db": name}])
        with pytest.raises(StoreReadOnly):
            db.events.append([one("2", 2)])
        with pytest.raises(StoreReadOnly):
            db.models.put("c", "1", "{}")
        assert texts(db) == ["1"]
        guarded.client.admin.command("grantRolesToUser", login, roles=[{"role": "readWrite", "db": name}])
        assert db.events.append([one("2", 2)]).position == 2


@situation(
    sees="StoreUnavailable: …: the server closes the connection, as one does that requires TLS: add tls=true to the URL",
    then="No name and no password was sent. With `tls=true`, and `tlsCAFile` if the certificate is of your own authority, it "
    "opens.",
)
def test_the_server_requires_tls(tmp_path: Path, name: str) -> None:
    """The server requires TLS, and the URL does not ask for it."""
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl to make certificates with")
    files = {suffix: tmp_path / f"server.{suffix}" for suffix in ("key", "crt", "pem")}
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", files["key"], "-out", files["crt"]],
        check=True, capture_output=True,
    )  # fmt: skip
    files["pem"].write_text(files["key"].read_text() + files["crt"].read_text())
    tls = f"tls=true&tlsCAFile={files['crt']}"
    with MongoTls.running(tmp_path, files["pem"], files["crt"]) as server:
        refused(StoreUnavailable, f"mongodb://me:secret@127.0.0.1:{server.port}/{name}")
        with opened(f"mongodb://127.0.0.1:{server.port}/{name}?replicaSet=rs0&{tls}") as db:
            assert db.events.append([one("1")]).position == 1


class MongoTls(mongo.MongoServer):
    """A server that speaks TLS only."""

    certificate: Path

    @classmethod
    @contextmanager
    def running(cls, folder: Path, key: Path, certificate: Path) -> Generator[MongoTls]:
        settings = ("--tlsMode", "requireTLS", "--tlsCertificateKeyFile", str(key), "--tlsCAFile", str(certificate))
        server = cls(folder, (*mongo.QUICK, *settings, "--tlsAllowConnectionsWithoutCertificates"), "rs0")
        server.certificate = certificate
        try:
            server.start()
            yield server
        finally:
            server.kill()

    def command(self, name: str, value: Any = 1, **arguments: Any) -> dict[str, Any]:
        client: MongoClient[dict[str, Any]] = MongoClient(
            f"mongodb://127.0.0.1:{self.port}/?tls=true&tlsCAFile={self.certificate}",
            directConnection=True, serverSelectionTimeoutMS=500,
        )  # fmt: skip
        with client:
            return client.admin.command(name, value, **arguments)
