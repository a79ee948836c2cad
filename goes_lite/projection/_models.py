"""Projections of documents: each event changes the read models that it is about, and those alone.

What a batch needs is read in one go, changed in memory, and written in one go: so ten events of one order cost one read
and one write.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import Any, ClassVar, Final, Generic, Never, TypeVar, cast, get_args, get_origin

from goes_lite.backend import Transaction
from goes_lite.codec import codec
from goes_lite.errors import CodecError, InvalidQueryError, ModelError, RegistrationError, TransactionError
from goes_lite.event import Event
from goes_lite.model import check_collection
from goes_lite.processor import Face, Target
from goes_lite.processor._target import HandlerFailed
from goes_lite.projection._projection import KEY, Key, Projection
from goes_lite.registry import Registry

M = TypeVar("M")


class _Removed:
    def __repr__(self) -> str:
        return "REMOVED"


REMOVED: Final[Never] = cast("Never", _Removed())  # of every type, so that a method `-> Bill` may answer it
"""What a method of a ModelProjection answers when the read model is to go."""


class ModelProjection(Projection, Generic[M]):
    """Base of projections that keep a read model of one type for each id, in a collection of their own.

        class Bills(goes.ModelProjection[Bill], name="bills"):
            def initial(self, id: str) -> Bill: ...

            @goes.projects(OrderPlaced)
            def placed(self, bill: Bill, event: goes.Event[OrderPlaced]) -> Bill: ...

            @goes.projects(CustomerRenamed, key=lambda event: event.data.orders)
            def renamed(self, bill: Bill, event: goes.Event[CustomerRenamed]) -> Bill: ...

    - A method is a plain function of the read model as it was and the event. It answers the new one, or None after
      changing the given one in place, or REMOVED.
    - An event is about the read model with the id of its aggregate, unless `key` says otherwise.
    - A read model that is not there begins as `initial(id)`.
    - `collection` is a class argument; by default it is the name. Read it with `db.models_of(collection, Bill)`.
    """

    collection: ClassVar[str] = ""
    model: ClassVar[Any] = None

    def __init_subclass__(cls, *, collection: str | None = None, **arguments: Any) -> None:
        super().__init_subclass__(**arguments)
        for base in getattr(cls, "__orig_bases__", ()):
            if get_origin(base) is ModelProjection and not isinstance(get_args(base)[0], TypeVar):
                cls.model = get_args(base)[0]
        if collection is not None:
            check_collection(collection)
            cls.collection = collection

    def initial(self, id: str) -> M:
        """The read model before its first event; by default what its type makes of no arguments."""
        return cast("M", self.model())

    def key(self, event: Event[Any]) -> str | Iterable[str] | None:
        """Which read models an event is about: the id of one, the ids of several, None for none."""
        return event.aggregate.id if event.aggregate is not None else None

    def target(self, registry: Registry, face: Face) -> Target:
        return FoldTarget(self, Fold(self, registry))

    @property
    def place(self) -> str:
        """The collection that it writes to just now."""
        return (self.collection or self.name) + self.suffix

    async def clear(self, tx: Any) -> None:
        await _async(tx).models.clear(self.place)

    async def switch(self, tx: Any) -> None:
        await _async(tx).models.rename(self.place, self.collection or self.name)

    async def rows(self, tx: Any) -> AsyncIterator[tuple[str, str]]:
        async for record in _async(tx).models.query(self.place):
            yield record.id, record.data


def _async(tx: Any) -> Transaction:
    """The async transaction behind the one that the user's methods are given."""
    return cast("Transaction", getattr(tx, "transaction", tx))


class Fold(Generic[M]):
    """Events into read models, in memory."""

    def __init__(self, projection: ModelProjection[M], registry: Registry) -> None:
        if projection.model is None:
            name = type(projection).__qualname__
            raise RegistrationError(f"{name} does not say of which type its read models are: write ModelProjection[…]")
        self.projection = projection
        self._methods: dict[str, tuple[Key, Callable[[M, Event[Any]], Any]]] = {
            name: (getattr(method, KEY, projection.key), method)
            for name, method in projection.methods(registry).items()
        }
        json = codec("json")
        json.check(projection.model)
        self.encode = cast("Callable[[M], str]", json.encoder(projection.model))
        self.decode = cast("Callable[[str], M]", json.decoder(projection.model))

    def ids(self, event: Event[Any]) -> tuple[str, ...]:
        """Which read models the event is about."""
        if event.name not in self._methods:
            return ()
        key = self._methods[event.name][0](event)
        return () if key is None else (key,) if isinstance(key, str) else tuple(dict.fromkeys(key))

    def apply(self, id: str, model: M | None, event: Event[Any]) -> M | None:
        """The read model after the event, None if it is gone."""
        if model is None:
            model = self.projection.initial(id)
        result = self._methods[event.name][1](model, event)
        return model if result is None else None if result is REMOVED else cast("M", result)


class FoldTarget(Generic[M]):
    """Reads what a batch is about, folds, and writes it."""

    def __init__(self, projection: ModelProjection[M], fold: Fold[M]) -> None:
        self._projection = projection
        self._fold = fold

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        if tx is None:
            raise TransactionError("a projection writes in a transaction, and was given none")
        fold, place = self._fold, self._projection.place
        about: list[tuple[str, ...]] = []
        for index, event in enumerate(events):
            try:
                about.append(fold.ids(event))
            except Exception as exc:
                raise HandlerFailed(exc, index) from exc
        ids = dict.fromkeys(id for some in about for id in some)
        try:
            stored = await tx.models.get_many(place, ids)
            models: dict[str, M | None] = {id: fold.decode(record.data) for id, record in stored.items()}
        except (CodecError, InvalidQueryError) as exc:
            raise HandlerFailed(exc, None) from exc
        for index, event in enumerate(events):
            for id in about[index]:
                try:
                    models[id] = fold.apply(id, models.get(id), event)
                except Exception as exc:
                    raise HandlerFailed(exc, index) from exc
        encode = fold.encode
        try:
            changed = {id: None if (model := models[id]) is None else encode(model) for id in ids}
            await tx.models.put_many(place, changed)
        except (CodecError, ModelError, InvalidQueryError) as exc:
            raise HandlerFailed(exc, None) from exc  # which of the events made it so, nobody knows
