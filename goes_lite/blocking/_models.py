"""The blocking face of typed read models."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from goes_lite.blocking._pages import BlockingPages
from goes_lite.contract.models import Models
from goes_lite.runtime.portal import Portal

M = TypeVar("M")


class BlockingModels(Generic[M]):
    """See `goes_lite.contract.model_store.Models`."""

    def __init__(self, models: Models[M], portal: Portal) -> None:
        self._models = models
        self._portal = portal

    def get(self, id: str) -> M:
        return self._portal.run(self._models.get(id))

    def find(self, id: str) -> M | None:
        return self._portal.run(self._models.find(id))

    def find_many(self, ids: Iterable[str]) -> dict[str, M]:
        return self._portal.run(self._models.find_many(ids))

    def put(self, id: str, model: M, *, expected: int | None = None) -> int:
        return self._portal.run(self._models.put(id, model, expected=expected))

    def put_many(self, models: Mapping[str, M | None]) -> None:
        self._portal.run(self._models.put_many(models))

    def use(self, id: str, change: Callable[[M], M | None], *, default: M | None = None, tries: int = 10) -> M:
        return self._portal.run(self._models.use(id, self._portal.callback(change), default=default, tries=tries))

    def delete(self, id: str, *, expected: int | None = None) -> bool:
        return self._portal.run(self._models.delete(id, expected=expected))

    def query(
        self,
        *,
        where: Mapping[str, Any] | None = None,
        order_by: str | None = None,
        reverse: bool = False,
        limit: int | None = None,
    ) -> BlockingPages[M]:
        return BlockingPages(
            self._models.query(where=where, order_by=order_by, reverse=reverse, limit=limit), self._portal
        )

    def clear(self) -> int:
        return self._portal.run(self._models.clear())
