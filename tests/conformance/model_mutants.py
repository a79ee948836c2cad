"""Backends whose read models have a fault."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

from goes_lite.contract.model_store import ModelRecord
from goes_lite.contract.wrapping import WrappedBackend
from goes_lite.errors import ModelConflict
from tests.conformance.mutants import Handed, mutant


@mutant("MS-EXPECTED-002", "MS-EXPECTED-004")
def writes_a_read_model_whatever_its_version(wrapped: WrappedBackend) -> None:
    class Store(Handed):
        async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
            return cast("int", await self.target.put(collection, id, data))

    wrapped.models = cast("Any", Store(wrapped.backend.models))


@mutant("MS-EXPECTED-004")
def swaps_the_versions_of_a_model_conflict(wrapped: WrappedBackend) -> None:
    class Store(Handed):
        async def put(self, collection: str, id: str, data: str, *, expected: int | None = None) -> int:
            try:
                return cast("int", await self.target.put(collection, id, data, expected=expected))
            except ModelConflict as error:
                raise ModelConflict(collection, id, error.actual, error.expected) from None

    wrapped.models = cast("Any", Store(wrapped.backend.models))


@mutant("MS-BULK-011", "MS-BULK-012")
def writes_read_models_one_by_one(wrapped: WrappedBackend) -> None:
    """A bulk of writes is not atomic: what comes before the one that is refused stays."""

    class Store(Handed):
        async def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
            for id, data in models.items():
                if data is None:
                    await self.target.delete(collection, id)
                else:
                    await self.target.put(collection, id, data)

    wrapped.models = cast("Any", Store(wrapped.backend.models))


@mutant("MS-BULK-006")
def reads_read_models_one_by_one(wrapped: WrappedBackend) -> None:
    """A bulk of reads is not as of one moment."""

    class Store(Handed):
        async def get_many(self, collection: str, ids: Iterable[str]) -> dict[str, ModelRecord]:
            found = [await self.target.get(collection, id) for id in ids]
            return {record.id: record for record in found if record is not None}

    wrapped.models = cast("Any", Store(wrapped.backend.models))


@mutant("MS-BULK-007")
def forgets_the_versions_of_many(wrapped: WrappedBackend) -> None:
    """What is written in a bulk begins anew, as if it were removed first."""

    class Store(Handed):
        async def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
            await self.target.put_many(collection, dict.fromkeys(models))
            await self.target.put_many(collection, models)

    wrapped.models = cast("Any", Store(wrapped.backend.models))


@mutant("MS-BULK-008")
def leaves_what_a_bulk_removes(wrapped: WrappedBackend) -> None:
    class Store(Handed):
        async def put_many(self, collection: str, models: Mapping[str, str | None]) -> None:
            await self.target.put_many(collection, {id: data for id, data in models.items() if data is not None})

    wrapped.models = cast("Any", Store(wrapped.backend.models))


@mutant("MS-RENAME-002", "MS-RENAME-003")
def keeps_what_the_target_of_a_renaming_held(wrapped: WrappedBackend) -> None:
    class Store(Handed):
        async def rename(self, collection: str, to: str) -> int:
            kept = {record.id: record.data for record in await self.target.query(to).list()}
            moved = {record.id for record in await self.target.query(collection).list()}
            count = await self.target.rename(collection, to)
            await self.target.put_many(to, {id: data for id, data in kept.items() if id not in moved})
            return cast("int", count)

    wrapped.models = cast("Any", Store(wrapped.backend.models))


@mutant("MS-RENAME-001", "MS-RENAME-004")
def renames_by_copying(wrapped: WrappedBackend) -> None:
    """The records have the right ids and data, and lose their versions."""

    class Store(Handed):
        async def rename(self, collection: str, to: str) -> int:
            records = await self.target.query(collection).list()
            await self.target.rename(collection, to)
            await self.target.clear(to)
            await self.target.put_many(to, {record.id: record.data for record in records})
            return len(records)

    wrapped.models = cast("Any", Store(wrapped.backend.models))


@mutant("MS-RENAME-007")
def empties_the_target_of_a_renaming_first(wrapped: WrappedBackend) -> None:
    """For a moment there is nothing under the name."""

    class Store(Handed):
        async def rename(self, collection: str, to: str) -> int:
            await self.target.clear(to)
            return cast("int", await self.target.rename(collection, to))

    wrapped.models = cast("Any", Store(wrapped.backend.models))
