"""Where the settings of `connect()` come from, and which of them counts: arguments, environment, profile, top level."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import goes_lite
from goes_lite import blocking
from goes_lite.database.config import Configuration, configuration, read_configuration
from goes_lite.errors import ConfigError

TWO = """
url = "app.db"
lock_timeout = 5

[dev]
durability = "memory"

[prod]
url = "postgresql://shop:hunter2@db/shop?pool_size=20"
bus = "nats://hunter2@mq"
pool_size = 8
schema = "shop"
"""


@pytest.fixture(autouse=True)
def _alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Remove all settings but those of the test."""
    for name in ("GOES_LITE_URL", "GOES_LITE_BUS_URL", "GOES_LITE_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def two(tmp_path: Path) -> Path:
    """A goes.toml with two profiles."""
    file = tmp_path / "goes.toml"
    file.write_text(TWO, encoding="utf-8")
    return file


def opened(*arguments: Any, **keywords: Any) -> tuple[str, str]:
    """Open a store through both faces, and return its location and durability."""

    async def asynchronously() -> tuple[str, str]:
        async with goes_lite.connect(*arguments, **keywords) as db:
            return db.location, db.durability

    with blocking.connect(*arguments, **keywords) as db:
        found = db.location, db.durability
    assert asyncio.run(asynchronously()) == found
    return os.path.basename(found[0]), found[1]


# --- which one counts -----------------------------------------------------------------------------------------------


def test_a_profile_goes_before_the_top_level(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Selected by an argument, the environment, or the file; what it does not say is said by the top level."""
    assert opened() == ("app.db", "os-crash")
    assert opened(profile="dev") == ("app.db", "process-crash")
    monkeypatch.setenv("GOES_LITE_PROFILE", "dev")
    assert opened() == ("app.db", "process-crash")
    assert read_configuration().options == {"durability": "memory", "lock_timeout": 5}
    monkeypatch.delenv("GOES_LITE_PROFILE")
    two.write_text('profile = "dev"\n' + TWO, encoding="utf-8")
    assert opened() == ("app.db", "process-crash")
    assert read_configuration().profile == "dev"
    monkeypatch.setenv("GOES_LITE_PROFILE", "prod")
    assert read_configuration().profile == "prod"


def test_the_environment_goes_before_the_file(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each variable for its setting alone: the others of the file count as well, so nothing is ignored without a word."""
    monkeypatch.setenv("GOES_LITE_URL", "env.db")
    two.write_text('url = "app.db"\ndurability = "normal"\nbus = "toml://bus"\n', encoding="utf-8")
    found = read_configuration()
    assert (found.url, found.bus, found.options) == ("env.db", "toml://bus", {"durability": "normal"})
    monkeypatch.setenv("GOES_LITE_BUS_URL", "env://bus")
    assert read_configuration().bus == "env://bus"
    two.write_text('url = "app.db"\ndurability = "normal"\n', encoding="utf-8")
    monkeypatch.delenv("GOES_LITE_BUS_URL")
    assert opened() == ("env.db", "process-crash")
    assert opened(durability="full") == ("env.db", "os-crash")


def test_arguments_go_before_everything(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that names its URL reads neither environment nor file; with a profile it reads the file."""
    monkeypatch.setenv("GOES_LITE_URL", "env.db")
    monkeypatch.setenv("GOES_LITE_BUS_URL", "env://bus")
    monkeypatch.setenv("GOES_LITE_PROFILE", "no such")
    assert opened("given.db") == ("given.db", "os-crash")
    assert opened("given.db", profile="dev") == ("given.db", "process-crash")
    assert opened(profile="dev") == ("app.db", "process-crash")
    monkeypatch.setenv("GOES_LITE_PROFILE", "")
    assert read_configuration(bus="given://bus").bus == "given://bus"
    assert read_configuration(bus="").bus is None
    assert read_configuration("given.db").bus is None


def test_the_query_of_the_url_goes_before_what_is_next_to_it() -> None:
    """But a profile goes before the URL of the top level, and a keyword before every URL."""
    top: dict[str, Any] = {"url": "sqlite:///a.db?lock_timeout=3", "lock_timeout": 9}

    def options(file: Mapping[str, Any], environ: Mapping[str, str], **keywords: Any) -> dict[str, Any]:
        return configuration(options=keywords, environ=environ, file=file).options

    assert options(top, {}) == {}
    assert options({"profile": "p", "p": {"lock_timeout": 7}, **top}, {}) == {"lock_timeout": 7}
    assert options(top, {"GOES_LITE_URL": "sqlite:///b.db"}) == {"lock_timeout": 9}
    assert options(top, {"GOES_LITE_URL": "sqlite:///b.db?lock_timeout=4"}) == {}
    assert options(top, {}, lock_timeout=1) == {"lock_timeout": 1}
    assert options(top, {"GOES_LITE_URL": "sqlite:///b.db?lock_timeout=4"}, lock_timeout=1) == {"lock_timeout": 1}


NAMES = ("url", "bus", "pool_size")
LEVELS = st.fixed_dictionaries({name: st.booleans() for name in NAMES})


@given(argument=LEVELS, environment=LEVELS, profile=LEVELS, top=LEVELS)
def test_the_first_source_that_has_a_setting_decides(
    argument: dict[str, bool], environment: dict[str, bool], profile: dict[str, bool], top: dict[str, bool]
) -> None:
    """For every combination of sources; those that are overridden are listed, and say by what."""

    def values(level: dict[str, bool], name: str) -> dict[str, Any]:
        return {setting: f"{name}-{setting}" for setting, there in level.items() if there}

    arguments = values(argument, "argument")
    environ = values(environment, "environment")
    found = configuration(
        arguments.get("url"),
        arguments.get("bus"),
        options={name: value for name, value in arguments.items() if name == "pool_size"},
        environ={
            "GOES_LITE_PROFILE": "p",
            "GOES_LITE_URL": environ.get("url", ""),
            "GOES_LITE_BUS_URL": environ.get("bus", ""),
        },
        file={"p": values(profile, "profile"), **values(top, "top")},
    )
    environ.pop("pool_size", None)
    alone = argument["url"]
    sources = [arguments] if alone else [arguments, environ, values(profile, "profile"), values(top, "top")]
    for name in NAMES:
        candidates = [source[name] for source in sources if name in source]
        assert [one.value for one in found.settings if one.name == name] == candidates
        used = found.find(name)
        assert (used.value if used else None) == (candidates[0] if candidates else None)
        overridden = {one.overridden_by for one in found.settings if one.name == name and not one.used}
        assert overridden <= {used.source if used else ""}


def test_it_says_what_counts_and_where_it_is_from() -> None:
    """In order, with what is overridden; URLs are shown without passwords and tokens."""
    import tomllib

    found = configuration(
        options={"schema": "mine", "password": "hunter2"},
        environ={"GOES_LITE_PROFILE": "prod"},
        file=tomllib.loads(TWO),
    )
    assert [(one.name, one.shown, one.source, one.overridden_by) for one in found.settings] == [
        ("url", "postgresql://shop:***@db/shop?pool_size=20", "goes.toml [prod]", ""),
        ("url", "app.db", "goes.toml", "goes.toml [prod]"),
        ("bus", "nats://***@mq", "goes.toml [prod]", ""),
        ("schema", "mine", "connect()", ""),
        ("schema", "shop", "goes.toml [prod]", "connect()"),
        ("password", "***", "connect()", ""),
        ("pool_size", "8", "goes.toml [prod]", "the query of goes.toml [prod]"),
        ("lock_timeout", "5", "goes.toml", ""),
    ]
    assert (found.profile, found.profiles) == ("prod", ("dev", "prod"))
    assert "hunter2" not in f"{found!r}{found.settings!r}"


# --- what is refused ------------------------------------------------------------------------------------------------

WRONG: dict[str, tuple[str, dict[str, Any], str]] = {
    "a misspelt key": ('url = "a.db"\ndurabilty = "full"', {}, r"goes\.toml: 'durabilty' .* did you mean 'durability'\?"),
    "a misspelt url": ('ulr = "a.db"', {}, r"goes\.toml has no url, but 'ulr': did you mean 'url'\?"),
    "a key of nobody": ('url = "a.db"\ncolour = "red"', {}, r"'colour' is no option of sqlite: use url, bus and durability"),
    "in a profile": ('[p]\nurl = "a.db"\ndriverr = "x"', {"profile": "p"}, r"goes\.toml \[p\]: 'driverr' .*'driver'\?"),
    "a misspelt profile": ('[prod]\nurl = "a.db"', {"profile": "prd"}, r"connect\(profile='prd'\) .* did you mean 'prod'\?"),
    "no such profile": ('url = "a.db"', {"profile": "x"}, r"connect\(profile='x'\) .* add a table \[x\]"),
    "a default that is none": ('profile = "x"\nurl = "a.db"\n[dev]', {}, r"profile = 'x' of goes\.toml .* there is dev"),
    "no profile selected": ('[dev]\nurl = "a.db"\n[prod]', {}, r"select one of dev, prod with GOES_LITE_PROFILE"),
    "a profile without url": ('[dev]\ndurability = "full"', {"profile": "dev"}, r'url = "…" in \[dev\]'),
    "a number as url": ("url = 5", {}, "the url in goes.toml must be a string, not a int"),
    "a list as bus": ('url = "a.db"\nbus = ["nats://u:hunter2@h"]', {}, "the bus in goes.toml must be a string, not a list"),
    "an empty url": ('[p]\nurl = ""', {"profile": "p"}, r"the url in goes\.toml \[p\] is empty"),
    "a table in a profile": ('url = "a.db"\n[p.q]\nx = 1', {}, r"goes\.toml \[p\]: q must be a string, a number, true"),
    "a time": ('url = "a.db"\ndurability = 2026-01-01', {}, "goes.toml: durability must be a string"),
    "text for a number": ('url = "a.db"\nlock_timeout = "9"', {}, r"goes\.toml: lock_timeout='9': must be a number"),
    "a number for a flag": ('[p]\nurl = "a.db"\nread_only = 1', {"profile": "p"}, r"goes\.toml \[p\]: read_only=1: must be"),
    "a wrong word": ('url = "a.db"\ndurability = "fast"', {}, "goes.toml: unknown durability='fast'"),
    "a profile of no text": ('profile = 5\nurl = "a.db"', {}, "the profile in goes.toml must be the name"),
    "an argument of no text": ("", {"profile": 5}, "profile must be a name, not 5"),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_what_cannot_be_meant_is_refused(case: str, tmp_path: Path) -> None:
    """ConfigError, on both faces, names the place and what was probably meant; no file is created, no password shown."""
    text, arguments, message = WRONG[case]
    (tmp_path / "goes.toml").write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=message) as caught:
        opened(**arguments)
    assert "hunter2" not in str(caught.value)

    async def asynchronously() -> None:
        await goes_lite.connect(**arguments)

    with pytest.raises(ConfigError, match=message):
        asyncio.run(asynchronously())
    assert os.listdir(tmp_path) == ["goes.toml"]


def test_options_for_another_backend_are_refused(two: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The URL of the environment is of a backend that does not have them: the error says both places."""
    two.write_text('url = "postgresql://db/shop"\nschema = "shop"\n', encoding="utf-8")
    monkeypatch.setenv("GOES_LITE_URL", "env.db")
    with pytest.raises(
        ConfigError, match=r"goes\.toml: 'schema' is no option of sqlite: the url is that of GOES_LITE_URL"
    ):
        blocking.connect()


def test_a_profile_needs_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a URL is given: that would not be what the profile says."""
    with pytest.raises(ConfigError, match=r"connect\(profile='prod'\) needs a goes\.toml"):
        blocking.connect("app.db", profile="prod")
    monkeypatch.setenv("GOES_LITE_PROFILE", "prod")
    monkeypatch.setenv("GOES_LITE_URL", "app.db")
    with pytest.raises(ConfigError, match=r"GOES_LITE_PROFILE='prod' needs a goes\.toml"):
        blocking.connect()


@pytest.mark.parametrize(
    ("url", "package", "options"),
    [
        ("postgresql://db/shop", "asyncpg", {"pool_sise": 8, "pool_size": 1, "pooler": "yes", "listen": 1, "jsonb": 0}),
        ("mongodb://db/shop", "pymongo", {"prefx": "a", "prefix": "9", "lock_timeout": "5", "connect_timeout": -1}),
    ],
)
def test_options_of_servers_are_checked_before_anything_is_opened(
    url: str, package: str, options: dict[str, Any], tmp_path: Path
) -> None:
    """No server is asked: the addresses lead nowhere."""
    pytest.importorskip(package, reason=f"{package} is not installed")
    for name, value in options.items():
        text = f"'{value}'" if isinstance(value, str) else value
        (tmp_path / "goes.toml").write_text(f"url = '{url}'\n[p]\n{name} = {text}\n", encoding="utf-8")
        with pytest.raises(ConfigError, match=rf"goes\.toml \[p\]: .*{name}"):
            blocking.connect(profile="p")


def test_a_configuration_is_a_value() -> None:
    """Nothing is read but what is passed."""
    found = configuration(environ={}, file=None)
    assert found == Configuration((), None, ())
    assert (found.url, found.bus, found.options) == (None, None, {})
