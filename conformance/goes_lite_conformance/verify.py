"""`verify` under its former name: it is `goes_lite.operations.verify`, which needs no pytest."""

from __future__ import annotations

from goes_lite.operations import Finding, Findings, verify

__all__ = ["Finding", "Findings", "verify"]
