"""Bad input: a typed error that says what is wrong, and an unchanged store."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from goes_lite.contract.backend import Backend
from goes_lite.contract.model_store import ModelRecord, ModelStore
from goes_lite.errors import InvalidQueryError, ModelError
from goes_lite_conformance.harness.asserts import each_refused, refused
from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.model_store.writing import read

NOT_JSON: tuple[Any, ...] = (
    "", " ", "{", "{}}", "1 2", "nul", "NaN", "Infinity", "-Infinity", "01", "+1", "1.", ".5", "0x10", "{'a':1}", "{a:1}", "[1,]",
    '{"a":1,}', '"\t"', '"\\x41"', '"', "// 1", "\ufeff1", "5\0", "5\0x", '"\ud800"', {}, [], 5, None, b"{}",
)  # fmt: skip
NO_NAMES: tuple[Any, ...] = ("", "a\0b", "\ud800", "x" * 1025, None, 5, b"1")
NO_FIELDS: tuple[Any, ...] = ("", ".", "a.", ".a", "a..b", 'a"', "a\\", "a\n", "a\0", "\ud800", 5, None, b"a")


class ModelRefusalRules(Contract):
    """Rules MS-BAD."""

    async def test_what_is_no_json_is_refused(self, db: Backend) -> None:
        """MS-BAD-001: Data that is not JSON text raises ModelError with the collection and id, and nothing is written."""
        await db.models.put("c", "1", "5")
        for data in NOT_JSON:
            with refused(ModelError, collection="c", id="1"):
                await db.models.put("c", "1", data)
                raise AssertionError(f"accepted: {data!r}")
        assert await read(db, "1") == (1, 5)

    async def test_what_names_no_record_is_refused(self, db: Backend) -> None:
        """MS-BAD-002: An invalid id or collection name raises InvalidQueryError, wherever it is given."""
        models = db.models
        calls: dict[str, Callable[[], Any]] = {}
        for name in NO_NAMES:
            calls |= {
                f"put id {name!r:.20}": partial(models.put, "c", name, "5"),
                f"put collection {name!r:.20}": partial(models.put, name, "1", "5"),
                f"get id {name!r:.20}": partial(models.get, "c", name),
                f"get collection {name!r:.20}": partial(models.get, name, "1"),
                f"delete id {name!r:.20}": partial(models.delete, "c", name),
                f"delete collection {name!r:.20}": partial(models.delete, name, "1"),
                f"query {name!r:.20}": partial(_listed, models, name),
                f"clear {name!r:.20}": partial(models.clear, name),
                f"get many, id {name!r:.20}": partial(models.get_many, "c", ["1", name]),
                f"get many, collection {name!r:.20}": partial(models.get_many, name, ["1"]),
                f"put many, id {name!r:.20}": partial(models.put_many, "c", {"1": "5", name: "5"}),
                f"put many, collection {name!r:.20}": partial(models.put_many, name, {"1": "5"}),
                f"rename {name!r:.20}": partial(models.rename, name, "c"),
                f"rename to {name!r:.20}": partial(models.rename, "c", name),
            }
        await each_refused(InvalidQueryError, calls)
        assert await models.query("c").list() == []

    async def test_what_is_no_version_is_refused(self, db: Backend) -> None:
        """MS-BAD-003: An expected version that is not an int ≥ 0 raises InvalidQueryError, and nothing is written or removed."""
        models = db.models
        await models.put("c", "1", "5")
        calls: dict[str, Callable[[], Any]] = {}
        for expected in cast("tuple[Any, ...]", (-1, "1", 1.0, True)):
            calls |= {
                f"put {expected!r}": partial(models.put, "c", "1", "6", expected=expected),
                f"delete {expected!r}": partial(models.delete, "c", "1", expected=expected),
            }
        await each_refused(InvalidQueryError, calls)
        assert await read(db, "1") == (1, 5)

    async def test_what_is_no_field_is_refused(self, db: Backend) -> None:
        """MS-BAD-004: A field that is not a dotted path of names raises InvalidQueryError, in `where` and in `order_by`.

        A name with quotes, backslashes or control characters, which JSON has to escape, cannot be queried.
        """
        models = db.models
        await models.put("c", "1", "5")
        calls: dict[str, Callable[[], Any]] = {}
        for name in NO_FIELDS:
            calls[f"where {name!r}"] = partial(_listed, models, "c", where={name: 5})
            if name is not None:
                calls[f"order by {name!r}"] = partial(_listed, models, "c", order_by=name)
        await each_refused(InvalidQueryError, calls)

    async def test_what_cannot_be_compared_is_refused(self, db: Backend) -> None:
        """MS-BAD-005: A value that is not a str, 64-bit int, finite float, bool or None raises InvalidQueryError."""
        models = db.models
        await models.put("c", "1", "5")
        values: tuple[Any, ...] = (
            [], [1], {}, (1,), b"a", "\ud800", "a\0b", 2**63, -(2**63) - 1, float("nan"), float("inf"), 1j, object(),
        )  # fmt: skip
        await each_refused(
            InvalidQueryError,
            {repr(value): partial(_listed, models, "c", where={"f": value}) for value in values},
        )

    async def test_wrong_options_are_refused(self, db: Backend) -> None:
        """MS-BAD-006: A limit that is not an int ≥ 0, or a `where` that is not a mapping, raises InvalidQueryError."""
        await db.models.put("c", "1", "5")
        models, wrong = db.models, cast("Any", "1")
        await each_refused(
            InvalidQueryError,
            {
                "limit -1": lambda: models.query("c", limit=-1).list(),
                "limit a string": lambda: models.query("c", limit=wrong).list(),
                "limit a bool": lambda: models.query("c", limit=True).list(),
                "where a string": lambda: models.query("c", where=wrong).list(),
                "where a list": lambda: models.query("c", where=cast("Any", [("f", 1)])).list(),
            },
        )


async def _listed(models: ModelStore, collection: str, **options: Any) -> list[ModelRecord]:
    return await models.query(collection, **options).list()
