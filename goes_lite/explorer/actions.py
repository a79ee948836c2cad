"""What people may do to a store from its pages, if actions are allowed: never with one click.

A first page (GET) counts and says what would happen. Its form (POST) needs that count, typed, and a token that only our pages
have. The change is in the audit log, as one of the command line is. Without `--allow-actions` there is none of this.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from goes_lite.errors.functions import form_of
from goes_lite.explorer.exchange import Refused, Request, missing, parsed_query
from goes_lite.explorer.guard import check_form, form_secret, form_token
from goes_lite.explorer.html import Html, join, tag
from goes_lite.explorer.program import projections
from goes_lite.operations.audit import AuditEntry, audited
from goes_lite.processor import ByName

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.commands import AcceptedCommand
    from goes_lite.database import Database
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source
    from goes_lite.processor import ParkedEvent

Writing = Callable[[], AbstractContextManager["BlockingDatabase"]]
"""Opens the store for a change."""


class Plan(NamedTuple):
    """What is to be done, counted just now."""

    action: str
    """As the command line calls it."""
    target: str
    sentence: str
    """What happens, in the imperative, and what people should know before."""
    effect: Mapping[str, int]
    """How much changes, by kind; the first number is the one to type."""
    back: str
    """The page to return to."""
    work: Callable[[Database], Awaitable[Mapping[str, int]]]

    @property
    def number(self) -> int:
        """The number to type."""
        return next(iter(self.effect.values()))


class Actions:
    """The actions of an explorer. Any thread may use them."""

    def __init__(self, source: Source, writing: Writing, who: str) -> None:
        self._source = source
        self._writing = writing
        self._who = who

    def plan(self, request: Request) -> Plan:
        """Return what an address asks to be done; Refused if there is no such thing."""
        find = ACTIONS.get(request.path.removeprefix("/actions/"))
        if find is None:
            raise missing(f"there is no action {request.path!r:.80}")
        return find(self._source, request)

    def form(self, request: Request, frame: Frame, plan: Plan, wrong: str = "") -> tuple[Html, str]:
        """Return the first page, and the value of the cookie to which its token belongs."""
        secret = form_secret(request.headers)
        shown = join(
            frame.notice(wrong, kind="bad") if wrong else None,
            tag("p", "About to ", plan.sentence, "."),
            frame.facts(("Target", tag("code", plan.target)), *((kind, f"{n:,}") for kind, n in plan.effect.items())),
            tag(
                "form",
                tag("input", type="hidden", name="token", value=form_token(secret)),
                tag(
                    "label",
                    f"Type the first number, {plan.number}, to go on",
                    tag("input", name="count", inputmode="numeric", autocomplete="off", required=True),
                ),
                tag("label", "Why, for the audit log", tag("input", name="reason", maxlength="500")),
                tag(
                    "div",
                    tag("button", "Do it", type="submit", class_="risk"),
                    tag("a", "Cancel", href=frame.href(plan.back), class_="button"),
                    class_="row",
                ),
                method="post",
                action=frame.again(),
                class_="filters",
            ),
        )
        return shown, secret

    def carry_out(self, request: Request, plan: Plan) -> Mapping[str, int]:
        """Do what a form has confirmed, and return what was changed; Refused if it was not sent by one of our pages.

        ValueError if its count is not that of the plan: too much was typed, or the store has changed since.
        """
        sent = parsed_query(request.body.decode("utf-8", "replace"))
        check_form(request, *sent.get("token", ("",))[-1:])
        if "".join(sent.get("count", ())).strip().replace(",", "") != str(plan.number):
            raise ValueError(f"Nothing was changed: the number to type is {plan.number}, as counted just now.")
        reason = "".join(sent.get("reason", ()))[:500]
        now = datetime.now(timezone.utc)
        entry = AuditEntry(now, self._who, plan.action, plan.target, dict(plan.effect), reason)
        with self._writing() as db:
            done = db._portal.run(audited(db.backend, entry, lambda: plan.work(db.database)))
        return done.effect


def _parked(source: Source, request: Request) -> tuple[str, list[ParkedEvent]]:
    name = request.one("consumer")
    if source.db.checkpoints.get(name) is None:
        raise missing(f"there is no consumer {name!r:.80}")
    return name, source.run(ByName(source.db.backend, name).parked())


def _redrive(source: Source, request: Request) -> Plan:
    name, letters = _parked(source, request)
    position = request.number("position")
    wanted = [letter for letter in letters if position is None or letter.position == position]
    if not wanted:
        raise missing(f"{name!r:.80} has no such parked event")

    async def work(db: Database) -> Mapping[str, int]:
        await ByName(db.backend, name).redrive(*wanted)
        return {"parked": len(wanted)}

    sentence = f"have {name!r:.80} handle parked events again: effects elsewhere may happen twice"
    return Plan("parked redrive", name, sentence, {"parked": len(wanted)}, f"/consumers/{name}", work)


def _drop(source: Source, request: Request) -> Plan:
    name, letters = _parked(source, request)
    position = request.number("position")
    letter = next((one for one in letters if one.position == position), None)
    if letter is None:
        raise missing(f"{name!r:.80} has no such parked event")
    behind = sum(one.behind == letter.position for one in letters)

    async def work(db: Database) -> Mapping[str, int]:
        return {"parked": int(await ByName(db.backend, name).drop(letter)), "released": behind}

    sentence = f"drop {letter.name!r:.80} at position {letter.position}: {name!r:.80} never handles it"
    effect = {"parked": 1, "released": behind}
    return Plan("parked drop", f"{name} {letter.position}", sentence, effect, f"/consumers/{name}", work)


def _accepted(source: Source, request: Request, *, failed: bool | None = None) -> AcceptedCommand:
    try:
        id = UUID(request.one("id"))
    except ValueError:
        raise Refused(400, f"{request.one('id')!r:.80} is no id of a command") from None
    commands = source.db.commands
    for one in [*([] if failed else commands.accepted()), *commands.accepted(failed=True)]:
        if one.id == id:
            return one
    raise missing(f"no {'failed' if failed else 'accepted'} command has the id {id}")


def _retry(source: Source, request: Request) -> Plan:
    one = _accepted(source, request, failed=True)

    async def work(db: Database) -> Mapping[str, int]:
        return {"commands": int(await db.commands.redrive(one.id))}

    sentence = f"have {one.name!r:.80} tried again, by the next worker"
    return Plan("commands retry", str(one.id), sentence, {"commands": 1}, f"/commands/{one.id}", work)


def _withdraw(source: Source, request: Request) -> Plan:
    one = _accepted(source, request)

    async def work(db: Database) -> Mapping[str, int]:
        return {"commands": int(await db.commands.withdraw(one.id))}

    sentence = f"withdraw {one.name!r:.80}: it is never handled"
    return Plan("commands withdraw", str(one.id), sentence, {"commands": 1}, "/commands", work)


def _rebuild(source: Source, request: Request) -> Plan:
    name = request.one("projection")
    projection = projections(source).get(name)
    if projection is None:
        raise missing(f"the program has no projection {name!r:.80}", "name its module with --app")
    methods: list[Any] = [
        *projection.methods(source.db.registry).values(), projection.create, projection.clear, projection.switch,
    ]  # fmt: skip
    if any(form_of(method) == "a coroutine" for method in methods):
        raise Refused(
            400, f"{name!r:.80} has coroutine functions, for which there is no event loop", "goes-lite rebuild"
        )
    effect = {"events": source.db.events.count(projection.query(source.db.registry))}

    async def work(db: Database) -> Mapping[str, int]:
        parity = await db.projection(projection).rebuild()
        return {**effect, **({"different rows": parity.different} if parity.compared else {})}

    sentence = f"rebuild {name!r:.80}, version {projection.version}, next to the live one, and switch: this page waits"
    return Plan("rebuild", name, sentence, effect, f"/consumers/{name}", work)


ACTIONS: Mapping[str, Callable[[Source, Request], Plan]] = {
    "parked/redrive": _redrive,
    "parked/drop": _drop,
    "commands/retry": _retry,
    "commands/withdraw": _withdraw,
    "rebuild": _rebuild,
}
"""By what follows `/actions/`."""
