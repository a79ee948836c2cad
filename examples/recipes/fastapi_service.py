"""A web service with FastAPI: commands, a read model and live events, in as many worker processes as you like.

    pip install goes-lite fastapi uvicorn
    uvicorn fastapi_service:app --app-dir examples/recipes --workers 2

    curl localhost:8000/arrivals -H 'Idempotency-Key: 1' --json '{"item": "tea", "count": 10}'
    curl localhost:8000/sales    -H 'Idempotency-Key: 2' --json '{"item": "tea", "count": 3}'
    curl localhost:8000/stock
    curl -N localhost:8000/events?after=0

The store is what GOES_LITE_URL says, else the file stock.db. docs/recipe-services.md explains each part.
"""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import AsyncGenerator, AsyncIterable, Generator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import asdict, dataclass
from types import FrameType
from typing import Annotated, Any, TypedDict

from fastapi import Depends, FastAPI, Header, Query, Request
from fastapi.responses import JSONResponse
from fastapi.sse import EventSourceResponse, ServerSentEvent

import goes_lite as goes

# --- the domain: nothing here knows that there is a web service ---------------------------------------------------------


@goes.event("stock.arrived")
@dataclass(frozen=True)
class Arrived:
    count: int


@goes.event("stock.sold")
@dataclass(frozen=True)
class Sold:
    count: int


@goes.command("stock.receive")
@dataclass(frozen=True)
class Receive:
    item: str
    count: int


@goes.command("stock.sell")
@dataclass(frozen=True)
class Sell:
    item: str
    count: int


class Item(goes.Aggregate, name="item"):
    left: int = 0

    @goes.handles(Receive, id="item", create=True)
    def receive(self, command: Receive) -> int:
        if command.count < 1:
            raise goes.errors.CommandRejected("not_positive", f"{command.count} is no number of things")
        self.record(Arrived(command.count))
        return self.left

    @goes.handles(Sell, id="item")
    def sell(self, command: Sell) -> int:
        if not 1 <= command.count <= self.left:
            raise goes.errors.CommandRejected(
                "not_in_stock", f"there are {self.left} of {self.id}, not {command.count}"
            )
        self.record(Sold(command.count))
        return self.left

    @goes.applies(Arrived)
    def _arrived(self, event: goes.Event[Arrived]) -> None:
        self.left += event.data.count

    @goes.applies(Sold)
    def _sold(self, event: goes.Event[Sold]) -> None:
        self.left -= event.data.count


@dataclass
class Level:
    item: str = ""
    left: int = 0
    sold: int = 0


class Stock(goes.ModelProjection[Level], name="stock"):
    def initial(self, id: str) -> Level:
        return Level(id)

    @goes.projects(Arrived)
    def arrived(self, level: Level, event: goes.Event[Arrived]) -> None:
        level.left += event.data.count

    @goes.projects(Sold)
    def sold(self, level: Level, event: goes.Event[Sold]) -> None:
        level.left -= event.data.count
        level.sold += event.data.count


# --- starting and stopping ----------------------------------------------------------------------------------------------


class Streams:
    """The streams that a worker has open. They end when it is told to stop, which waits for all responses to end."""

    def __init__(self) -> None:
        self._stop = asyncio.Event()

    async def follow(self, db: goes.Database, after: int) -> AsyncGenerator[goes.Event[Any]]:
        """Yield the events after a position, then each new one of any process, until the worker stops."""
        pages = db.events.follow(after=after)
        ending = asyncio.create_task(self._end(pages))
        try:
            async for event in pages:
                yield event
        finally:
            ending.cancel()

    async def _end(self, pages: goes.Pages[goes.Event[Any]]) -> None:
        await self._stop.wait()
        await pages.aclose()

    @contextmanager
    def ended_by_signals(self) -> Generator[None]:
        """Hear of the signals that stop a server, before the server does."""
        loop = asyncio.get_running_loop()
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

        def stop(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self._stop.set)
            if callable(handler := before[signal.Signals(number)]):
                handler(number, frame)

        for number in before:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


class State(TypedDict):
    db: goes.Database
    stock: goes.Processor
    streams: Streams


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[State]:
    """Open the store in each worker. All of them start the projection; one is active, the others stand by."""
    url = os.environ.get("GOES_LITE_URL", "stock.db")
    streams = Streams()
    async with goes.connect(url) as db, db.projection(Stock(), lease=2) as stock:
        db.commands.serve(Item)
        with streams.ended_by_signals():
            yield {"db": db, "stock": stock, "streams": streams}


app = FastAPI(title="Stock", lifespan=lifespan)


def state(request: Request) -> State:
    return {"db": request.state.db, "stock": request.state.stock, "streams": request.state.streams}


Here = Annotated[State, Depends(state)]
Position = Annotated[int, Query(ge=0)]
Key = Annotated[
    str,
    Header(
        alias="Idempotency-Key",
        min_length=1,
        max_length=200,
        description="The same for each attempt at the same request",
    ),
]

# --- requests -----------------------------------------------------------------------------------------------------------


@dataclass
class Done:
    left: int
    position: int
    """Pass it as `?seen=` to read what you wrote."""


async def dispatch(here: State, command: Receive | Sell, key: str) -> Done:
    """Handle the command once, however often the client repeats the request, to whichever worker."""
    left: int = await here["db"].commands.dispatch(command, id=f"{type(command).__name__}/{key}", timeout=10)
    return Done(left, await here["db"].events.head())


@app.post("/arrivals")
async def receive(command: Receive, key: Key, here: Here) -> Done:
    return await dispatch(here, command, key)


@app.post("/sales")
async def sell(command: Sell, key: Key, here: Here) -> Done:
    return await dispatch(here, command, key)


@app.get("/stock")
async def stock(here: Here, seen: Position = 0) -> list[Level]:
    await here["stock"].wait_for(seen, timeout=10)
    return await here["db"].models_of("stock", Level).query(order_by="item").list()


@app.get("/events", response_class=EventSourceResponse)
async def events(
    here: Here, after: Position | None = None, last_event_id: Annotated[int | None, Header(ge=0)] = None
) -> AsyncIterable[ServerSentEvent]:
    """Follow the log from now, or from a position. A browser that reconnects continues where it was, on any worker."""
    position = last_event_id if last_event_id is not None else after
    if position is None:
        position = await here["db"].events.head()
    async for event in here["streams"].follow(here["db"], position):
        data = {"item": event.aggregate_id, **asdict(event.data)}
        yield ServerSentEvent(data=data, event=event.name, id=str(event.position))


TRY_AGAIN = (*goes.errors.TRANSIENT, goes.errors.ConcurrencyError, TimeoutError)


@app.exception_handler(goes.errors.GoesError)
async def refused(request: Request, error: Exception) -> JSONResponse:
    match error:
        case goes.errors.CommandRejected():
            return JSONResponse({"code": error.code, "detail": str(error)}, 409)
        case goes.errors.CommandMismatch():
            return JSONResponse({"code": "key_used", "detail": "the key belongs to another request"}, 422)
        case goes.errors.AggregateNotFound():
            return JSONResponse({"code": "not_found", "detail": f"there is no {error.aggregate}"}, 404)
        case goes.errors.InvalidCommandKey() | goes.errors.InvalidEventError():
            return JSONResponse({"code": "invalid", "detail": str(error)}, 400)
        case _ if isinstance(error, TRY_AGAIN):
            return JSONResponse({"code": "try_again", "detail": str(error)}, 503, {"Retry-After": "1"})
        case _:
            raise error
