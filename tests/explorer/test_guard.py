"""Who may ask what: pure decisions."""

from __future__ import annotations

import pytest

from goes_lite.explorer.exchange import Refused, Request, Response, check_size, parsed_query
from goes_lite.explorer.guard import (
    FORM_COOKIE,
    Guard,
    check_form,
    cookies,
    form_secret,
    form_token,
    methods,
    safe,
    same_site,
)

GUARD = Guard(frozenset({"127.0.0.1:80"}), token="right", secret="kept", port=80)


def asked(
    path: str = "/", *, method: str = "GET", cookie: str = "", host: str = "127.0.0.1:80", **query: str
) -> Request:
    """Return a request."""
    given = {name: (value,) for name, value in query.items()}
    return Request(method, path, given, {"host": host, "cookie": cookie})


@pytest.mark.parametrize(
    "others",
    ["a=b", 'a="', 'a="x;', "a[b]=1; {}=2", "a b=c", "=; ;;", "\u00e9=\u00e9", '{"a": 1}', "a=\x7f", "$Version=1", "a"],
)
def test_the_cookie_admits_whatever_other_programs_have_set(others: str) -> None:
    assert GUARD.admit(asked(cookie=f"{others}; goes_lite_80=kept")) is None
    assert GUARD.admit(asked(cookie=f"goes_lite_80=kept;{others}")) is None


def test_assets_are_for_everybody() -> None:
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
    assert dict(answer.headers)["Location"] == "/evil.example/%5Cx?name=a%26b"
    assert "kept" in dict(answer.headers)["Set-Cookie"]
    with pytest.raises(Refused):
        GUARD.admit(asked(token="wrong", cookie="goes_lite_80=kept"))
    with pytest.raises(Refused):
        GUARD.admit(asked(token="right", method="POST"))


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/\t/evil.example", "/%09/evil.example"),
        ("\\\\evil.example", "/evil.example"),
        ("/log\r\nSet-Cookie: a=b", "/log%0D%0ASet-Cookie:%20a%3Db"),
        ("/event/a?b#c", "/event/a%3Fb%23c"),
        ("/aggregate/caf\u00e9/\u6f22", "/aggregate/caf%C3%A9/%E6%BC%A2"),
        ("/log/\udcff", "/log/%ED%B3%BF"),
        ("", "/"),
    ],
)
def test_the_redirect_stays_on_this_server_and_on_the_page(path: str, location: str) -> None:
    answer = GUARD.admit(asked(path, token="right"))

    assert answer
    assert dict(answer.headers)["Location"] == location


@pytest.mark.parametrize("value", ["a\r\nb: c", "a\nb", "a\x00", "a\x7f", "a\x85b", "a\u2028", "\u6f22"])
def test_a_header_with_control_characters_is_never_sent(value: str) -> None:
    for header in (("Set-Cookie", value), (f"X-{value}", "a")):
        answer = safe(Response(200, (header,), b"secret"))

        assert answer.status == 500
        assert value not in repr(answer.headers)
        assert answer.body != b"secret"
        assert dict(answer.headers)["Content-Security-Policy"]


@pytest.mark.parametrize(
    "value", [r'"x\015\012a: b"', "x", "", "s" * 42, "s" * 44, "s" * 42 + "\u00e9", "s" * 42 + ";"]
)
def test_only_a_secret_of_ours_is_kept_for_a_form(value: str) -> None:
    assert form_secret({"cookie": f"{FORM_COOKIE}={value}"}) not in ("", value)
    assert form_secret({"cookie": f"{FORM_COOKIE}={'s' * 43}"}) == "s" * 43
    assert form_secret({}) != form_secret({})


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
    secret = "s" * 43
    request = asked(cookie=f"{FORM_COOKIE}={secret}")

    check_form(request, form_token(secret))
    for wrong in ("", secret, form_token("t" * 43)):
        with pytest.raises(Refused):
            check_form(request, wrong)
    with pytest.raises(Refused):
        check_form(asked(), form_token(""))
    with pytest.raises(Refused):
        check_form(asked(cookie=f"{FORM_COOKIE}=s"), form_token("s"))


def test_what_is_too_long_is_refused() -> None:
    with pytest.raises(Refused):
        check_size("x" * 9_000, 0)
    with pytest.raises(Refused):
        check_size("/", 70_000)
    with pytest.raises(Refused):
        parsed_query("&".join(f"a{n}=" for n in range(300)))
    assert cookies({"cookie": 'a=b; c="d=e" ;f'}) == {"a": "b", "c": '"d=e"'}
