"""The explorer: from a request to its response, whatever serves it."""

from __future__ import annotations

import json
import logging
from contextlib import nullcontext
from dataclasses import replace
from http import HTTPStatus
from types import ModuleType
from typing import TYPE_CHECKING, Any

from goes_lite.errors import (
    CodecError,
    ConfigError,
    GoesError,
    InvalidEventError,
    InvalidQueryError,
    LeaseHeld,
    RegistrationError,
    StoreError,
    StoreReadOnly,
    UnknownEventError,
)
from goes_lite.explorer import assets
from goes_lite.explorer.disclosure import Disclosure, Level
from goes_lite.explorer.exchange import Refused, Request, Response
from goes_lite.explorer.frame import Frame
from goes_lite.explorer.guard import FORM_COOKIE, Guard, methods, safe
from goes_lite.explorer.html import Html, href, join, tag
from goes_lite.explorer.live import Live
from goes_lite.explorer.routes import ROUTES, find, page_of
from goes_lite.explorer.source import Source
from goes_lite.operations.forms import dumps

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.explorer.actions import Actions, Writing

HTML = "text/html; charset=utf-8"
JSON = "application/json"

_log = logging.getLogger("goes_lite.explorer")


class Explorer:
    """The pages of one store. Any number of threads may call `respond`.

    Arguments
      db             an open handle, which the explorer never closes; it may be read-only.
      disclose       how much of payloads is shown: 'none', 'masked', 'limited' (the default: what the program does not
                     declare personal) or 'full'. See `goes_lite.explorer.disclosure`.
      app            the module of the program, for its types, aggregates and projections.
      guard          admits the person who started a server; None where the explorer is part of a program, which has its own
                     ways to say who may see its pages.
      allow_actions  whether pages may change the store, each change after its count was typed: redrive or drop parked events,
                     retry or withdraw commands, rebuild projections. Without it, there is nothing that changes anything.
      writing        opens the store for a change; by default, changes are made with `db`.
      who            changes it, for the audit log.
    """

    def __init__(
        self,
        db: BlockingDatabase,
        *,
        disclose: Level = "limited",
        app: ModuleType | None = None,
        guard: Guard | None = None,
        allow_actions: bool = False,
        writing: Writing | None = None,
        who: str = "explorer",
    ) -> None:
        try:
            disclosure = Disclosure(disclose)
        except ValueError as exc:
            raise ConfigError(str(exc)) from None
        self.source = Source(db, disclosure, app)
        self.guard = guard
        self.live = Live()
        self.actions: Actions | None = None
        if allow_actions:
            from goes_lite.explorer.actions import Actions, check_writable

            if writing is None:
                check_writable(self.source)
            self.actions = Actions(self.source, writing or (lambda: nullcontext(db)), who)

    def close(self) -> None:
        """End the pages that are followed live. The handle stays open."""
        self.live.close()

    def respond(self, request: Request) -> Response:
        """Return the response to a request. It raises nothing: what goes wrong becomes a page that says so."""
        try:
            if self.guard is not None and (answer := self.guard.admit(request)) is not None:
                return safe(answer)
        except Refused as error:
            return self.refuse(request, error)
        try:
            allowed = methods(request.path, allow_actions=self.actions is not None)
            if request.method not in allowed:
                return self._failed(
                    request, 405, f"{request.method!r:.20} is not possible here", allow=", ".join(allowed)
                )
            if self.actions is not None and request.path.startswith("/actions/"):
                return safe(self._act(self.actions, request))
            return safe(self._page(request))
        except Refused as error:
            return self._failed(request, error.status, error.message, error.hint)
        except (InvalidQueryError, InvalidEventError, RegistrationError) as error:
            return self._failed(request, 400, str(error))
        except (StoreError, CodecError, UnknownEventError) as error:
            return self._failed(request, 503, str(error), "goes-lite verify")
        except GoesError as error:
            return self._failed(request, 500, str(error))
        except Exception:  # noqa: BLE001 - logged with its traceback
            _log.exception("a page of the explorer failed: %s", request.path)
            return self._failed(
                request, 500, "this is a defect of goes_lite, please report it; its log has the traceback"
            )

    def refuse(self, request: Request, error: Refused) -> Response:
        """Return the page that says why a request is refused before it is known who asks.

        Nobody learns anything of the store from it, not even where it is.
        """
        return self._failed(request, error.status, error.message, error.hint, bare=True)

    def _page(self, request: Request) -> Response:
        path, query = request.path, request.query
        if path.startswith("/assets/"):
            return assets.response(path)
        if as_json := path.endswith(".json"):
            path = path.removesuffix(".json")
        if path == "/overview":
            path = "/"
        if path == "/live":
            return self.live.response(self.source, request, self._frame(request, path))
        found = find(path, request.exact("of"))
        if found is None:
            raise Refused(404, f"there is no page {path!r:.200}")
        route, argument = found
        request = replace(request, path=path, argument=argument)
        page = page_of(route)
        data = page.read(self.source, request)
        if as_json or _wants_json(request):
            return Response(200, (("Content-Type", JSON), *_FRESH), (dumps(data) + "\n").encode())
        at = f"{route.path}/{argument}" if argument else route.path
        frame = self._frame(request, at, {name: one for name, one in query.items() if name != "of"})
        title: Any = getattr(page, "title", None)
        return _html(200, frame.page(title(data) if title else route.label, page.render(data, frame)))

    def _act(self, actions: Actions, request: Request) -> Response:
        plan = actions.plan(request)
        frame = self._frame(request, request.path, request.query)
        wrong = ""
        if request.method == "POST":
            try:
                done = actions.carry_out(request, plan)
            except ValueError as error:
                wrong = str(error)
            except (LeaseHeld, StoreReadOnly) as error:
                wrong = f"Nothing was changed: {error}"
            else:
                effect = ", ".join(f"{kind}: {number:,}" for kind, number in done.items())
                title = "Done" if next(iter(done.values()), 0) or plan.word else "Nothing was changed"
                told = frame.notice(
                    f"{title}: {plan.action} of {plan.target} ({effect}).", kind="good" if title == "Done" else "warn"
                )
                return _html(200, frame.page(title, join(told, tag("p", frame.link("Go on", plan.back)))))
        shown, secret = actions.form(request, frame, plan, wrong)
        answer = _html(409 if wrong else 200, frame.page(plan.action.capitalize(), shown))
        # Encoded as the addresses of our pages are, so that browsers send it with their forms.
        cookie = f"{FORM_COOKIE}={secret}; Path={href('/', base=request.base)}; HttpOnly; SameSite=Strict"
        return replace(answer, headers=(*answer.headers, ("Set-Cookie", cookie)))

    def _frame(self, request: Request, path: str, query: Any = None) -> Frame:
        return Frame(
            path=path,
            base=request.base,
            location=self.source.db.location,
            menu=tuple((route.path, route.label) for route in ROUTES if route.menu),
            query=query,
            version=assets.version(),
            allow_actions=self.actions is not None,
        )

    def _failed(
        self, request: Request, status: int, message: str, hint: str = "", *, allow: str = "", bare: bool = False
    ) -> Response:
        more = (("Allow", allow),) if allow else ()
        if request.path.endswith(".json") or _wants_json(request):
            body = {"error": {"status": status, "message": message, "hint": hint or None}}
            return safe(Response(status, (("Content-Type", JSON), *_FRESH, *more), (json.dumps(body) + "\n").encode()))
        shown: Html = tag(
            "div", tag("p", message), tag("p", "Try: ", tag("code", hint)) if hint else None, class_="failed"
        )
        title = HTTPStatus(status).phrase
        if bare:
            page = Frame(path="", base=request.base, version=assets.version()).bare(title, shown)
        else:
            page = self._frame(request, request.path).page(title, shown)
        answer = _html(status, page)
        return safe(replace(answer, headers=(*answer.headers, *more)))


_FRESH = (("Cache-Control", "no-store"),)


def _html(status: int, page: Html) -> Response:
    return Response(status, (("Content-Type", HTML), *_FRESH), page.encode(errors="replace"))


def _wants_json(request: Request) -> bool:
    accept = request.headers.get("accept", "")
    return "application/json" in accept and "text/html" not in accept
