"""The read models that a projection makes of some events, and assertions about them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self, TypeAlias

from goes_lite.projection import Projection

Row: TypeAlias = tuple[Any, ...]


class Made(NamedTuple):
    """The output of a projection, for comparison."""

    models: dict[str, Any]
    rows: list[Row]


class Projected:
    """The output of a projection: inspect it, or call its assertions."""

    def __init__(self, projection: Projection, models: dict[str, Any], rows: list[Row]) -> None:
        self._projection = projection
        self.models = models
        """The read models of a ModelProjection, by id."""
        self.rows = rows
        """The rows that `select` returned."""

    def then(self, models: Mapping[str, Any]) -> Self:
        """Assert that these are the read models, and no others; the AssertionError shows the differences."""
        wrong = [
            f"  {id}: {self.models.get(id, 'missing')!r}, not {models.get(id, 'none')!r}"
            for id in sorted({*self.models, *models})
            if (id in self.models, self.models.get(id)) != (id in models, models.get(id))
        ]
        if wrong:
            raise AssertionError("\n".join([f"{self._projection!r} makes", *wrong]))
        return self

    def then_model(self, id: str, model: Any) -> Self:
        """Assert that this is the read model with that id."""
        if id not in self.models or self.models[id] != model:
            raise AssertionError(
                f"{self._projection!r} makes {self.models.get(id, 'nothing')!r} of {id!r}, not {model!r}"
            )
        return self

    def then_no_model(self, id: str) -> Self:
        """Assert that there is no read model with that id."""
        if id in self.models:
            raise AssertionError(f"{self._projection!r} makes {self.models[id]!r} of {id!r}, not nothing")
        return self

    def then_rows(self, rows: Iterable[Row]) -> Self:
        """Assert that `select` returned these rows, in this order."""
        expected = [*rows]
        if self.rows != expected:
            raise AssertionError(f"{self._projection!r} makes the rows {self.rows!r}, not {expected!r}")
        return self
