"""Errors about finding and configuring a backend."""

from __future__ import annotations

from collections.abc import Sequence

from goes_lite.errors._base import GoesError


class BackendError(GoesError):
    """Base of errors about finding and configuring a backend."""


class UnknownBackend(BackendError, LookupError):
    """No installed backend serves this URL scheme. Attributes: `scheme`, `installed`."""

    def __init__(self, scheme: str, installed: Sequence[str], hint: str = "") -> None:
        self.scheme = scheme
        self.installed = tuple(installed)
        listed = ", ".join(installed) or "none"
        super().__init__(f"no backend for {scheme!r} URLs is installed (installed: {listed}){hint}")


class DriverMissing(BackendError, ImportError):
    """The backend's driver package is not installed. Attributes: `backend`, `driver`, `extra`."""

    def __init__(self, backend: str, driver: str, extra: str) -> None:
        self.backend = backend
        self.driver = driver
        self.extra = extra
        super().__init__(f"{backend} needs {driver}: pip install 'goes-lite[{extra}]'")


class ConfigError(BackendError, ValueError):
    """A URL, an option, an environment variable or a configuration file is wrong."""


class AbilityMissing(BackendError):
    """The backend does not support what was asked. Attributes: `ability`, `backend`."""

    def __init__(self, ability: str, backend: str) -> None:
        self.ability = ability
        self.backend = backend
        super().__init__(f"{backend} does not support {ability!r}: use a backend whose abilities include it")
