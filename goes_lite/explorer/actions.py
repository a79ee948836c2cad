"""What people may do to a store from its pages, if actions are allowed: never with one click.

A first page (GET) counts and says what would happen. Its form (POST) needs that count, typed (of a rebuild, the name of the
projection), a token that only our pages have, and the same things to act on as were counted: what the store has instead by then
is counted and shown again. The change is in the audit log, as one of the command line is. Without `--allow-actions` there is none
of this.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import AbstractContextManager
from datetime import datetime, timezone
from hashlib import sha256
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import UUID

from goes_lite.codec.json_of import json_of
from goes_lite.contract.own_collections import AUDIT, parked_collection
from goes_lite.errors import CodecError, ConfigError, StoreReadOnly
from goes_lite.errors.functions import form_of
from goes_lite.explorer.exchange import Refused, Request, missing, parsed_query
from goes_lite.explorer.guard import check_form, form_secret, form_token
from goes_lite.explorer.html import Html, join, tag
from goes_lite.explorer.program import projections
from goes_lite.operations.audit import AuditEntry, audited
from goes_lite.processor import ByName, ParkedEvent
from goes_lite.processor.records import parked_key

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.commands import AcceptedCommand
    from goes_lite.contract.backend import Backend
    from goes_lite.database import Database
    from goes_lite.explorer.frame import Frame
    from goes_lite.explorer.source import Source

Writing = Callable[[], AbstractContextManager["BlockingDatabase"]]
"""Opens the store for a change."""


def check_writable(source: Source) -> None:
    """Raise ConfigError if a handle is read-only."""
    try:
        source.run(source.db.backend.models.delete(AUDIT, "none"))  # removes nothing
    except StoreReadOnly as exc:
        raise ConfigError(
            f"allow_actions=True needs a handle that may write, not one of {source.db.location!r} that is read-only: open it "
            "without read_only, or leave allow_actions out"
        ) from exc


class Plan(NamedTuple):
    """What is to be done, counted just now."""

    action: str
    """As the command line calls it."""
    target: str
    sentence: str
    """What happens, in the imperative, and what people should know before."""
    effect: Mapping[str, int]
    """How much changes, by kind; the first number is the one to type, unless there is a word."""
    back: str
    """The page to return to."""
    work: Callable[[Database], Awaitable[Mapping[str, int]]]
    keys: tuple[str, ...] = ()
    """What it changes, so that a form acts on nothing else; in addition to the target."""
    word: str = ""
    """What has to be typed where numbers change all the time."""

    @property
    def typed(self) -> str:
        """What has to be typed."""
        return self.word or str(next(iter(self.effect.values())))

    @property
    def digest(self) -> str:
        """Stands for exactly this."""
        return sha256(json.dumps([self.action, self.target, self.keys]).encode()).hexdigest()


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
                tag("input", type="hidden", name="plan", value=plan.digest),
                tag(
                    "label",
                    f"Type {'' if plan.word else 'the first number, '}{plan.typed}{'' if plan.word else ','} to go on",
                    tag(
                        "input",
                        name="count",
                        inputmode=None if plan.word else "numeric",
                        autocomplete="off",
                        required=True,
                    ),
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

        ValueError if what was typed is not what the plan asks for, or if it was made for a plan that acts on other things: the
        store has changed since.
        """
        sent = parsed_query(request.body.decode("utf-8", "replace"))
        check_form(request, *sent.get("token", ("",))[-1:])
        if sent.get("plan", ("",))[-1] != plan.digest:
            raise ValueError(
                "Nothing was changed: the store has other things to act on by now, which are counted here."
            )
        typed = "".join(sent.get("count", ())).strip()
        if (typed if plan.word else typed.replace(",", "")) != plan.typed.strip():
            raise ValueError(f"Nothing was changed: what to type is {plan.typed}, as counted just now.")
        reason = "".join(sent.get("reason", ()))[:500]
        now = datetime.now(timezone.utc)
        entry = AuditEntry(now, self._who, plan.action, plan.target, dict(plan.effect), reason)
        with self._writing() as db:
            done = db._portal.run(audited(db.backend, entry, lambda: plan.work(db.database)))
        return done.effect


async def _letters(backend: Backend, name: str) -> tuple[list[ParkedEvent], list[str]]:
    """Return the parked events of a consumer, in the order of the log, and the ids of records that cannot be read."""
    letters: list[ParkedEvent] = []
    damaged: list[str] = []
    decode = json_of(ParkedEvent).decode
    async for record in backend.models.query(parked_collection(name)):
        try:
            letter = decode(record.data)
        except CodecError:
            damaged.append(record.id)
            continue
        if letter.key == record.id:
            letters.append(letter)
        else:
            damaged.append(record.id)
    return letters, damaged


def _parked(source: Source, request: Request) -> tuple[str, list[ParkedEvent], str]:
    """Return the consumer that an address names, what it has parked, and what people should know of the rest."""
    name = request.one("consumer")
    if source.db.checkpoints.get(name) is None:
        raise missing(f"there is no consumer {name!r:.80}")
    letters, damaged = source.run(_letters(source.db.backend, name))
    position = request.number("position")
    if damaged and position is not None and parked_key(position) in damaged:
        raise Refused(409, f"the record of the event parked at {position} cannot be read", "goes-lite verify")
    note = f"; {len(damaged):,} of its records cannot be read, and stay (goes-lite verify)" if damaged else ""
    return name, letters, note


def _released(letters: list[ParkedEvent], done: Collection[int]) -> list[ParkedEvent]:
    """Return what is handled in addition, once the events at some positions are handled or dropped.

    An event is held back because of an earlier one of its aggregate, until nothing of it is parked before.
    """
    blocked = set[object]()
    follow: list[ParkedEvent] = []
    concerned = {letter.aggregate for letter in letters if letter.position in done}
    for letter in letters:
        if letter.position in done and letter.aggregate not in blocked:
            continue
        if letter.behind and letter.aggregate not in blocked:
            if letter.aggregate in concerned:
                follow.append(letter)
        else:
            blocked.add(letter.aggregate)
    return follow


def _first(letters: list[ParkedEvent], letter: ParkedEvent) -> int | None:
    """Return the position of the event because of which one is held back; None if it is not."""
    earlier = (one.position for one in letters if one.aggregate == letter.aggregate and one.position < letter.position)
    return next(earlier, None) if letter.behind else None


def _redrive(source: Source, request: Request) -> Plan:
    name, letters, note = _parked(source, request)
    position = request.number("position")
    wanted = [letter for letter in letters if position is None or letter.position == position]
    if not wanted:
        raise missing(f"{name!r:.80} has no such parked event{note}")
    if position is not None and (first := _first(letters, wanted[0])) is not None:
        raise Refused(
            409, f"the event at {position} is held back because of that at {first}: redrive or drop that one",
            f"/actions/parked/redrive?consumer={name}&position={first}",
        )  # fmt: skip
    if position is None:
        wanted = [letter for letter in letters if _first(letters, letter) is None]
    positions = {letter.position for letter in wanted}
    follow = _released(letters, positions)

    async def work(db: Database) -> Mapping[str, int]:
        found, _ = await _letters(db.backend, name)
        again = [letter for letter in found if letter.position in positions]
        if again:  # without any, all would be meant
            await ByName(db.backend, name).redrive(*again)
        return _effect(len(again), len(_released(found, {letter.position for letter in again})), bool(follow))

    sentence = f"have {name!r:.80} handle parked events again: effects elsewhere may happen twice{note}"
    keys = tuple(letter.key for letter in (*wanted, *follow))
    effect = _effect(len(wanted), len(follow), bool(follow))
    return Plan("parked redrive", name, sentence, effect, f"/consumers/{name}", work, keys)


def _effect(parked: int, released: int, both: bool) -> Mapping[str, int]:
    return {"parked": parked, **({"released": released} if both or released else {})}


def _drop(source: Source, request: Request) -> Plan:
    name, letters, note = _parked(source, request)
    position = request.number("position")
    letter = next((one for one in letters if one.position == position), None)
    if letter is None:
        raise missing(f"{name!r:.80} has no such parked event{note}")
    follow = _released(letters, {letter.position})

    async def work(db: Database) -> Mapping[str, int]:
        found, _ = await _letters(db.backend, name)
        dropped = await ByName(db.backend, name).drop(letter)
        return {"parked": int(dropped), "released": len(_released(found, {letter.position})) if dropped else 0}

    sentence = f"drop {letter.name!r:.80} at position {letter.position}: {name!r:.80} never handles it{note}"
    effect = {"parked": 1, "released": len(follow)}
    keys = tuple(one.key for one in (letter, *follow))
    return Plan("parked drop", f"{name} {letter.position}", sentence, effect, f"/consumers/{name}", work, keys)


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
    keys = (str(projection.version),)
    return Plan("rebuild", name, sentence, effect, f"/consumers/{name}", work, keys, word=name)


ACTIONS: Mapping[str, Callable[[Source, Request], Plan]] = {
    "parked/redrive": _redrive,
    "parked/drop": _drop,
    "commands/retry": _retry,
    "commands/withdraw": _withdraw,
    "rebuild": _rebuild,
}
"""By what follows `/actions/`."""
