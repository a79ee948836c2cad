"""Read models: documents by id, kept by the backend, changed under optimistic concurrency.

`ModelStore` is what a backend implements, over `ModelRecord`s; `Models` is what people use, over values of one type.
"""

from __future__ import annotations

import json
import math
from collections.abc import Awaitable, Callable, Hashable, Iterable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Generic, NamedTuple, Protocol, TypeVar, cast

from goes_lite.bus import Backoff
from goes_lite.codec import codec
from goes_lite.errors import InvalidQueryError, ModelConflict, ModelError, ModelNotFound
from goes_lite.event import check_text
from goes_lite.query import asked
from goes_lite.runtime import Runtime, call
from goes_lite.store import Pages

M = TypeVar("M")
T = TypeVar("T")


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

    async def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, ModelRecord]:
        """The records that are there, by id, in the order of the ids; as of one moment. The ids may be thousands."""
        ...

    async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
        """Write JSON text and answer the new version (1 for a new record, else one more than before).

        With `expected`, the record must be at that version (0: must not exist), else ModelConflict and no write.
        """
        ...

    async def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
        """Write the JSON text of each id as `put` does, and remove the records of those whose value is None.

        All or none: what `put` would refuse of any of them is refused with the same error, and nothing is written.
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

        A field is a dotted path into the JSON, such as `customer.city`. Values compare as JSON: str, int (of 64 bits),
        float, bool or None (which also stands for a field that is not there). Numbers sort before text, None first;
        text and ids sort by code point. `ModelQuery` is the meaning in pure Python.
        """
        ...

    async def clear(self, collection: str) -> int:
        """Remove every record of the collection; answer how many."""
        ...

    async def rename(self, collection: str, to: str) -> int:
        """Make every record of the collection one of the collection `to`, and answer how many.

        They keep their ids, versions and data. What `to` held before is gone, even if the collection is empty. Everybody
        sees either all of it done or nothing. InvalidQueryError if `to` is the collection itself.
        """
        ...


def check_collection(collection: str) -> None:
    """InvalidQueryError unless it can name a collection on every backend."""
    asked(check_text, collection, "the name of a collection")


def check_model_key(collection: str, id: str) -> None:
    """InvalidQueryError unless they can name a record on every backend."""
    check_collection(collection)
    asked(check_text, id, "the id of a model")


def check_model_keys(collection: str, ids: Iterable[str]) -> list[str]:
    """The ids, each once; InvalidQueryError unless they and the collection can name records on every backend."""
    check_collection(collection)
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise InvalidQueryError(f"ids is a collection of ids of models, not {ids!r:.80}")
    return list(dict.fromkeys(asked(check_text, id, "the id of a model") for id in ids))


def check_models(collection: str, models: Mapping[str, T | None]) -> list[tuple[str, T | None]]:
    """The items of the mapping; InvalidQueryError if it is none, or names what cannot be a record on every backend."""
    if not isinstance(models, Mapping):
        raise InvalidQueryError(f"models is a mapping of ids to models, not {models!r:.80}")
    check_model_keys(collection, models)
    return list(models.items())


def check_rename(collection: str, to: str) -> None:
    """InvalidQueryError unless they are the names of two collections."""
    check_collection(collection)
    check_collection(to)
    if collection == to:
        raise InvalidQueryError(f"a collection is renamed to another name, not to {to!r:.80}, which it has already")


def check_expected(collection: str, id: str, expected: int | None, actual: int) -> None:
    """ModelConflict if a version is expected and another is there (0: no record); InvalidQueryError for no version."""
    if expected is None:
        return
    if type(expected) is not int or expected < 0:
        raise InvalidQueryError(f"expected is a version, an int ≥ 0, not {expected!r:.80}")
    if actual != expected:
        raise ModelConflict(collection, id, expected, actual)


def parse_model(collection: str, id: str, data: str) -> Any:
    """The document that JSON text stands for; ModelError if it is no JSON text that every backend can keep."""

    def refuse(constant: str) -> Any:
        raise ValueError(f"{constant} is not JSON")

    if not isinstance(data, str):
        raise ModelError(collection, id, f"the data of a model is JSON text, not {type(data).__name__}")
    try:
        data.encode()
        return json.loads(data, parse_constant=refuse)
    except RecursionError:
        raise ModelError(collection, id, f"the data of the model {id!r:.80} is nested too deep: {data!r:.80}") from None
    except ValueError as exc:
        raise ModelError(
            collection, id, f"the data of the model {id!r:.80} is not JSON ({exc}): {data!r:.80}"
        ) from None


def field_path(field: str) -> tuple[str, ...]:
    """The names that a dotted path such as `customer.city` goes by; InvalidQueryError if it is not one.

    A name is any text but for quotes, backslashes and control characters, which JSON writes in another way.
    """
    names = tuple(field.split(".")) if isinstance(field, str) else ("",)
    if not all(names) or any(
        character in '"\\' or character < " " or "\ud800" <= character <= "\udfff" for character in field
    ):
        raise InvalidQueryError(f"a field is a dotted path of names, such as 'customer.city', not {field!r:.80}")
    return names


class ModelQuery:
    """What a `ModelStore.query` asks for, checked: the meaning in pure Python, which backends translate."""

    __slots__ = ("limit", "order_by", "reverse", "where")

    def __init__(
        self, where: Mapping[str, Any] | None, order_by: str | None, limit: int | None, *, reverse: bool = False
    ) -> None:
        if where is not None and not isinstance(where, Mapping):
            raise InvalidQueryError(f"where is a mapping of fields to values, not {where!r:.80}")
        if limit is not None and (type(limit) is not int or limit < 0):
            raise InvalidQueryError(f"limit is an int ≥ 0, not {limit!r:.80}")
        self.where = tuple((field_path(field), _check_value(field, value)) for field, value in (where or {}).items())
        self.order_by = None if order_by is None else field_path(order_by)
        self.reverse = reverse
        self.limit = limit

    def matches(self, document: Any) -> bool:
        """Whether each field of a document equals what `where` says."""
        return all(
            _kind(found := _field(document, path)) == _kind(value) and found == value for path, value in self.where
        )

    def key(self, id: str, document: Any) -> tuple[Any, ...]:
        """What records are sorted by."""
        if self.order_by is None:
            return (id,)
        value = _field(document, self.order_by)
        if value is None:
            return (0, 0, id)
        if isinstance(value, (int, float)):  # false and true among them, as 0 and 1
            return (1, value, id)
        return (2, value if isinstance(value, str) else json.dumps(value), id)


def _field(document: Any, path: tuple[str, ...]) -> Any:
    for name in path:
        if not isinstance(document, dict):
            return None
        document = document.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return document  # pyright: ignore[reportUnknownVariableType]


def _kind(value: object) -> type[object]:
    """1 and 1.0 are one number; true is none."""
    return float if type(value) is int else type(value)


def _check_value(field: str, value: Any) -> Any:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return value
    if isinstance(value, str) and not any(
        character == "\0" or "\ud800" <= character <= "\udfff" for character in value
    ):
        return value
    raise InvalidQueryError(
        f"where {field} = {value!r:.80}: only str, int (64 bit), float, bool and None can be compared"
    )


@lru_cache(maxsize=256)
def _json_of(type: Any) -> tuple[Callable[[Any], str], Callable[[str], Any]]:
    """How models of a type are written and read: JSON whatever the registry's codec, so that fields can be queried.

    Working that out takes a millisecond, and `models_of` is called for each event in the handlers of many.
    """
    json = codec("json")
    json.check(type)
    return cast("Callable[[Any], str]", json.encoder(type)), json.decoder(type)


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
        try:
            encode, decode = _json_of(cast("Hashable", type))
        except TypeError:  # Annotated with metadata that cannot be hashed
            encode, decode = _json_of.__wrapped__(type)
        self._encode: Callable[[M], str] = encode
        self._decode_json: Callable[[str], M] = decode

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

    async def find_many(self, ids: Iterable[str]) -> dict[str, M]:
        """The models that are there, by id, in the order of the ids."""
        records = await self.store.get_many(self.collection, ids)
        return {id: self._decode(record) for id, record in records.items()}

    async def put(self, id: str, model: M, *, expected: int | None = None) -> int:
        """Write the model and answer its new version; ModelConflict if it is not at the `expected` one (0: absent)."""
        return await self.store.put(self.collection, id, self._encode(model), expected=expected)

    async def put_many(self, models: Mapping[str, M | None]) -> None:
        """Write the models, and remove those whose value is None: all or none of it."""
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
        """Get, change, put; and again on what is stored by then if somebody else was faster.

        `change` answers the new model, or None after changing the given one in place. It runs once per try, each time
        on a fresh instance. A missing model begins as `default`, else ModelNotFound. ModelConflict after `tries`.
        """
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
            except ModelConflict:
                if attempt == tries:
                    raise
                if attempt > 1:  # once, somebody was faster; who meets that again is in a crowd
                    await self._runtime.sleep(Backoff(0.002, maximum=0.128, jitter=1)(attempt - 1))
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
