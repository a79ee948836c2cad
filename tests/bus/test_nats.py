"""The bus over NATS, next to a store in a file, under the suite of every bus."""

from __future__ import annotations

import pytest
from goes_lite_conformance import EventBusTests
from goes_lite_conformance.concurrency.publishers import PublisherRules

from tests.bus import nats_kit

if nats_kit.missing():  # not a mark: a skipped rule counts as not kept
    pytest.skip(nats_kit.missing(), allow_module_level=True)


class TestJetStream(nats_kit.JetStream, EventBusTests): ...


class TestJetStreamUnderLoad(nats_kit.JetStream, PublisherRules): ...


class TestCore(nats_kit.Core, EventBusTests): ...


class TestCoreUnderLoad(nats_kit.Core, PublisherRules): ...
