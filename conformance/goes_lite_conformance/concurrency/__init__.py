"""Concurrency: contenders, readers, cancellation, publishers, several handles and processes."""

from __future__ import annotations

from goes_lite_conformance.concurrency.cancellation import CancellationRules
from goes_lite_conformance.concurrency.contenders import ContenderRules
from goes_lite_conformance.concurrency.decisions import DecisionRules
from goes_lite_conformance.concurrency.interrupted import InterruptionRules
from goes_lite_conformance.concurrency.processes import ProcessRules
from goes_lite_conformance.concurrency.publishers import PublisherRules
from goes_lite_conformance.concurrency.readers import ReaderRules
from goes_lite_conformance.concurrency.slow_transactions import SlowTransactionRules

__all__ = ["ConcurrencyTests"]


class ConcurrencyTests(
    ContenderRules,
    DecisionRules,
    ReaderRules,
    SlowTransactionRules,
    CancellationRules,
    InterruptionRules,
    PublisherRules,
    ProcessRules,
):
    """All rules about concurrency."""
