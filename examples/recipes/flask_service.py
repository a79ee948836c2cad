"""A web service with Flask: short links, in any number of processes and threads on one file.

    pip install goes-lite flask
    flask --app examples/recipes/flask_service run --port 8000
    flask --app examples/recipes/flask_service run --port 8001      # another process, the same links

    curl localhost:8000/links -H 'Idempotency-Key: 1' --json '{"code": "py", "url": "https://python.org"}'
    curl -I localhost:8001/py
    curl localhost:8000/links
    curl -N localhost:8000/events

The store is what GOES_LITE_URL says, else the file links.db. docs/recipe-services.md explains each part.
"""

from __future__ import annotations

import atexit
import json
import os
import threading
import time
from collections.abc import Generator
from contextlib import ExitStack
from dataclasses import asdict, dataclass

from flask import Blueprint, Flask, Response, current_app, jsonify, redirect, request
from flask.typing import ResponseReturnValue

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, BlockingProcessor

# --- the domain: nothing here knows that there is a web service ---------------------------------------------------------


@goes.event("link.made")
@dataclass(frozen=True)
class Made:
    url: str


@goes.event("link.visited")
@dataclass(frozen=True)
class Visited:
    referrer: str | None


@goes.command("link.make")
@dataclass(frozen=True)
class Make:
    code: str
    url: str


class Link(goes.Aggregate, name="link"):
    url: str = ""

    @goes.handles(Make, id="code", create=True)
    def make(self, command: Make) -> None:
        if not command.url.startswith(("https://", "http://")):
            raise goes.errors.CommandRejected("no_url", f"{command.url!r} is no address of the web")
        if self.url:
            raise goes.errors.CommandRejected("taken", f"{self.id!r} is the link to {self.url}")
        self.record(Made(command.url))

    def visit(self, referrer: str | None) -> None:
        self.record(Visited(referrer))

    @goes.applies(Made)
    def _made(self, event: goes.Event[Made]) -> None:
        self.url = event.data.url

    @goes.applies(Visited)
    def _visited(self, event: goes.Event[Visited]) -> None:
        pass


@dataclass
class Row:
    code: str = ""
    url: str = ""
    visits: int = 0


class Links(goes.ModelProjection[Row], name="links"):
    def initial(self, id: str) -> Row:
        return Row(id)

    @goes.projects(Made)
    def made(self, row: Row, event: goes.Event[Made]) -> None:
        row.url = event.data.url

    @goes.projects(Visited)
    def visited(self, row: Row, event: goes.Event[Visited]) -> None:
        row.visits += 1


# --- one handle for each process ----------------------------------------------------------------------------------------


class Store:
    """A handle that is opened by the first request: after a server with several processes has forked, never before."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._lock = threading.Lock()
        self._open: tuple[BlockingDatabase, BlockingProcessor] | None = None

    def __call__(self) -> tuple[BlockingDatabase, BlockingProcessor]:
        """Return the handle, which all threads of the process share, and the projection."""
        with self._lock:
            if self._open is None:
                with ExitStack() as stack:
                    db = stack.enter_context(goes.blocking.connect(self._url))
                    db.commands.serve(Link)
                    self._open = db, stack.enter_context(db.projection(Links(), lease=2))
                    atexit.register(stack.pop_all().close)
            return self._open


def store() -> tuple[BlockingDatabase, BlockingProcessor]:
    found: Store = current_app.extensions["goes_lite"]
    return found()


def create_app(url: str | None = None) -> Flask:
    app = Flask(__name__)
    app.extensions["goes_lite"] = Store(url or os.environ.get("GOES_LITE_URL", "links.db"))
    app.register_blueprint(pages)
    return app


# --- requests -----------------------------------------------------------------------------------------------------------

pages = Blueprint("links", __name__)


@pages.post("/links")
def make() -> ResponseReturnValue:
    """Make a link once, however often the client repeats the request, to whichever process."""
    match request.get_json(), request.headers.get("Idempotency-Key"):
        case {"code": str(code), "url": str(url)}, str(key) if key:
            db, _ = store()
            db.commands.dispatch(Make(code, url), id=f"make/{key}", timeout=10)
            return {"code": code, "position": db.events.head()}, 201
        case _:
            return {"code": "invalid", "detail": "code, url and the header Idempotency-Key are needed"}, 400


@pages.get("/links")
def links() -> ResponseReturnValue:
    """List the links; with `?seen=POSITION`, not before the list has come as far."""
    db, projection = store()
    projection.wait_for(max(0, request.args.get("seen", 0, int)), timeout=10)
    return jsonify(list(db.models_of("links", Row).query(order_by="code")))


@pages.get("/<code>")
def visit(code: str) -> ResponseReturnValue:
    db, _ = store()
    found: list[str] = []

    def look(link: Link) -> None:
        link.visit(request.referrer)
        found[:] = [link.url]

    db.repository(Link).use(code, look)
    return redirect(found[0])


@pages.get("/events")
def events() -> ResponseReturnValue:
    """Follow the log, from now or from where a browser was that reconnects."""
    db, _ = store()
    position = request.headers.get("Last-Event-ID", request.args.get("after", type=int), int)
    return Response(
        stream(db, db.events.head() if position is None else max(0, position)), mimetype="text/event-stream"
    )


def stream(db: BlockingDatabase, position: int) -> Generator[str]:
    """Yield each event once, and something else if nothing happens: so a client that has gone is noticed."""
    yield ": following\n\n"  # now, so that the client has an answer
    said = time.monotonic()
    while True:
        seen = db.commits.count
        for event in db.events.query(after=position):
            position, said = event.position, time.monotonic()
            data = json.dumps({"code": event.aggregate_id, **asdict(event.data)})
            yield f"id: {position}\nevent: {event.name}\ndata: {data}\n\n"
        if time.monotonic() - said > 15:
            said = time.monotonic()
            yield ": still here\n\n"
        db.commits.wait(seen, 15)


@pages.errorhandler(goes.errors.GoesError)
def refused(error: goes.errors.GoesError) -> ResponseReturnValue:
    match error:
        case goes.errors.CommandRejected():
            return {"code": error.code, "detail": str(error)}, 409
        case goes.errors.CommandMismatch():
            return {"code": "key_used", "detail": "the key belongs to another request"}, 422
        case goes.errors.AggregateNotFound():
            return {"code": "not_found", "detail": f"there is no {error.aggregate}"}, 404
        case goes.errors.InvalidCommandKey() | goes.errors.InvalidEventError():
            return {"code": "invalid", "detail": str(error)}, 400
        case _ if isinstance(error, (*goes.errors.TRANSIENT, goes.errors.ConcurrencyError, TimeoutError)):
            return {"code": "try_again", "detail": str(error)}, 503, {"Retry-After": "1"}
        case _:
            raise error
