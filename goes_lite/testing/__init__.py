"""Tools for tests of programs that use goes_lite: a clock that the test controls, given/when/then, simulated runs.

    given(history(("order", "1"), OrderPlaced(450))).when(PayOrder("1", 450), Order).then(OrderPaid(450))

goes_lite itself imports nothing from here, and no test framework is needed. Fixtures for pytest are in
`goes_lite.testing.fixtures`.
"""

from goes_lite.testing._bus import RecordedBus
from goes_lite.testing._given import Given, given, history
from goes_lite.testing._matchers import like
from goes_lite.testing._outcome import Outcome
from goes_lite.testing._projections import Projected
from goes_lite.testing._workflows import GivenWorkflow, done, failed, rejected
from goes_lite.testing.clock import FakeClock
from goes_lite.testing.simulation import Simulation, simulate

__all__ = [
    "FakeClock",
    "Given",
    "GivenWorkflow",
    "Outcome",
    "Projected",
    "RecordedBus",
    "Simulation",
    "done",
    "failed",
    "given",
    "history",
    "like",
    "rejected",
    "simulate",
]
