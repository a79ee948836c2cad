"""Handles that only read: the option `read_only` of a backend."""

from __future__ import annotations

from goes_lite.contract.backend import PERSISTENT, TRANSACTIONS
from goes_lite.errors import ConfigError, StoreReadOnly, StoreUnavailable
from goes_lite_conformance.backend.views import writes
from goes_lite_conformance.harness.asserts import each_refused, refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place
from goes_lite_conformance.harness.samples import contents, fill
from goes_lite_conformance.rule import needs


async def lacks_it(place: Place) -> bool:
    """Whether the backend has no such option, which `BackendFactory` recommends: it refuses it like any it does not know."""
    try:
        async with place.open(read_only=True):
            return False
    except ConfigError:
        return True


class ReadOnlyRules(Contract):
    """Rules BE-READONLY. Of a backend without the option, they ask only that it refuses it."""

    @needs(PERSISTENT)
    async def test_it_sees_everything(self, place: Place) -> None:
        """BE-READONLY-001: A handle with read_only=True sees what is stored, and what others write later."""
        async with place.open() as db:
            await fill(db)
            if await lacks_it(place):
                return
            async with place.open(read_only=True) as reader:
                assert await contents(reader) == await contents(db)
                assert reader.identity == db.identity
                await db.models.put("c", "later", "{}")
                assert await reader.models.get("c", "later") is not None
                async with reader.view() as view:
                    assert await view.events.head() == await db.events.head()

    @needs(PERSISTENT)
    async def test_it_writes_nothing(self, place: Place) -> None:
        """BE-READONLY-002: Everything that writes through such a handle raises StoreReadOnly, and changes nothing."""
        async with place.open() as db:
            await fill(db)
            before = await contents(db)
        if await lacks_it(place):
            return
        async with place.open(read_only=True) as reader:
            calls = writes(reader)
            calls.pop("append nothing")  # which writes nothing
            calls["acquire a lease"] = lambda: reader.leases.acquire("reader", "me", 60)
            await each_refused(StoreReadOnly, calls)
            assert TRANSACTIONS not in reader.abilities
            with refused(StoreReadOnly):
                async with reader.transaction():
                    pass
        async with place.open() as db:
            assert await contents(db) == before

    @needs(PERSISTENT)
    async def test_it_creates_nothing(self, place: Place) -> None:
        """BE-READONLY-003: With read_only=True, a storage that was never used raises StoreUnavailable, and is not created."""
        for _ in range(2):
            try:
                async with place.open(read_only=True):
                    raise AssertionError("a storage that does not exist was opened")
            except ConfigError:
                return  # no such option
            except StoreUnavailable as error:
                assert len(str(error)) > 20, f"{error!r} says nothing"
