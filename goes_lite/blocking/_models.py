"""The blocking face of typed read models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from goes_lite.blocking._pages import BlockingPages
from goes_lite.contract.models import Models
from goes_lite.runtime.portal import Portal

M = TypeVar("M")


class BlockingModels(Generic[M]):
    """The blocking face of `goes_lite.contract.model_store.Models`."""

    def __init__(self, models: Models[M], portal: Portal) -> None:
        self._models = models
        self._portal = portal

    def get(self, id: str) -> M:
        """Return the model; ModelNotFound if there is none."""
        return self._portal.run(self._models.get(id))

    def find(self, id: str) -> M | None:
        """Return the model, or None if there is none."""
        return self._portal.run(self._models.find(id))

    def find_many(self, ids: Iterable[str]) -> dict[str, M]:
        """Return the existing models by id, in the order of the ids."""
        return self._portal.run(self._models.find_many(ids))

    def put(self, id: str, model: M, *, expected: int | None = None) -> int:
        """Write the model and return its new version; ModelConflict if it is not at the `expected` one (0: absent)."""
        return self._portal.run(self._models.put(id, model, expected=expected))

    def put_many(self, models: Mapping[str, M | None]) -> None:
        """Write the models, and remove those whose value is None: all or none."""
        self._portal.run(self._models.put_many(models))

    def use(self, id: str, change: Callable[[M], M | None], *, default: M | None = None, tries: int = 10) -> M:
        """Get, change and put a model; if another writer was faster, repeat with what is stored by then.

        `change` returns the new model, or None after changing the given one in place. It runs once per try, each time
        on a fresh instance. A missing model begins as `default`, else ModelNotFound. ModelConflict after `tries`.
        """
        return self._portal.run(
            self._models.use(id, self._portal.callback(change, "change"), default=default, tries=tries)
        )

    def delete(self, id: str, *, expected: int | None = None) -> bool:
        """Remove the model; return False if there was none."""
        return self._portal.run(self._models.delete(id, expected=expected))

    def query(
        self,
        *,
        where: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> BlockingPages[M]:
        """Return the models whose fields equal those of `where`, ordered by a field or by id.

        A field is a dotted path into the type, such as `customer.city`; InvalidQueryError says which there are. Values
        compare as those of their type: give a Decimal, a datetime, an Enum. None comes first, and stands for a field that a
        model does not have, for example because it was written before the field was added.

        The store selects and orders, where JSON can do that. To order by a datetime, time, timedelta, Decimal or bytes, and to
        find one of the first two or a Decimal, all models that match the rest of `where` are read.
        """
        return BlockingPages(
            self._models.query(where=where, order_by=order_by, reverse=reverse, limit=limit), self._portal
        )

    def clear(self) -> int:
        """Remove every model of the collection and return their number."""
        return self._portal.run(self._models.clear())
