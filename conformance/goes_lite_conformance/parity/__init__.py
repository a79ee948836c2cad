"""Both faces are the same backend: what one does the other sees, and does likewise."""

from __future__ import annotations

from goes_lite_conformance.parity.faces import FaceRules

__all__ = ["ParityTests"]


class ParityTests(FaceRules):
    """The blocking face beside the async one."""
