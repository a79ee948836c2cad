"""What a projection makes of some events, and what it has to be."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self, TypeAlias

from goes_lite.projection import Projection

Row: TypeAlias = tuple[Any, ...]


class Made(NamedTuple):
    """What a projection has made, as it is compared."""

    models: dict[str, Any]
    rows: list[Row]


class Projected:
    """What a projection has made: look at it, or say what it has to be."""

    def __init__(self, projection: Projection, models: dict[str, Any], rows: list[Row]) -> None:
        self._projection = projection
        self.models = models
        """The read models of a ModelProjection, by id."""
        self.rows = rows
        """What the `select` found."""

    def then(self, models: Mapping[str, Any]) -> Self:
        """These are the read models, and there are no others; else AssertionError, which says what is not the same."""
        wrong = [
            f"  {id}: {self.models.get(id, 'missing')!r}, not {models.get(id, 'none')!r}"
            for id in sorted({*self.models, *models})
            if (id in self.models, self.models.get(id)) != (id in models, models.get(id))
        ]
        if wrong:
            raise AssertionError("\n".join([f"{self._projection!r} makes", *wrong]))
        return self

    def then_model(self, id: str, model: Any) -> Self:
        """This is the read model with that id."""
        if id not in self.models or self.models[id] != model:
            raise AssertionError(
                f"{self._projection!r} makes {self.models.get(id, 'nothing')!r} of {id!r}, not {model!r}"
            )
        return self

    def then_no_model(self, id: str) -> Self:
        """There is no read model with that id."""
        if id in self.models:
            raise AssertionError(f"{self._projection!r} makes {self.models[id]!r} of {id!r}, which was to have none")
        return self

    def then_rows(self, rows: Iterable[Row]) -> Self:
        """This is what the `select` found, in this order."""
        expected = [*rows]
        if self.rows != expected:
            raise AssertionError(f"{self._projection!r} makes the rows {self.rows!r}, not {expected!r}")
        return self
