"""Bad input: a typed error, and a store that is unchanged."""

from __future__ import annotations

from goes_lite_conformance._contract import Contract


class RefusalRules(Contract):
    """Rules ES-BAD."""
