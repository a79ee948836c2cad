"""Who may ask what: pure decisions about a request, before any page is read.

- A server for one person listens on 127.0.0.1. The address that it prints has a token, which becomes a cookie at once:
  HttpOnly and SameSite=Strict, so that no script reads it and no other site can use it.
- The Host header has to name the server: a site whose name was pointed at 127.0.0.1 (DNS rebinding) is refused.
- No page runs code but ours: the policy allows neither inline scripts and styles, nor anything from elsewhere.
- What acts is a POST with a token that only our own pages have (`form_token`).
"""

from __future__ import annotations

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from hashlib import sha256
from hmac import compare_digest
from hmac import new as hmac
from secrets import token_urlsafe
from urllib.parse import quote, urlencode

from goes_lite.explorer.exchange import Refused, Request, Response

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; form-action 'self'; "
    "base-uri 'none'; frame-ancestors 'none'"
)
SAFE_HEADERS = (
    ("Content-Security-Policy", POLICY),
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),  # no-referrer would make browsers send `Origin: null` with our own forms
    ("Cross-Origin-Opener-Policy", "same-origin"),
    ("Cross-Origin-Resource-Policy", "same-origin"),
)
"""Sent with every response."""

FORM_COOKIE = "goes_lite_form"

_SECRET = re.compile(r"[A-Za-z0-9_-]{43}")
_HEADER = re.compile(r"[\x20-\x7e\xa0-\xff]*")
_log = logging.getLogger("goes_lite.explorer")


def safe(answer: Response) -> Response:
    """Return a response with the headers that all of ours have; another one if any of its headers could end too early."""
    if all(_HEADER.fullmatch(part) for header in answer.headers for part in header):
        return replace(answer, headers=(*answer.headers, *SAFE_HEADERS))
    _log.error("a header of the explorer has control characters, and was not sent: %r", answer.headers)
    if close := getattr(answer.body, "close", None):
        close()
    headers = (("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store"), *SAFE_HEADERS)
    return Response(500, headers, b"A header of this page has control characters: please report it.\n")


def methods(path: str, *, allow_actions: bool) -> tuple[str, ...]:
    """Return the methods that a path takes. Without actions there is nothing to POST to."""
    return ("GET", "HEAD", "POST") if allow_actions and path.startswith("/actions/") else ("GET", "HEAD")


def cookies(headers: Mapping[str, str]) -> dict[str, str]:
    """Return the cookies of a request as they are sent, without unquoting.

    Those of other programs on this machine are among them, and may be anything: an odd one hides none of ours.
    """
    pairs = (part.partition("=") for part in headers.get("cookie", "").split(";"))
    return {name.strip(): value.strip() for name, equals, value in pairs if equals}


def same_site(headers: Mapping[str, str]) -> bool:
    """Whether a form was sent by a page of ours, as far as the browser says so."""
    site = headers.get("sec-fetch-site")
    if site is not None:
        return site == "same-origin"
    origin = headers.get("origin")
    return origin is None or origin.partition("://")[2] == headers.get("host")


@dataclass(frozen=True)
class Guard:
    """Admits one person to a server: whoever has the address that it printed."""

    hosts: frozenset[str]
    """What the Host header may be, with the port."""
    token: str = field(default_factory=lambda: token_urlsafe(32), repr=False)
    """In the address that is printed."""
    secret: str = field(default_factory=lambda: token_urlsafe(32), repr=False)
    """In the cookie."""
    port: int = 0
    """Part of the cookie's name: browsers do not tell the ports of a host apart."""

    @property
    def cookie(self) -> str:
        """The name of the cookie."""
        return f"goes_lite_{self.port}"

    def admit(self, request: Request) -> Response | None:
        """Return None for a request that may go on, or the response that sets the cookie; Refused for any other."""
        if request.headers.get("host", "").lower() not in self.hosts:
            raise Refused(
                421, f"this server is not {request.headers.get('host', '')!r:.80}", "open the address that it printed"
            )
        if (given := request.one("token")) and request.method == "GET":
            if not _equal(given, self.token):
                raise Refused(
                    403, "the token in the address is not that of this server", "open the address that it printed"
                )
            rest = [(name, one) for name, values in request.query.items() if name != "token" for one in values]
            # Two slashes at the beginning would name another host.
            target = quote("/" + request.path.lstrip("/\\"), safe="/:@", errors="surrogatepass")
            target += "?" + urlencode(rest, errors="surrogatepass") if rest else ""
            value = f"{self.cookie}={self.secret}; Path=/; HttpOnly; SameSite=Strict"
            return Response(303, (("Location", target), ("Set-Cookie", value)))
        ours = request.path.startswith("/assets/")  # the page that refuses is made of them, too, and they tell nothing
        if not ours and not _equal(cookies(request.headers).get(self.cookie, ""), self.secret):
            raise Refused(
                403, "this explorer is for the person who started it", "open the address that `goes-lite ui` printed"
            )
        return None


def form_secret(headers: Mapping[str, str]) -> str:
    """Return the value of the form's cookie: that of the request if it is one of ours, else a fresh one."""
    given = cookies(headers).get(FORM_COOKIE, "")
    return given if _SECRET.fullmatch(given) else token_urlsafe(32)


def form_token(value: str) -> str:
    """Return what a form has to send back, to the value of the form's cookie."""
    return hmac(value.encode(), b"goes_lite form", sha256).hexdigest()


def check_form(request: Request, sent: str) -> None:
    """Raise Refused unless a form was sent by one of our pages."""
    value = cookies(request.headers).get(FORM_COOKIE, "")
    if not same_site(request.headers) or not _SECRET.fullmatch(value) or not _equal(sent, form_token(value)):
        raise Refused(403, "this form was not sent by a page of this explorer", "open the page again and repeat it")


def _equal(one: str, other: str) -> bool:
    return compare_digest(one.encode(errors="replace"), other.encode())
