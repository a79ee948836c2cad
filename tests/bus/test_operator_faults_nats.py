"""Faults of operators on a NATS server: each is a row of docs/faults.md."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.servers import nats as servers

import goes_lite as goes
from goes_lite.errors import BusError, ConfigError
from tests.bus import nats_kit
from tests.bus.nats_kit import PATIENCE, Greet, World, note, plain_broker, registry, until
from tests.operator_faults import situation

pytestmark = nats_kit.needs_nats
SECRET = "s3cr3t-p4ss"


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    """Let the library log without showing it: the tests look at what it says."""
    logger = logging.getLogger("goes_lite")
    before = logger.propagate
    logger.propagate = False
    yield
    logger.propagate = before


async def api(db: Any, request: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    """Do to the broker what its tools can do."""
    found: dict[str, Any] = await db.backend.bus.connection.api(request.replace("STREAM_", stream(db)), body)
    return found


def stream(db: Any) -> str:
    return str(db.backend.bus.connection.options.stream_name)


class Service:
    """A service that publishes what it stores, and one that hears it: in a group, and in a subscription on its own."""

    def __init__(self, here: Any, there: Any) -> None:
        self.here, self.there = here, there
        self.group: list[int] = []
        self.alone: list[int] = []
        self.relay = here.relay()

    async def publish(self, *numbers: int) -> None:
        """Store events, and wait until the relay has published them."""
        position = (await self.here.events.append([note(number) for number in numbers])).position
        await self.relay.wait_for(position, PATIENCE)

    async def heard(self, *numbers: int) -> None:
        """Wait until the group and the subscription have heard these, in this order."""
        await until(lambda: self.group == self.alone == list(numbers))


@asynccontextmanager
async def services(world: World, **options: object) -> AsyncGenerator[Service]:
    async with world.open("here", **options) as here, world.open("there", **options) as there:
        service = Service(here, there)

        async def in_group(event: goes.Event[Any]) -> None:
            service.group.append(event.data.number)

        async def on_its_own(event: goes.Event[Any]) -> None:
            service.alone.append(event.data.number)

        there.bus.handle(["*"], in_group, group="g")
        there.bus.handle(["*"], on_its_own)
        await there.bus.publish([note(0)])  # waits until both listen
        async with service.relay:
            await service.heard(0)
            yield service


# --- streams and consumers --------------------------------------------------------------------------------------------


@situation(
    sees="nothing: the programs that run make the stream again, and go on",
    then="Groups and subscriptions hear everything that the new stream has, wherever they began. What the old stream had, and a "
    "group had not heard, is in the stores: a relay with a new `name` publishes it again.",
)
def test_the_stream_of_events_is_deleted(world: World) -> None:
    """The stream of the events is deleted."""

    async def main() -> None:
        async with services(world) as service:
            await service.publish(1, 2)
            await service.heard(0, 1, 2)
            for ending in ("", "-DEAD"):
                await api(service.here, f"STREAM.DELETE.STREAM_{ending}")
            await service.publish(3, 4)
            await service.heard(0, 1, 2, 3, 4)

    asyncio.run(main())


@situation(
    sees="ConfigError: … has no stream '…', and create=false: create it with the tools of NATS",
    then="Nothing is published or heard until the stream exists again; then programs go on.",
)
def test_a_stream_that_programs_must_not_make_is_deleted(world: World) -> None:
    """The stream of the events is deleted, and the URL says `create=false`."""

    async def main() -> None:
        async with world.open("operator") as operator, services(world, create="false") as service:
            config = (await api(operator, "STREAM.INFO.STREAM_"))["config"]
            await api(operator, "STREAM.DELETE.STREAM_")
            with pytest.raises(ConfigError):
                await service.there.bus.publish([note(1)])
            await api(operator, "STREAM.CREATE.STREAM_", config)
            await service.publish(2)
            await service.heard(0, 2)

    asyncio.run(main())


@situation(
    sees="nothing: the programs that run make the streams again, and go on",
    then="As if the streams had been deleted. Use `storage=file` (the default) to keep them.",
)
def test_a_broker_that_keeps_streams_in_memory_is_restarted(tmp_path: Path) -> None:
    """A broker is restarted that keeps the streams in memory (`storage=memory`)."""

    async def main(server: servers.NatsServer) -> None:
        world = World(server.url, tmp_path)
        async with services(world, storage="memory") as service:
            await service.publish(1)
            await service.heard(0, 1)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(server.start)
            await service.publish(2)
            await service.heard(0, 1, 2)

    with servers.server() as server:
        asyncio.run(main(server))


@situation(
    sees="nothing: the groups and subscriptions that run go on with what comes next",
    then="What was in the stream, and a group had not heard yet, is in the stores: a relay with a new `name` publishes it again.",
)
def test_the_stream_of_events_is_purged(world: World) -> None:
    """The stream of the events is purged."""

    async def main() -> None:
        async with services(world) as service:
            await service.publish(1)
            await service.heard(0, 1)
            await api(service.here, "STREAM.PURGE.STREAM_", {})
            await service.publish(2)
            await service.heard(0, 1, 2)

    asyncio.run(main())


@situation(
    sees="nothing: a member that runs makes the consumer again, and goes on with what may not be handled yet",
    then="Nothing is missed; what other members handle at that moment may be handled twice. If no member runs, the group begins "
    "where `start` says.",
)
def test_the_consumer_of_a_group_is_deleted(world: World) -> None:
    """The consumer of a group is deleted, or that of a subscription."""

    async def main() -> None:
        held, go_on = asyncio.Event(), asyncio.Event()
        heard: list[int] = []

        async def slowly(event: goes.Event[Any]) -> None:
            heard.append(event.data.number)
            if event.data.number == 2:
                held.set()
                await go_on.wait()

        async with services(world) as service:
            service.there.bus.handle(["*"], slowly, group="slow", max_pending=1, start="beginning")
            await service.publish(1, 2)
            await service.heard(0, 1, 2)
            await held.wait()
            names = (await api(service.here, "CONSUMER.NAMES.STREAM_"))["consumers"]
            assert {"g", "slow"} < set(names)
            for name in names:
                await api(service.here, f"CONSUMER.DELETE.STREAM_.{name}")
            await service.publish(3, 4)
            await service.heard(0, 1, 2, 3, 4)
            go_on.set()
            await until(lambda: heard == [0, 1, 2, 3, 4])

    asyncio.run(main())


@situation(
    sees="nothing: services that run make the queue again, and commands that were lost with it are sent once more",
    then="Accepted commands stay in the store that accepted them until their outcome is known there.",
)
def test_the_queue_of_commands_is_deleted(world: World) -> None:
    """The queue of the commands is deleted, or its consumer, or the stream of the outcomes."""

    async def main() -> None:
        def hello(command: Greet) -> str:
            return f"hello {command.whom}"

        async with world.open("here") as here, world.open("there") as there:
            there.commands.handle(Greet, hello)
            lost = await here.commands.dispatch_async(Greet("bob"))
            await api(here, "STREAM.DELETE.STREAM_-COMMANDS")
            async with there.commands.service(), here.commands.worker():
                assert await here.commands.outcome(lost, timeout=PATIENCE) == "hello bob"
                for harm in (
                    "CONSUMER.DELETE.STREAM_-COMMANDS.greet", "STREAM.DELETE.STREAM_-OUTCOMES", "STREAM.DELETE.STREAM_-COMMANDS"
                ):  # fmt: skip
                    await api(here, harm)
                    id = await here.commands.dispatch_async(Greet(harm))
                    assert await here.commands.outcome(id, timeout=PATIENCE) == f"hello {harm}"

    asyncio.run(main())


# --- limits -----------------------------------------------------------------------------------------------------------


@situation(
    sees="ApiError: JetStream refused '…': insufficient resources (code 503, 10023): free space, raise the limits of the server "
    "or the account, or let the stream keep less (max_age, max_bytes)",
    then="Saving goes on; the relay keeps trying, and publishes everything, in order, once there is room.",
)
def test_the_disk_of_the_broker_is_full(tmp_path: Path) -> None:
    """The broker has no room left: its disk or the limit of the account (`max_file_store`) is full."""
    limits = {"store_dir": str(tmp_path / "store"), "max_file_store": 4_000_000}

    async def main(server: servers.NatsServer) -> None:
        world = World(server.url, tmp_path)
        async with services(world, timeout=1) as service:
            connection = service.there.bus.connection
            reply: dict[str, Any] = {}
            while "error" not in reply:
                message = await connection.request(f"{world.prefix}.redrive.nobody", b"x" * 1_000_000)
                reply = json.loads(message.data)
            with pytest.raises(BusError):
                await service.there.bus.publish([note(1)])
            position = (await service.here.events.append([note(2), note(3)])).position
            await until(lambda: service.relay.error)
            await api(service.here, "STREAM.PURGE.STREAM_", {"filter": f"{world.prefix}.redrive.nobody"})
            await service.relay.wait_for(position, PATIENCE)
            await until(lambda: service.group[-2:] == [2, 3])

    with servers.server(jetstream=limits) as server:
        asyncio.run(main(server))


@situation(
    sees="ApiError: JetStream refused '…': maximum bytes exceeded (code 503, 10077): see the log of the server; a stream that is "
    "full needs a limit that discards what is old, or more room",
    then="The relay keeps trying. goes_lite makes streams that discard the oldest messages when they are full.",
)
def test_a_stream_that_an_operator_made_is_full(world: World) -> None:
    """A stream that somebody made with `discard: new` has reached its `max_bytes`."""

    async def main() -> None:
        async with world.open("operator", prefix=f"{world.prefix}o") as operator:
            await api(operator, f"STREAM.CREATE.{world.prefix.upper()}", {
                "name": world.prefix.upper(), "subjects": [f"{world.prefix}.events.>", f"{world.prefix}.redrive.>"],
                "max_bytes": 2_000, "discard": "new", "storage": "file", "retention": "limits", "num_replicas": 1,
            })  # fmt: skip
            async with world.open("a", timeout=1) as db, db.relay() as relay:
                position = (await db.events.append([note(number) for number in range(20)])).position
                await until(lambda: relay.error)
                await api(operator, f"STREAM.UPDATE.{world.prefix.upper()}", {
                    "name": world.prefix.upper(), "subjects": [f"{world.prefix}.events.>", f"{world.prefix}.redrive.>"],
                    "max_bytes": 2_000_000, "discard": "new", "storage": "file", "retention": "limits", "num_replicas": 1,
                })  # fmt: skip
                await relay.wait_for(position, PATIENCE)

    asyncio.run(main())


# --- rights, logins, TLS ----------------------------------------------------------------------------------------------


def user(name: str, **permissions: Any) -> dict[str, Any]:
    return {"user": name, "password": SECRET, **({"permissions": permissions} if permissions else {})}


def as_user(name: str, server: servers.NatsServer, **options: object) -> str:
    said = "".join(f"&{key}={value}" for key, value in options.items())
    return f"nats://{name}:{SECRET}@127.0.0.1:{server.port}?prefix=shop{said}"


def refused(error: type[Exception], bus: str) -> None:
    """Fail unless connecting, or else publishing, raises that error, without the password."""

    async def main() -> None:
        with pytest.raises(error) as caught:
            async with goes.connect(":memory:", bus=bus, registry=registry) as db:
                await db.bus.publish([note(1)])
        assert SECRET not in str(caught.value)

    asyncio.run(main())


@situation(
    sees=(
        "BusError: … an event in time: this user has no right to publish to 'shop.events.…': grant it (docs/nats.md …)",
        "BusError: $JS.API.…: this user has no right to publish to '$JS.API.…': grant it (docs/nats.md lists the subjects) (…)",
        "BusError: …: this user has no right to subscribe to '_INBOX.>': grant it (docs/nats.md lists the subjects) (…)",
    ),
    then="Nothing is published. The relay keeps trying, and goes on once the right is granted.",
)
def test_a_right_is_missing() -> None:
    """The user may not publish events, use JetStream, or receive replies."""
    listed = {
        "publish": ["shop.>", "$JS.API.>", "$JS.ACK.>", "_INBOX.>"], "subscribe": ["shop.>", "_INBOX.>"],
    }  # fmt: skip
    users = [
        user("mute", publish={"deny": ["shop.events.>"]}), user("poor", publish={"deny": ["$JS.API.>"]}),
        user("deaf", subscribe={"deny": ["_INBOX.>"]}), user("right", **listed),
    ]  # fmt: skip
    with servers.server(authorization={"users": users}) as server:

        async def works() -> None:
            async with goes.connect(":memory:", bus=as_user("right", server), registry=registry) as db:
                subscription = db.bus.subscribe(["*"], group="g")
                await db.bus.publish([note(1)])
                async with asyncio.timeout(PATIENCE):
                    delivery = await anext(subscription)
                    await delivery.ack()
                db.commands.handle(Greet, lambda command: "hello")

        asyncio.run(works())
        for name in ("mute", "poor", "deaf"):
            refused(BusError, as_user(name, server, timeout=1))


@situation(
    sees="NoResponders: … has no JetStream for this user: start it with `nats-server -js`, enable it for the account, name its "
    "?domain=…, or use ?mode=core",
    then="`connect` raises.",
)
def test_a_broker_without_jetstream() -> None:
    """JetStream is not enabled at the broker, or not for the account."""
    with servers.server(jetstream=False) as server:
        refused(BusError, f"{server.url}?prefix=shop")


@situation(
    sees=(
        "BusError: … refuses the login (nats: 'Authorization Violation'): check user, password, token, creds or nkey",
        "ConfigError: … refuses the login (nats: 'Authorization Violation'): check user, password, token, creds or nkey",
    ),
    then="`connect` raises. A program that runs goes on storing, and keeps trying to connect; started again with the new "
    "password, it publishes all that was stored meanwhile.",
)
def test_the_password_is_rotated(tmp_path: Path) -> None:
    """The password of the user is changed."""
    with servers.server(authorization={"users": [user("app")]}) as server:
        old = as_user("app", server, timeout=1)

        async def main() -> None:
            async with goes.connect(str(tmp_path / "a.db"), bus=old, registry=registry) as db:
                await db.bus.publish([note(1)])
                await asyncio.to_thread(server.stop)
                rotate(server)
                await asyncio.to_thread(server.start)
                with pytest.raises(BusError):
                    await db.bus.publish([note(2)])
                async with db.relay() as relay:
                    await db.events.append([note(3)])
                    await until(lambda: relay.error)
            new = old.replace(SECRET, SECRET[::-1])
            async with goes.connect(str(tmp_path / "a.db"), bus=new, registry=registry) as db, db.relay() as relay:
                await relay.wait_for(await db.events.head(), PATIENCE)

        asyncio.run(main())
        refused(ConfigError, old)


def rotate(server: servers.NatsServer) -> None:
    """Change the password in the configuration of a server."""
    file = Path(server.config)
    config = json.loads(file.read_text(encoding="utf-8"))
    config["authorization"]["users"][0]["password"] = SECRET[::-1]
    file.write_text(json.dumps(config), encoding="utf-8")


@situation(
    sees="BusError: … cannot be reached (…CERTIFICATE_VERIFY_FAILED…): name the certificate of its authority with tls_ca",
    then="Nothing is sent; the relay keeps trying.",
)
def test_the_broker_requires_tls(certificate: tuple[str, str]) -> None:
    """The broker requires TLS now, with a certificate that the machine of the program does not trust."""
    cert, key = certificate
    with servers.server(tls={"cert_file": cert, "key_file": key}) as server:
        refused(BusError, f"{server.url}?patience=0.3&timeout=1")


@situation(
    sees="ConfigError: … offers no TLS, so nothing was sent to it: enable TLS there, or use nats:// without tls=true",
    then="Neither user and password nor events are sent in the clear. A program that runs keeps trying.",
)
def test_the_broker_offers_no_tls() -> None:
    """The broker does not offer TLS any more, and the URL says `tls://` or `tls=true`."""

    async def main() -> None:
        async with plain_broker() as (port, received):
            bus = f"tls://app:{SECRET}@127.0.0.1:{port}?patience=10"
            with pytest.raises(ConfigError):
                async with goes.connect(":memory:", bus=bus, registry=registry):
                    pass
            await until(lambda: received)
            assert set(received) == {b""}

    asyncio.run(main())
