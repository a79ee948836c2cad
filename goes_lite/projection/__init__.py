"""Projections: they turn events into read models.

    class Bills(goes.ModelProjection[Bill], name="bills"):
        def initial(self, id: str) -> Bill:
            return Bill()

        @goes.projects(OrderPlaced)
        def placed(self, bill: Bill, event: goes.Event[OrderPlaced]) -> Bill:
            return replace(bill, cents=event.data.total)

A projection does not depend on how it runs: in a processor (`Database.projection`), in the transaction of each append
(`Database.inline`), or on reading (`Database.live`).
"""

from __future__ import annotations

from goes_lite.projection._inline import InlineBackend
from goes_lite.projection._live import live
from goes_lite.projection._models import REMOVED, ModelProjection
from goes_lite.projection._parity import Difference, Parity
from goes_lite.projection._processor import OnNewVersion, ProjectionOptions, ProjectionProcessor
from goes_lite.projection._projection import Projection, projects
from goes_lite.projection._rebuild import Accept, Progress

__all__ = [
    "REMOVED",
    "Accept",
    "Difference",
    "InlineBackend",
    "ModelProjection",
    "OnNewVersion",
    "Parity",
    "Progress",
    "Projection",
    "ProjectionOptions",
    "ProjectionProcessor",
    "live",
    "projects",
]
