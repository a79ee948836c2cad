"""Killed at any moment: what was acknowledged is there, and nothing is half-written."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class CrashTests(Contract):
    """Rules CR."""
