"""Typed read models over any model store."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar, cast

from goes_lite.codec.json_of import json_of
from goes_lite.contract.event_store import Pages
from goes_lite.contract.model_store import ModelRecord, ModelStore, check_models
from goes_lite.contract.typed_query import typed_query
from goes_lite.errors import ConfigError, ModelConflict, ModelNotFound
from goes_lite.runtime import Runtime
from goes_lite.runtime.backoff import Backoff
from goes_lite.runtime.face import call

M = TypeVar("M")


class Models(Generic[M]):
    """The read models of one type, in one collection.

        summaries = db.models_of("order-summary", OrderSummary)
        await summaries.use("2026-001", lambda s: replace(s, total=s.total + 450), default=OrderSummary(0))

    They are stored as JSON, whatever the codec of the events, so that fields can be queried and other tools can read them.
    """

    def __init__(self, store: ModelStore, collection: str, type: type[M], runtime: Runtime) -> None:
        self.store = store
        self.collection = collection
        self.type = type
        self._runtime = runtime
        self._encode, self._decode_json = json_of(type)

    async def get(self, id: str) -> M:
        """Return the model; ModelNotFound if there is none."""
        record = await self.store.get(self.collection, id)
        if record is None:
            raise ModelNotFound(self.collection, id)
        return self._decode(record)

    async def find(self, id: str) -> M | None:
        """Return the model, or None if there is none."""
        record = await self.store.get(self.collection, id)
        return None if record is None else self._decode(record)

    async def find_many(self, ids: Iterable[str]) -> dict[str, M]:
        """Return the existing models by id, in the order of the ids."""
        records = await self.store.get_many(self.collection, ids)
        return {id: self._decode(record) for id, record in records.items()}

    async def put(self, id: str, model: M, *, expected: int | None = None) -> int:
        """Write the model and return its new version; ModelConflict if it is not at the `expected` one (0: absent)."""
        return await self.store.put(self.collection, id, self._encode(model), expected=expected)

    async def put_many(self, models: Mapping[str, M | None]) -> None:
        """Write the models, and remove those whose value is None: all or none."""
        items = check_models(self.collection, models)
        encoded = {id: None if model is None else self._encode(model) for id, model in items}
        await self.store.put_many(self.collection, encoded)

    async def use(
        self,
        id: str,
        change: Callable[[M], M | Awaitable[M | None] | None],
        *,
        default: M | None = None,
        tries: int = 10,
    ) -> M:
        """Get, change and put a model; if another writer was faster, repeat with what is stored by then.

        `change` returns the new model, or None after changing the given one in place. It runs once per try, each time
        on a fresh instance. A missing model begins as `default`, else ModelNotFound. ModelConflict after `tries`.
        """
        if type(tries) is not int or tries < 1 or not callable(change):
            raise ConfigError(
                f"use() takes a function and at least one try, not {change!r:.80} and tries={tries!r:.80}"
            )
        for attempt in range(1, tries + 1):
            record = await self.store.get(self.collection, id)
            if record is None and default is None:
                raise ModelNotFound(self.collection, id)
            # a fresh copy, of the default too: a change in place must not leak into the next try
            model = self._decode_json(record.data if record else self._encode(cast("M", default)))
            changed = await call(change, model)
            result = model if changed is None else cast("M", changed)
            try:
                await self.put(id, result, expected=record.version if record else 0)
            except ModelConflict as exc:
                if attempt == tries:
                    exc.after(tries)
                    raise
                if attempt > 1:  # losing once is chance, losing again means many writers
                    await self._runtime.sleep(Backoff(0.002, maximum=0.128, jitter=1)(attempt - 1))
            else:
                return result
        raise AssertionError("the last try returns or raises")

    async def delete(self, id: str, *, expected: int | None = None) -> bool:
        """Remove the model; return False if there was none."""
        return await self.store.delete(self.collection, id, expected=expected)

    def query(
        self,
        *,
        where: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Pages[M]:
        """Return the models whose fields equal those of `where`, ordered by a field or by id.

        A field is a dotted path into the type, such as `customer.city`; InvalidQueryError says which there are. Values
        compare as those of their type: give a Decimal, a datetime, an Enum. None comes first, and stands for a field that a
        model does not have, for example because it was written before the field was added.

        The store selects and orders, where JSON can do that. To order by a datetime, time, timedelta, Decimal or bytes, and to
        find one of the first two or a Decimal, all models that match the rest of `where` are read.
        """
        if not where and order_by is None:
            records = self.store.query(self.collection, where=where, reverse=reverse, limit=limit)
        else:
            records = typed_query(self.store, self.collection, self.type, where, order_by, limit, reverse=reverse)

        async def fetch() -> Sequence[M]:
            return [self._decode(record) for record in await records.next_page()]

        return Pages(fetch)

    async def clear(self) -> int:
        """Remove every model of the collection and return their number."""
        return await self.store.clear(self.collection)

    def _decode(self, record: ModelRecord) -> M:
        return self._decode_json(record.data)
