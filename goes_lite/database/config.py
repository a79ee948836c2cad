"""What `connect()` opens: from its arguments, the environment, and a profile and the top level of goes.toml.

`configuration` decides, and touches nothing: it says of each setting which value would be used, and where it comes from.
`read_configuration` calls it with the environment and the goes.toml of the running program.

For each setting, the first of these that has it decides:

1. the arguments of `connect`;
2. the environment: GOES_LITE_URL, GOES_LITE_BUS_URL, and GOES_LITE_PROFILE, which selects the profile;
3. the profile: a table of goes.toml;
4. the top level of goes.toml.

A program that names a URL or a profile reads no environment, and one that names a URL and no profile reads no file either.
Where options are given in the query of the URL, they go before those that are given next to it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, cast
from urllib.parse import parse_qsl, urlsplit

from goes_lite.database.address import is_secret, shown_url
from goes_lite.errors import ConfigError
from goes_lite.errors.options import did_you_mean, similar

FILE = "goes.toml"
URL, BUS_URL, PROFILE = "GOES_LITE_URL", "GOES_LITE_BUS_URL", "GOES_LITE_PROFILE"
ARGUMENT = "connect()"

_TOP_LEVEL, _PROFILE, _ENVIRONMENT, _ARGUMENT = range(4)
"""The sources, from the one that decides last to the one that decides first."""

Check = Callable[[str, Any], object]
"""Raises ConfigError for a wrong value of the option of that name."""


class Setting(NamedTuple):
    """One setting: `url`, `bus` or an option of the backend, and where it is given."""

    name: str
    value: Any
    """As it is given. It may contain a password: print `shown` instead."""
    source: str
    """'connect()', the name of an environment variable, 'goes.toml', or 'goes.toml [profile]'."""
    overridden_by: str
    """The source whose value is used instead; empty if this one is used."""

    @property
    def used(self) -> bool:
        """Whether this is the value that counts."""
        return not self.overridden_by

    @property
    def shown(self) -> str:
        """The value for people, without a password."""
        if is_secret(self.name):
            return "***"
        if self.name in ("url", "bus") and isinstance(self.value, str):
            return shown_url(self.value)
        return repr(self.value) if isinstance(self.value, (bool, int, float)) else str(self.value)

    def __repr__(self) -> str:
        return f"<Setting {self.name}: {self.shown} from {self.source}{'' if self.used else ', overridden'}>"


class Configuration(NamedTuple):
    """Which settings there are for `connect()`, used or not, and where each comes from."""

    settings: tuple[Setting, ...]
    """For each name the one that is used, followed by those that it overrides; `url` and `bus` come first."""
    profile: str | None
    """The profile that is selected."""
    profiles: tuple[str, ...]
    """All profiles of the file."""

    def find(self, name: str) -> Setting | None:
        """Return the setting of that name that is used."""
        return next((one for one in self.settings if one.name == name and one.used), None)

    @property
    def url(self) -> str | os.PathLike[str] | None:
        """The URL or path of the store; None if it is not given."""
        return found.value if (found := self.find("url")) else None

    @property
    def bus(self) -> str | None:
        """The URL of the bus; None for the store's own."""
        return (found.value or None) if (found := self.find("bus")) else None

    @property
    def options(self) -> dict[str, Any]:
        """The options of the backend that are used, but for those in the query of the URL."""
        return {one.name: one.value for one in self.settings if one.used and one.name not in ("url", "bus")}

    def check(self, backend: str, checks: Mapping[str, Check]) -> None:
        """ConfigError unless what files say are options of the backend, which knows those in `checks`, with right values."""
        url = self.find("url")
        for one in self.settings:
            if one.name in ("url", "bus") or not one.used or not one.source.startswith(FILE):
                continue
            if one.name not in checks:
                mixed = url is not None and url.source != one.source
                hint = did_you_mean(one.name, ["url", "bus", *checks]) or (
                    f"the url is that of {url.source}: put the options of other backends into a profile of their own"
                    if mixed and url
                    else f"use url, bus and {', '.join(checks)}"
                )
                raise ConfigError(f"{one.source}: {one.name!r} is no option of {backend}: {hint}")
            try:
                checks[one.name](one.name, one.value)
            except ConfigError as exc:
                raise ConfigError(f"{one.source}: {exc}") from None

    def __repr__(self) -> str:
        return f"<Configuration {', '.join(f'{one.name}: {one.shown}' for one in self.settings if one.used)}>"


def configuration(
    url: str | os.PathLike[str] | None = None,
    bus: str | None = None,
    profile: str | None = None,
    options: Mapping[str, Any] | None = None,
    *,
    environ: Mapping[str, str],
    file: Mapping[str, Any] | None,
) -> Configuration:
    """Return what `connect` with these arguments would use in this environment, with this content of goes.toml.

    `file` is None if there is none. Nothing is opened or looked up. Raises ConfigError for what cannot be meant: a profile
    that does not exist, a value of a wrong type. It contains no password.
    """
    for name, value in (("bus", bus), ("profile", profile)):
        if value is not None and not isinstance(value, str):
            raise ConfigError(f"{name} must be a {'URL' if name == 'bus' else 'name'}, not {value!r:.80}")
    if url is not None and profile is None:
        file = None
    if url is not None or profile is not None:
        environ = {}
    tables = _tables(file or {})
    chosen, by = _chosen(profile, environ, file or {})
    if chosen is not None and chosen not in tables:
        raise _no_profile(chosen, by, tables, file is not None)
    given: list[tuple[int, str, str, Any]] = []
    if url is not None:
        given.append((_ARGUMENT, ARGUMENT, "url", url))
    if bus is not None:
        given.append((_ARGUMENT, ARGUMENT, "bus", bus))
    given += [(_ARGUMENT, ARGUMENT, name, value) for name, value in (options or {}).items()]
    given += [
        (_ENVIRONMENT, variable, name, environ[variable])
        for name, variable in (("url", URL), ("bus", BUS_URL))
        if environ.get(variable)
    ]
    if chosen is not None:
        given += [(_PROFILE, f"{FILE} [{chosen}]", name, value) for name, value in tables[chosen].items()]
    given += [(_TOP_LEVEL, FILE, name, value) for name, value in tables[None].items()]
    return Configuration(_decided(given), chosen, tuple(name for name in tables if name is not None))


def read_configuration(
    url: str | os.PathLike[str] | None = None,
    bus: str | None = None,
    profile: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> Configuration:
    """Return what `connect` with these arguments uses now: `configuration` with this environment and goes.toml.

    The file is the one in the working folder. Raises ConfigError also if it cannot be read.
    """
    needed = url is None or profile is not None
    return configuration(url, bus, profile, options, environ=os.environ, file=_read() if needed else None)


def no_url(found: Configuration) -> ConfigError:
    """Return the error for a configuration without a URL, which says where one can be given."""
    where = f"{FILE} [{found.profile}]" if found.profile else FILE
    if meant := similar("url", [one.name for one in found.settings if one.source.startswith(FILE)]):
        return ConfigError(f"{where} has no url, but {meant[0]!r}: did you mean 'url'?")
    if found.profiles and not found.profile:
        return ConfigError(
            f"{FILE} has no url outside of its profiles: select one of {', '.join(found.profiles)} with {PROFILE}, "
            'connect(profile=…), or a line profile = "…" at the top of the file'
        )
    return ConfigError(
        f"connect() without a URL needs the environment variable {URL} (such as sqlite:///app.db), or a {FILE} "
        f'in the working folder with url = "…"{f" in [{found.profile}]" if found.profile else ""}'
    )


def _read() -> dict[str, Any] | None:
    import tomllib

    try:
        with open(FILE, "rb") as file:
            return tomllib.load(file)
    except FileNotFoundError:
        return None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(f"{FILE} is not valid TOML: {exc}") from exc
    except OSError as exc:
        raise ConfigError(f"{FILE} cannot be read: {exc}") from exc


def _tables(file: Mapping[str, Any]) -> dict[str | None, dict[str, Any]]:
    """Return the settings of the top level (None) and of each profile; ConfigError for a value of a wrong type."""
    tables: dict[str | None, dict[str, Any]] = {None: {}}
    for name, value in file.items():
        if isinstance(value, dict):
            tables[name] = cast("dict[str, Any]", value)
        elif name != "profile":
            tables[None][name] = value
    for profile, table in tables.items():
        where = FILE if profile is None else f"{FILE} [{profile}]"
        for name, value in table.items():
            if name in ("url", "bus"):
                if not isinstance(value, str):
                    raise ConfigError(f"the {name} in {where} must be a string, not a {type(value).__name__}")
                if name == "url" and not value:
                    raise ConfigError(f"the url in {where} is empty: give the URL or path of a store")
            elif not isinstance(value, str | int | float):
                raise ConfigError(
                    f"{where}: {name} must be a string, a number, true or false, not a {type(value).__name__}"
                )
    return tables


def _chosen(profile: str | None, environ: Mapping[str, str], file: Mapping[str, Any]) -> tuple[str | None, str]:
    """Return the name of the profile that is selected, and what selects it."""
    if profile is not None:
        return profile, f"connect(profile={profile!r})"
    if environ.get(PROFILE):
        return environ[PROFILE], f"{PROFILE}={environ[PROFILE]!r}"
    default = file.get("profile")
    if default is not None and not isinstance(default, str):
        raise ConfigError(f"the profile in {FILE} must be the name of one of its tables, not {default!r:.80}")
    return default, f"the line profile = {default!r} of {FILE}"


def _no_profile(name: str, by: str, tables: Iterable[str | None], there: bool) -> ConfigError:
    if not there:
        return ConfigError(f"{by} needs a {FILE} in the working folder, with a table [{name}]")
    known = [table for table in tables if table is not None]
    hint = did_you_mean(name, known) or (f"there is {', '.join(known)}" if known else f"add a table [{name}] to it")
    return ConfigError(f"{by} names no profile of {FILE}: {hint}")


def _decided(given: list[tuple[int, str, str, Any]]) -> tuple[Setting, ...]:
    """Return the settings by name, each with the source that decides it."""
    by: dict[str, tuple[int, str]] = {}
    for rank, source, name, _ in given:
        if name not in by or rank > by[name][0]:
            by[name] = rank, source
    in_query: dict[str, str] = {}
    if "url" in by:
        rank, source = by["url"]
        url = next(value for r, _, name, value in given if (r, name) == (rank, "url"))
        for name in _queried(url):
            # keywords go before the query even of a URL that is passed with them; what a file says next to a URL does not
            if name in by and by[name][0] <= rank != _ARGUMENT:
                in_query[name] = f"the query of {source}"
    order = list(dict.fromkeys(["url", "bus", *(name for _, _, name, _ in given)]))
    return tuple(
        Setting(name, value, source, in_query.get(name) or ("" if (rank, source) == by[name] else by[name][1]))
        for rank, source, name, value in sorted(given, key=lambda one: (order.index(one[2]), -one[0]))
    )


def _queried(url: object) -> list[str]:
    """Return the names in the query of a URL."""
    if not isinstance(url, str) or "://" not in url:
        return []
    try:
        return [name for name, _ in parse_qsl(urlsplit(url).query, keep_blank_values=True)]
    except ValueError:
        return []  # opening it says what is wrong with it
