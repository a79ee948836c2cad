"""Codecs: they convert values of registered types to and from their stored form.

`codec("json")` returns one by name. Their modules are loaded on first use: a program that never uses msgpack does not pay
for it, and msgspec and protobuf are optional.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from goes_lite.errors import ConfigError, DriverMissing

if TYPE_CHECKING:
    from goes_lite.codec._function import FunctionCodec
    from goes_lite.codec._json import StdlibJson
    from goes_lite.codec._msgspec import MsgspecJson, MsgspecMsgpack
    from goes_lite.codec._protobuf import ProtobufCodec

__all__ = ["Codec", "FunctionCodec", "MsgspecJson", "MsgspecMsgpack", "ProtobufCodec", "StdlibJson", "codec"]


@runtime_checkable
class Codec(Protocol):
    """An encoding, as the registry uses it. Functions that a codec returns may be called from any thread."""

    @property
    def name(self) -> str:
        """The encoding that is stored with every event; its meaning never changes."""
        ...

    @property
    def text(self) -> bool:
        """Whether payloads are str (stored as text); else they are bytes."""
        ...

    def check(self, type: Any, /) -> None:
        """RegistrationError for a type that this codec cannot store.

        A forward reference that cannot be resolved yet is accepted.
        """
        ...

    def encoder(self, type: Any, /) -> Callable[[Any], str | bytes]:
        """Return the function from a value of the type to its payload; it raises EncodeError for anything else."""
        ...

    def decoder(self, type: Any, /) -> Callable[[str | bytes], Any]:
        """Return the function from a payload, str or bytes, to a value of the type; it raises DecodeError."""
        ...

    def plain(self, payload: str | bytes, /) -> Any:
        """Decode the payload without a type, as json.loads would; return the payload itself where that is impossible."""
        ...

    def from_plain(self, type: Any, /) -> Callable[[Any], Any]:
        """Return the function from the result of `plain` (possibly upcast) to a value of the type; it raises DecodeError."""
        ...


def codec(name: str | Codec) -> Codec:
    """Return the codec of a name: json, msgpack or protobuf. A codec is returned unchanged.

    `json` is that of msgspec if it is installed, else of the standard library: the bytes are the same. DriverMissing if a
    package is needed, ConfigError for an unknown name.
    """
    if not isinstance(name, str):
        if isinstance(name, type) or not isinstance(name, Codec):
            raise ConfigError(f"a codec is a name such as 'json', or a Codec, not {name!r:.80}")
        return name
    known = _known.get(name)
    if known is None:
        make = _FACTORIES.get(name)
        if make is None:
            raise ConfigError(
                f"unknown codec {name!r} (known: {', '.join(sorted(_FACTORIES))}): "
                "pass the codec itself, such as FunctionCodec(name, encode, decode)"
            )
        known = _known.setdefault(name, make())
    return known


def _json() -> Codec:
    from goes_lite.codec._json import StdlibJson

    try:
        from goes_lite.codec._msgspec import MsgspecJson
    except DriverMissing:
        return StdlibJson()
    return MsgspecJson()


def _msgpack() -> Codec:
    from goes_lite.codec._msgspec import MsgspecMsgpack

    return MsgspecMsgpack()


def _protobuf() -> Codec:
    from goes_lite.codec._protobuf import ProtobufCodec

    return ProtobufCodec()


_FACTORIES: dict[str, Callable[[], Codec]] = {"json": _json, "msgpack": _msgpack, "protobuf": _protobuf}
_known: dict[str, Codec] = {}

_HOMES = {
    "FunctionCodec": "_function",
    "MsgspecJson": "_msgspec",
    "MsgspecMsgpack": "_msgspec",
    "ProtobufCodec": "_protobuf",
    "StdlibJson": "_json",
}


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    return getattr(import_module(f"goes_lite.codec.{home}"), name)
