"""What tests in a real browser share: the operating system's Chromium, an explorer in a process of its own, and a witness.

Playwright's loop runs in the thread of the test, where goes_lite must not block: what a test does to a store meanwhile, it does
in another thread or process (`aside`).
"""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Generator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self, TypeVar
from urllib.parse import urlsplit

import pytest

from tests.cli.cli_kit import PACKAGES, PATIENCE, environment, start

if TYPE_CHECKING:
    from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Dialog, Page, Request

T = TypeVar("T")

HERE = Path(__file__).parent
PROGRAMS = ("chromium", "chromium-browser", "google-chrome", "chrome")
QUIET = ("--disable-background-networking", "--disable-component-update", "--disable-dev-shm-usage", "--no-first-run")
MILLISECONDS = 1000 * PATIENCE


@contextmanager
def chromium() -> Generator[Browser]:
    """The browser; skips, with what to install, where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed: pip install playwright")
    program = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if program is None:
        pytest.skip("Chromium is not installed: apt-get install chromium")
    with sync_api.sync_playwright() as playwright:
        # --no-sandbox: its sandbox refuses to work for root, as in a container
        browser = playwright.chromium.launch(
            executable_path=program, args=["--no-sandbox", *QUIET], timeout=MILLISECONDS
        )
        try:
            yield browser
        finally:
            browser.close()


def made(program: str, folder: Path) -> Path:
    """The store that one of the programs here makes, and a copy of the program next to it."""
    shutil.copy(HERE / f"{program}.py", folder)
    command = [sys.executable, "-W", "error", f"{program}.py", "shop.db"]
    subprocess.run(command, cwd=folder, env=environment({"PYTHONPATH": PACKAGES}), check=True, timeout=PATIENCE)
    return folder / "shop.db"


@contextmanager
def serving(store: Path, *options: str) -> Generator[str]:
    """`goes-lite ui` on a store, in a process of its own: the URL that it prints, with its token."""
    words = ["ui", store, "--no-browser", "--port", "0", *options]
    process = start(*words, cwd=store.parent, env={"PYTHONPATH": PACKAGES, "PYTHONUNBUFFERED": "1"})
    assert process.stdout is not None
    try:
        seen = ""
        for line in process.stdout:
            seen += line
            if found := re.search(r"http://\S+", line):
                break
        else:
            process.wait(PATIENCE)
            raise AssertionError(f"goes-lite ui ended: {seen} {process.stderr.read() if process.stderr else ''}")
        yield found[0]
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def aside(work: Callable[[], T]) -> T:
    """Do something in another thread, where no event loop runs, and return what it returns."""
    with ThreadPoolExecutor(1) as other:
        return other.submit(work).result(PATIENCE)


class Witness:
    """What a page did that it should not have done: dialogs, requests to elsewhere, errors, windows and downloads."""

    def __init__(self, page: Page, origin: str) -> None:
        self.origin = origin
        self.seen: list[str] = []
        page.on("dialog", self._opened)
        page.on("popup", lambda other: self.seen.append(f"window: {other.url}"))
        page.on("download", lambda download: self.seen.append(f"download: {download.url}"))
        page.on("pageerror", lambda error: self.seen.append(f"error: {error}"))
        page.on("request", self._asked)
        page.on("console", self._said)
        self.dropped = False
        """Whether connections are cut: browsers say so on the console."""

    def _opened(self, dialog: Dialog) -> None:
        self.seen.append(f"dialog: {dialog.message}")
        dialog.dismiss()

    def _asked(self, request: Request) -> None:
        if not request.url.startswith((f"{self.origin}/", "about:")):
            self.seen.append(f"request: {request.url[:200]}")

    def _said(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not (self.dropped and "net::ERR_" in message.text):
            self.seen.append(f"console: {message.text[:400]}")


class Explorer(NamedTuple):
    """An explorer in a browser: what tests look at it with."""

    context: BrowserContext
    page: Page
    witness: Witness
    origin: str

    def go(self, path: str) -> Page:
        """Open a page of it, which must be found."""
        response = self.page.goto(f"{self.origin}{path}", wait_until="load")
        assert response is not None
        assert response.ok, (path, response.status)
        return self.page

    def data(self, path: str) -> Any:
        """What a page shows, as JSON."""
        response = self.context.request.get(f"{self.origin}{path}")
        assert response.ok, (path, response.status, response.text()[:400])
        return response.json()


@contextmanager
def looking(browser: Browser, url: str, **options: Any) -> Generator[Explorer]:
    """A browser that has come by the URL that `goes-lite ui` printed; at the end, nothing has gone wrong."""
    parts = urlsplit(url)
    context = browser.new_context(**options)
    context.set_default_timeout(MILLISECONDS)
    try:
        page = context.new_page()
        witness = Witness(page, f"{parts.scheme}://{parts.netloc}")
        page.goto(url)
        yield Explorer(context, page, witness, witness.origin)
        assert not witness.seen, witness.seen
    finally:
        context.close()


class Wire:
    """A wire to a server on this machine that can be cut: a proxy for TCP. Use it in a `with` block."""

    def __init__(self, port: int) -> None:
        self._to = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self.streams = 0
        """How many times a stream of events was asked for through it."""
        self._accepting = threading.Thread(target=self._accept, daemon=True)

    def cut(self) -> None:
        """Drop all connections at once, as a network does."""
        with self._lock:
            cut, self._open = self._open, set()
        for end in cut:
            _drop(end)

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._to))
            except OSError:
                return
            with self._lock:
                self._open |= {here, there}
            for ends in ((here, there), (there, here)):
                threading.Thread(target=self._carry, args=ends, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket) -> None:
        """Carry bytes from one end to the other; the server sees requests as if it had been asked itself."""
        asked, real = f"127.0.0.1:{self.port}".encode(), f"127.0.0.1:{self._to}".encode()
        try:
            while data := source.recv(65536):
                if b"GET /live" in data:
                    with self._lock:
                        self.streams += 1
                # A test does not wait for a second each time before the browser comes back.
                target.sendall(data.replace(asked, real).replace(b"retry: 1000\n", b"retry: 10\n"))
        except OSError:
            pass
        for end in (source, target):
            with self._lock:
                self._open.discard(end)
            _drop(end)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.cut()


def _drop(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass
    end.close()
