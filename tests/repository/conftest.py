"""What the tests of the repository share: tests that are coroutines."""

from tests.conftest_kit import pytest_pyfunc_call

__all__ = ["pytest_pyfunc_call"]
