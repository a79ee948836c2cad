"""The explorer as a WSGI application, to mount into Flask, Django or any other below a path."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from types import ModuleType
from typing import TYPE_CHECKING

from goes_lite.explorer.app import Explorer
from goes_lite.explorer.disclosure import Level
from goes_lite.explorer.exchange import Refused, Request, check_size, parsed_query

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

    from goes_lite.blocking import BlockingDatabase


class WsgiExplorer:
    """A WSGI application. `close` ends the pages that are followed live."""

    def __init__(self, explorer: Explorer) -> None:
        self.explorer = explorer

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse, /) -> Iterable[bytes]:
        """Answer a request."""
        headers = {
            name[5:].replace("_", "-").lower(): str(value)
            for name, value in environ.items()
            if name.startswith("HTTP_")
        }
        method = str(environ.get("REQUEST_METHOD", "GET"))
        query = str(environ.get("QUERY_STRING", ""))
        path = _text(environ.get("PATH_INFO") or "/")
        base = _text(environ.get("SCRIPT_NAME", "")).rstrip("/")
        request = Request(method, path, {}, headers, base=base)
        try:
            text = str(environ.get("CONTENT_LENGTH") or "0")
            length = int(text) if text.isascii() and text.isdigit() and len(text) < 13 else 0
            check_size(path + query, length)
            body = environ["wsgi.input"].read(length) if length else b""
            answer = self.explorer.respond(Request(method, path, parsed_query(query), headers, body, base))
        except Refused as error:
            answer = self.explorer.refuse(request, error)
        given = [*answer.headers]
        if isinstance(answer.body, bytes):
            given.append(("Content-Length", str(len(answer.body))))
        start_response(f"{answer.status} {HTTPStatus(answer.status).phrase}", given)
        if method == "HEAD":
            if not isinstance(answer.body, bytes) and (close := getattr(answer.body, "close", None)):
                close()
            return []
        return [answer.body] if isinstance(answer.body, bytes) else answer.body

    def close(self) -> None:
        """End the pages that are followed live. The handle stays open."""
        self.explorer.close()


def _text(path: object) -> str:
    # WSGI has the bytes of a path as characters.
    return str(path).encode("latin-1", "replace").decode("utf-8", "replace")


def wsgi(
    db: BlockingDatabase,
    *,
    disclose: Level = "limited",
    app: ModuleType | None = None,
    allow_actions: bool = False,
    who: str = "explorer",
) -> WsgiExplorer:
    """Return the explorer of a store as a WSGI application; it may be mounted below any path.

    **It admits everybody who reaches it**: put it behind what protects the pages of your program's operators. The handle is
    that of the program, and stays open. The other arguments are those of `Explorer`. A page that is
    followed live takes a thread of the server.
    """
    return WsgiExplorer(Explorer(db, disclose=disclose, app=app, allow_actions=allow_actions, who=who))
