"""What tests of programs that use goes_lite need: time in the hands of the test, and given/when/then for projections.

Nothing of it is imported by goes_lite itself.
"""

from goes_lite.testing._clock import FakeClock
from goes_lite.testing._projections import Given, Projected, given, history

__all__ = ["FakeClock", "Given", "Projected", "given", "history"]
