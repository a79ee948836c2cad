"""TLS to the broker: where it was asked for, nothing is said without it."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.servers import nats as servers

import goes_lite as goes
from goes_lite.errors import BusError, ConfigError
from tests.bus import nats_kit
from tests.bus.nats_kit import note, plain_broker, registry, until

pytestmark = nats_kit.needs_nats
SECRET = "s3cr3t-p4ss"


async def works(bus: str) -> None:
    """Publish and receive an event."""
    async with goes.connect(":memory:", bus=bus, registry=registry) as db:
        subscription = db.bus.subscribe()
        await db.bus.publish([note(1)])
        async with asyncio.timeout(20):
            delivery = await anext(subscription)
        assert delivery.event.data.number == 1


def test_the_certificate_of_the_broker_must_be_trusted(certificate: tuple[str, str]) -> None:
    """Otherwise there is no connection."""
    cert, key = certificate

    async def distrusting(port: int) -> None:
        bus = f"nats://127.0.0.1:{port}?tls=true&patience=0.3&timeout=0.3"
        async with goes.connect(":memory:", bus=bus, registry=registry) as db:
            with pytest.raises(BusError, match="cannot be reached"):
                await db.bus.publish([note(1)])

    with servers.server(tls={"cert_file": cert, "key_file": key}) as server:
        asyncio.run(works(f"nats://127.0.0.1:{server.port}?tls=true&tls_ca={cert}"))
        asyncio.run(works(f"tls://127.0.0.1:{server.port}?tls_ca={cert}"))
        asyncio.run(distrusting(server.port))


def test_a_broker_that_also_talks_without_tls_is_talked_to_over_tls(certificate: tuple[str, str]) -> None:
    """The certificate decides, so a wrong one keeps the client away."""
    cert, key = certificate

    async def distrusting(port: int) -> None:
        bus = f"tls://127.0.0.1:{port}?patience=0.3&timeout=0.3"
        async with goes.connect(":memory:", bus=bus, registry=registry) as db:
            with pytest.raises(BusError, match="cannot be reached"):
                await db.bus.publish([note(1)])

    with servers.server(tls={"cert_file": cert, "key_file": key}, allow_non_tls=True) as server:
        asyncio.run(works(f"nats://127.0.0.1:{server.port}"))
        asyncio.run(works(f"tls://127.0.0.1:{server.port}?tls_ca={cert}"))
        asyncio.run(distrusting(server.port))


@pytest.mark.parametrize("said", [{}, {"tls_available": False}, {"auth_required": True}])
@pytest.mark.parametrize(
    "url", ["nats://app:{}@127.0.0.1:{}?tls=true&patience=10", "tls://{}@127.0.0.1:{}?patience=10"]
)
def test_a_broker_without_tls_receives_nothing(url: str, said: dict[str, Any]) -> None:
    """Neither user and password nor a token; and the error says why."""

    async def main() -> None:
        async with plain_broker(**said) as (port, received):
            with pytest.raises(ConfigError, match="offers no TLS, so nothing was sent") as caught:
                async with goes.connect(":memory:", bus=url.format(SECRET, port), registry=registry):
                    pass
            assert SECRET not in str(caught.value)
            await until(lambda: received)
            assert set(received) == {b""}

    asyncio.run(main())


def test_a_broker_that_has_no_tls_any_more_receives_nothing(certificate: tuple[str, str], tmp_path: Path) -> None:
    """Neither when the connection is opened again nor what was still to be sent when it is closed."""
    cert, key = certificate
    users = [{"user": "app", "password": SECRET}]
    with servers.server(tls={"cert_file": cert, "key_file": key}, authorization={"users": users}) as server:

        async def main() -> None:
            bus = f"tls://app:{SECRET}@127.0.0.1:{server.port}?tls_ca={cert}&timeout=1"
            async with goes.connect(str(tmp_path / "a.db"), bus=bus, registry=registry) as db:
                await db.bus.publish([note(1)])
                await asyncio.to_thread(server.stop)
                async with plain_broker(server.port) as (_, received):
                    await until(lambda: len(received) > 1)
                    with pytest.raises(BusError, match="offers no TLS"):
                        await db.bus.publish([note(2)])
                    await db.close()
                    assert set(received) == {b""}

        asyncio.run(main())


def test_a_missing_certificate() -> None:
    async def main() -> None:
        with pytest.raises(ConfigError, match="certificates"):
            async with goes.connect(":memory:", bus="nats://127.0.0.1:1?tls=true&tls_ca=/nowhere/ca.pem"):
                pass

    asyncio.run(main())
