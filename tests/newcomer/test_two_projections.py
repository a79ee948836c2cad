"""Two projections of one name in a program are refused: both would write one read model and share a checkpoint."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

import goes_lite as goes

registry = goes.Registry()


@registry.event("counted")
@dataclass(frozen=True)
class Counted:
    pass


@dataclass
class Total:
    n: int = 0


class Totals(goes.ModelProjection[Total], name="totals"):
    @goes.projects(Counted, key=lambda event: "all")
    def counted(self, total: Total, event: goes.Event[Counted]) -> None:
        total.n += 1


class Sums(goes.ModelProjection[Total], name="totals"):
    @goes.projects(Counted, key=lambda event: "all")
    def counted(self, total: Total, event: goes.Event[Counted]) -> None:
        total.n += 2


class NewTotals(Sums, name="totals", version=2):
    pass


def test_the_second_one_needs_another_name() -> None:
    """The same class again, or a new version of it, does not."""
    with goes.blocking.connect(":memory:", registry=registry) as db:
        db.projection(Totals())
        db.projection(Totals())
        with pytest.raises(
            goes.errors.ConfigError, match=r"name 'totals' and version 1 \(Totals\).*choose another name, or"
        ):
            db.projection(Sums())
        db.projection(NewTotals())
