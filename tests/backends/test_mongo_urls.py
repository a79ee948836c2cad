"""Common parameters of MongoDB URLs, which a program often gets from elsewhere: everything works with each of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import pytest
from goes_lite_conformance.servers import mongo

import goes_lite as goes
from goes_lite.errors import StoreUnavailable
from tests.backends.mongo_kit import needs_mongo, store_url

needs_mongo()

registry = goes.Registry()


@registry.event("url.moved")
@dataclass(frozen=True)
class Moved:
    amount: int


@registry.commands.event("url.deposit")
@dataclass(frozen=True)
class Deposit:
    account: str
    amount: int


class Account(goes.Aggregate, name="account", registry=registry):
    total: int = 0

    @goes.handles(Deposit, id="account", create=True)
    def deposit(self, command: Deposit) -> int:
        self.record(Moved(command.amount))
        return self.total

    @goes.applies(Moved)
    def moved(self, event: goes.Event[Moved]) -> None:
        self.total += event.data.amount


class Totals(goes.ModelProjection[dict[str, int]], name="totals"):
    @goes.projects(Moved)
    def moved(self, found: dict[str, int] | None, event: goes.Event[Moved]) -> dict[str, int]:
        return {"total": (found or {}).get("total", 0) + event.data.amount}


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize(
    "given",
    [
        {"readPreference": "secondaryPreferred"},
        {"readPreference": "secondary", "readPreferenceTags": "dc:ny", "maxStalenessSeconds": "90", "w": "0"},
        {"readConcernLevel": "linearizable", "w": "1", "journal": "false", "wtimeoutMS": "1", "timeoutMS": "1"},
        {"directConnection": "true", "retryWrites": "false", "retryReads": "false"},
        {"uuidRepresentation": "standard", "maxPoolSize": "1", "serverSelectionTimeoutMS": "1"},
        {
            "compressors": "zlib",
            "appName": "shop",
            "heartbeatFrequencyMS": "500",
            "minPoolSize": "2",
            "tz_aware": "false",
        },
    ],
    ids=lambda given: "&".join(f"{name}={value}" for name, value in given.items()),
)
def test_everything_works_with(given: dict[str, Any]) -> None:
    url = store_url(**given)
    if "directConnection" in given:
        url = url.replace("replicaSet=rs0&", "")
    with goes.blocking.connect(url, registry=registry) as db, goes.blocking.connect(url, registry=registry) as other:
        events = [goes.Event(Moved(1), registry=registry)]
        assert db.events.append(events).position == 1
        assert db.events.append(events).already_committed
        none = goes.AppendCondition(goes.EventQuery(["nothing"]))
        db.events.append([goes.Event(Moved(2), registry=registry)], condition=none)
        db.repository(Account).use("a", lambda account: account.deposit(Deposit("a", 3)), create=True)
        with db.transaction() as tx:
            tx.models.put("c", "1", "{}")
            tx.events.append([goes.Event(Moved(4), registry=registry)])
        assert db.models.put("c", "2", '{"a":1}') == 1
        assert [model.id for model in other.models.query("c", where={"a": 1})] == ["2"]
        db.snapshots.save(goes.Snapshot(goes.AggregateRef("account", "a"), 1, datetime.now(UTC), 1, "json", "{}"))
        lease = db.leases.acquire("l", "me", 5)
        db.checkpoints.save("p", 2, lease=lease)
        assert other.checkpoints.get("p").position == 2  # type: ignore[union-attr]
        db.commands.serve(Account)
        assert db.commands.dispatch(Deposit("a", 5), id=goes.new_id()) == 8
        with db.projection(Totals(), retry=goes.Retry(1)) as totals:
            totals.wait_for(db.events.head(), timeout=30)
        assert other.models_of("totals", dict).get("a") == {"total": 8}
        assert [event.position for event in other.events.query()] == [1, 2, 3, 4, 5]
        assert other.events.find(events[0].id) == events[0].at(1)
        account = goes.AggregateRef("account", "a")
        assert other.events.load(account)[1].data == Moved(5)
        following = other.events.follow(after=5)
        db.events.append([goes.Event(Moved(6), registry=registry)])
        assert next(following).position == 6
        following.close()
        assert db.events.delete(account) == 2
        assert (db.durability, other.events.count()) == ("os-crash", 4)


# --- a server that cannot be used as the URL wants ----------------------------------------------------------------------


def refusal(url: str) -> str:
    async def connect() -> str:
        with pytest.raises(StoreUnavailable) as caught:
            await goes.connect(url, connect_timeout=1, registry=registry)
        return str(caught.value)

    return asyncio.run(connect())


def test_a_replica_set_of_another_name() -> None:
    url = mongo.shared_url()
    assert "belongs to the replica set 'rs0', not to 'other': correct replicaSet" in refusal(
        url.replace("=rs0", "=other")
    )
