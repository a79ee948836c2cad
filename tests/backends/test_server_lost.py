"""A server ends a transaction in the middle of somebody's code, as one does that fails over: no event or command is to blame.

It costs no attempt, so nothing is parked, even with `Retry(1, then="park")`.
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from typing import Any

import pytest
from goes_lite_conformance.servers import mongo, postgres

import goes_lite as goes
from goes_lite.errors import StoreUnavailable
from tests.backends import mongo_kit, postgres_kit

pytestmark = pytest.mark.server
PATIENCE = 60.0
registry = goes.Registry()
registry.register("lost.noted", str)


@registry.commands.event("lost.ask")
@dataclass(frozen=True)
class Ask:
    text: str


@dataclass
class Victim:
    """A store whose server ends what is open when it is told to."""

    url: str
    lose: Callable[[], None]
    told: bool = True
    """Whether a transaction in which the program uses the driver tells the store's errors from those of the program."""


def of_mongo(how: str) -> Iterator[Victim]:
    mongo_kit.needs_mongo()
    with mongo.server(fsync=False) as server:

        def lose() -> None:
            if how == "killed":  # as the server does with one that is open for too long
                server.command("killAllSessions", [])
            else:
                server.step_down()
                server.child.wait_ready()

        yield Victim(mongo_kit.store_url(server.url), lose, told=how == "primary")


def of_postgres() -> Iterator[Victim]:
    postgres_kit.needs_postgres()
    with postgres.server(max(postgres.installations())) as server:

        def lose() -> None:
            query = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"
            with goes.blocking.connect(f"{server.url}?schema=another") as other:
                other.select(query)

        yield Victim(postgres_kit.store_url(server.url), lose)


@pytest.fixture(
    scope="module",
    params=["mongo-killed", "mongo-primary", "postgres"],
)
def victim(request: pytest.FixtureRequest) -> Iterator[Victim]:
    backend, _, how = request.param.partition("-")
    yield from of_mongo(how) if backend == "mongo" else of_postgres()


@pytest.fixture(autouse=True)
def quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def noted(text: str) -> goes.Event[str]:
    return goes.Event(text, name="lost.noted", registry=registry)


class Once:
    """Loses the transaction the first time that it is called."""

    def __init__(self, lose: Callable[[], None]) -> None:
        self._lose: Callable[[], None] | None = lose

    def __call__(self) -> bool:
        lose, self._lose = self._lose, None
        if lose is not None:
            lose()
        return lose is not None


def raises(tx: Any, event: goes.Event[str]) -> None:
    tx.models.put("also", event.data, "{}")


def hides(tx: Any, event: goes.Event[str]) -> None:
    with suppress(Exception):
        tx.models.put("also", event.data, "{}")


def wraps(tx: Any, event: goes.Event[str]) -> None:
    try:
        tx.models.put("also", event.data, "{}")
    except Exception as exc:
        raise RuntimeError("it did not work") from exc


@pytest.mark.parametrize(("then", "order"), [(raises, "free"), (hides, "free"), (wraps, "strict")])
def test_no_event_is_parked(victim: Victim, then: Callable[[Any, goes.Event[str]], None], order: Any) -> None:
    once = Once(victim.lose)

    def handler(event: goes.Event[str], tx: Any) -> None:
        tx.models.put("seen", event.data, "{}")
        if event.data == "1":
            once()
        then(tx, event)

    name = f"{then.__name__}-{order}"
    with goes.blocking.connect(victim.url, registry=registry) as db:
        for collection in ("seen", "also"):
            db.models.clear(collection)
        after = db.events.head()
        last = [db.events.append([noted(str(number))]) for number in range(3)][-1].position
        retry = goes.Retry(1, then="park", order=order)
        with db.processor(name, handler, transactional=True, retry=retry, start=after) as processor:
            processor.wait_for(last, timeout=PATIENCE)
            assert processor.parked() == []
        for collection in ("seen", "also"):
            assert [model.id for model in db.models.query(collection)] == ["0", "1", "2"]


def test_no_event_of_a_read_model_is_parked(victim: Victim) -> None:
    once = Once(victim.lose)

    class Counts(goes.ModelProjection[dict[str, int]], name="counts"):
        @goes.projects("lost.noted", key=lambda event: "all")
        def noted(self, found: dict[str, int] | None, event: goes.Event[str]) -> dict[str, int]:
            once()
            return {"count": (found or {}).get("count", 0) + 1}

    with goes.blocking.connect(victim.url, registry=registry) as db:
        last = db.events.append([noted("x")]).position
        with db.projection(Counts(), retry=goes.Retry(1, then="park")) as counts:
            counts.wait_for(last, timeout=PATIENCE)
            assert counts.parked() == []
        assert db.models_of("counts", dict).get("all") == {"count": db.events.count()}


def test_no_batch_is_blamed(victim: Victim) -> None:
    """On the async face, with the driver's own errors."""
    done = threading.Event()

    async def handler(events: Any, tx: Any) -> None:
        await tx.models.put("batch", str(events[0].position), "{}")
        if not done.is_set():
            done.set()
            await asyncio.to_thread(victim.lose)
        if hasattr(tx, "connection"):
            await tx.connection.execute("SELECT 1")
        elif victim.told:
            await tx.database["mine"].insert_one({"a": 1}, session=tx.session)

    async def run() -> None:
        async with goes.connect(victim.url, registry=registry) as db:
            after = await db.events.head()
            last = [await db.events.append([noted(str(number))]) for number in range(3)][-1].position
            retry = goes.Retry(1, then="park")
            async with db.processor(
                "batches", handler, transactional=True, batched=True, retry=retry, start=after
            ) as processor:
                await processor.wait_for(last, timeout=PATIENCE)
                assert await processor.parked() == []
            assert str(after + 1) in [model.id async for model in db.models.query("batch")]

    asyncio.run(run())


def test_no_command_is_blamed(victim: Victim) -> None:
    """Who waits for it gets StoreUnavailable, and nothing of it is stored; one that was accepted is done in the end."""
    losing: list[Once] = []

    with goes.blocking.connect(victim.url, registry=registry) as db:

        @db.commands.handles(Ask, transactional=True)
        def ask(command: Ask, tx: Any) -> str:
            tx.models.put("asked", command.text, "{}")
            losing[-1]()
            wraps(tx, noted(command.text))
            return "done"

        losing.append(Once(victim.lose))
        with pytest.raises(StoreUnavailable, match="nothing of it is stored"):
            db.commands.dispatch(Ask("waits"), id=goes.new_id())
        assert db.models.get("asked", "waits") is None
        losing.append(Once(victim.lose))
        accepted = db.commands.dispatch_async(Ask("accepted"))
        with db.commands.worker(attempts=1):
            assert db.commands.outcome(accepted, PATIENCE) == "done"
        assert db.models.get("asked", "accepted") is not None


@pytest.mark.parametrize("hidden", [False, True], ids=["told", "hidden"])
def test_an_append_with_an_inline_projection(victim: Victim, hidden: bool) -> None:
    once = Once(victim.lose)

    class Inline(goes.Projection, name=f"inline{hidden}"):
        @goes.projects("lost.noted")
        def noted(self, event: goes.Event[str], tx: Any) -> None:
            once()
            tx.models.put("inline", str(event.position), "{}")

    with goes.blocking.connect(victim.url, registry=registry) as db:
        inline = db.inline(Inline())
        db.models.clear("inline")
        head = db.events.head()
        hiding = suppress(Exception) if hidden else nullcontext()
        with pytest.raises(StoreUnavailable, match="nothing of it is stored"), inline.transaction() as tx, hiding:
            tx.events.append([noted("x")])
        assert (db.events.head(), db.models.query("inline").list()) == (head, [])
        inline.events.append([noted("x")])
        assert db.models.get("inline", str(head + 1)) is not None


@pytest.mark.parametrize("transactional", [True, False], ids=["inside", "alone"])
def test_a_conflict_is_no_failure_either(transactional: bool) -> None:
    """Somebody else changes what a handler changes, in the middle of its transaction, which has to be run again."""
    mongo_kit.needs_mongo()
    url = mongo_kit.store_url()
    with goes.blocking.connect(url, registry=registry) as db, goes.blocking.connect(url, registry=registry) as other:
        once = Once(lambda: void(other.models.put("rivals", "x", "{}")))

        def handler(event: goes.Event[str], *given: Any) -> None:
            with nullcontext(given[0]) if given else db.transaction() as tx:
                tx.models.get("rivals", "x")
                once()
                tx.models.put("rivals", "x", "[]")

        last = db.events.append([noted("x")]).position
        retry = goes.Retry(1, then="park")
        with db.processor("rivals", handler, transactional=transactional, retry=retry) as processor:
            processor.wait_for(last, timeout=PATIENCE)
            assert processor.parked() == []
        record = other.models.get("rivals", "x")
        assert record is not None and (record.data, record.version) == ("[]", 2)  # noqa: PT018


def void(_: object) -> None:
    """The result of a call that nobody needs."""
