"""Following: what is stored, then what is committed; nothing missed, nothing repeated."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class FollowRules(Contract):
    """Rules ES-FOLLOW."""
