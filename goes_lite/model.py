"""Read models: documents by id, kept by the backend, changed under optimistic concurrency.

`ModelStore` is what a backend implements, over `ModelRecord`s; `Models` is what people use, over values of one type.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

from goes_lite.codec import codec
from goes_lite.errors import ModelConflict, ModelNotFound
from goes_lite.runtime import Runtime, call
from goes_lite.store import Pages

M = TypeVar("M")


class ModelRecord(NamedTuple):
    """One stored read model: JSON text under a collection and an id, with a version that counts its writes."""

    collection: str
    id: str
    version: int
    data: str


class ModelStore(Protocol):
    """Keeps read models."""

    async def get(self, collection: str, id: str) -> ModelRecord | None:
        """The record, None if there is none."""
        ...

    async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
        """Write JSON text and answer the new version (1 for a new record, else one more than before).

        With `expected`, the record must be at that version (0: must not exist), else ModelConflict and no write.
        """
        ...

    async def delete(self, collection: str, id: str, *, expected: int | None = None) -> bool:
        """Remove the record, if it is at the expected version (else ModelConflict); False if there was none."""
        ...

    def query(
        self,
        collection: str,
        *,
        where: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Pages[ModelRecord]:
        """Records of a collection whose fields equal those of `where`, ordered by a field (and id) or by id.

        A field is a dotted path into the JSON, such as `customer.city`. Values compare as JSON: str, int, float, bool
        or None (which also stands for a field that is not there). Numbers sort before text, None first.
        """
        ...

    async def clear(self, collection: str) -> int:
        """Remove every record of the collection; answer how many."""
        ...


class Models(Generic[M]):
    """The read models of one type, in one collection.

        summaries = db.models_of("order-summary", OrderSummary)
        await summaries.use("2026-001", lambda s: replace(s, total=s.total + 450), default=OrderSummary(0))

    They are kept as JSON, whatever the codec of the events, so that fields can be queried and other tools can read them.
    """

    def __init__(self, store: ModelStore, collection: str, type: type[M], runtime: Runtime) -> None:
        self.store = store
        self.collection = collection
        self.type = type
        self._runtime = runtime
        # JSON whatever the registry's codec, so that fields can be queried, and read with other tools
        json = codec("json")
        json.check(type)
        self._encode: Callable[[M], str] = json.encoder(type)  # type: ignore[assignment]
        self._decode_json: Callable[[str], M] = json.decoder(type)

    async def get(self, id: str) -> M:
        """The model; ModelNotFound if there is none."""
        record = await self.store.get(self.collection, id)
        if record is None:
            raise ModelNotFound(self.collection, id)
        return self._decode(record)

    async def find(self, id: str) -> M | None:
        """The model, None if there is none."""
        record = await self.store.get(self.collection, id)
        return None if record is None else self._decode(record)

    async def put(self, id: str, model: M, *, expected: int | None = None) -> int:
        """Write the model and answer its new version; ModelConflict if it is not at the `expected` one (0: absent)."""
        return await self.store.put(self.collection, id, self._encode(model), expected=expected)

    async def use(
        self,
        id: str,
        change: Callable[[M], M | Awaitable[M | None] | None],
        *,
        default: M | None = None,
        tries: int = 10,
    ) -> M:
        """Get, change, put; and again on what is stored by then if somebody else was faster.

        `change` answers the new model, or None after changing the given one in place. It runs once per try, each time
        on a fresh instance. A missing model begins as `default`, else ModelNotFound. ModelConflict after `tries`.
        """
        for attempt in range(1, tries + 1):
            record = await self.store.get(self.collection, id)
            if record is None and default is None:
                raise ModelNotFound(self.collection, id)
            # a fresh copy, of the default too: a change in place must not leak into the next try
            model = self._decode_json(record.data if record else self._encode(default))  # type: ignore[arg-type]
            changed = await call(change, model)
            result = model if changed is None else cast("M", changed)
            try:
                await self.put(id, result, expected=record.version if record else 0)
            except ModelConflict:
                if attempt == tries:
                    raise
                await self._runtime.sleep(random.uniform(0, 0.001 * 2**attempt))
            else:
                return result
        raise ValueError(f"use() needs at least one try, not {tries!r}")

    async def delete(self, id: str, *, expected: int | None = None) -> bool:
        """Remove the model; False if there was none."""
        return await self.store.delete(self.collection, id, expected=expected)

    def query(
        self,
        *,
        where: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> Pages[M]:
        """The models whose fields equal those of `where`, ordered by a field or by id; see ModelStore.query."""
        records = self.store.query(self.collection, where=where, order_by=order_by, reverse=reverse, limit=limit)

        async def fetch() -> Sequence[M]:
            return [self._decode(record) for record in await records.next_page()]

        return Pages(fetch)

    async def clear(self) -> int:
        """Remove every model of the collection; answer how many."""
        return await self.store.clear(self.collection)

    def _decode(self, record: ModelRecord) -> M:
        return self._decode_json(record.data)
