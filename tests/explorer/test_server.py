"""The server: who is admitted, and what it says with every response."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from goes_lite import blocking
from goes_lite.explorer import Server, serve
from goes_lite.explorer.server import hosts_of
from tests.explorer.explorer_kit import Visitor


def test_the_printed_address_becomes_a_cookie_that_no_script_and_no_other_site_can_use(server: Server) -> None:
    visitor = Visitor(server.url)

    answer = visitor.ask(f"{visitor.start}&x=1")

    assert answer.status == 303
    assert answer.headers["location"] == "/?x=1"
    attributes = answer.headers["set-cookie"].split("; ")[1:]
    assert attributes == ["Path=/", "HttpOnly", "SameSite=Strict"]
    assert visitor.start.partition("token=")[2] not in answer.headers["set-cookie"]
    assert visitor.ask("/").status == 200


@pytest.mark.parametrize("path", ["/", "/overview.json", "/log", "/?token=wrong", "/?token="])
def test_nobody_else_learns_anything(server: Server, path: str) -> None:
    answer = Visitor(server.url).ask(path)

    assert answer.status == 403
    assert "shop" not in answer.text


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1:1", "127.0.0.1.evil.example:{port}", ""]
)
def test_another_name_for_this_machine_is_refused(visitor: Visitor, host: str) -> None:
    """A site can point its name at 127.0.0.1; then the visitor takes us for that site."""
    answer = visitor.ask("/", Host=host.format(port=visitor.port))

    assert answer.status == 421
    assert "shop" not in answer.text


def test_the_names_of_this_machine_are_known(visitor: Visitor) -> None:
    assert visitor.ask("/", Host=f"LocalHost:{visitor.port}").status == 200


@pytest.mark.parametrize(
    "path", ["/", "/overview.json", "/nothing", "/assets/explorer.css", "/assets/../secret", "/log"]
)
def test_every_response_forbids_what_pages_never_do(visitor: Visitor, path: str) -> None:
    headers = visitor.ask(path).headers

    policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == "'self'"
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "same-origin"
    if not path.startswith("/assets/explorer"):
        assert headers["cache-control"] == "no-store"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
def test_pages_are_only_read(visitor: Visitor, method: str) -> None:
    answer = visitor.ask("/", method, body="a=1")

    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD"


def test_requests_are_bounded(visitor: Visitor) -> None:
    assert visitor.ask("/?x=" + "y" * 9_000).status == 414
    assert visitor.ask("/", "POST", body="x" * 70_000).status == 413
    assert visitor.ask("/?" + "&".join(f"a{n}=1" for n in range(300))).status == 400


def test_the_head_of_a_page_is_that_of_the_page(visitor: Visitor) -> None:
    whole, head = visitor.ask("/overview.json"), visitor.ask("/overview.json", "HEAD")

    assert head.status == 200
    assert head.text == ""
    assert head.headers["content-type"] == whole.headers["content-type"]


@pytest.mark.parametrize(
    "path", ["/%ff", "/log/%ed%a0%80", "/log?name=%ff", "//evil.example/", "/%00", "/log.json?not=%ed%a0%80"]
)
def test_no_address_is_a_defect(visitor: Visitor, path: str) -> None:
    assert visitor.ask(path).status in (200, 400, 404)


@pytest.mark.parametrize(
    ("request_line", "headers", "status"),
    [
        ("GET /?" + "&".join(f"a{n}=1" for n in range(300)), "", 400),
        ("GET /?%ff", "", 400),
        ("GET /log", "Content-Length: many", 400),
        ("GET /log", "Transfer-Encoding: chunked", 411),
        ("GET /log?" + "y" * 9_000, "", 414),
        ("GET /log?" + "y" * 70_000, "", 414),
        ("FROB /log", "", 501),
        ("GET /log HTTP/x y", "", 400),
        ("GET /log", "\r\n".join(f"X{n}: 1" for n in range(120)), 431),
    ],
)
def test_what_is_refused_before_it_is_known_who_asks_tells_nothing(
    server: Server, request_line: str, headers: str, status: int
) -> None:
    told = raw(server, f"{request_line} HTTP/1.1\r\nHost: evil.example\r\n{headers}{headers and chr(13) + chr(10)}\r\n")

    head, _, body = told.partition("\r\n\r\n")
    assert int(head.split()[1]) == status
    assert "Content-Security-Policy: default-src 'none'" in head
    assert "X-Content-Type-Options: nosniff" in head
    assert "<main" in body
    assert "shop" not in told
    assert "<nav" not in told


def raw(server: Server, text: str) -> str:
    """Send bytes, and return all that comes back until the server closes the connection."""
    with connected(server) as connection:
        told = b""
        with suppress(ConnectionError):  # it does not read what it refuses
            connection.sendall(text.encode())
            while piece := connection.recv(65_536):
                told += piece
    return told.decode()


def test_there_are_never_too_many_connections(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("goes_lite.explorer.server.CONNECTIONS", 3)
    monkeypatch.setattr("goes_lite.explorer.server.IDLE", 60.0)
    monkeypatch.setattr("goes_lite.explorer.server._Handler.timeout", 60.0)
    with blocking.connect(shop) as db, serve(db) as server:
        with ExitStack() as stack:
            for _ in range(3):
                stack.enter_context(connected(server))
            assert not admitted(server)
        until(lambda: admitted(server))


def test_a_request_has_to_arrive_in_time(shop: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However slowly it goes on."""
    monkeypatch.setattr("goes_lite.explorer.server.IDLE", 0.3)
    with blocking.connect(shop) as db, serve(db) as server, connected(server) as slow:
        slow.settimeout(0.05)
        begin, ended = time.monotonic(), False
        while not ended:
            assert time.monotonic() < begin + 60
            try:
                slow.sendall(b"G")
                ended = slow.recv(1) == b""
            except TimeoutError:
                continue
            except ConnectionError:
                ended = True


def connected(server: Server) -> socket.socket:
    """Return a connection that says nothing."""
    address = urlsplit(server.url)
    return socket.create_connection((address.hostname, address.port), timeout=60)


def admitted(server: Server) -> bool:
    """Return whether the server answers."""
    try:
        return Visitor(server.url).ask("/").status == 403
    except (HTTPException, OSError):
        return False


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    begin = time.monotonic()
    while not condition():
        assert time.monotonic() < begin + 60
        time.sleep(0.02)


def test_the_port_that_browsers_leave_out_may_be_missing() -> None:
    assert {"127.0.0.1", "localhost", "[::1]", "localhost:80"} <= hosts_of("127.0.0.1", 80)
    assert hosts_of("Shop.example", 80) == {"shop.example", "shop.example:80"}
    assert "localhost" not in hosts_of("127.0.0.1", 8080)
    assert hosts_of("::1", 8080) == hosts_of("localhost", 8080)
