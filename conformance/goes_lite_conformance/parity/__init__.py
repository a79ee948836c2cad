"""Both faces are the same backend: each sees what the other does, and behaves the same."""

from __future__ import annotations

from goes_lite_conformance.parity.faces import FaceRules

__all__ = ["ParityTests"]


class ParityTests(FaceRules):
    """All rules that compare the blocking face with the async one."""
