"""Read models: documents by id, kept by the backend, changed under optimistic concurrency.

A backend implements `ModelStore`, with `ModelRecord`s; programs use `Models`, with values of one type.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Protocol, TypeVar

from goes_lite.contract.event_store import Pages
from goes_lite.errors import InvalidQueryError, ModelConflict, ModelError
from goes_lite.events.fields import check_text
from goes_lite.events.query import check_for_query

M = TypeVar("M")
T = TypeVar("T")


class ModelRecord(NamedTuple):
    """One stored read model: JSON text by collection and id, with a version that counts its writes."""

    collection: str
    id: str
    version: int
    data: str


class ModelStore(Protocol):
    """Keeps read models."""

    async def get(self, collection: str, id: str) -> ModelRecord | None:
        """Return the record, or None if there is none."""
        ...

    async def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, ModelRecord]:
        """Return the existing records by id, in the order of the ids, as of one moment. There may be thousands of ids."""
        ...

    async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
        """Write JSON text and return the new version (1 for a new record, else one more than before).

        With `expected`, the record must be at that version (0: must not exist), else ModelConflict and no write.
        """
        ...

    async def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
        """Write the JSON text of each id as `put` does, and remove the records whose value is None.

        All or none: if `put` would refuse any of them, the same error is raised and nothing is written.
        """
        ...

    async def delete(self, collection: str, id: str, *, expected: int | None = None) -> bool:
        """Remove the record if it is at the expected version (else ModelConflict); return False if there was none."""
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
        """Return the records of a collection whose fields equal those of `where`, ordered by a field (and id) or by id.

        A field is a dotted path into the JSON, such as `customer.city`. Values compare as JSON: str, int (of 64 bits),
        float, bool or None (which also stands for a missing field). None sorts first, then numbers (false as 0, true as 1)
        by value, then text and ids by code point; lists and objects come among the text, at no defined place. A store
        knows no types: a Decimal or a datetime is text here, and sorts as such. `Models.query` sorts by their values.
        `ModelQuery` is the definition in pure Python.
        """
        ...

    async def clear(self, collection: str) -> int:
        """Remove every record of the collection and return their number."""
        ...

    async def rename(self, collection: str, to: str) -> int:
        """Move every record of the collection to the collection `to`, and return their number.

        They keep their ids, versions and data. What `to` held before is removed, even if the collection is empty. Readers
        see either all of it done or nothing. Raises InvalidQueryError if `to` is the collection itself.
        """
        ...

    async def collections(self) -> list[str]:
        """Return the names of all collections that have a record, by code point, those of goes_lite included."""
        ...

    async def import_models(self, records: Iterable[ModelRecord]) -> None:
        """Write records of another store as they are, with their versions, all or none; they replace existing ones.

        Raises ModelError for data that is not JSON, InvalidQueryError for names or versions that cannot be.
        """
        ...


def check_collection(collection: str) -> None:
    """Raise InvalidQueryError unless it can name a collection on every backend."""
    check_for_query(check_text, collection, "the name of a collection")


def check_model_key(collection: str, id: str) -> None:
    """Raise InvalidQueryError unless they can name a record on every backend."""
    check_collection(collection)
    check_for_query(check_text, id, "the id of a model")


def check_model_keys(collection: str, ids: Iterable[str]) -> list[str]:
    """Return the ids, each once; InvalidQueryError unless they and the collection can name records on every backend."""
    check_collection(collection)
    if isinstance(ids, (str, bytes)) or not isinstance(ids, Iterable):
        raise InvalidQueryError(f"ids is a collection of ids of models, not {ids!r:.80}")
    return list(dict.fromkeys(check_for_query(check_text, id, "the id of a model") for id in ids))


def check_models(collection: str, models: Mapping[str, T | None]) -> list[tuple[str, T | None]]:
    """Return the items of the mapping; InvalidQueryError unless it is a mapping whose keys can name records anywhere."""
    if not isinstance(models, Mapping):
        raise InvalidQueryError(f"models is a mapping of ids to models, not {models!r:.80}")
    check_model_keys(collection, models)
    return list(models.items())


def check_records(records: Iterable[ModelRecord]) -> list[ModelRecord]:
    """Return the records of an `import_models`, by collection and id; an error says why if not every backend can store them."""
    if isinstance(records, (str, bytes, ModelRecord)) or not isinstance(records, Iterable):
        raise InvalidQueryError(f"import_models takes a collection of records, not {records!r:.80}")
    found: dict[tuple[str, str], ModelRecord] = {}
    for record in records:
        if not isinstance(record, ModelRecord):
            raise InvalidQueryError(f"import_models takes ModelRecords, not {record!r:.80}")
        check_model_key(record.collection, record.id)
        if type(record.version) is not int or not 1 <= record.version < 2**63:
            raise InvalidQueryError(
                f"the version of the model {record.id!r:.80} is an int from 1 to 2**63 - 1, not {record.version!r:.80}"
            )
        parse_model(record.collection, record.id, record.data)
        found[record.collection, record.id] = record
    return [found[key] for key in sorted(found)]


def check_rename(collection: str, to: str) -> None:
    """Raise InvalidQueryError unless they are the names of two different collections."""
    check_collection(collection)
    check_collection(to)
    if collection == to:
        raise InvalidQueryError(f"cannot rename a collection to its own name {to!r:.80}: pass another name")


def check_expected(collection: str, id: str, expected: int | None, actual: int) -> None:
    """Raise ModelConflict unless the expected version, if any, is the actual one; InvalidQueryError unless it is an int ≥ 0.

    Version 0 stands for no record.
    """
    if expected is None:
        return
    if type(expected) is not int or expected < 0:
        raise InvalidQueryError(f"expected is a version, an int ≥ 0, not {expected!r:.80}")
    if actual != expected:
        raise ModelConflict(collection, id, expected, actual)


def parse_model(collection: str, id: str, data: str) -> Any:
    """Parse JSON text into a document; ModelError unless it is JSON text that every backend can keep."""

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
    """Split a dotted path such as `customer.city` into names; InvalidQueryError if it is not one.

    A name is any text without quotes, backslashes and control characters, which JSON escapes.
    """
    names = tuple(field.split(".")) if isinstance(field, str) else ("",)
    if not all(names) or any(
        character in '"\\' or character < " " or "\ud800" <= character <= "\udfff" for character in field
    ):
        raise InvalidQueryError(f"a field is a dotted path of names, such as 'customer.city', not {field!r:.80}")
    return names


class ModelQuery:
    """The checked arguments of a `ModelStore.query`: its definition in pure Python, which backends translate."""

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
        """Return whether the fields of a document equal those of `where`."""
        return all(
            _kind(found := value_at(document, path)) == _kind(value) and found == value for path, value in self.where
        )

    def key(self, id: str, document: Any) -> tuple[Any, ...]:
        """Return the sort key of a record."""
        if self.order_by is None:
            return (id,)
        value = value_at(document, self.order_by)
        if value is None:
            return (0, 0, id)
        if isinstance(value, (int, float)):  # false and true among them, as 0 and 1
            return (1, value, id)
        return (2, value if isinstance(value, str) else json.dumps(value), id)


def value_at(document: Any, path: tuple[str, ...]) -> Any:
    """Return what stands at the path, None if there is nothing."""
    for name in path:
        if not isinstance(document, dict):
            return None
        document = document.get(name)  # pyright: ignore[reportUnknownVariableType, reportUnknownMemberType]
    return document  # pyright: ignore[reportUnknownVariableType]


def _kind(value: object) -> type[object]:
    """Return the type to compare by: 1 and 1.0 are the same number, true is not a number."""
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
        f"where {field} = {value!r:.80}: only str, int (64 bit), float, bool and None can be compared; "
        "models_of(collection, type) compares values of other types"
    )
