"""Every public callable with arguments of which each is good, so that one of them can be made wrong."""

from __future__ import annotations

import enum
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from functools import partial
from itertools import cycle, islice
from pathlib import Path
from typing import Any, NamedTuple, get_type_hints
from uuid import UUID

from hypothesis import strategies as st

import goes_lite as goes
from goes_lite.errors import GoesError
from goes_lite.processor.options import ProcessorOptions, RelayOptions
from goes_lite.projection import ProjectionOptions
from goes_lite.repository.options import RepositoryOptions

registry = goes.Registry()
NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)
REF = goes.AggregateRef("order", "1")


@registry.event("order.placed")
@dataclass(frozen=True)
class Placed:
    cents: int = 1


@registry.commands.event("order.place")
@dataclass(frozen=True)
class Place:
    order: str = "1"


@dataclass
class Bill:
    due: int = 0
    at: datetime = NOON


class Order(goes.Aggregate, name="order", registry=registry):
    cents: int = 0

    def place(self, cents: int = 1) -> None:
        self.record(Placed(cents))

    @goes.applies(Placed)
    def _placed(self, event: goes.Event[Placed]) -> None:
        self.cents += event.data.cents


class Bills(goes.ModelProjection[Bill], name="bills"):
    @goes.projects(Placed)
    def placed(self, bill: Bill, event: goes.Event[Placed]) -> None:
        bill.due += event.data.cents


EMAILS = goes.Lookup("emails", {Placed: str})


class Colour(enum.Enum):
    RED = "red"


def nothing(*_: Any) -> None:
    """Take anything."""


EVENT = goes.Event(Placed(), registry=registry)
#: One value of each kind, and those with which programs get into trouble.
ODD: tuple[Any, ...] = (
    None, True, 0, -1, 7, 2**63, -(2**70), 1.5, float("nan"), float("inf"), -0.5, 1j, "", "x", "a b", "a\0b", "\ud800", "\x1b[2J",
    "é" * 5000, b"", b"\xff", bytearray(b"x"), (), (1,), ("order", "1"), ("order", 1), [], [None], ["x"], ["\ud800"], [[]], {},
    {"x": 1}, {1: 2}, {"x": None}, {"\0": "\ud800"}, frozenset(("a",)), {1}, object(), object, int, Placed, Placed(), Place(),
    Bill(), Order, Order("1"), nothing, datetime(2026, 1, 1), NOON, datetime.max.replace(tzinfo=UTC), date(2026, 1, 1),
    timedelta(1), UUID(int=1), Decimal("1.5"), Decimal("NaN"), Colour.RED, Colour, REF, goes.EventQuery(), EVENT, [EVENT],
    range(3), Path("x"), ..., registry, Exception("\x1b"), goes.Every(2), goes.Retry(), Bills(), EMAILS,
)  # fmt: skip

odd = st.one_of(
    st.sampled_from(ODD),
    st.recursive(
        st.one_of(st.none(), st.integers(), st.floats(), st.text(st.characters(), max_size=5), st.binary(max_size=5)),
        lambda inner: st.one_of(
            st.lists(inner, max_size=2), st.dictionaries(st.text(max_size=3), inner, max_size=2), st.tuples(inner)
        ),
        max_leaves=4,
    ),
)

#: A good value for each name of a parameter; one that is missing here has a default.
GOOD: dict[str, Any] = {
    "events": [], "aggregate": REF, "after": 0, "query": goes.EventQuery(), "limit": 1, "event_id": UUID(int=1),
    "collection": "c", "id": "1", "ids": ["1"], "data": "{}", "models": {}, "to": "d", "name": "n", "position": 0, "owner": "me",
    "ttl": 5.0, "seen": -1, "timeout": 0.01,
    "group": "g", "command": Place(), "handler": nothing, "at": NOON, "before": NOON, "version_or_time": 1,
    "change": nothing, "create": True, "model": Bill(), "tries": 1, "default": Bill(), "sql": "SELECT 1", "path": "copy.db",
    "type": Bill, "key": "k", "action": nothing, "names": ["*"], "signal": None, "letter": None, "delay": 0.0,
}  # fmt: skip

#: What takes functions of the program: what they raise propagates, and those here cannot take what they would be given.
FUNCTIONS = frozenset("change handler action progress accept evolve initial decide function".split())
#: Not called: they end what the others need, or wait for what never comes.
NEVER = frozenset(("close", "run", "start", "stop", "wait_ready", "watch"))


class Call(NamedTuple):
    """A callable with good arguments, and the name of the one to make wrong."""

    label: str
    function: Callable[..., Any]
    good: Mapping[str, Any]
    wrong: str

    def __call__(self, value: Any) -> Any:
        """Call it with this value for the wrong one."""
        if self.wrong.startswith("*"):
            return self.function(value, **self.good)
        return self.function(**{**self.good, self.wrong: value})

    def __repr__(self) -> str:
        return f"{self.label}({self.wrong}=…)"


def calls(label: str, function: Callable[..., Any], options: Any = None, /, **good: Any) -> Iterator[Call]:
    """Yield a call for each parameter, and for each option of a TypedDict of options."""
    kinds = inspect.Parameter
    parameters = inspect.signature(function).parameters.values()
    arguments = {
        parameter.name: good.get(parameter.name, GOOD.get(parameter.name))
        for parameter in parameters
        if parameter.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
        and (parameter.name in good or parameter.default is parameter.empty or parameter.name in ("timeout", "tries"))
    }
    for parameter in parameters:
        if parameter.kind in (kinds.VAR_POSITIONAL, kinds.POSITIONAL_ONLY):
            yield Call(label, function, arguments, f"*{parameter.name}")
        elif parameter.kind != kinds.VAR_KEYWORD:
            yield Call(label, function, arguments, parameter.name)
    for name in get_type_hints(options) if options else ():
        yield Call(label, function, arguments, name)


class_of: Callable[[Any], type[Any]] = type


def methods(label: str, of: Any, /, *without: str, **good: Any) -> Iterator[Call]:
    """Yield the calls of all public methods of an object."""
    cls: Any = class_of(of)
    for name in dir(cls):
        if not name.startswith("_") and name not in NEVER and name not in without:
            function = inspect.getattr_static(cls, name)
            if inspect.isfunction(function):
                yield from calls(f"{label}.{name}", getattr(of, name), **good)


def calls_of_stores(label: str, of: Any, snapshot: Any) -> Iterator[Call]:
    """Yield those of what a handle and a transaction have."""
    yield from methods(f"{label}.events", of.events, "follow")
    yield from methods(f"{label}.snapshots", of.snapshots, snapshot=snapshot)
    yield from methods(f"{label}.models", of.models)
    yield from methods(f"{label}.checkpoints", of.checkpoints, lease=None)
    yield from methods(f"{label}.models_of", of.models_of("bills", Bill))
    yield from calls(f"{label}.models_of", of.models_of)


def calls_of_database(db: Any, snapshot: Any, lease: Any) -> Iterator[Call]:
    """Yield those of a handle, of either face."""
    yield from calls_of_stores("db", db, snapshot)
    yield from calls("db.events.follow", partial(not_read, db.events.follow))
    yield from methods("db.leases", db.leases, lease=lease)
    yield from methods("db.commits", db.commits)
    yield from methods("db.bus", db.bus)
    yield from methods("repository", db.repository(Order))
    yield from methods(
        "db.commands", db.commands, "handle", "handles", "serve", "worker", "service", "outcome", id=UUID(int=9)
    )
    yield from calls("db.commands.outcome", db.commands.outcome, id=UUID(int=10))
    yield from calls("db.commands.handle", db.commands.handle, command=Place)
    yield from calls("db.commands.handles", db.commands.handles, command=Place)
    yield from calls("db.commands.serve", db.commands.serve, aggregate=Order)
    yield from calls("db.commands.worker", db.commands.worker)
    yield from methods("processor", db.processor("p", nothing))
    yield from methods("projection", db.projection(Bills()))
    yield from methods("lookup", db.lookup(EMAILS))
    yield from calls("db.repository", db.repository, RepositoryOptions, aggregate=Order)
    yield from calls("db.processor", db.processor, ProcessorOptions)
    yield from calls("db.relay", db.relay, RelayOptions)
    yield from calls("db.projection", db.projection, ProjectionOptions, projection=Bills())
    yield from calls("db.inline", db.inline)
    yield from calls("db.live", db.live, projection=Bills())
    yield from calls("db.lookup", db.lookup, lookup=EMAILS)
    yield from calls("db.select", db.select)
    yield from calls("db.backup", db.backup)
    for wrong in ("name", "aggregate", "version", "time", "schema", "encoding", "payload"):
        if wrong in snapshot._fields:
            yield Call("Snapshot", partial(save_changed, db, snapshot), {}, wrong)
    for wrong in ("query", "after"):
        good = {"query": goes.EventQuery(), "after": 1}
        yield Call("AppendCondition", partial(append_on, db), good, wrong)


def calls_of_values() -> Iterator[Call]:
    """Yield those of what needs no handle: values, registries, options, decorators."""
    new = goes.Registry
    yield from calls("Event", goes.Event, data=Placed(), registry=registry)
    yield from calls("Event", goes.Event, data=Placed(), registry=registry, aggregate=REF, version=1)
    yield from calls("EventQuery", goes.EventQuery)
    yield from calls("EventQuery.any_of", goes.EventQuery.any_of)
    yield from calls("Between", goes.Between, first=1, last=2)
    yield from calls("Between", goes.Between, first=NOON, last=NOON)
    yield from calls("AggregateRef", goes.AggregateRef, name="a", id="1")
    yield from calls("Registry", new)
    yield from calls("register", new().register)
    yield from calls("event()", new().event("a.b"))
    yield from calls("upcast", registered(new().upcast), schema=1)
    yield from calls("event", registered(new().event))
    yield from calls("registry.codec", set_codec, codec="json")
    yield from calls("in registry", registry.__contains__)
    stored = {"name": "order.placed", "encoding": "json", "schema": 1, "payload": '{"cents":1}'}
    for name in "name_of type_of canonical names_of spellings capture decode decoder encode_value decode_value".split():
        good: Any = {**stored, "data": Placed(), "kind": Placed, "value": Bill()} | (
            {"name": None} if name == "capture" else {}
        )
        yield from calls(f"registry.{name}", getattr(registry, name), **good)
    yield from calls("Context.bind", signed(bound, goes.Context.bind))
    yield from calls("Context.of", goes.Context.of, metadata={}, id="1")
    yield from calls("Context.due", goes.Context().due, deadline=NOON)
    yield from calls("Backoff", goes.Backoff, first=1.0)
    yield from calls("Every", goes.Every, n=2)
    yield from calls("Retry", goes.Retry)
    yield from calls("Continuously", goes.Continuously)
    yield from calls(
        "Periodically", goes.Periodically, **{next(iter(inspect.signature(goes.Periodically).parameters)): 1}
    )
    yield from calls("Lookup", goes.Lookup, name="a", keys={Placed: nothing})
    yield from calls(
        "Decider", goes.Decider, name="a", initial=0, decide=nothing, evolve=nothing, events=[Placed], registry=registry
    )
    yield from calls("DecisionModel", goes.DecisionModel, query=goes.EventQuery(), initial=0, evolve=nothing)
    yield from calls("applies", goes.applies)
    yield from calls("applies()", goes.applies(Placed))
    yield from calls("projects", goes.projects)
    yield from calls("projects()", goes.projects(Placed))
    yield from calls("handles", goes.handles, command=Place)
    yield from calls("handles()", goes.handles(Place))
    yield from calls("goes.event", goes.event, name="a.b")
    yield from calls("goes.command", goes.command, name="a.b")
    yield from calls("Order", Order, id="1")
    for wrong in ("data", "metadata", "tags"):
        yield Call("record", record, {}, wrong)
    for wrong in ("url", "bus", "registry", "unknown", "driver", "durability", "read_only", "lock_timeout", "reads"):
        yield Call("connect", connected, {}, wrong)


def registered(decorator: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function that decorates with it."""

    def decorate(**arguments: Any) -> Any:
        return decorator(**arguments)(Bill)

    return signed(decorate, decorator)


def not_read(follow: Callable[..., Any], query: Any, after: Any) -> None:
    """Only ask: reading would wait."""
    follow(query, after=after)


def save_changed(db: Any, snapshot: Any, **changed: Any) -> Any:
    return db.snapshots.save(snapshot._replace(**changed))


def set_codec(codec: Any) -> None:
    goes.Registry().codec = codec


def record(data: Any = None, **some: Any) -> None:
    Order("1").record(data or Placed(), **some)


def append_on(db: Any, **condition: Any) -> Any:
    return db.events.append([EVENT], condition=goes.AppendCondition(**condition))


def bound(**arguments: Any) -> None:
    with goes.Context.bind(**arguments):
        pass


def connected(url: Any = ":memory:", **options: Any) -> None:
    with goes.blocking.connect(url, **options):
        pass


def signed(function: Any, like: Callable[..., Any]) -> Callable[..., Any]:
    """Return the function with the signature of another."""
    function.__signature__ = inspect.signature(like)
    made: Callable[..., Any] = function
    return made


def check(call: Call, value: Any, run: Callable[[], object]) -> None:
    """Nothing but the errors of goes_lite, whose text can be printed anywhere."""
    if call.wrong.lstrip("*") in FUNCTIONS and callable(value):
        return  # what it raises would propagate
    try:
        run()
    except GoesError as error:
        text = str(error)
        assert len(text) < 3000
        assert text.replace("\n", "").isprintable(), repr(text)


def check_server(url: str, each: int = 2) -> None:
    """Try every call of a handle on a server, each with a few values, and others for each call."""
    with goes.blocking.connect(url, registry=registry) as db:
        orders = db.repository(Order)
        orders.use("1", Order.place, create=True)
        snapshot, lease = orders.snapshot(orders.fetch("1")), db.leases.acquire("l", "me", 60)
        values = cycle(ODD)
        for call in calls_of_database(db, snapshot, lease):
            for value in islice(values, each):
                check(call, value, partial(settled, call, value))


def settled(call: Call, value: Any) -> None:
    settle(call(value))


def settle(result: Any) -> None:
    """Read the first page of what a blocking call returns."""
    if hasattr(result, "next_page"):
        result.next_page()
