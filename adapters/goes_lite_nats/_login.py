"""How a connection shows who it is: by a password, a token, a key or credentials in a file, a certificate.

Files are looked at before a broker is asked: one that is not there, or holds something else, would look like a broker
that cannot be reached. What is in them is in no message.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

from goes_lite.errors import ConfigError
from goes_lite_nats._options import Target

_SEED = b"BEGIN USER NKEY SEED"


def login(target: Target) -> Mapping[str, Any]:
    """What the driver is told; ConfigError for a file that cannot be used, and where the package nkeys is missing."""
    options = target.options
    told: dict[str, Any] = {"user": target.user, "password": target.password}
    if options.token:
        told["token"] = options.token
    if options.creds:
        _check_seed("creds", options.creds, "credentials")
        told["user_credentials"] = options.creds
    if options.nkey:
        _check_seed("nkey", options.nkey, "the seed of an nkey")
        told["nkeys_seed"] = options.nkey
    if options.tls or options.tls_ca:
        told["tls"] = _tls(options.tls_ca, options.tls_cert, options.tls_key)
        if options.tls_hostname:
            told["tls_hostname"] = options.tls_hostname
    return told


def _check_seed(option: str, path: str, what: str) -> None:
    try:
        nkeys: Any = import_module("nkeys")  # which says nothing of its types
    except ImportError as exc:
        raise ConfigError(f"{option} needs the package nkeys: pip install nkeys") from exc
    try:
        content = Path(path).read_bytes()
    except OSError as exc:
        raise ConfigError(f"{option}={path!r} cannot be read: {exc.strerror}") from exc
    lines = iter(content.splitlines())
    seed = content.strip() if option == "nkey" else next((next(lines, b"") for line in lines if _SEED in line), b"")
    try:
        nkeys.from_seed(bytearray(seed))
    except Exception as exc:  # what it raises depends on what is wrong: of its own, of base64, of struct
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
