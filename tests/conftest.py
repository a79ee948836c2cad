"""What holds for every test: how much randomness, how long the soak tests soak, and that nothing blocks an event loop."""

from __future__ import annotations

import gc
import os
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from importlib import metadata
from importlib.util import find_spec
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

import goes_lite
from tests import shares
from tests.long import is_long

try:
    from blockbuster import BlockBuster
except ImportError:  # no test needs it
    BlockBuster = None  # type: ignore[assignment,misc]

# pytester runs pytest inside tests; the report says at the end what became of the rules of the conformance suites, which
# run in other processes under xdist.
pytest_plugins = ["pytester", "goes_lite_conformance.report", "tests.progress"]

# A shell lets what it runs in the background ignore Ctrl-C, and children inherit that: tests that interrupt one of
# theirs would wait for ever.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# HYPOTHESIS_PROFILE chooses: `ci` (the default) tries the same examples every time, so that a failure is about the
# change at hand; `deep` looks for new ones.
settings.register_profile(
    "ci",
    derandomize=True,
    max_examples=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    print_blob=True,
)
settings.register_profile("quick", settings.get_profile("ci"), max_examples=10)
settings.register_profile("deep", settings.get_profile("ci"), derandomize=False, max_examples=2000)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))

PLACES = ("place", "file", "loop_place", "driver", "world")
"""The parameters of tests that say on which face and driver they run."""

SERVERS = tuple(
    f"{kind}{name}" for kind in ("test_", "test_operator_faults_") for name in ("postgres", "nats", "mongo")
)
"""How the names of files begin whose tests need a server."""

DATABASES = {"postgresql", "mongodb"}
"""Parameters of tests that say on which servers they run."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--rounds",
        type=int,
        default=1,
        metavar="N",
        help="soak: tests that race, kill or restart something do it N times as often (default: 1, a few seconds)",
    )
    parser.addoption(
        "--share",
        type=int,
        default=0,
        metavar="N",
        help="run each rule on one backend, driver and face of many; another N, another choice (default: 0)",
    )
    parser.addoption("--all", action="store_true", help="run everything: each rule on every backend, driver and face")


def pytest_configure(config: pytest.Config) -> None:
    from goes_lite_conformance.harness.contract import CHOICE  # not before pytest can rewrite its asserts

    share = _share(config)
    if share is None:
        return

    def choose(rule: str, kinds: Sequence[tuple[str, str]]) -> Sequence[tuple[str, str]]:
        return shares.choose(rule, shares.of_leg(kinds, find_spec("apsw") is not None), share)

    config.stash[CHOICE] = choose


def _share(config: pytest.Config) -> int | None:
    """Which share of the combinations the run takes; None for all of them."""
    return None if config.getoption("--all") else int(config.getoption("--share") or 0)


def pytest_pycollect_makeitem(collector: pytest.Collector, obj: object) -> list[pytest.Item] | None:
    """A rule that has no turn on a backend is not collected at all: they are thousands, in every process of a run."""
    share, rule = _share(collector.config), getattr(obj, "rule", None)
    if share is None or rule is None or not isinstance(collector, pytest.Class):
        return None
    leg = [] if find_spec("apsw") else ["Bare"]
    return None if shares.has_turn(rule.id, [*leg, *(cls.__name__ for cls in collector.obj.__mro__)], share) else []


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """What is in a file named after a server needs one; some tests are slow; and what another share runs is not run."""
    for item in items:
        if item.path.stem.startswith(SERVERS) or not DATABASES.isdisjoint(_words(item)):
            item.add_marker(pytest.mark.server)
        path, _, test = item.nodeid.partition("[")[0].partition("::")
        on_a_database = item.get_closest_marker("server") and not path.startswith("tests/bus/")
        if is_long(path.removeprefix("tests/"), test) or (
            on_a_database and not hasattr(getattr(item, "obj", None), "rule")
        ):
            item.add_marker(pytest.mark.slow)
    share = _share(config)
    if share is None:
        return
    groups: dict[str, dict[tuple[str, ...], list[pytest.Item]]] = {}
    dropped: set[pytest.Item] = set()
    for item in items:
        if not isinstance(item, pytest.Function) or hasattr(item.obj, "rule") or not (where := _where(item)):
            continue
        if "apsw" in where and find_spec("apsw") is None:
            dropped.add(item)
            continue
        test, _, parameters = item.nodeid.partition("[")
        others = [word for word in parameters.rstrip("]").split("-") if word not in where]
        groups.setdefault("-".join([test, *others]), {}).setdefault(where, []).append(item)
    for name, kinds in groups.items():
        chosen = shares.choose(name, list(kinds), share)
        dropped.update(item for where, group in kinds.items() if where not in chosen for item in group)
    if dropped:
        config.hook.pytest_deselected(items=[item for item in items if item in dropped])
        items[:] = [item for item in items if item not in dropped]


def pytest_collection_finish() -> None:
    """Let the garbage collector forget what is there for the whole run: many tests collect, and it is most of the heap."""
    gc.collect()
    gc.freeze()


def _words(item: pytest.Item) -> list[str]:
    """The parameters of a test that are text."""
    callspec: Any = getattr(item, "callspec", None)
    parameters: dict[str, Any] = callspec.params if callspec else {}
    return [value for value in parameters.values() if isinstance(value, str)]


def _where(item: pytest.Function) -> tuple[str, ...]:
    """The words that say on which face and driver it runs, of a test that runs on several."""
    parameters: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    said = [str(parameters[name]).split("-") for name in PLACES if name in parameters]
    return tuple(word for words in said if shares.WORDS.issuperset(words) for word in words)


@pytest.fixture(scope="session")
def rounds(pytestconfig: pytest.Config) -> int:
    """The factor by which soak tests multiply their work: 1 unless --rounds was given."""
    return int(pytestconfig.getoption("--rounds") or 1)


@pytest.fixture(scope="session")
def share(pytestconfig: pytest.Config) -> int | None:
    """Which share of the combinations this run takes; None for all of them."""
    return _share(pytestconfig)


def pytest_report_header() -> str:
    """Which of the optional packages are there: what a run was about."""
    found: list[str] = []
    for name in (
        "apsw",
        "msgspec",
        "protobuf",
        "attrs",
        "asyncpg",
        "pymongo",
        "nats-py",
        "blockbuster",
    ):
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return f"sqlite3: SQLite {sqlite3.sqlite_version}; optional packages: {', '.join(found) or 'none'}"


@pytest.fixture(scope="session", autouse=True)
def _no_blocking_calls() -> Iterator[None]:
    """Blocking calls that goes_lite makes on a running event loop (files, sockets, sqlite3, sleep) raise BlockingError.

    Only what runs below a function of goes_lite is looked at: tests may block in their own code. Threads without an
    event loop may block, so the writer and the readers of a store do as they like. Locks are left out: those of
    goes_lite are held for a few instructions. apsw is out of reach, its calls are C; the tests on sqlite3 run through
    the same code. `tests/backends/test_sqlite_reads.py` watches what runs on the loop nevertheless.
    """
    if BlockBuster is None:
        yield
        return
    # A module with the path of the package and a separator behind it, or goes_lite_conformance would be meant too.
    package = ModuleType("goes_lite")
    package.__path__ = [os.path.join(goes_lite.__path__[0], "")]
    guard = BlockBuster(scanned_modules=[package])
    for name in [name for name in guard.functions if name.startswith("threading.")]:
        del guard.functions[name]
    for function in guard.functions.values():
        # asyncpg looks for files with passwords and certificates each time it connects; there is no other way to have it do so.
        function.can_block_in("asyncpg/connect_utils.py", "_parse_connect_arguments")
        # pymongo looks once, for each client, whether it is in a container, and reads certificates where there are some.
        function.can_block_in("pymongo/pool_options.py", "get_container_env_info")
        function.can_block_in("pymongo/ssl_support.py", "get_ssl_context")
    for name in [name for name in guard.functions if name.startswith("sqlite3.")]:
        # Brief reads, which are interrupted when they last, and never wait for a lock.
        guard.functions[name].can_block_in("goes_lite/sqlite/_connection.py", "attempt")
        # Commits that do not wait for the disk, nor for a lock.
        guard.functions[name].can_block_in("goes_lite/sqlite/_loop_writer.py", "_commit_now")
    for name in ("os.stat", "os.path.samestat"):  # they look at the files before each commit
        guard.functions[name].can_block_in("goes_lite/sqlite/_loop_writer.py", "_commit_now")
    guard.activate()
    yield
    guard.deactivate()


@pytest.fixture(scope="session", autouse=True)
def _no_server_is_left() -> Iterator[None]:
    """Servers that tests share are started by the first that asks, and end with the run."""
    yield
    for name in ("postgres", "mongo"):
        if server := sys.modules.get(f"goes_lite_conformance.servers.{name}"):
            server.close_shared()
