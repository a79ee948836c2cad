"""The `protobuf` encoding, for types that are generated Message classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goes_lite.codec._shapes import DICT
from goes_lite.codec.types import is_message
from goes_lite.errors import DecodeError, DriverMissing, EncodeError, RegistrationError

try:
    from google.protobuf import json_format
    from google.protobuf.message import DecodeError as ProtobufError
except ModuleNotFoundError as _exc:
    raise DriverMissing("the protobuf codec", "protobuf", "protobuf") from _exc


class ProtobufCodec:
    """The `protobuf` encoding.

    Without its type a payload cannot be decoded, so upcasters receive the bytes. They may return bytes, a message, or a dict
    in the JSON form of protobuf.
    """

    name = "protobuf"
    text = False

    def __repr__(self) -> str:
        return "ProtobufCodec()"

    def check(self, type: Any, /) -> None:
        if not is_message(type):
            shown = getattr(type, "__name__", type)
            raise RegistrationError(f"{shown} is not a protobuf Message class: use another codec for it")

    def encoder(self, type: Any, /) -> Callable[[Any], bytes]:
        self.check(type)

        def encode(value: Any) -> bytes:
            # Every message type is a class of its own, so the exact class is the exact type.
            if value.__class__ is not type:
                raise EncodeError("$", f"expected {type.__name__}, got {value.__class__.__name__}")
            try:
                payload: bytes = value.SerializeToString(deterministic=True)
            except Exception as exc:  # required fields of proto2, strings that are not UTF-8
                raise EncodeError("$", f"protobuf failed: {exc}") from exc
            return payload

        return encode

    def decoder(self, type: Any, /) -> Callable[[str | bytes], Any]:
        self.check(type)

        def decode(payload: str | bytes) -> Any:
            if isinstance(payload, str):
                raise DecodeError("$", "expected protobuf as bytes, got str")
            message = type()
            try:
                message.ParseFromString(payload)
            except (ProtobufError, ValueError, TypeError, RecursionError) as exc:
                raise DecodeError("$", f"not a {type.__name__}: {exc}") from exc
            return message

        return decode

    def plain(self, payload: str | bytes, /) -> Any:
        return payload

    def from_plain(self, type: Any, /) -> Callable[[Any], Any]:
        decode = self.decoder(type)

        def from_plain(plain: Any) -> Any:
            if plain.__class__ is type:
                return plain
            if isinstance(plain, DICT):
                try:
                    return json_format.ParseDict(plain, type(), ignore_unknown_fields=True)
                except json_format.ParseError as exc:
                    raise DecodeError("$", f"not a {type.__name__}: {exc}") from exc
            return decode(plain)

        return from_plain
