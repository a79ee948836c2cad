"""Codecs: between a value of a registered type and what a store keeps of it.

`codec("json")` finds one by name. The modules behind the names are loaded when they are first asked for: a program
that never uses msgpack does not pay for it, and msgspec and protobuf are optional.
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
    """What the registry asks of an encoding. Functions that a codec returns may be called from any thread."""

    @property
    def name(self) -> str:
        """What is stored beside every event as its encoding; it never changes its meaning."""
        ...

    @property
    def text(self) -> bool:
        """Whether payloads are str (a store keeps them as text); else they are bytes."""
        ...

    def check(self, type: Any, /) -> None:
        """Refuse a type that this codec cannot store, with RegistrationError.

        A forward reference that cannot be looked up yet is no reason to refuse.
        """
        ...

    def encoder(self, type: Any, /) -> Callable[[Any], str | bytes]:
        """A function from a value of the type to its payload; EncodeError for anything else."""
        ...

    def decoder(self, type: Any, /) -> Callable[[str | bytes], Any]:
        """A function from a payload, str or bytes, to a value of the type; DecodeError for any other payload."""
        ...

    def plain(self, payload: str | bytes, /) -> Any:
        """The payload without a type: what json.loads would give, or the payload itself where that is impossible."""
        ...

    def from_plain(self, type: Any, /) -> Callable[[Any], Any]:
        """A function from what `plain` gives (possibly changed by an upcaster) to a value of the type; DecodeError."""
        ...


def codec(name: str | Codec) -> Codec:
    """The codec of that name: json, msgpack or protobuf. A codec is returned as it is.

    `json` is msgspec's if that is installed, else the standard library's: the bytes are the same.
    DriverMissing where a package is needed, ConfigError for an unknown name.
    """
    if not isinstance(name, str):
        return name
    known = _known.get(name)
    if known is None:
        make = _FACTORIES.get(name)
        if make is None:
            raise ConfigError(
                f"no codec is called {name!r} (there are: {', '.join(sorted(_FACTORIES))}): "
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
