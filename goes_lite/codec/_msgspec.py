"""JSON and msgpack at the speed of msgspec.

`_json` defines the format of JSON. msgspec handles the types that it writes identically, for values that the generated check
accepts; for all others, and to find out what is wrong, the code of the standard library runs.
"""

from __future__ import annotations

from collections.abc import Callable
from keyword import iskeyword
from typing import Any

from goes_lite.codec._check import Check, checker, decoded_checker
from goes_lite.codec._equal import TOO_DEEP, doubts, too_deep, unbounded
from goes_lite.codec._json import StdlibJson, loads, plain_reader, shape_of
from goes_lite.codec._shapes import Shape
from goes_lite.errors import DecodeError, DriverMissing, EncodeError

try:
    import msgspec
except ModuleNotFoundError as _exc:
    raise DriverMissing("the msgpack codec", "msgspec", "fast") from _exc


class MsgspecJson(StdlibJson):
    """The `json` encoding, from msgspec: the same text for every value, and the same errors."""

    def encoder(self, type: Any, /) -> Callable[[Any], str]:
        exact = super().encoder(type)
        shape = shape_of(type)
        if not _writes(shape):
            return exact
        check = checker(shape)
        native = msgspec.json.Encoder().encode
        if unbounded(shape) or doubts(shape):
            return self._careful(type, shape, check)

        def encode(value: Any) -> str:
            try:
                if check(value):
                    return native(value).decode()
            except Exception:  # noqa: BLE001  (a field never set, a lone surrogate, a value that contains itself…)
                return exact(value)
            return exact(value)

        return encode

    def _careful(self, type: Any, shape: Shape, check: Check) -> Callable[[Any], str]:
        """Return the encoder that looks whether a value can be read, and as an equal one."""
        exact = super().encoder(type)
        again = self.decoder(type) if doubts(shape) else None
        native = msgspec.json.Encoder().encode

        def encode(value: Any) -> str:
            try:
                if check(value):
                    text = native(value).decode()
                    if not too_deep(text) and (
                        again is None or (check(made := again(text)) and native(made).decode() == text)
                    ):
                        return text
            except Exception:  # noqa: BLE001
                return exact(value)
            return exact(value)

        return encode

    def decoder(self, type: Any, /) -> Callable[[str | bytes], Any]:
        exact = super().decoder(type)
        shape = shape_of(type)
        if not _reads(shape):
            return exact
        try:
            native = msgspec.json.Decoder(type).decode
        except Exception:  # noqa: BLE001  (a local class that refers to itself, an Enum beyond 64 bits…)
            return exact
        check = decoded_checker(shape)
        if check is None:

            def decode(payload: str | bytes) -> Any:
                try:
                    return native(payload)
                except Exception:  # noqa: BLE001  (__post_init__ may raise anything)
                    return exact(payload)

            return decode

        def decode_and_check(payload: str | bytes) -> Any:
            try:
                value = native(payload)
            except Exception:  # noqa: BLE001
                return exact(payload)
            return value if check(value) else exact(payload)

        return decode_and_check


class MsgspecMsgpack:
    """The `msgpack` encoding. Integers have 64 bits; datetimes in UTC are timestamps, others RFC 3339 strings."""

    name = "msgpack"
    text = False

    def __init__(self) -> None:
        self._json = StdlibJson()

    def __repr__(self) -> str:
        return "MsgspecMsgpack()"

    def check(self, type: Any, /) -> None:
        self._json.check(type)

    def encoder(self, type: Any, /) -> Callable[[Any], bytes]:
        to_json = self._json.encoder(type)
        shape = shape_of(type)
        check = checker(shape, utc_only=True) if _writes(shape) else _never
        native = msgspec.msgpack.Encoder().encode
        # What needs a closer look is written as JSON too, which has it.
        careful = unbounded(shape) or doubts(shape)
        look = (MsgspecJson() if _writes(shape) else self._json).encoder(type)

        def encode(value: Any) -> bytes:
            try:
                if check(value):
                    if careful:
                        look(value)
                    return native(value)
            except EncodeError:
                raise
            except Exception:  # noqa: BLE001
                return encode_document(value)
            return encode_document(value)

        def encode_document(value: Any) -> bytes:
            # Either the value is invalid, which the next line reports, or it is written as its JSON document.
            plain = loads(to_json(value))
            try:
                return native(plain)
            except OverflowError:
                raise EncodeError("$", "msgpack has integers of 64 bits, and one is larger") from None
            except RecursionError:
                raise EncodeError("$", TOO_DEEP) from None

        return encode

    def decoder(self, type: Any, /) -> Callable[[str | bytes], Any]:
        shape = shape_of(type)
        read = plain_reader(shape)
        plain = self.plain
        native: Callable[[Any], Any] | None = None
        if _reads(shape):
            try:
                native = msgspec.msgpack.Decoder(type).decode
            except Exception:  # noqa: BLE001
                native = None
        if native is None:
            return lambda payload: read(plain(payload))
        typed, check = native, decoded_checker(shape) or _always

        def decode(payload: str | bytes) -> Any:
            try:
                value = typed(payload)
            except Exception:  # noqa: BLE001
                return read(plain(payload))
            return value if check(value) else read(plain(payload))

        return decode

    def plain(self, payload: str | bytes, /) -> Any:
        if isinstance(payload, str):
            raise DecodeError("$", "expected msgpack as bytes, got str")
        try:
            return msgspec.msgpack.decode(payload, strict=True)
        except RecursionError:
            raise DecodeError("$", "the msgpack is nested too deeply") from None
        except Exception as exc:
            raise DecodeError("$", f"not msgpack: {exc}") from exc

    def from_plain(self, type: Any, /) -> Callable[[Any], Any]:
        return self._json.from_plain(type)


def _never(value: object) -> bool:
    return False


def _always(value: object) -> bool:
    return True


def _writes(shape: Shape) -> bool:
    """Whether msgspec writes all values of the shape in the canonical form (it does not sort sets)."""
    return _reads(shape) and not any(inner.kind in ("set", "frozenset") for inner in shape.walk())


def _reads(shape: Shape) -> bool:
    """Whether msgspec reads the same values of the shape as `_read` does."""
    for inner in shape.walk():
        if inner.kind == "dict" and inner.parts[0].kind == "Decimal":
            return False  # it reads the key "-0" as the number 0
        if inner.kind == "namedtuple":
            return False  # an object, so that fields can be added and removed; msgspec has arrays
        if inner.kind == "literal" and any(type(value) is bool for value in inner.values):
            return False
        if inner.build == "validate":
            return False  # pydantic's own code has to run
        if inner.kind == "object" and (inner.computed or _is_attrs(inner.type) or not _plainly_named(inner)):
            return False
    return True


def _plainly_named(shape: Shape) -> bool:
    # Names in a class statement always are; make_dataclass and defstruct allow others, unfit for generated code.
    return all(
        field.name.isascii() and field.name.isidentifier() and not iskeyword(field.name) for field in shape.fields
    )


def _is_attrs(cls: Any) -> bool:
    # attrs classes need their own __init__, for its converters; msgspec bypasses it.
    return "__attrs_attrs__" in vars(cls)
