"""Credentials of a connection: a password, a token, a key or credentials in a file, a certificate.

Rule of this file: files are checked before connecting, because a missing or wrong one would look like a broker that cannot
be reached. Their content appears in no message.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from goes_lite.errors import ConfigError
from goes_lite_nats._options import ServerAddress

_SEED = b"BEGIN USER NKEY SEED"


def login(address: ServerAddress) -> Mapping[str, Any]:
    """Return the arguments for the driver. ConfigError for a file that cannot be used, or if the package nkeys is missing."""
    options = address.options
    arguments: dict[str, Any] = {"user": address.user, "password": address.password}
    if options.token:
        arguments["token"] = options.token
    if options.creds:
        _check_seed("creds", options.creds, "credentials")
        arguments["user_credentials"] = options.creds
    if options.nkey:
        _check_seed("nkey", options.nkey, "the seed of an nkey")
        arguments["nkeys_seed"] = options.nkey
    if options.secure:
        arguments["tls"] = _tls(options.tls_ca, options.tls_cert, options.tls_key)
        if options.tls_hostname:
            arguments["tls_hostname"] = options.tls_hostname
    return arguments


def _check_seed(option: str, path: str, what: str) -> None:
    try:
        nkeys: Any = import_module("nkeys")  # it has no type information
    except ImportError as exc:
        raise ConfigError(f"{option} requires the package nkeys: pip install nkeys") from exc
    try:
        content = Path(path).read_bytes()
    except OSError as exc:
        raise ConfigError(f"{option}={path!r} cannot be read: {exc.strerror}") from exc
    lines = iter(content.splitlines())
    seed = content.strip() if option == "nkey" else next((next(lines, b"") for line in lines if _SEED in line), b"")
    try:
        nkeys.from_seed(bytearray(seed))
    except Exception as exc:  # it raises errors of its own, of base64 and of struct
        raise ConfigError(f"{option}={path!r} does not hold {what}") from exc


def _tls(ca: str, cert: str, key: str) -> Any:
    import ssl

    try:
        context = ssl.create_default_context(cafile=ca or None)
        if cert:
            context.load_cert_chain(cert, key or None)
    except (OSError, ValueError) as exc:
        raise ConfigError(f"the certificates (tls_ca, tls_cert, tls_key) cannot be used: {exc}") from exc
    return context
