"""The progress of suites whose rules kill, cut or break something many times."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest

from goes_lite_conformance.harness.contract import Contract
from goes_lite_conformance.harness.place import Place

EVERY = 5.0
"""Seconds between two lines."""


class Soaking(Contract):
    """A suite whose rules report their progress on stderr if there is more than one round."""

    _said = 0.0
    _uncaptured: Callable[[], AbstractContextManager[Any]]

    @pytest.fixture(autouse=True)
    def _beside_pytest(self, request: pytest.FixtureRequest) -> None:
        """Bypass pytest, which captures what tests print."""
        capture: Any = request.config.pluginmanager.get_plugin("capturemanager")
        self._uncaptured = nullcontext if capture is None else capture.global_and_fixture_disabled
        self._test = request.node.nodeid.rpartition("::")[2]

    def tell(self, place: Place, text: str, *, last: bool = False) -> None:
        """Print a line about this rule, unless there was one a moment ago; the `last` one always."""
        if place.rounds <= 1 or (time.monotonic() - self._said < EVERY and not last):
            return
        self._said = time.monotonic()
        with self._uncaptured():
            sys.stderr.write(f"\n{self._test}: {text}\n")
            sys.stderr.flush()
