"""A server for the person who starts it: on this machine only, in threads, with the standard library alone."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import monotonic
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Self

from goes_lite.explorer.app import Explorer
from goes_lite.explorer.disclosure import Level
from goes_lite.explorer.exchange import Refused, Request, Response, check_size, decoded, parsed_query
from goes_lite.explorer.guard import Guard
from goes_lite.explorer.live import MOST

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.explorer.actions import Writing

IDLE = 10.0
"""Seconds within which a request has to arrive, and each piece of a response has to be taken."""
CONNECTIONS = MOST + 64
"""The most that are open at the same time, each in a thread; more are closed at once."""


class Server:
    """A running server, until `close`, or the end of a `with` block."""

    def __init__(self, explorer: Explorer, listening: _Listening, guard: Guard, host: str) -> None:
        self.explorer = explorer
        self._listening = listening
        name = f"[{host}]" if ":" in host else host
        self.url = f"http://{name}:{listening.server_port}/?token={guard.token}"
        """The address to open: whoever knows it is admitted."""
        self._thread = threading.Thread(
            target=listening.serve_forever, kwargs={"poll_interval": 0.5}, name="goes_lite-explorer", daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        """End it, and all pages that are followed live. Closing twice is allowed."""
        self.explorer.close()
        self._listening.shutdown()
        self._thread.join()
        self._listening.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, exc: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()


def serve(
    db: BlockingDatabase,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    disclose: Level = "limited",
    app: ModuleType | None = None,
    allow_actions: bool = False,
    writing: Writing | None = None,
    who: str = "explorer",
) -> Server:
    """Serve the pages of a store to the person who starts it, and return at once; `Server.url` is the address to open.

    - It listens on this machine only, unless `host` says otherwise; `port` 0 takes any that is free. OSError if it is taken.
    - The other arguments are those of `Explorer`. Close the server before the handle.
    """
    listening = _Listening(host, port)
    real = listening.server_port
    guard = Guard(hosts_of(host, real), port=real)
    listening.explorer = explorer = Explorer(
        db, disclose=disclose, app=app, guard=guard, allow_actions=allow_actions, writing=writing, who=who
    )
    return Server(explorer, listening, guard, host)


def hosts_of(host: str, port: int) -> frozenset[str]:
    """Return what a browser may call a server in its Host header, in lower case."""
    local = ("127.0.0.1", "::1", "localhost")
    names = [f"[{name}]" if ":" in name else name.lower() for name in (local if host in local else (host,))]
    without = names if port == 80 else []  # which browsers leave out
    return frozenset([*(f"{name}:{port}" for name in names), *without])


class _Listening(ThreadingHTTPServer):
    """The socket, and a thread for each connection."""

    daemon_threads = True
    block_on_close = False
    explorer: Explorer

    def __init__(self, host: str, port: int) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.awaited = dict[socket.socket, float]()
        self._free = threading.BoundedSemaphore(CONNECTIONS)
        super().__init__((host, port), _Handler)

    def server_bind(self) -> None:
        """Bind without asking a name server who we are, as the class above does, which may take seconds."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self.socket.bind(self.server_address)
        self.server_address = self.socket.getsockname()
        self.server_name, self.server_port = str(self.server_address[0]), int(self.server_address[1])

    def process_request(self, request: Any, client_address: Any) -> None:
        """Begin the thread of a connection, unless there are too many."""
        if not self._free.acquire(blocking=False):
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:  # the operating system gives no more threads
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        """Serve a connection, in its thread."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def service_actions(self) -> None:
        """End the connections on which no whole request has arrived in time: this is called now and then."""
        now = monotonic()
        for connection, until in list(self.awaited.items()):
            if until < now:
                with suppress(OSError):  # it has ended by itself
                    connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Say nothing of a connection that broke: its browser has gone."""


class _Handler(BaseHTTPRequestHandler):
    """One connection."""

    protocol_version = "HTTP/1.1"
    server_version = "goes_lite"
    sys_version = ""
    timeout = IDLE
    server: _Listening  # pyright: ignore[reportIncompatibleVariableOverride]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - named there
        """Print nothing: an address may have the token, and a path what is in the store."""

    def handle_one_request(self) -> None:
        """Wait for a request, and answer it."""
        self.server.awaited[self.connection] = monotonic() + IDLE
        try:
            super().handle_one_request()
        finally:
            self.server.awaited.pop(self.connection, None)

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Refuse what is no request that the class above knows, as everything else is refused."""
        self.close_connection = True
        self.request_version = self.protocol_version  # of what cannot be read, it takes the one that has no headers
        error = Refused(code, message or HTTPStatus(code).phrase)
        self._send(self.server.explorer.refuse(Request(self.command or "GET", "/"), error))

    def _answer(self) -> None:
        explorer = self.server.explorer
        headers = {name.lower(): value for name, value in self.headers.items()}
        path, _, query = self.path.partition("?")
        request = Request(self.command, decoded(path), {}, headers)
        try:
            length = _length(headers)
            check_size(self.path, length)
            request = Request(
                self.command, request.path, parsed_query(query), headers, self.rfile.read(length) if length else b""
            )
            self.server.awaited.pop(self.connection, None)
            answer = explorer.respond(request)
        except Refused as error:
            self.close_connection = True  # what follows on it was not read
            answer = explorer.refuse(request, error)
        self._send(answer)

    def _send(self, answer: Response) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        if isinstance(answer.body, bytes):
            self.send_header("Content-Length", str(len(answer.body)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(answer.body)
            return
        self.close_connection = True
        self.send_header("Connection", "close")
        self.end_headers()
        self._stream(answer.body)

    def _stream(self, pieces: Iterator[bytes]) -> None:
        try:
            if self.command != "HEAD":
                for piece in pieces:
                    self.wfile.write(piece)
        except OSError:  # the page was closed
            pass
        finally:
            if close := getattr(pieces, "close", None):
                close()


for _method in ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
    setattr(_Handler, f"do_{_method}", _Handler._answer)


def _length(headers: dict[str, str]) -> int:
    if "transfer-encoding" in headers:
        raise Refused(411, "the length of what is sent has to be said before it")
    text = headers.get("content-length", "0")
    if not text.isascii() or not text.isdigit() or len(text) > 12:
        raise Refused(400, f"the length {text!r:.40} is no number")
    return int(text)
