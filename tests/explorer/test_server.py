"""The server: who is admitted, and what it says with every response."""

from __future__ import annotations

import pytest

from goes_lite.explorer import Server
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
