"""Custom encodings made of two functions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from goes_lite.errors import CodecError, DecodeError, EncodeError
from goes_lite.errors.functions import check_function, check_result, failure


class FunctionCodec:
    """An encoding made of two functions.

    `encode(value)` returns str (with `text`) or bytes; `decode(payload, type)` returns the value, or a plain one if the type
    is None (for upcasters and raw readers; if that raises, they get the payload). Errors of the functions become EncodeError
    and DecodeError.
    """

    def __init__(
        self,
        name: str,
        encode: Callable[[Any], str | bytes],
        decode: Callable[[Any, Any], Any],
        *,
        text: bool = False,
    ) -> None:
        check_function("encode", encode)
        check_function("decode", decode)
        self.name = name
        self.text = text
        self._encode = encode
        self._decode = decode

    def __repr__(self) -> str:
        return f"FunctionCodec({self.name!r}, {self._encode!r}, {self._decode!r})"

    def check(self, type: Any, /) -> None:
        pass

    def encoder(self, type: Any, /) -> Callable[[Any], str | bytes]:
        made: Callable[[Any], Any] = self._encode
        expected = str if self.text else bytes

        def encode(value: Any) -> str | bytes:
            try:
                payload = made(value)
                check_result("encode", payload)
            except CodecError:
                raise
            except BaseException as exc:
                raise EncodeError("$", f"the codec {self.name!r} failed: {_error(failure(exc))}") from exc
            if not isinstance(payload, expected):
                kind = _kind(payload)
                raise EncodeError("$", f"the codec {self.name!r} returned {kind} instead of {expected.__name__}")
            return payload

        return encode

    def decoder(self, type: Any, /) -> Callable[[str | bytes], Any]:
        read = self._decode

        def decode(payload: str | bytes) -> Any:
            try:
                value = read(payload, type)
                check_result("decode", value)
            except CodecError:
                raise
            except BaseException as exc:
                raise DecodeError("$", f"the codec {self.name!r} failed: {_error(failure(exc))}") from exc
            return value

        return decode

    def plain(self, payload: str | bytes, /) -> Any:
        try:
            return self._decode(payload, None)
        except Exception:  # noqa: BLE001  (a decode that needs the type)
            return payload

    def from_plain(self, type: Any, /) -> Callable[[Any], Any]:
        # An upcaster of such a codec returns the payload of the newer schema, or a finished value.
        decode = self.decoder(type)

        def from_plain(plain: Any) -> Any:
            return decode(plain) if isinstance(plain, str | bytes) else plain

        return from_plain


def _error(exc: Exception) -> str:
    return f"{type(exc).__name__}: {exc}"


def _kind(value: object) -> str:
    return "None" if value is None else type(value).__name__
