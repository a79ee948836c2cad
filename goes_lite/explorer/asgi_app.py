"""The explorer as an ASGI application, to mount into Starlette, FastAPI or any other below a path."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Coroutine, Generator, Iterable, Iterator, Mapping, MutableMapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, nullcontext, suppress
from types import FrameType, ModuleType
from typing import Any, TypeVar

from goes_lite.blocking import BlockingDatabase
from goes_lite.database import Database
from goes_lite.errors import StoreClosed
from goes_lite.explorer.app import Explorer
from goes_lite.explorer.disclosure import Level
from goes_lite.explorer.exchange import Refused, Request, Response, check_size, parsed_query
from goes_lite.explorer.live import MOST

T = TypeVar("T")
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]


class _ProgramLoop:
    """A portal to the event loop on which the program uses its handle: threads of pages wait for what runs there."""

    closed = False

    def __init__(self, loop: asyncio.AbstractEventLoop, location: str) -> None:
        self._loop = loop
        self._location = location

    def run(self, coroutine: Coroutine[Any, Any, T], /) -> T:
        try:
            return asyncio.run_coroutine_threadsafe(coroutine, self._loop).result()
        except RuntimeError:
            coroutine.close()
            raise StoreClosed(self._location) from None

    def callback(
        self, function: Callable[..., Any], what: str = "it", /, *, iterated: bool = False
    ) -> Callable[..., Any]:
        return function

    def close(self) -> None:
        return None


class AsgiExplorer:
    """An ASGI application. Its pages are made in threads of its own, so that they never block the event loop."""

    def __init__(self, db: BlockingDatabase | Database, options: Mapping[str, Any]) -> None:
        self._db = db
        self._options = options
        self._explorer = Explorer(db, **self._options) if isinstance(db, BlockingDatabase) else None
        self._threads = ThreadPoolExecutor(MOST + 8, thread_name_prefix="goes_lite-explorer")
        self._closed = False

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one request, or the life of the application."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close"})
        else:
            await self._http(scope, receive, send)

    def close(self) -> None:
        """End the pages that are followed live, and answer no more. The handle stays open. Closing twice is allowed."""
        self._closed = True
        if self._explorer is not None:
            self._explorer.close()
        self._threads.shutdown(wait=False)

    @contextmanager
    def closed_by_signals(self) -> Generator[None]:
        """Close it when the process is told to stop (SIGTERM, SIGINT), or at the end of a `with` block on its event loop.

        A server that is told to stop waits for the responses that are under way, before the lifespan of the program ends:
        for as long as a page is followed live. What handled the signal before, such as the server, handles it still. Away
        from the main thread, where no signal arrives, it only closes at the end of the block.
        """
        loop = asyncio.get_running_loop()
        main = threading.current_thread() is threading.main_thread()
        before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)} if main else {}

        def stop(number: int, frame: FrameType | None) -> None:
            loop.call_soon_threadsafe(self.close)  # what the signal interrupts may hold a lock
            handler = before[signal.Signals(number)]
            if callable(handler):
                handler(number, frame)
            elif handler == signal.SIG_DFL:
                signal.signal(number, handler)
                signal.raise_signal(number)

        for number in before:
            signal.signal(number, stop)
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            self.close()

    async def _live(self, receive: Receive, send: Send) -> None:
        while True:
            kind = (await receive())["type"]
            if kind == "lifespan.shutdown":
                self.close()
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return

    def _explorer_of(self) -> Explorer:
        if self._explorer is None:
            if isinstance(self._db, BlockingDatabase):
                raise AssertionError("its explorer was made at once")
            portal = _ProgramLoop(asyncio.get_running_loop(), self._db.location)
            db = BlockingDatabase(self._db.backend, portal)
            # On the event loop itself, nothing can be tried: a read-only handle is told when an action is.
            self._explorer = Explorer(db, **self._options, writing=lambda: nullcontext(db))
        return self._explorer

    async def _http(self, scope: Message, receive: Receive, send: Send) -> None:
        explorer, loop = self._explorer_of(), asyncio.get_running_loop()
        headers = _headers(scope["headers"])
        base = str(scope.get("root_path", "")).rstrip("/")
        path = str(scope["path"])
        # A path includes the one below which an application is mounted; some servers and frameworks leave it out.
        if base and (path == base or path.startswith(f"{base}/")):
            path = path[len(base) :]
        query = scope.get("query_string", b"").decode("latin-1")
        request = Request(scope["method"], path or "/", {}, headers, base=base)
        try:
            check_size(path + query, 0)
            body = await _body(receive)
            full = Request(request.method, request.path, parsed_query(query), headers, body, base)
            if self._closed:
                raise Refused(503, "the program is about to end")
            answer = await loop.run_in_executor(self._threads, explorer.respond, full)
        except Refused as error:
            answer = await asyncio.to_thread(explorer.refuse, request, error)  # its page is made from files
        await self._send(answer, request.method, receive, send)

    async def _send(self, answer: Response, method: str, receive: Receive, send: Send) -> None:
        headers = [(name.lower().encode(), value.encode("latin-1", "replace")) for name, value in answer.headers]
        body = answer.body
        if isinstance(body, bytes):
            headers.append((b"content-length", str(len(body)).encode()))
        await send({"type": "http.response.start", "status": answer.status, "headers": headers})
        if isinstance(body, bytes):
            await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})
            return
        try:
            if method != "HEAD":
                await self._stream(body, receive, send)
        finally:
            body.close()  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue, reportUnknownMemberType]
        with suppress(OSError):  # the page may be closed
            await send({"type": "http.response.body", "body": b""})

    async def _stream(self, pieces: Iterator[bytes], receive: Receive, send: Send) -> None:
        loop = asyncio.get_running_loop()
        gone = asyncio.ensure_future(_disconnected(receive))
        try:
            while not gone.done() and not self._closed:
                # Within a heartbeat, also after the page was closed.
                piece = await loop.run_in_executor(self._threads, next, pieces, None)
                if piece is None or gone.done():
                    return
                await send({"type": "http.response.body", "body": piece, "more_body": True})
        finally:
            gone.cancel()


def _headers(given: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    headers = dict[str, str]()
    for raw, value in given:
        name = raw.decode("latin-1").lower()
        before = f"{headers[name]}; " if name == "cookie" and name in headers else ""  # HTTP/2 sends one for each
        headers[name] = before + value.decode("latin-1")
    return headers


async def _body(receive: Receive) -> bytes:
    body = b""
    while True:
        message = await receive()
        part: bytes = message.get("body", b"")
        body += part
        check_size("", len(body))
        if message["type"] == "http.disconnect" or not message.get("more_body"):
            return body


async def _disconnected(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def asgi(
    db: BlockingDatabase | Database,
    *,
    disclose: Level = "limited",
    app: ModuleType | None = None,
    allow_actions: bool = False,
    who: str = "explorer",
) -> AsgiExplorer:
    """Return the explorer of a store as an ASGI application; it may be mounted below any path.

    **It admits everybody who reaches it**: put it behind what protects the pages of your program's operators. The handle is
    that of the program, of either face, and stays open. A `Database` is used on the event loop that
    serves the first request, which has to be the one on which it was opened. The other arguments are those of `Explorer`.
    """
    return AsgiExplorer(db, {"disclose": disclose, "app": app, "allow_actions": allow_actions, "who": who})
