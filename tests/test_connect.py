"""How a URL, a path, the environment or goes.toml becomes an open backend, and the errors on the way."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import re
import subprocess
import sys
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pytest

from goes_lite import blocking, connect
from goes_lite import connect as async_connect
from goes_lite.aggregate import Aggregate
from goes_lite.contract.backend import Backend
from goes_lite.database.address import parse
from goes_lite.database.connect import bus_factory_for, factory_for, find, register_backend, register_bus
from goes_lite.errors import (
    AbilityMissing,
    BackendError,
    ConfigError,
    DriverMissing,
    GoesError,
    StoreClosed,
    StoreReadOnly,
    StoreUnavailable,
    UnknownBackend,
)
from goes_lite.sqlite import SQLiteBackend, _driver

# importlib.import_module: `goes_lite.connect` is the function
connecting = sys.modules["goes_lite.database.connect"]


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove all settings but those of the test."""
    for name in ("GOES_LITE_URL", "GOES_LITE_BUS_URL", "GOES_LITE_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(connecting, "_registered", {})
    monkeypatch.setattr(connecting, "_registered_buses", {})


def opened(url: Any = None, **options: Any) -> str:
    """Open a store through both faces and return its location."""

    async def asynchronously() -> str:
        async with async_connect(url, **options) as db:
            return db.location

    with blocking.connect(url, **options) as db:
        location = db.location
    assert asyncio.run(asynchronously()) == location
    return location


@pytest.mark.parametrize(
    ("url", "path", "options"),
    [
        ("app.db", "app.db", {}),
        ("dir/app.db", "dir/app.db", {}),
        ("/abs/app.db", "/abs/app.db", {}),
        ("C:\\data\\app.db", "C:\\data\\app.db", {}),
        (Path("app.db"), "app.db", {}),
        (":memory:", ":memory:", {}),
        ("a b?c=d#e%20.db", "a b?c=d#e%20.db", {}),
        ("sqlite:///app.db", "app.db", {}),
        ("sqlite:////abs/app.db", "/abs/app.db", {}),
        ("sqlite:///:memory:", ":memory:", {}),
        ("sqlite:///a%20b%23c%3Fd.db", "a b#c?d.db", {}),
        ("sqlite:///C:/data/app.db", "C:/data/app.db", {}),
        ("sqlite:///app.db?durability=normal", "app.db", {"durability": "normal"}),
        ("sqlite:///app.db?read_only=true&lock_timeout=2.5", "app.db", {"read_only": True, "lock_timeout": 2.5}),
        ("sqlite:///app.db?read_only=0", "app.db", {"read_only": False}),
    ],
)
def test_addresses(url: Any, path: str, options: dict[str, Any]) -> None:
    """A path may contain anything; a URL is decoded, and its query becomes options of the right type."""
    assert parse(url) == ("sqlite", path, options)


def test_other_urls_are_left_to_their_backend() -> None:
    """Including everything that they contain."""
    url = "postgresql://user:secret@host:5432/db?sslmode=require#x"
    assert parse(url) == ("postgresql", url, {})


@pytest.mark.parametrize(
    "url",
    [
        "", "a\0b", b"app.db", 5, ["app.db"], "sqlite://app.db", "sqlite://host/app.db", "sqlite://", "sqlite:///",
        "sqlite:///a%00b", "sqlite:///app.db#x", "sqlite:///app.db#", "sqlite:///app.db?read_only=maybe",
        "sqlite:///app.db?lock_timeout=soon", "sqlite:app.db", "sqlite:/app.db", "SQLite:app.db", "file:app.db",
        "file::memory:?cache=shared", "jdbc:sqlite:app.db", "postgresql:app", "sqlite://[x/app.db",
        ":memory", ":memory:?cache=shared", "app.db?mode=ro", "app.db?durability=normal", "app.db ", " app.db", "app.db\n",
        "sqlite:///app.db\n", "sqlite:///a\nb.db", "sqlite:///a%0Ab.db", "data/", "sqlite:///data/", "\udcff.db",
        "sqlite:///%ff.db", Path("\udcff.db"), "sqlite:///app.db?mode=ro",
    ],
)  # fmt: skip
def test_bad_urls_are_config_errors(url: Any, tmp_path: Path) -> None:
    """They raise ConfigError, a ValueError whose message has a way out, and no file is created."""
    for attempt in (lambda: blocking.connect(url), lambda: asyncio.run(_open(url))):
        with pytest.raises(ConfigError) as caught:
            attempt()
        assert isinstance(caught.value, ValueError)
        assert len(str(caught.value)) > 20
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://ada:{}@host/app.db", "sqlite://ada:{}@host/app.db\n", "sqlite:ada:{}@host/app.db", "ada:{}@host/app.db",
        "postgresql:ada:{}@host/app", "postgresql://ada:{}\u2100@host/app", "postgresql://ada:{}@[host/app",
        "postgresql://ada:{}/{}@host/app", "postgresql://ada:{}?{}@host/app", "postgresql://ada:{}#{}@host/app",
        "postgresql://ada:{}@host:port/app", "postgresql://ada:{}@one:5432,two:port/app", "postgresqll://ada:{}@host/app",
        "mongodb://ada:{}\u2100@host/app", "mongodb://ada:{}/{}@host/app", "mongodb://ada:{}@host:port/app",
        "nats://ada:{}\u2100@host", "nats://ada:{}@host:port", "nats://ada:{}@host/app", "nats:ada:{}@host",
    ],
)  # fmt: skip
def test_a_message_contains_no_password(url: str, tmp_path: Path) -> None:
    """Of no URL that cannot be read, whatever its backend; not even a part of it. The error is one of configuration."""
    pytest.importorskip("asyncpg", reason="asyncpg is not installed")
    pytest.importorskip("pymongo", reason="pymongo is not installed")
    pytest.importorskip("nats", reason="nats-py is not installed")
    url = url.replace("{}", "hunter2")
    given: Any = {"url": "app.db", "bus": url} if url.startswith("nats") else {"url": url}
    for attempt in (lambda: blocking.connect(**given), lambda: asyncio.run(_open(**given))):
        with pytest.raises((ConfigError, UnknownBackend)) as caught:
            attempt()
        error: BaseException | None = caught.value
        while error is not None:  # a traceback shows the causes as well
            assert "hunter2" not in str(error)
            error = error.__cause__ or (None if error.__suppress_context__ else error.__context__)
    with pytest.raises(ConfigError) as refused:
        blocking.connect(cast("str", url.encode()))
    assert "hunter2" not in str(refused.value)


async def _open(url: Any, **options: Any) -> None:
    async with connect(url, **options):
        raise AssertionError("opened")


@pytest.mark.parametrize(
    "options",
    [
        {"durability": "fast"}, {"durability": 5}, {"driver": "mysql"}, {"driver": 5}, {"read_only": "false"},
        {"read_only": 1}, {"lock_timeout": 0}, {"lock_timeout": -1}, {"lock_timeout": "1"}, {"lock_timeout": float("nan")},
        {"lock_timeout": float("inf")}, {"lock_timeout": None}, {"lock_timeout": True}, {"colour": "red"}, {"unknown": "ignore"},
        {"driver_name": "apsw", "colour": 1}, {"bus": 5}, {"bus": "sqlite://"},
    ],
    ids=repr,
)  # fmt: skip
def test_bad_options_are_config_errors(options: dict[str, Any], tmp_path: Path) -> None:
    """The error names the option, and no file is created, on either face."""
    for attempt in (lambda: blocking.connect("app.db", **options), lambda: asyncio.run(_open("app.db", **options))):
        with pytest.raises(ConfigError) as caught:
            attempt()
        named = ("colour" if "colour" in options else next(iter(options))).partition("_")[0]
        assert named in str(caught.value) or "bus" in options
    assert os.listdir(tmp_path) == []


def test_options_reach_the_store(tmp_path: Path) -> None:
    """From the URL or from keywords, which take precedence; the store states its durability."""
    cases: list[tuple[str, dict[str, Any], str]] = [
        ("app.db", {}, "os-crash"),
        ("app.db", {"durability": "normal"}, "process-crash"),
        ("sqlite:///app.db?durability=normal", {}, "process-crash"),
        ("sqlite:///app.db?durability=normal", {"durability": "full"}, "os-crash"),
        ("app.db", {"durability": "memory"}, "process-crash"),
        (":memory:", {}, "memory"),
    ]
    for url, options, durability in cases:
        with blocking.connect(url, **options) as db:
            assert db.durability == durability
            driver = cast(SQLiteBackend, db.backend).driver
            assert driver.startswith("apsw" if importlib.util.find_spec("apsw") else "sqlite3")
    with blocking.connect("app.db", driver="sqlite3") as db:
        assert cast(SQLiteBackend, db.backend).driver.startswith("sqlite3 (SQLite 3.")


def test_paths_are_relative_to_the_working_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Or to the home folder with a tilde; the location is absolute and stays the same when the working folder changes."""
    (tmp_path / "home").mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("USERPROFILE", str(tmp_path / "home"))
    real = os.path.realpath(tmp_path)
    assert opened("app.db") == os.path.join(real, "app.db")
    assert opened("~/app.db") == os.path.join(real, "home", "app.db")
    assert opened("sqlite:///home/a%20b.db") == os.path.join(real, "home", "a b.db")
    assert opened(tmp_path / "é 😀 #?%20.db") == os.path.join(real, "é 😀 #?%20.db")
    assert opened(":memory:") == "sqlite:///:memory:"


def test_the_environment_names_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """GOES_LITE_URL may include options; an explicit URL takes precedence; an empty variable counts as unset."""
    monkeypatch.setenv("GOES_LITE_URL", "sqlite:///env.db?durability=normal")
    assert opened().endswith("env.db")
    assert opened("given.db").endswith("given.db")
    assert find(None, None, None, {"durability": "full"}).address.options == {"durability": "full"}
    monkeypatch.setenv("GOES_LITE_URL", "")
    with pytest.raises(ConfigError, match="GOES_LITE_URL"):
        blocking.connect()


def test_goes_toml_names_the_store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """`url`, `bus` and options; a keyword goes before the URL's query, and that before the file."""
    toml = tmp_path / "goes.toml"
    toml.write_text(
        'url = "sqlite:///toml.db?lock_timeout=3"\ndurability = "normal"\nlock_timeout = 9\n', encoding="utf-8"
    )
    assert opened().endswith("toml.db")
    with blocking.connect() as db:
        assert db.durability == "process-crash"
    options = find(None, None, None, {"durability": "full"}).address.options
    assert options == {"durability": "full", "lock_timeout": 3.0}


@pytest.mark.parametrize(
    "text", ["url = ", "", "ulr = 'app.db'", "url = 5", 'url = ["a"]', "durability = 'normal'", 'url = ""', "\udcff"]
)
def test_a_wrong_goes_toml_is_a_config_error(tmp_path: Path, text: str) -> None:
    """The error names the file."""
    (tmp_path / "goes.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ConfigError, match=r"goes\.toml"):
        blocking.connect()


def test_a_goes_toml_that_cannot_be_read_is_a_config_error(tmp_path: Path) -> None:
    """For example because it is a folder."""
    (tmp_path / "goes.toml").mkdir()
    with pytest.raises(ConfigError, match=r"goes\.toml cannot be read"):
        blocking.connect()


def test_without_any_setting_the_error_says_what_to_do() -> None:
    """It names both ways."""
    for attempt in (blocking.connect, lambda: asyncio.run(_open(None))):
        with pytest.raises(ConfigError, match=r"GOES_LITE_URL.*goes\.toml"):
            attempt()


def test_unknown_schemes_name_what_is_installed() -> None:
    """UnknownBackend, a LookupError, hints at what may have been meant."""
    for attempt in (lambda: blocking.connect("sqlte:///a.db"), lambda: asyncio.run(_open("sqlte:///a.db"))):
        with pytest.raises(UnknownBackend, match=r"did you mean 'sqlite'\?") as caught:
            attempt()
        assert caught.value.scheme == "sqlte"
        assert "sqlite" in caught.value.installed
        assert isinstance(caught.value, LookupError)
    for scheme in ("file", "sqlite3", "memory"):
        with pytest.raises(UnknownBackend, match="sqlite:///:memory:"):
            blocking.connect(f"{scheme}:///app.db")


def test_a_misspelt_bus_leaves_no_file(tmp_path: Path) -> None:
    """Both backends are looked up before either is opened."""
    with pytest.raises(UnknownBackend):
        blocking.connect("app.db", bus="nowhere://")
    assert os.listdir(tmp_path) == []


WAY_OUT = re.compile(
    r"\b(use|write|pass|must|check|name|needs?|takes|did you mean|install|open|select|create|choose|has the form|leave out)\b"
)
REFUSED: list[tuple[Any, dict[str, Any], str]] = [
    ("", {}, "''"),
    (5, {}, "5"),
    ("postgres:app", {}, "'postgres:'"),
    ("sqlite://h/a.db", {}, "'h'"),
    ("sqlte:///a.db", {}, "'sqlte'"),
    ("ntas://h", {}, "'ntas'"),
    ("nats://h", {}, "'nats'"),
    ("no/a.db", {}, "/no'"),
    (".", {}, "is a folder"),
    ("a.db", {"read_only": True}, "read-only"),
    (":memory:", {"read_only": True}, "read_only"),
    ("a.db", {"durabilty": "full"}, "'durabilty'"),
    ("a.db", {"durability": "fast"}, "'fast'"),
    ("a.db", {"driver": "mysql"}, "'mysql'"),
    ("a.db", {"lock_timeout": 0}, "0"),
    ("a.db", {"read_only": "no"}, "'no'"),
    ("a.db", {"unknown": "ignore"}, "'ignore'"),
    ("a.db", {"clock": 5}, "5"),
    ("a.db", {"registry": 5}, "5"),
    ("a.db", {"profile": 5}, "5"),
    ("a.db", {"profile": "prod"}, "'prod'"),
    ("a.db", {"bus": 5}, "5"),
    ("a.db", {"bus": "http://h"}, "'http'"),
    ("a.db", {"bus": "ntas://h"}, "'ntas'"),
    ("a.db", {"bus": "nats://h/x"}, "nats://h/x"),
    ("a.db", {"bus": "nats://h?replicas=x"}, "'x'"),
    ("a.db", {"bus": "nats://h?mod=core"}, "'mod'"),
    ("postgresql://127.0.0.1:1/x", {"connect_timeout": 1}, "127.0.0.1"),
    ("postgresql://h/x", {"pool_size": 2}, "2"),
    ("postgresql://h/x?pooler=maybe", {}, "'maybe'"),
    ("postgresql://h/x", {"durability": "memory"}, "'memory'"),
    ("postgresql://h/x", {"schema": "pg_x"}, "'pg_x'"),
    ("mongodb://h/x", {"prefix": "9"}, "'9'"),
    ("mongodb://h/x?lock_timeout=soon", {}, "'soon'"),
    ("mongodb://h:99999/x", {}, "99999"),
]


@pytest.mark.parametrize(("url", "options", "value"), REFUSED, ids=repr)
def test_a_refusal_says_the_value_and_the_way_out(url: Any, options: dict[str, Any], value: str) -> None:
    """Whatever refuses it, the message is one line with the value as it was given, and says what to do."""
    for package, scheme in (("asyncpg", "postgresql"), ("pymongo", "mongodb"), ("nats", "nats")):
        if str(options.get("bus", url)).startswith(scheme):
            pytest.importorskip(package, reason=f"{package} is not installed")
    with pytest.raises(GoesError) as caught:
        blocking.connect(url, **options)
    message = str(caught.value)
    assert value in message
    assert WAY_OUT.search(message), message
    assert "\n" not in message


class Registered:
    """A backend of the test that opens a store in memory."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, dict[str, Any]]] = []

    async def open(self, location: str, runtime: Any, registry: Any, unknown: Any, **options: Any) -> Backend:
        self.calls.append((location, options))
        return await SQLiteBackend.open(":memory:", runtime, registry, unknown)


def test_a_backend_can_be_registered() -> None:
    """It gets the whole URL and the keywords; on the blocking face it runs on a loop thread unless it is embedded."""
    factory = Registered()
    register_backend("mine", factory)
    assert factory_for("mine") is factory
    url = "mine://host/x?y=z"
    assert opened(url, colour="red") == "sqlite:///:memory:"
    assert factory.calls == [(url, {"colour": "red"})] * 2
    with blocking.connect(url) as db:
        assert not db.backend.runtime.inline
        assert db.events.head() == 0
    with blocking.connect(url, inline=True) as db:
        assert db.backend.runtime.inline
    with pytest.raises(UnknownBackend) as caught:
        factory_for("other")
    assert "mine" in caught.value.installed


def test_entry_points_are_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed package serves its scheme and is loaded on first use."""
    point = importlib.metadata.EntryPoint("third", "goes_lite.sqlite:SQLiteBackend", "goes_lite.backends")

    def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        return [point] if group == "goes_lite.backends" else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert factory_for("third") is SQLiteBackend
    with pytest.raises(UnknownBackend) as caught:
        factory_for("fourth")
    assert {"sqlite", "third"} <= {*caught.value.installed}


FROZEN = """
import importlib.metadata, importlib.resources, sys
importlib.metadata.entry_points = lambda **_: importlib.metadata.EntryPoints()
sys.path[:0] = [sys.argv[1]]
import goes_lite as goes
assert goes.__file__.startswith(sys.argv[1])
goes.default_registry.register("seen", int)
with goes.blocking.connect(":memory:") as db:
    db.events.append([goes.Event(1, name="seen")])
    print("sqlite", db.events.head(), (importlib.resources.files("goes_lite") / "py.typed").read_bytes())
for url, bus in (("postgresql://h/x", None), ("mongodb://h/x", None), (":memory:", "nats://h?color=red")):
    try:
        goes.blocking.connect(url, bus=bus, **({"color": "red"} if bus is None else {}))
    except goes.errors.GoesError as exc:
        print(type(exc).__name__, exc)
"""


@pytest.fixture
def archive(tmp_path: Path) -> Callable[..., list[str]]:
    """Runs a program from a zip that contains these packages, without the metadata of anything; returns what it printed."""

    def run(*packages: str, drivers: bool = True) -> list[str]:
        path = tmp_path / "app.pyz"
        with zipfile.ZipFile(path, "w") as zipped:
            for package in packages:
                spec = importlib.util.find_spec(package)
                assert spec is not None
                assert spec.origin is not None
                folder = Path(spec.origin).parent
                for file in (*folder.rglob("*.py"), *folder.rglob("py.typed")):
                    zipped.write(file, Path(package) / file.relative_to(folder))
        places = [place for place in sys.path if drivers and place.endswith("site-packages")]
        return subprocess.run(
            [sys.executable, "-S", "-c", FROZEN, str(path)], env={**os.environ, "PYTHONPATH": os.pathsep.join(places)},
            check=True, capture_output=True, text=True, cwd=tmp_path,
        ).stdout.splitlines()  # fmt: skip

    return run


def test_a_zip_without_metadata_knows_what_comes_with_goes_lite(archive: Callable[..., list[str]]) -> None:
    """As a zipapp or a frozen program has it: the packages without their *.dist-info."""
    found = archive("goes_lite", "goes_lite_postgres", "goes_lite_mongo", "goes_lite_nats")
    assert found[0] == "sqlite 1 b''"
    assert len(found) == 4
    for line, driver in zip(found[1:], ("asyncpg", "pymongo", "nats"), strict=True):
        there = importlib.util.find_spec(driver) is not None
        assert line.startswith("ConfigError" if there else "DriverMissing"), line


def test_a_package_that_is_left_out_is_named(archive: Callable[..., list[str]]) -> None:
    """With what to do, in a frozen program as well; of a bus as a bus."""
    _, *found = archive("goes_lite", drivers=False)
    for line, package in zip(found, ("goes_lite_postgres", "goes_lite_mongo", "goes_lite_nats"), strict=True):
        assert line.startswith("UnknownBackend"), line
        assert f"--collect-submodules {package}" in line
        assert "connect('app.db', bus=" not in line


def test_a_composed_backend_can_do_what_its_parts_can() -> None:
    """REPLAY comes from the bus, everything else from the stores."""

    class Busless:
        embedded = True

        async def open(self, location: str, runtime: Any, registry: Any, unknown: Any, **options: Any) -> Backend:
            backend = await SQLiteBackend.open(":memory:", runtime, registry, unknown)
            backend.abilities = frozenset({"strange"})
            return backend

    register_backend("busless", Busless())
    with blocking.connect("app.db") as db:
        stores = db.abilities
    with blocking.connect("app.db", bus="busless://") as db:
        assert db.abilities == stores - {"replay"}
    with blocking.connect("busless://", bus="app.db") as db:
        assert db.abilities == {"strange", "replay"}


def test_a_bus_can_be_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """A bus alone serves `bus=…` but no store; any other scheme means a backend, whose bus is used."""
    factory = Registered()
    register_bus("carrier", factory)
    assert bus_factory_for("carrier") is factory
    assert bus_factory_for("sqlite") is SQLiteBackend
    with blocking.connect("app.db", bus="carrier://there?a=b", inline=True) as db:
        assert factory.calls == [("carrier://there?a=b", {})]
        assert db.location.endswith("app.db + sqlite:///:memory:")
    with pytest.raises(UnknownBackend, match="is a bus, and events need a store as well"):
        blocking.connect("carrier://there")
    with pytest.raises(UnknownBackend):
        bus_factory_for("nowhere")

    point = importlib.metadata.EntryPoint("third", "goes_lite.sqlite:SQLiteBackend", "goes_lite.buses")

    def entry_points(*, group: str) -> list[importlib.metadata.EntryPoint]:
        return [point] if group == "goes_lite.buses" else []

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    assert bus_factory_for("third") is SQLiteBackend


def test_two_backends_are_composed(tmp_path: Path) -> None:
    """The stores of one and the bus of the other; both are closed, the store also if the bus cannot be opened."""
    register_backend("mine", Registered())
    with blocking.connect("app.db", bus="mine://bus", inline=True) as db:
        assert db.location.endswith("app.db + sqlite:///:memory:")
        assert db.events.head() == 0
        composed = db.backend
    with pytest.raises(StoreClosed):
        db.events.head()
    assert "closed" in repr(composed)
    with pytest.raises(StoreUnavailable):
        blocking.connect("app.db", bus="sqlite:///missing/folder.db")
    with blocking.connect("app.db") as again:  # it would warn if the failed attempt had left it open
        again.events.head()


@pytest.fixture
def without_apsw(monkeypatch: pytest.MonkeyPatch) -> None:
    """Behave as if apsw were not installed."""
    monkeypatch.setitem(sys.modules, "apsw", None)
    monkeypatch.setattr(_driver, "_loaded", {})


@pytest.mark.usefixtures("without_apsw")
def test_without_apsw_the_standard_library_is_used() -> None:
    """Automatically; requesting apsw raises DriverMissing, an ImportError that says what to install."""
    with blocking.connect("app.db") as db:
        assert cast(SQLiteBackend, db.backend).driver.startswith("sqlite3")
    for attempt in (lambda: blocking.connect("b.db", driver="apsw"), lambda: asyncio.run(_open("b.db", driver="apsw"))):
        with pytest.raises(DriverMissing, match=r"pip install 'goes-lite\[fast\]'") as caught:
            attempt()
        assert isinstance(caught.value, ImportError)
        assert (caught.value.driver, caught.value.extra) == ("apsw", "fast")
    assert not os.path.exists("b.db")


def test_read_only_reads_and_changes_nothing(tmp_path: Path) -> None:
    """It creates no file, and memory cannot be read-only."""
    with pytest.raises(StoreUnavailable, match="does not exist"):
        blocking.connect("app.db", read_only=True)
    with pytest.raises(ConfigError, match="memory"):
        blocking.connect(":memory:", read_only=True)
    blocking.connect("app.db").close()
    assert opened("sqlite:///app.db?read_only=yes").endswith("app.db")
    with blocking.connect("app.db", read_only=True) as db:
        assert "read-only" in repr(db)
        with pytest.raises(StoreReadOnly):
            db.models.put("c", "1", "{}")


PLACES: dict[str, Callable[[Path], Any]] = {
    "a missing folder": lambda folder: folder / "missing" / "app.db",
    "a folder": lambda folder: folder,
}


@pytest.mark.parametrize("where", PLACES)
def test_places_that_cannot_hold_a_store(tmp_path: Path, where: str) -> None:
    """They raise StoreUnavailable, an OSError, with the path."""
    path = PLACES[where](tmp_path)
    for attempt in (lambda: blocking.connect(path), lambda: asyncio.run(_open(path))):
        with pytest.raises(StoreUnavailable) as caught:
            attempt()
        assert str(path) in str(caught.value)
        assert isinstance(caught.value, OSError)
    assert os.listdir(tmp_path) == []


def test_a_handle_can_be_awaited_too() -> None:
    """`await connect(…)` returns an open handle that the caller closes; its repr shows its state."""

    async def main() -> None:
        db = await connect("app.db")
        assert "os-crash" in repr(db)
        assert await db.events.head() == 0
        await db.close()
        assert "closed" in repr(db)
        with pytest.raises(StoreClosed):
            await db.events.head()

    asyncio.run(main())


def test_a_forgotten_handle_warns() -> None:
    """With a ResourceWarning, on both faces; a handle that failed to open does not warn."""
    db = blocking.connect(":memory:")
    backend = cast(SQLiteBackend, db.backend)
    with pytest.warns(ResourceWarning, match="was not closed"):
        backend.__del__()
    db.close()
    backend.__del__()


def test_a_cancelled_opening_leaves_no_thread() -> None:
    """Even though the traceback of the cancellation keeps its frames alive."""
    before = threading.enumerate()

    async def main() -> None:
        opening = asyncio.ensure_future(async_connect(":memory:").__aenter__())
        await asyncio.sleep(0)
        opening.cancel()
        with pytest.raises(asyncio.CancelledError) as caught:
            await opening
        for thread in set(threading.enumerate()) - set(before):
            thread.join(10)
            assert not thread.is_alive(), caught.traceback

    asyncio.run(main())


@pytest.mark.parametrize("inline", [True, False])
def test_closing_twice_is_allowed(inline: bool) -> None:
    """Afterwards everything else raises StoreClosed, with the location."""
    db = blocking.connect("app.db", inline=inline)
    db.close()
    db.close()
    with db:
        pass
    for attempt in (db.events.head, lambda: db.transaction().__enter__(), lambda: db.backup("copy.db")):
        with pytest.raises(StoreClosed) as caught:
            attempt()
        assert "app.db" in caught.value.location


class Cup(Aggregate, name="cup"):
    pass


@pytest.mark.parametrize("inline", [True, False])
def test_a_function_passed_to_use_may_use_the_handle(inline: bool) -> None:
    """For example to look something up before it changes an aggregate or a read model, with and without a loop thread."""
    with blocking.connect("sqlite:///:memory:", inline=inline) as db:
        heads: list[int] = []

        def look(cup: Cup) -> None:
            heads.append(db.events.head())

        db.repository(Cup).use("1", look, create=True)
        counted = db.models_of("counted", int).use("1", lambda number: number + 1 + db.events.head(), default=0)
    assert (heads, counted) == ([0], 1)


def test_errors_of_connecting_have_one_base() -> None:
    """BackendError catches all errors of URLs, options and drivers."""
    for error in (ConfigError, UnknownBackend, DriverMissing, AbilityMissing):
        assert issubclass(error, BackendError)
