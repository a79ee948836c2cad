"""The explorer inside a program: below a path of a Flask or a Starlette application, served by real servers."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
import threading
import time
from collections.abc import Generator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import goes_lite as goes
from goes_lite import blocking, explorer
from goes_lite.explorer.asgi_app import AsgiExplorer
from tests.explorer.explorer_kit import REGISTRY, Visitor, orders
from tests.explorer.test_actions import WAITING, confirm
from tests.explorer.test_live import PATIENCE, followed, messages
from tests.recipes import recipe_kit as kit

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from starlette.applications import Starlette


@contextmanager
def flask(shop: Path) -> Generator[Visitor]:
    """A Flask program with the explorer below /ops/store, on werkzeug's threaded server."""
    flask = pytest.importorskip("flask", reason="Flask is not installed: pip install flask")
    from werkzeug.middleware.dispatcher import DispatcherMiddleware
    from werkzeug.serving import make_server

    app = flask.Flask("shop")

    app.add_url_rule("/", view_func=lambda: "the shop", endpoint="home")

    with blocking.connect(shop, registry=REGISTRY) as db:
        pages = explorer.wsgi(db, allow_actions=True)
        app.wsgi_app = DispatcherMiddleware(app.wsgi_app, {"/ops/store": pages})
        server = make_server("127.0.0.1", 0, app, threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
        thread.start()
        try:
            yield Visitor(f"http://127.0.0.1:{server.server_port}/")
        finally:
            pages.close()
            server.shutdown()
            thread.join()
            server.server_close()


@contextmanager
def starlette(shop: Path, *, face: str) -> Generator[Visitor]:
    """A Starlette program with the explorer below /ops/store, on uvicorn. Its lifespan opens and closes an async handle."""
    pytest.importorskip("starlette", reason="Starlette is not installed: pip install starlette")
    pytest.importorskip("uvicorn", reason="uvicorn is not installed: pip install uvicorn")
    from starlette.applications import Starlette
    from starlette.routing import Mount

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncGenerator[None]:
        async with goes.connect(shop, registry=REGISTRY) as db:
            pages = explorer.asgi(db, allow_actions=True)
            app.router.routes.append(Mount("/ops/store", pages))
            yield
            pages.close()

    if face == "async":
        with served(Starlette(routes=home(), lifespan=lifespan)) as visitor:
            yield visitor
        return
    with blocking.connect(shop, registry=REGISTRY) as db:
        pages = explorer.asgi(db, allow_actions=True)
        with served(Starlette(routes=[*home(), Mount("/ops/store", pages)])) as visitor:
            yield visitor
            pages.close()


def home() -> list[Any]:
    """The page of the program itself."""
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    async def respond(request: object) -> PlainTextResponse:
        return PlainTextResponse("the shop")

    return [Route("/", respond)]


@contextmanager
def served(app: Starlette) -> Generator[Visitor]:
    """A program on uvicorn, in a thread."""
    import uvicorn

    config = uvicorn.Config(app, port=0, log_level="error", ws="none", timeout_graceful_shutdown=5)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=lambda: asyncio.run(server.serve()))
    thread.start()
    try:
        until(lambda: server.started or not thread.is_alive())
        yield Visitor(f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/")
    finally:
        server.should_exit = True
        thread.join()


def until(condition: Any) -> None:
    """Wait until a condition holds."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() < begin + PATIENCE
        time.sleep(0.02)


@contextmanager
def program(name: str, shop: Path) -> Generator[Visitor]:
    """One of the programs."""
    with flask(shop) if name == "flask" else starlette(shop, face=name.partition(" ")[2]) as visitor:
        yield visitor


PROGRAMS = ["flask", "starlette async", "starlette blocking"]


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_a_part_of_a_program(name: str, shop: Path) -> None:
    with program(name, shop) as visitor:
        assert visitor.ask("/").text == "the shop"
        assert visitor.ask("/ops/store/overview.json").data["head"] == 6
        page = visitor.ask("/ops/store/log?name=order.paid")
        assert page.status == 200
        assert page.headers["content-security-policy"]
        # Every address on the page lies below the path, and works.
        addresses = {part.partition('"')[0] for part in page.text.split(' href="')[1:]}
        assert {address for address in addresses if not address.startswith(("/ops/store", "#main"))} == set()
        assert (
            visitor.ask(next(one for one in addresses if "explorer.css" in one))
            .headers["content-type"]
            .startswith("text/css")
        )
        assert visitor.ask("/ops/store/log", "POST", body="x=1").status == 405
        assert visitor.ask("/ops/store/log?" + "x" * 9_000).status == 414
        assert visitor.ask("/ops/store/overview", "HEAD").text == ""


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_is_live(name: str, shop: Path) -> None:
    with program(name, shop) as visitor:
        with followed(visitor, "/ops/store/live?after=4") as answer:
            arriving = messages(answer)
            assert [next(arriving)[0], next(arriving)[0]] == [5, 6]
            with blocking.connect(shop, registry=REGISTRY) as db:
                db.events.append(orders(4, 1))
            position, row = next(arriving)
        assert position == 7
        assert 'href="/ops/store/event/7"' in row
        with followed(visitor, "/ops/store/live?after=4", last=7) as answer:
            assert next(messages(answer))[0] == 8


@pytest.mark.parametrize("name", PROGRAMS)
def test_it_acts_with_the_handle_of_the_program(name: str, tea_shop: Path, tmp_path: Path) -> None:
    store = Path(shutil.copy(tea_shop, tmp_path / "shop.db"))
    with program(name, store) as visitor:
        path = f"/ops/store/actions/commands/withdraw?id={WAITING}"
        assert f'action="{path}"' in visitor.ask(path).text
        assert confirm(visitor, path, 1).status == 200
        assert visitor.ask(path).status == 404


@pytest.mark.skipif(os.name != "posix", reason="servers are stopped by SIGTERM")
@kit.needs("starlette", "uvicorn")
def test_a_server_ends_though_a_page_is_live(shop: Path) -> None:
    """uvicorn waits for open responses for as long as it takes: nothing else ends this one."""
    command = ["-m", "uvicorn", "mounted_program:app", "--app-dir", Path(__file__).parent, "--port", 0]
    with kit.running(sys.executable, *command, cwd=shop.parent) as program:
        visitor = Visitor(program.expect(r"running on (http://127.0.0.1:\d+)")[1])
        with followed(visitor, "/store/live?after=4") as answer:
            arriving = messages(answer)
            assert [next(arriving)[0], next(arriving)[0]] == [5, 6]

            program.process.send_signal(signal.SIGTERM)

            assert list(arriving) == []  # it ends
        program.expect("Application shutdown complete")
        assert program.ended() in (0, -signal.SIGTERM)
    assert "Traceback" not in "\n".join(program.printed)


async def ask(pages: AsgiExplorer, path: str, query: bytes = b"", headers: list[Any] | None = None) -> list[Any]:
    """Call an application as servers do, and return what it sends."""
    sent: list[Any] = []

    async def receive() -> Any:
        return {"type": "http.request"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "query_string": query, "headers": headers or []}
    await pages(scope, receive, send)
    return sent


def test_a_closed_explorer_answers_no_more(shop: Path) -> None:
    async def main() -> list[Any]:
        async with goes.connect(shop, registry=REGISTRY) as db:
            pages = explorer.asgi(db)
            with pages.closed_by_signals():
                pass
            pages.close()
            return await ask(pages, "/log")

    start, body = asyncio.run(main())

    assert start["status"] == 503
    assert b"about to end" in body["body"]


def test_cookies_may_come_one_by_one(tea_shop: Path, tmp_path: Path) -> None:
    """HTTP/2 sends a header for each."""
    store, secret = Path(shutil.copy(tea_shop, tmp_path / "shop.db")), b"s" * 43

    async def main() -> list[Any]:
        async with goes.connect(store, unknown="raw") as db:
            pages = explorer.asgi(db, allow_actions=True)
            with pages.closed_by_signals():
                cookies = [(b"cookie", b"goes_lite_form=" + secret), (b"cookie", b"a=b")]
                return await ask(pages, "/actions/commands/withdraw", f"id={WAITING}".encode(), cookies)

    start, _ = asyncio.run(main())

    assert start["status"] == 200
    assert secret in dict(start["headers"])[b"set-cookie"]
