"""JSON with only the standard library. It defines the format; `_msgspec` produces the same bytes faster."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, NoReturn

from goes_lite.codec._equal import TOO_DEEP, check_equal, doubts, too_deep, unbounded, with_computed
from goes_lite.codec._problem import Problem
from goes_lite.codec._read import reader
from goes_lite.codec._shapes import Shape, Unresolved
from goes_lite.codec._write import writer
from goes_lite.codec.types import describe
from goes_lite.errors import DecodeError, EncodeError, RegistrationError


class StdlibJson:
    """The `json` encoding, from the standard library."""

    name = "json"
    text = True

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def check(self, type: Any, /) -> None:
        try:
            describe(type)
        except Unresolved:
            pass  # its class may be defined later in the module

    def encoder(self, type: Any, /) -> Callable[[Any], str]:
        shape = shape_of(type)
        write = writer(shape)
        any_depth = unbounded(shape)
        why = doubts(shape)
        check = _check_reading(shape, why) if why else None

        def encode(value: Any) -> str:
            try:
                text = write(value)
                if any_depth and too_deep(text):
                    raise Problem(TOO_DEEP)
                if check is not None:
                    check(value, text)
            except Problem as problem:
                raise EncodeError(problem.where(), problem.text) from problem.__cause__
            except RecursionError:
                raise EncodeError("$", TOO_DEEP) from None
            return text

        return encode

    def decoder(self, type: Any, /) -> Callable[[str | bytes], Any]:
        read = reader(shape_of(type))

        def decode(payload: str | bytes) -> Any:
            try:
                return read(loads(payload))
            except Problem as problem:
                raise DecodeError(problem.where(), problem.text) from problem.__cause__
            except RecursionError:
                raise DecodeError("$", "the JSON is nested too deeply") from None

        return decode

    def plain(self, payload: str | bytes, /) -> Any:
        try:
            return loads(payload)
        except Problem as problem:
            raise DecodeError("$", problem.text) from None
        except RecursionError:
            raise DecodeError("$", "the JSON is nested too deeply") from None

    def from_plain(self, type: Any, /) -> Callable[[Any], Any]:
        return plain_reader(shape_of(type))


def plain_reader(shape: Shape) -> Callable[[Any], Any]:
    """Return the function that reads a plain value; it raises DecodeError for one that does not fit."""
    read = reader(shape)

    def from_plain(plain: Any) -> Any:
        try:
            return read(plain)
        except Problem as problem:
            raise DecodeError(problem.where(), problem.text) from problem.__cause__
        except RecursionError:
            raise DecodeError("$", "the value is nested too deeply, or contains itself") from None

    return from_plain


def _check_reading(shape: Shape, why: str) -> Callable[[Any, str], None]:
    """Return the function that raises Problem unless the text of a value is read as an equal one."""
    read, whole = reader(shape), writer(with_computed(shape, {}))

    def check(value: Any, text: str) -> None:
        try:
            again = read(loads(text))
        except Problem as problem:
            problem.text = f"cannot be read back: {problem.text}"
            raise
        check_equal(whole(value), whole(again), loads, why)

    return check


def shape_of(type: Any) -> Shape:
    """Return the shape of a type on first use, when a name that cannot be resolved is an error."""
    try:
        return describe(type)
    except Unresolved as exc:
        raise RegistrationError(str(exc)) from exc.__cause__


def loads(payload: str | bytes) -> Any:
    """Parse JSON; Problem for anything that RFC 8259 does not allow, and for lone surrogates."""
    if isinstance(payload, str):
        text = payload
    else:
        try:
            text = str(payload, "utf-8")
        except UnicodeDecodeError as exc:
            raise Problem(f"not UTF-8: {exc.reason} at byte {exc.start}") from None
        except TypeError:
            raise Problem(f"expected JSON as str or bytes, got {type(payload).__name__}") from None
    try:
        try:
            plain, end = _scan(text, 0)  # what the decoder calls, without its search for whitespace around the text
        except StopIteration:
            plain, end = None, -1
        if end != len(text):
            plain = _decode(text)
    except json.JSONDecodeError as exc:
        raise Problem(f"not JSON: {exc.msg} at character {exc.pos}") from None
    except ValueError:  # the limit of Python on the digits of an int
        raise Problem("an integer of more than 4300 digits cannot be read") from None
    if not text.isascii() or "\\u" in text:
        _refuse_surrogates(text, plain)
    return plain


def _constant(name: str) -> NoReturn:
    raise Problem(f"not JSON: {name} is not a number that JSON has")


_decoder: Any = json.JSONDecoder(parse_constant=_constant)
_decode: Callable[[str], Any] = _decoder.decode
_scan: Callable[[str, int], tuple[Any, int]] = _decoder.scan_once


def _refuse_surrogates(text: str, plain: Any) -> None:
    # Only an escape, or a str that is no UTF-8, can contain one; encoding it again finds it at C speed.
    try:
        text.encode()
        if "\\ud" in text or "\\uD" in text:
            json.dumps(plain, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        raise Problem("not JSON: a lone surrogate has no character") from None
