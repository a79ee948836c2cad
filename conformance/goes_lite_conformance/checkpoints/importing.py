"""Importing checkpoints of another store, as a copy does."""

from __future__ import annotations

from datetime import datetime, timezone
from functools import partial
from typing import Any, cast

from goes_lite.contract.backend import TRANSACTIONS, Backend
from goes_lite.contract.checkpoints import Checkpoint
from goes_lite.errors import InvalidQueryError, LeaseLost
from goes_lite_conformance.harness.asserts import each_refused, refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.samples import CONFUSABLE, NOON
from goes_lite_conformance.rule import needs


class CheckpointImportRules(Contract):
    """Rules CP-IMPORT."""

    async def test_they_are_kept(self, db: Backend) -> None:
        """CP-IMPORT-001: Imported checkpoints have the position, the store and the time that they came with."""
        old = datetime(1999, 12, 31, 23, 59, 59, 999_999, tzinfo=timezone.utc)
        ours = [Checkpoint(name, at, db.identity, NOON) for at, name in enumerate(sorted(CONFUSABLE))]
        theirs = [Checkpoint("~other", 2**63 - 1, "another store/7", old), Checkpoint("~ours", 0, db.identity, old)]
        await db.checkpoints.import_checkpoints([*reversed(ours), *theirs])
        assert await db.checkpoints.all() == sorted([*ours, *theirs])
        assert await db.checkpoints.get("~other") == theirs[0]

    async def test_existing_ones_are_replaced(self, db: Backend) -> None:
        """CP-IMPORT-002: An imported checkpoint replaces one of its name, and a later save replaces it."""
        await db.checkpoints.save("p", 9)
        await db.checkpoints.save("q", 1)
        await db.checkpoints.import_checkpoints([Checkpoint("p", 3, "another/1", NOON)])
        assert await db.checkpoints.get("p") == Checkpoint("p", 3, "another/1", NOON)
        await db.checkpoints.save("p", 4)
        assert [(one.name, one.position, one.store) for one in await db.checkpoints.all()] == [
            ("p", 4, db.identity), ("q", 1, db.identity),
        ]  # fmt: skip

    async def test_all_or_none(self, db: Backend) -> None:
        """CP-IMPORT-003: If one of them is refused, none is written."""
        good = Checkpoint("p", 1, db.identity, NOON)
        bad: dict[str, Any] = {
            "an empty name": [good, good._replace(name="")],
            "a negative position": [good, good._replace(name="q", position=-1)],
            "too high a position": [good, good._replace(name="q", position=2**63)],
            "no store": [good, good._replace(name="q", store="")],
            "a naive time": [good, good._replace(name="q", time=datetime(2026, 1, 1))],
            "no time": [good, good._replace(name="q", time=cast("Any", 0))],
            "no checkpoint": [good, ("q", 1)],
            "one checkpoint": good,
            "no collection": 7,
        }
        calls = {what: partial(db.checkpoints.import_checkpoints, value) for what, value in bad.items()}
        await each_refused(InvalidQueryError, calls)
        assert await db.checkpoints.all() == []
        await db.checkpoints.import_checkpoints([])

    @needs(TRANSACTIONS)
    async def test_it_takes_part_in_transactions(self, db: Backend) -> None:
        """CP-IMPORT-004: Checkpoints imported in a transaction are seen there, and stored with it or not at all."""
        with refused(RuntimeError):
            async with db.transaction() as tx:
                await tx.checkpoints.import_checkpoints([Checkpoint("p", 1, "another/1", NOON)])
                assert await tx.checkpoints.all() == [Checkpoint("p", 1, "another/1", NOON)]
                raise RuntimeError("undo")
        assert await db.checkpoints.all() == []


class TokenImportRules(Contract):
    """Rules LE-IMPORT."""

    async def test_all_tokens_are_listed(self, db: Backend) -> None:
        """LE-IMPORT-001: The last token of every lease that was ever acquired is listed, by name, held or not."""
        assert await db.leases.tokens() == {}
        held = await db.leases.acquire("held", "ann", 1000)
        await db.leases.release(await db.leases.acquire("free", "ann", 1000))
        again = await db.leases.acquire("free", "bob", 1000)
        await db.leases.release(again)
        found = await db.leases.tokens()
        assert [*found.items()] == [("free", again.token), ("held", held.token)]
        assert again.token > 1

    async def test_tokens_continue(self, db: Backend) -> None:
        """LE-IMPORT-002: After an import, the next token of each name is higher than the imported one, and nobody holds it."""
        await db.leases.import_tokens({"b": 41, "a": 2**40})
        assert await db.leases.tokens() == {"a": 2**40, "b": 41}
        assert await db.leases.get("b") is None
        assert (await db.leases.acquire("b", "ann", 1000)).token > 41
        assert (await db.leases.acquire("a", "ann", 1000)).token > 2**40

    async def test_a_token_never_shrinks(self, db: Backend) -> None:
        """LE-IMPORT-003: A lease with the same token or a higher one stays as it is; with a lower one its holder has lost it."""
        first = await db.leases.acquire("job", "ann", 1000)
        await db.leases.import_tokens({"job": first.token})
        assert await db.leases.get("job") == first
        await db.leases.import_tokens({"job": first.token + 5})
        assert await db.leases.get("job") is None
        with refused(LeaseLost):
            await db.leases.renew(first, 1000)
        second = await db.leases.acquire("job", "bob", 1000)
        assert second.token > first.token + 5
        await db.leases.import_tokens({"job": 1})
        assert await db.leases.tokens() == {"job": second.token}
        assert await db.leases.get("job") == second

    async def test_tokens_that_cannot_be_are_refused(self, db: Backend) -> None:
        """LE-IMPORT-004: If a name or a token is refused, none is written."""
        bad: dict[str, Any] = {
            "an empty name": {"p": 1, "": 1},
            "zero": {"p": 1, "q": 0},
            "too high": {"p": 1, "q": 2**63 - 1},
            "a text": {"p": 1, "q": "7"},
            "a flag": {"p": 1, "q": True},
            "no mapping": [("p", 1)],
        }
        calls = {what: partial(db.leases.import_tokens, value) for what, value in bad.items()}
        await each_refused(InvalidQueryError, calls)
        assert await db.leases.tokens() == {}
        await db.leases.import_tokens({})
