"""What tests of programs that use goes_lite need: time in the hands of the test, and given/when/then.

    given(history(("order", "1"), OrderPlaced(450))).when(PayOrder("1", 450), Order).then(OrderPaid(450))

Nothing of it is imported by goes_lite itself, and it needs no test framework. With pytest, fixtures are in
`goes_lite.testing.fixtures`.
"""

from goes_lite.testing._bus import RecordedBus
from goes_lite.testing._clock import FakeClock
from goes_lite.testing._given import Given, given, history
from goes_lite.testing._matchers import like
from goes_lite.testing._outcome import Outcome
from goes_lite.testing._projections import Projected

__all__ = ["FakeClock", "Given", "Outcome", "Projected", "RecordedBus", "given", "history", "like"]
