"""Who may ask what: pure decisions."""

from __future__ import annotations

import pytest

from goes_lite.explorer.exchange import Refused, Request, check_size, parsed_query
from goes_lite.explorer.guard import FORM_COOKIE, Guard, check_form, cookies, form_token, methods, same_site

GUARD = Guard(frozenset({"127.0.0.1:80"}), token="right", secret="kept", port=80)


def asked(
    path: str = "/", *, method: str = "GET", cookie: str = "", host: str = "127.0.0.1:80", **query: str
) -> Request:
    """Return a request."""
    given = {name: (value,) for name, value in query.items()}
    return Request(method, path, given, {"host": host, "cookie": cookie})


def test_the_cookie_admits() -> None:
    assert GUARD.admit(asked(cookie="a=b; goes_lite_80=kept")) is None
    assert GUARD.admit(asked("/assets/explorer.css")) is None


@pytest.mark.parametrize(
    "cookie", ["", "goes_lite_80=", "goes_lite_80=keptx", "goes_lite_81=kept", "goes_lite_80=\u00e9", ";;=", 'x="']
)
def test_no_other_cookie_does(cookie: str) -> None:
    with pytest.raises(Refused) as refused:
        GUARD.admit(asked(cookie=cookie))

    assert refused.value.status == 403


def test_the_token_is_exchanged_and_leaves_the_address() -> None:
    answer = GUARD.admit(asked("//evil.example/\\x", token="right", name="a&b"))

    assert answer
    assert dict(answer.headers)["Location"] == "/evil.example/\\x?name=a%26b"
    assert "kept" in dict(answer.headers)["Set-Cookie"]
    with pytest.raises(Refused):
        GUARD.admit(asked(token="wrong", cookie="goes_lite_80=kept"))
    with pytest.raises(Refused):
        GUARD.admit(asked(token="right", method="POST"))


def test_only_actions_are_posted_to_and_only_where_they_are_allowed() -> None:
    assert "POST" in methods("/actions/rebuild", allow_actions=True)
    assert "POST" not in methods("/actions/rebuild", allow_actions=False)
    assert "POST" not in methods("/log", allow_actions=True)


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"sec-fetch-site": "same-origin"}, True),
        ({"sec-fetch-site": "none"}, False),
        ({"sec-fetch-site": "same-site"}, False),
        ({"origin": "http://127.0.0.1:80", "host": "127.0.0.1:80"}, True),
        ({"origin": "http://127.0.0.1:81", "host": "127.0.0.1:80"}, False),
        ({"origin": "null", "host": "127.0.0.1:80"}, False),
        ({}, True),
    ],
)
def test_where_a_form_came_from(headers: dict[str, str], ours: bool) -> None:
    assert same_site(headers) == ours


def test_a_form_needs_the_token_of_its_cookie() -> None:
    request = asked(cookie=f"{FORM_COOKIE}=s")

    check_form(request, form_token("s"))
    for wrong in ("", "s", form_token("t")):
        with pytest.raises(Refused):
            check_form(request, wrong)
    with pytest.raises(Refused):
        check_form(asked(), form_token(""))


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(Refused):
        check_size("x" * 9_000, 0)
    with pytest.raises(Refused):
        check_size("/", 70_000)
    with pytest.raises(Refused):
        parsed_query("&".join(f"a{n}=" for n in range(300)))
    assert cookies({"cookie": "a=b"}) == {"a": "b"}
