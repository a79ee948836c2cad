"""What every Backend must do: one rule for each promise of `goes_lite.contract.backend`."""

from __future__ import annotations

from goes_lite_conformance.backend.abilities import AbilityRules
from goes_lite_conformance.backend.closing import ClosingRules
from goes_lite_conformance.backend.commits import CommitsRules
from goes_lite_conformance.backend.fences import FenceRules
from goes_lite_conformance.backend.handles import HandleRules
from goes_lite_conformance.backend.identity import IdentityRules
from goes_lite_conformance.backend.opening import OpeningRules
from goes_lite_conformance.backend.read_only import ReadOnlyRules
from goes_lite_conformance.backend.repositories import RepositoryRules
from goes_lite_conformance.backend.sql import SqlRules
from goes_lite_conformance.backend.transaction_ends import TransactionEndRules
from goes_lite_conformance.backend.transactions import TransactionRules
from goes_lite_conformance.backend.unknown_events import UnknownEventRules
from goes_lite_conformance.backend.views import ViewRules

__all__ = ["BackendTests"]


class BackendTests(
    OpeningRules,
    IdentityRules,
    ClosingRules,
    AbilityRules,
    TransactionRules,
    TransactionEndRules,
    SqlRules,
    HandleRules,
    CommitsRules,
    UnknownEventRules,
    ViewRules,
    ReadOnlyRules,
    FenceRules,
    RepositoryRules,
):
    """All rules about whole backends: handles, abilities, transactions, commits, unknown events, views, reading, repositories."""
