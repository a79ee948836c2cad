"""Events as they are committed, sent to an open page as server-sent events.

Each carries its position as its id. A browser that loses the connection comes back with the last one (`Last-Event-ID`), and
the log goes on after it: nothing is missed and nothing comes twice. While nothing happens, a comment is sent now and then, so
that a closed page is noticed and its thread ends.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from goes_lite.errors import StoreClosed
from goes_lite.explorer.exchange import Refused, Request, Response
from goes_lite.explorer.selection import Selection

if TYPE_CHECKING:
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source

HEARTBEAT = 1.0
"""Seconds after which something is sent. A socket refuses the second piece that nobody takes: a closed page ends within 5."""
PACE = 0.25
"""Seconds between two looks, of each four open pages, and …"""
ROWS = 100
"""… the most that is sent after each: faster than anybody reads, and slow enough not to take a core from the writers."""
MOST = 64
"""Pages that are followed at the same time."""

_log = logging.getLogger("goes_lite.explorer")


class Live:
    """The pages that are open. Any thread may use it."""

    def __init__(self) -> None:
        self._ending = threading.Event()
        self._free = threading.BoundedSemaphore(MOST)
        self._lock = threading.Lock()
        self._followed = 0

    def close(self) -> None:
        """End all of them."""
        self._ending.set()

    def response(self, source: Source, request: Request, frame: Frame) -> Response:
        """Return the events that a page asks for, from the position `after` or `Last-Event-ID` on, else from the head on."""
        selection = Selection.of(request, source)
        after = request.number("after")
        last = request.headers.get("last-event-id", "")
        if last.isascii() and last.isdigit() and len(last) < 19:
            after = int(last)
        if after is None:
            after = source.db.events.head()
        if not self._free.acquire(blocking=False):
            raise Refused(503, f"{MOST} pages are open already", "close some of them")
        headers = (("Content-Type", "text/event-stream"), ("Cache-Control", "no-store"), ("X-Accel-Buffering", "no"))
        return Response(200, headers, _Pieces(self._follow(source, selection, after, frame), self._free))

    def _follow(self, source: Source, selection: Selection, after: int, frame: Frame) -> Iterator[bytes]:
        db = source.db
        with self._lock:
            self._followed += 1
        try:
            yield f"retry: 1000\nid: {after}\n\n".encode()
            while not self._ending.is_set():
                seen, head = db.commits.count, db.events.head()
                if after < head:
                    found = selection.read(source, after=after, upto=head, limit=ROWS)
                    for event in found.events:
                        yield _message(event["position"], _row(frame, event))
                    after = found.reached
                    # What did not match is not looked at again, not even after a lost connection.
                    yield f"event: at\nid: {after}\ndata: {head - after}\n\n".encode()
                    self._ending.wait(PACE * max(1, self._followed / 4))
                elif not db.commits.wait(seen, HEARTBEAT):
                    yield b": still here\n\n"
        except StoreClosed:
            return
        finally:
            with self._lock:
                self._followed -= 1


class _Pieces(Iterator[bytes]):
    """An iterator that frees its place once, also if it is never begun."""

    def __init__(self, pieces: Iterator[bytes], free: threading.BoundedSemaphore) -> None:
        self._pieces = pieces
        self._free: threading.BoundedSemaphore | None = free

    def __next__(self) -> bytes:
        try:
            return next(self._pieces)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        free, self._free = self._free, None
        if free is not None:
            free.release()


def _row(frame: Frame, event: Mapping[str, Any]) -> str:
    """Return the row of an event; one that cannot be shown does not keep away those after it."""
    try:
        return frame.event_row(event)
    except Exception:  # noqa: BLE001 - whatever it is, the next event has nothing to do with it
        _log.exception("the event at position %d cannot be shown", event["position"])
        return frame.event_row({**event, "data": None, "payload": "it cannot be shown"})


def _message(position: int, row: str) -> bytes:
    data = "".join(f"data: {line}\n" for line in row.split("\n"))
    return f"id: {position}\n{data}\n".encode(errors="replace")
