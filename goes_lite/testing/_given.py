"""Given some events, when something happens, then this is the outcome.

Nothing is mocked: the tests use a store in memory and the same processor, repository or command bus as a program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, Unpack, cast, get_args
from uuid import UUID

from goes_lite import blocking
from goes_lite.aggregate import Aggregate, definition_of
from goes_lite.commands.decider import Decider
from goes_lite.errors import ConfigError, ProcessorStopped
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef, aggregate_ref
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Registry, default_registry
from goes_lite.processor import Retry
from goes_lite.projection import ModelProjection, Projection
from goes_lite.repository.decision import DecisionModel
from goes_lite.testing._outcome import Outcome
from goes_lite.testing._projections import Made, Projected
from goes_lite.testing._scripts import Misfortune, Script
from goes_lite.testing._workflows import GivenWorkflow, begun
from goes_lite.workflow import Workflow, WorkflowOptions

PATIENCE = 60.0
"""Seconds after which a projection is considered stuck."""

Kind = type[Aggregate] | Decider[Any]
"""A class of aggregates that handles commands."""


def history(
    aggregate: AggregateRef | tuple[str, str | UUID], *data: Any, registry: Registry = default_registry
) -> list[Event[Any]]:
    """Make the events of an aggregate, from version 1 on, of their data: `history(("order", "1"), Placed(3))`."""
    ref = aggregate_ref(aggregate)
    return [Event(one, aggregate=ref, version=version, registry=registry) for version, one in enumerate(data, start=1)]


def given(*events: Event[Any] | Iterable[Event[Any]], registry: Registry = default_registry) -> Given:
    """Begin a test with stored events, or lists of them such as `history` returns, in the order of the log.

    given(history(("order", "1"), OrderPlaced(450))).project(Bills()).then({"1": Bill(450)})
    given(history(("order", "1"), OrderPlaced(450))).when(PayOrder("1", 450), Order).then(OrderPaid(450))
    """
    flat: list[Event[Any]] = []
    for one in events:
        flat += [one] if isinstance(one, Event) else one
    return Given(flat, registry)


class Given:
    """The events that a test begins with: see `given`."""

    def __init__(self, events: Sequence[Event[Any]], registry: Registry) -> None:
        self._events = events
        self._registry = registry

    def __repr__(self) -> str:
        return f"<Given {len(self._events)} events>"

    def project(self, projection: Projection, *, select: str = "") -> Projected:
        """Run a projection over the events. `select` is a statement that reads what it has written with SQL.

        It runs twice, over the events one by one and over all at once: AssertionError if the outcomes differ. Exceptions
        of its methods propagate.
        """
        one_by_one, at_once = (self._run(projection, select, batch) for batch in (1, max(1, len(self._events))))
        if one_by_one != at_once:
            raise AssertionError(
                f"{projection!r} makes {one_by_one!r} of the events one by one, but {at_once!r} of all at once"
            )
        return Projected(projection, *at_once)

    def _run(self, projection: Projection, select: str, batch: int) -> Made:
        with blocking.connect("sqlite:///:memory:", registry=self._registry) as db:
            if self._events:
                db.events.append(self._events)
            with db.projection(projection, batch=batch, retry=Retry(1)) as processor:
                try:
                    processor.wait_for(db.events.head(), PATIENCE)
                except ProcessorStopped as exc:
                    raise (exc.__cause__ or exc) from None
            models: dict[str, Any] = {}
            if isinstance(projection, ModelProjection):
                typed = db.models_of(projection.place, projection.model)
                models = {record.id: typed.get(record.id) for record in db.models.query(projection.place)}
            return Made(models, db.select(select) if select else [])

    def workflow(
        self,
        workflow: Workflow[Any],
        *,
        under: Iterable[Misfortune] | Literal["all"] = (),
        **options: Unpack[WorkflowOptions],
    ) -> GivenWorkflow:
        """Run a workflow over the events, and go on with `when`, `advance` and `then`. The options are those of `db.workflow`.

        given(history(("order", "1"), OrderPlaced(450))).workflow(Fulfilment()).then(Dispatch(Charge("1", 450)))

        `under` says which misfortunes must not make a difference, or "all": "deliver twice", each input is delivered again;
        "crash before commit", each transaction is rolled back once; "reorder unrelated", the given events of different
        instances come in another order. AssertionError if one does.
        """
        known = get_args(Misfortune)
        chosen = known if under == "all" else tuple(under)
        for one in chosen:
            if one not in known:
                raise ConfigError(f"under must be {', '.join(map(repr, known))}, or 'all', not {one!r:.80}")
        return begun(Script(workflow, dict(options), self._registry, chosen, (tuple(self._events),)))

    def when(self, command: object, *kinds: Kind | Callable[[Any], object]) -> Outcome:
        """Dispatch a command to one of these: aggregate classes, deciders, functions of a command.

        given().when(PlaceOrder("1", ["tea"], 450), Order).then(OrderPlaced(["tea"], 450))
        """

        def dispatch(db: blocking.BlockingDatabase) -> object:
            for kind in kinds:
                if isinstance(kind, Decider):
                    db.commands.serve(kind.aggregate)
                elif isinstance(kind, type) and issubclass(kind, Aggregate):
                    db.commands.serve(kind)
                else:
                    db.commands.handle(type(command), cast("Callable[[Any], Any]", kind))
            return db.commands.dispatch(command)

        return self._outcome(dispatch, f"{command!r}")

    def use(self, kind: Kind, id: str | UUID, change: Callable[[Any], object]) -> Outcome:
        """Change an aggregate with a function, as `Repository.use(…, create=True)` does.

        given().use(Order, "1", lambda order: order.place(["tea"], 450)).then(OrderPlaced(["tea"], 450))
        """
        aggregate = kind.aggregate if isinstance(kind, Decider) else kind

        def use(db: blocking.BlockingDatabase) -> object:
            return db.repository(aggregate).use(id, change, create=True)

        return self._outcome(use, f"a change of {definition_of(aggregate).name}({id})")

    def decide(self, *models: DecisionModel[Any], decide: Callable[..., Iterable[Event[Any]]]) -> Outcome:
        """Take a decision across aggregates: see `Database.decide`."""
        return self._outcome(lambda db: db.decide(*models, decide=decide), "the decision")

    def _outcome(self, act: Callable[[blocking.BlockingDatabase], object], what: str) -> Outcome:
        db = blocking.connect("sqlite:///:memory:", registry=self._registry)
        with db:
            if self._events:
                db.events.append(self._events)
            head = db.events.head()
            error: BaseException | None = None
            result: object = None
            try:
                result = act(db)
            except Exception as exc:  # noqa: BLE001 - it is the outcome
                error = exc
            events = list(db.events.query(after=head))
            everything = list(db.events.query(EventQuery()))
        return Outcome(what, events, everything, result, error)
