"""Connecting to the broker: URLs, logins, existing streams, and servers that stop."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import time
from base64 import urlsafe_b64encode
from collections.abc import Coroutine
from importlib import import_module
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from goes_lite_conformance.servers import free_port
from goes_lite_conformance.servers import nats as servers

import goes_lite as goes
from goes_lite.errors import BusError, ConfigError, UnknownBackend
from tests.bus import nats_kit
from tests.bus.nats_kit import World, note, registry

pytestmark = nats_kit.needs_nats
SECRET = "s3cr3t-p4ss"


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(coroutine)


async def works(bus: str) -> str:
    """Publish and receive an event; return what the handle says of itself."""
    async with goes.connect(":memory:", bus=bus, registry=registry) as db:
        subscription = db.bus.subscribe()
        await db.bus.publish([note(1)])
        async with asyncio.timeout(20):
            delivery = await anext(subscription)
        assert delivery.event.data.number == 1
        return repr(db)


# --- the URL ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("nats://", "has the form"),
        ("nats://host/path", "has the form"),
        ("nats://host:port", "not a host with a port"),
        ("nats://a,,b", "is not a host"),
        ("nats://host?colour=red", "no option 'colour'"),
        ("nats://host?mode=fast", "'jetstream' or 'core'"),
        ("nats://host?prefix=a.*", "letters, digits"),
        ("nats://host?prefix=a..b", "letters, digits"),
        ("nats://host?stream=a.b", "letters, digits"),
        ("nats://host?lease=soon", "number of seconds"),
        ("nats://host?lease=nan", "number of seconds"),
        ("nats://host?replicas=1.5", "whole number"),
        ("nats://host?create=perhaps", "true or false"),
        (f"nats://ann:{SECRET}@host/path", "has the form"),
        (f"nats://ann:{SECRET}@host?colour=red", "no option"),
        (f"nats://host?token={SECRET}&colour=red", "no option"),
    ],
)
def test_a_url_that_means_nothing(url: str, said: str) -> None:
    """ConfigError, which says what is valid, and never shows a password."""

    async def main() -> None:
        with pytest.raises(ConfigError, match=said) as caught:
            async with goes.connect(":memory:", bus=url):
                pass
        assert SECRET not in str(caught.value)

    run(main())


def test_it_is_a_bus_and_not_a_store() -> None:
    with pytest.raises(UnknownBackend, match="is a bus"):
        goes.blocking.connect("nats://127.0.0.1:4222")


def test_it_needs_an_event_loop(world: World) -> None:
    """The blocking face has one in a thread; without it, the error says so."""
    with pytest.raises(ConfigError, match="event loop"):
        goes.blocking.connect(":memory:", bus=world.bus(), inline=True)


# --- logins -----------------------------------------------------------------------------------------------------------


def test_user_and_password(caplog: pytest.LogCaptureFixture) -> None:
    """They appear in no repr, message or log; a wrong one raises at once."""
    caplog.set_level(logging.DEBUG)
    login = {"users": [{"user": "ann", "password": SECRET}]}
    with servers.server(authorization=login) as server:
        port = server.port
        said = asyncio.run(works(f"nats://ann:{SECRET}@127.0.0.1:{port}"))
        assert SECRET not in said

        async def wrong() -> None:
            with pytest.raises(ConfigError, match="refuses the login") as caught:
                await works(f"nats://ann:{SECRET}x@127.0.0.1:{port}")
            assert SECRET not in str(caught.value)

        run(wrong())
    assert SECRET not in caplog.text


def test_a_token() -> None:
    with servers.server(authorization={"token": SECRET}) as server:
        asyncio.run(works(f"nats://{SECRET}@127.0.0.1:{server.port}"))
        asyncio.run(works(f"nats://127.0.0.1:{server.port}?token={SECRET}"))


class Key:
    """An ed25519 key pair as NATS writes them: U… for a user, A… for an account, O… for an operator."""

    def __init__(self, prefix: int) -> None:
        nkeys: Any = pytest.importorskip("nkeys", reason="nkeys is not installed")
        self.seed: bytes = nkeys.encode_seed(os.urandom(32), prefix)
        self._pair: Any = nkeys.from_seed(bytearray(self.seed))
        self.public: str = self._pair.public_key.decode()

    def token(self, subject: Key, name: str, kind: str, **claims: Any) -> str:
        """A JWT in which this key says something of another one."""
        said = {"iss": self.public, "sub": subject.public, "name": name, "iat": int(time.time()), "jti": uuid4().hex}
        parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, {**said, "nats": {**claims, "type": kind, "version": 2}}]
        text = b".".join(_base64(json.dumps(part).encode()) for part in parts)
        return (text + b"." + _base64(self._pair.sign(text))).decode()


OPERATOR, ACCOUNT, USER = 14 << 3, 0, 20 << 3


def _base64(content: bytes) -> bytes:
    return urlsafe_b64encode(content).rstrip(b"=")


def test_an_nkey(tmp_path: Path) -> None:
    """The seed is in a file that the URL names; another key is refused."""
    ours, other = Key(USER), Key(USER)
    for name, key in {"ours": ours, "other": other}.items():
        (tmp_path / name).write_bytes(key.seed)
    with servers.server(authorization={"users": [{"nkey": ours.public}]}) as server:
        asyncio.run(works(f"{server.url}?nkey={tmp_path / 'ours'}"))

        async def wrong() -> None:
            with pytest.raises(ConfigError, match="refuses the login"):
                await works(f"{server.url}?nkey={tmp_path / 'other'}")

        run(wrong())


def test_credentials(tmp_path: Path) -> None:
    """A file with a JWT and a seed, as an operator's tools write it; a user of another account is refused."""
    operator, system, account, stranger, user = Key(OPERATOR), Key(ACCOUNT), Key(ACCOUNT), Key(ACCOUNT), Key(USER)
    limits = dict.fromkeys(
        ("subs", "data", "payload", "imports", "exports", "conn", "leaf", "mem_storage", "disk_storage"), -1
    )
    limits |= {"wildcards": True, "streams": -1, "consumer": -1}
    for name, issuer in {"ours": account, "other": stranger}.items():
        token = issuer.token(user, "ann", "user", pub={}, sub={}, subs=-1, data=-1, payload=-1)
        (tmp_path / f"{name}.creds").write_text(
            f"-----BEGIN NATS USER JWT-----\n{token}\n------END NATS USER JWT------\n\n"
            f"-----BEGIN USER NKEY SEED-----\n{user.seed.decode()}\n------END USER NKEY SEED------\n"
        )
    accounts = {
        system.public: operator.token(system, "SYS", "account", limits={**limits, "mem_storage": 0, "disk_storage": 0}),
        account.public: operator.token(account, "shop", "account", limits=limits),
    }
    settings = {
        "operator": operator.token(operator, "op", "operator"), "system_account": system.public,
        "resolver": "MEMORY", "resolver_preload": accounts,
    }  # fmt: skip
    with servers.server(**settings) as server:
        asyncio.run(works(f"{server.url}?creds={tmp_path / 'ours.creds'}"))

        async def wrong() -> None:
            with pytest.raises(ConfigError, match="refuses the login"):
                await works(f"{server.url}?creds={tmp_path / 'other.creds'}")

        run(wrong())


def test_a_missing_key(tmp_path: Path) -> None:
    """Or is not a key: ConfigError, before a broker is contacted."""
    (tmp_path / "nothing").write_text("nothing")

    async def main() -> None:
        for option in ("nkey", "creds"):
            for name in ("nowhere", "nothing"):
                with pytest.raises(ConfigError, match="cannot be read" if name == "nowhere" else "does not hold"):
                    await works(f"nats://127.0.0.1:1?{option}={tmp_path / name}")

    run(main())


# --- streams ----------------------------------------------------------------------------------------------------------


async def stream(world: World, config: dict[str, Any] | None = None) -> dict[str, Any]:
    """Create the stream of a bus by other means, or return its state."""
    connect: Any = vars(import_module("nats"))["connect"]  # its types are incomplete
    client = await connect(world.server)
    try:
        name = world.prefix.upper()
        request, body = (f"CREATE.{name}", {"name": name, **config}) if config else (f"INFO.{name}", {})
        answer = await client.request(f"$JS.API.STREAM.{request}", json.dumps(body).encode(), 10)
        said: dict[str, Any] = json.loads(answer.data)
        return said
    finally:
        await client.close()


def test_a_stream_is_created_as_the_url_says(world: World) -> None:
    async def main() -> None:
        said = {"storage": "memory", "max_age": 3600, "max_msgs": 1000, "max_bytes": 10_000_000, "duplicate_window": 30}
        await works(world.bus(**said))
        config = (await stream(world))["config"]
        assert (config["storage"], config["max_msgs"], config["max_bytes"]) == ("memory", 1000, 10_000_000)
        assert (config["max_age"], config["duplicate_window"]) == (3600 * 10**9, 30 * 10**9)
        await works(world.bus())  # options that are not given may have any value
        assert (await stream(world))["config"] == config

    run(main())


def test_a_stream_that_differs_is_not_changed(world: World) -> None:
    async def main() -> None:
        await works(world.bus(max_msgs=1000))
        before = (await stream(world))["config"]
        for other in ({"max_msgs": 2000}, {"storage": "memory"}, {"max_age": 60}):
            with pytest.raises(ConfigError, match="does not match the URL"):
                await works(world.bus(**other))
        assert (await stream(world))["config"] == before

    run(main())


@pytest.mark.parametrize(
    "foreign", [{"subjects": ["{prefix}.events.>"]}, {"subjects": ["x.{prefix}.>"]},
                {"subjects": ["{prefix}.events.>", "{prefix}.redrive.>"], "retention": "workqueue"},
                {"subjects": ["{prefix}.events.>", "{prefix}.redrive.>"], "no_ack": True}],
)  # fmt: skip
def test_a_foreign_stream_is_not_changed(world: World, foreign: dict[str, Any]) -> None:
    """One of that name with other subjects, or one that would delete unacknowledged messages."""

    async def main() -> None:
        subjects = [subject.replace("{prefix}", world.prefix) for subject in foreign["subjects"]]
        await stream(world, {**foreign, "subjects": subjects})
        before = (await stream(world))["config"]
        with pytest.raises(ConfigError, match="was not changed"):
            await works(world.bus())
        assert (await stream(world))["config"] == before

    run(main())


def test_subjects_that_another_stream_has(world: World) -> None:
    async def main() -> None:
        await stream(world, {"subjects": [f"{world.prefix}.>"]})
        with pytest.raises(ConfigError, match="another stream"):
            await works(world.bus(stream="other"))

    run(main())


def test_streams_are_not_created_with_create_false(world: World) -> None:
    """With create=false they must exist."""

    async def main() -> None:
        with pytest.raises(ConfigError, match="create=false"):
            await works(world.bus(create="false"))
        await works(world.bus())
        await works(world.bus(create="false"))

    run(main())


# --- servers that stop ------------------------------------------------------------------------------------------------


def test_a_server_without_jetstream(tmp_path: Path) -> None:
    """It supports core NATS only; for more, the error says so."""
    config = tmp_path / "nats.conf"
    server = servers.NatsServer(tmp_path)
    config.write_text(json.dumps({"host": "127.0.0.1", "port": server.port}), encoding="utf-8")
    try:
        server.start()
        asyncio.run(works(f"{server.url}?mode=core"))

        async def main() -> None:
            with pytest.raises(BusError, match="has no JetStream"):
                await works(server.url)

        run(main())
    finally:
        server.stop()


def test_a_server_in_lame_duck_mode(caplog: pytest.LogCaptureFixture) -> None:
    """In lame duck mode it sends its clients to another server of the cluster, and they resume there."""
    caplog.set_level(logging.INFO, "goes_lite.nats")

    async def main(first: servers.NatsServer, second: servers.NatsServer) -> None:
        # the driver shuffles servers, so the URL names the first one only; that one tells of the other
        async with (
            goes.connect(":memory:", bus=f"{first.url}?mode=core", registry=registry) as one,
            goes.connect(":memory:", bus=f"{second.url}?mode=core", registry=registry) as two,
        ):
            subscription = one.bus.subscribe()
            heard: list[int] = []

            async def listen() -> None:
                async for delivery in subscription:
                    heard.append(delivery.event.data.number)
                    await delivery.ack()

            listening = asyncio.create_task(listen())

            async def hear() -> None:
                """Publish until something arrives: core NATS loses events while a connection moves."""
                before = len(heard)
                async with asyncio.timeout(20):
                    while len(heard) == before:
                        await two.bus.publish([note(1)])
                        await asyncio.sleep(0.01)

            await hear()
            os.kill(first.pid, signal.SIGUSR2)
            await nats_kit.until(lambda: "is about to shut down" in caplog.text)
            await nats_kit.until(lambda: "is lost" in caplog.text)
            await asyncio.to_thread(first.kill)
            await hear()
            await subscription.close()
            await listening

    port = free_port()
    route = f"nats://127.0.0.1:{port}"
    peace = {"lame_duck_duration": "30s", "lame_duck_grace_period": "1s"}
    with (
        servers.server(jetstream=False, cluster={"name": "c", "port": port}, **peace) as a,
        servers.server(jetstream=False, cluster={"name": "c", "port": free_port(), "routes": [route]}) as b,
    ):
        asyncio.run(main(a, b))
