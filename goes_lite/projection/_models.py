"""Projections of documents: each event changes the read models that it is about, and those alone.

What a batch needs is read in one go, changed in memory, and written in one go: so ten events of one order cost one read
and one write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from copy import deepcopy
from typing import Any, ClassVar, Final, Generic, NamedTuple, Never, TypeVar, cast

from goes_lite.codec.generics import bindings
from goes_lite.codec.json_of import json_of
from goes_lite.codec.types import is_immutable
from goes_lite.contract.backend import Transaction
from goes_lite.contract.model_store import ModelRecord, check_collection
from goes_lite.contract.own_collections import REBUILD
from goes_lite.errors import ConfigError, InvalidQueryError, ModelError, RegistrationError, TransactionError
from goes_lite.errors.functions import both_faces, check_result, failure, form_of
from goes_lite.events.event import Event, restore
from goes_lite.events.fields import check_text
from goes_lite.events.query import check_for_query
from goes_lite.events.registry import Registry
from goes_lite.processor import Target
from goes_lite.processor.target import HandlerFailed
from goes_lite.projection._projection import Key, Projection
from goes_lite.runtime.face import Face, call

M = TypeVar("M")


class _Removed:
    def __repr__(self) -> str:
        return "REMOVED"


REMOVED: Final[Never] = cast("Never", _Removed())  # of every type, so that a method `-> Bill` may return it
"""What a method of a ModelProjection returns to remove the read model."""


class ModelProjection(Projection, Generic[M]):
    """Base class of projections with a read model of one type for each id, in a collection of their own.

        class Bills(goes.ModelProjection[Bill], name="bills"):
            def initial(self, id: str) -> Bill: ...

            @goes.projects(OrderPlaced)
            def placed(self, bill: Bill, event: goes.Event[OrderPlaced]) -> Bill: ...

            @goes.projects(CustomerRenamed, key=lambda event: event.data.orders)
            def renamed(self, bill: Bill, event: goes.Event[CustomerRenamed]) -> Bill: ...

    - A method is a plain function of the current read model and the event. It returns the new one, or None after changing
      the given one in place, or REMOVED.
    - An event updates the read model with the id of its aggregate, unless `key` returns something else.
    - A read model that does not exist yet starts as `initial(id)`.
    - `collection` is a class argument; by default it is the name. Read it with `db.models_of(collection, Bill)`.
    """

    collection: ClassVar[str] = ""
    model: ClassVar[Any] = None

    def __init_subclass__(cls, *, collection: str | None = None, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        if cls.model is None or isinstance(cls.model, TypeVar) or getattr(cls.model, "__parameters__", None):
            for model in bindings(cls).get(ModelProjection, {}).values():
                cls.model = model
        for method, _ in (*cls._methods.values(), ("initial", None), ("key", None)):
            if form_of(getattr(cls, method)) == "a coroutine":
                raise RegistrationError(f"{cls.__qualname__}.{method}: a method of a ModelProjection must not be async")
        if form_of(cls.initial):
            raise RegistrationError(f"{cls.__qualname__}.initial must return the read model: remove its yield")
        if collection is not None:
            try:
                check_collection(collection)
                check_collection(REBUILD + collection)
            except InvalidQueryError as exc:
                raise RegistrationError(f"{cls.__qualname__}: {exc}") from None
            cls.collection = collection

    def initial(self, id: str) -> M:
        """Return the read model before its first event; by default its type called without arguments."""
        return cast("M", self.model())

    def key(self, event: Event[Any]) -> str | Iterable[str] | None:
        """Return which read models an event updates: the id of one, the ids of several, None for none."""
        return event.aggregate.id if event.aggregate is not None else None

    def target(self, registry: Registry, face: Face) -> Target:
        return FoldTarget(self, Fold(self, registry), face)

    @property
    def place(self) -> str:
        """The collection to which it currently writes."""
        collection = self.collection or self.name
        return REBUILD + collection if self.suffix else collection

    # On the blocking face `tx` blocks, so that methods of subclasses can call these.

    def clear(self, tx: Any) -> Any:
        return tx.models.clear(self.place)

    def switch(self, tx: Any) -> Any:
        return tx.models.rename(self.place, self.collection or self.name)

    @both_faces
    async def rows(self, tx: Any) -> AsyncIterator[tuple[str, str]]:
        async for record in _async(tx).models.query(self.place):
            yield record.id, record.data


def _async(tx: Any) -> Transaction:
    """Return the async transaction of the one that is passed to the user's methods."""
    return cast("Transaction", getattr(tx, "transaction", tx))


class _Handler(NamedTuple):
    """How the events of one name are handled."""

    method: Callable[[Any, Event[Any]], Any]
    key: Key | None
    """None: the id of the aggregate, which needs no check."""
    mutable: bool
    """Whether the data of such an event can change."""


class Fold(Generic[M]):
    """Folds events into read models, in memory."""

    def __init__(self, projection: ModelProjection[M], registry: Registry) -> None:
        if projection.model is None or isinstance(projection.model, TypeVar):
            name = type(projection).__qualname__
            raise RegistrationError(f"{name} does not define the type of its read models: write ModelProjection[…]")
        self.projection = projection
        keys = projection.keys(registry)
        by_aggregate = cast("Any", type(projection)).key is cast("Any", ModelProjection).key
        default = None if by_aggregate else projection.key
        self._handlers: dict[str, _Handler] = {
            name: _Handler(
                method, keys.get(name, default), name in registry and not is_immutable(registry.type_of(name))
            )
            for name, method in projection.methods(registry).items()
        }
        self.encode, self.decode = json_of(projection.model)

    def ids(self, event: Event[Any]) -> tuple[str, ...]:
        """Return which read models the event updates; InvalidQueryError if its key returns an invalid id."""
        handler = self._handlers.get(event._name)
        if handler is None:
            return ()
        if handler.key is None:
            ref = event._aggregate
            return () if ref is None else (ref[1],)
        answer = handler.key(event)
        if answer is None:
            return ()
        if isinstance(answer, (str, bytes)) or not isinstance(answer, Iterable):
            return (_checked(answer),)
        return tuple(dict.fromkeys(map(_checked, answer)))

    def apply(self, event: Event[Any], ids: Sequence[str], models: dict[str, M | None]) -> None:
        """Apply the event to these read models; a removed one becomes None."""
        method, _, mutable = self._handlers[event._name]
        # A method may store a list of the event in a read model, and a later one append to it: it must not be shared.
        several = mutable and len(ids) > 1
        for id in ids:
            model = models.get(id)
            if model is None:
                model = self.projection.initial(id)
                check_result(f"{self.projection!r}.initial()", model)
            result = method(model, _with_own_data(event) if several else event)
            models[id] = model if result is None else None if result is REMOVED else result


def _checked(id: object) -> str:
    if not isinstance(id, str):
        check_result("key", id)
        raise InvalidQueryError(
            f"key must return the id of a read model (a str), several of them, or None, not {id!r:.80}"
        )
    return check_for_query(check_text, str.__str__(id), "the id of a read model")  # the text of an enum, too


def _with_own_data(event: Event[Any]) -> Event[Any]:
    return restore(
        event.id, event.name, deepcopy(event.data), event.time, event.aggregate, event.version, event.metadata,
        event.tags, event.position, *event.encoded,
    )  # fmt: skip


class FoldTarget(Generic[M]):
    """Reads the read models of a batch, folds the events into them, and writes those that changed."""

    def __init__(self, projection: ModelProjection[M], fold: Fold[M], face: Face) -> None:
        self._projection = projection
        self._fold = fold
        # The user's functions run for a whole batch at a time: in a thread where they would block an event loop.
        self._about = face.function(self._find_ids, "key")
        self._change = face.function(self._fold_batch, "a method of a projection")

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        if tx is None:
            raise TransactionError(
                "a projection writes in a transaction, and got none: run it on a backend with transactions"
            )
        place = self._projection.place
        about = cast("list[tuple[str, ...]]", await call(self._about, events))
        ids = dict.fromkeys(id for some in about for id in some)
        if not ids:
            return
        stored = await tx.models.get_many(place, ids)
        changed = cast("dict[str, str | None]", await call(self._change, events, about, ids, stored))
        try:
            if changed:
                await tx.models.put_many(place, changed)
        except ModelError as exc:
            raise HandlerFailed(exc, None) from exc  # it is unknown which event caused it

    def _find_ids(self, events: Sequence[Event[Any]]) -> list[tuple[str, ...]]:
        about: list[tuple[str, ...]] = []
        for index, event in enumerate(events):
            try:
                about.append(self._fold.ids(event))
            except BaseException as exc:
                raise HandlerFailed(failure(exc), index) from exc
        return about

    def _fold_batch(
        self,
        events: Sequence[Event[Any]],
        about: Sequence[tuple[str, ...]],
        ids: Iterable[str],
        stored: Mapping[str, ModelRecord],
    ) -> dict[str, str | None]:
        """Return what to write: the JSON of each read model that the events changed, None for a removed one."""
        fold, index = self._fold, None
        models: dict[str, M | None] = {}
        try:
            models |= {id: fold.decode(record.data) for id, record in stored.items()}
            for index, event in enumerate(events):
                if about[index]:
                    fold.apply(event, about[index], models)
            index = None
            changed: dict[str, str | None] = {}
            for id in ids:
                model, record = models[id], stored.get(id)
                data = None if model is None else fold.encode(model)
                if data != (None if record is None else record.data):
                    changed[id] = data
            return changed
        except BaseException as exc:
            error = failure(exc)
            try:
                check_made(fold.projection, models)
            except ConfigError as lazy:
                error = lazy
            raise HandlerFailed(error, index) from exc  # without index: it is unknown which event caused it


def check_made(projection: Projection, models: Mapping[str, object]) -> None:
    """ConfigError if a method returned a coroutine or a generator instead of a read model."""
    for model in models.values():
        check_result(f"a method of {projection!r}", model)
