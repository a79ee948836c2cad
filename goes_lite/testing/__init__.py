"""What tests of programs that use goes_lite need: time in the hands of the test.

Nothing of it is imported by goes_lite itself.
"""

from goes_lite.testing._clock import FakeClock

__all__ = ["FakeClock"]
