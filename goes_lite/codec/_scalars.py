"""The canonical text of every scalar, and how it is read back.

These are the JSON forms of both JSON implementations. Where msgspec has a form of its own (exponents of floats,
durations), that form was chosen, because its native speed then needs no help and Python can afford the imitation.
"""

from __future__ import annotations

import re
from binascii import Error as Base64Error
from binascii import a2b_base64, b2a_base64
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, TypeVar
from uuid import UUID

from goes_lite.codec._problem import Problem, mismatch, shown
from goes_lite.codec._shapes import class_of

T = TypeVar("T")

#: The first int of more digits than Python reads by default, whatever the limit of the process that writes it.
_TOO_LARGE = 10**4300

# --- writing --------------------------------------------------------------------------------------------------------


def str_text(value: Any) -> str:
    """A string; a lone surrogate has no UTF-8, so no store can store it."""
    if type(value) is not str:
        raise mismatch("str", value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as exc:
            raise Problem(f"a lone surrogate ({value[exc.start]!r}) cannot be stored in UTF-8") from None
    return encode_basestring(value)


def int_text(value: Any) -> str:
    """An integer of up to 4,300 digits, which is the limit of Python for reading."""
    if type(value) is not int:
        raise mismatch("int", value)
    try:
        if value.bit_length() < 14_285 or abs(value) < _TOO_LARGE:
            return repr(value)
    except ValueError:  # the process allows fewer
        pass
    raise Problem("an integer of more than 4300 digits cannot be stored")


def bool_text(value: Any) -> str:
    """true or false."""
    if value is True:
        return "true"
    if value is False:
        return "false"
    raise mismatch("bool", value)


def none_text(value: Any) -> str:
    """null."""
    if value is None:
        return "null"
    raise mismatch("None", value)


def float_text(value: Any) -> str:
    """The shortest text that reads back the same: 1e16, 0.00001, 1e-6.

    An int is taken where a float is expected, as type checkers do, unless it would lose digits when it is read back.
    """
    if type(value) is float:
        if not isfinite(value):
            raise Problem(f"{value!r} cannot be stored: JSON has only finite numbers")
        text = repr(value)
        return text if "e" not in text else _exponent(text)
    if type(value) is int:
        try:
            exact = float(value) == value
        except OverflowError:
            exact = False
        if not exact:
            raise Problem(f"the integer {shown(value)} does not fit a float exactly")
        return repr(value)
    raise mismatch("float", value)


def _exponent(text: str) -> str:
    digits, _, exponent = text.partition("e")
    power = int(exponent)
    if power == -5:
        sign = "-" if digits[0] == "-" else ""
        return f"{sign}0.0000{digits.lstrip('-').replace('.', '')}"
    return f"{digits}e{power}"


def bytes_text(value: Any) -> str:
    """Standard base64 with padding."""
    if type(value) is not bytes:
        raise mismatch("bytes", value)
    return f'"{b2a_base64(value, newline=False).decode()}"'


def _whole_minutes(value: datetime | time) -> None:
    offset = value.utcoffset()
    if offset is None:
        raise Problem(f"the time zone of {shown(value)} has no UTC offset: use datetime.UTC")
    if offset.seconds % 60 or offset.microseconds:
        raise Problem(
            f"the UTC offset of {value.isoformat()} is not in whole minutes: convert it with .astimezone(UTC)"
        )


def datetime_text(value: Any) -> str:
    """RFC 3339 with its offset, UTC as Z; microseconds only if there are any."""
    if not isinstance(value, datetime):
        raise mismatch("datetime", value)
    if value.tzinfo is None:
        raise Problem(f"a datetime needs a time zone, {value.isoformat()} has none: use datetime.now(UTC)")
    if value.tzinfo is not UTC:
        _whole_minutes(value)
    if type(value) is not datetime:
        day, clock = (value.year, value.month, value.day), (value.hour, value.minute, value.second, value.microsecond)
        value = _plain(value, datetime(*day, *clock, tzinfo=value.tzinfo, fold=value.fold))
    text = value.isoformat()
    return f'"{text[:-6]}Z"' if text.endswith(("+00:00", "-00:00")) else f'"{text}"'


def _plain(value: Any, plain: T) -> T:
    """Return the value that a subclass stands for (libraries fake the clock so), unless it holds more than that."""
    if not value == plain:  # which a subclass may define
        raise Problem(f"{shown(value)} of {type(value).__name__} is more than {shown(plain)}, which would be stored")
    return plain


def time_text(value: Any) -> str:
    """RFC 3339; the offset is written if there is one."""
    if type(value) is not time:
        raise mismatch("time", value)
    if value.tzinfo is None:
        return f'"{value.isoformat()}"'
    _whole_minutes(value)
    text = value.isoformat()
    return f'"{text[:-6]}Z"' if text.endswith(("+00:00", "-00:00")) else f'"{text}"'


def date_text(value: Any) -> str:
    """YYYY-MM-DD; a datetime is no date, since it would lose its time."""
    if isinstance(value, datetime) or not isinstance(value, date):
        raise mismatch("date", value)
    if type(value) is not date:
        value = _plain(value, date(value.year, value.month, value.day))
    return f'"{value.isoformat()}"'


def timedelta_text(value: Any) -> str:
    """An ISO 8601 duration of days and seconds: P1DT2.5S, -PT3S, P0D."""
    if not isinstance(value, timedelta):
        raise mismatch("timedelta", value)
    if type(value) is not timedelta:
        value = _plain(value, timedelta(value.days, value.seconds, value.microseconds))
    sign = ""
    if value.days < 0:
        sign = "-"
        # abs(timedelta.min) overflows.
        micros = -((value.days * 86400 + value.seconds) * 1_000_000 + value.microseconds)
        seconds, micros = divmod(micros, 1_000_000)
        days, seconds = divmod(seconds, 86400)
    else:
        days, seconds, micros = value.days, value.seconds, value.microseconds
    text = f"{sign}P{days}D" if days or not (seconds or micros) else f"{sign}P"
    if micros:
        return f'"{text}T{seconds}.{f"{micros:06}".rstrip("0")}S"'
    return f'"{text}T{seconds}S"' if seconds else f'"{text}"'


def uuid_text(value: Any) -> str:
    """The 36 characters."""
    if not isinstance(value, UUID):
        raise mismatch("UUID", value)
    return f'"{value if type(value) is UUID else UUID(int=value.int)}"'


def decimal_text(value: Any) -> str:
    """A string, so that no digit is lost: 1.10 stays "1.10"."""
    if type(value) is not Decimal:
        raise mismatch("Decimal", value)
    if not value.is_finite():
        raise Problem(f"Decimal({str(value)!r}) cannot be stored: only finite numbers can")
    return f'"{value}"'


# --- reading --------------------------------------------------------------------------------------------------------
# The argument is a result of json.loads. A value of the final type is accepted, too: from upcasters and msgpack.


def read_str(plain: Any) -> str:
    """A string."""
    if type(plain) is not str:
        raise mismatch("str", plain)
    return plain


def read_int(plain: Any) -> int:
    """An integer; 1.0 and true are not."""
    if type(plain) is not int:
        raise mismatch("int", plain)
    return plain


def read_bool(plain: Any) -> bool:
    """true or false."""
    if plain is True or plain is False:
        return plain
    raise mismatch("bool", plain)


def read_none(plain: Any) -> None:
    """null."""
    if plain is not None:
        raise mismatch("None", plain)


def read_float(plain: Any) -> float:
    """A finite number."""
    if type(plain) is int:
        try:
            return float(plain)
        except OverflowError:
            raise Problem("the number is out of range") from None
    if type(plain) is not float:
        raise mismatch("float", plain)
    if not isfinite(plain):
        raise Problem("the number is out of range")
    return plain


def read_bytes(plain: Any) -> bytes:
    """Base64."""
    if type(plain) is str:
        try:
            return a2b_base64(plain, strict_mode=True)
        except (Base64Error, ValueError):
            raise Problem(f"expected bytes in base64, got {shown(plain)}") from None
    if type(plain) is bytes:
        return plain
    raise mismatch("bytes", plain)


def read_uuid(plain: Any) -> UUID:
    """The 36 characters, or 32 without hyphens."""
    if type(plain) is str:
        if _UUID(plain):
            return UUID(plain)
        raise Problem(f"expected UUID, got {shown(plain)}")
    if type(plain) is UUID:
        return plain
    raise mismatch("UUID", plain)


def read_decimal(plain: Any) -> Decimal:
    """A string; a JSON number is accepted, too, for JSON from other programs."""
    kind = class_of(plain)
    if kind is str or kind is int or kind is float:
        try:
            value = Decimal(plain if kind is str else repr(plain))
        except (InvalidOperation, ValueError):
            raise Problem(f"expected Decimal, got {shown(plain)}") from None
    elif kind is Decimal:
        value = plain
    else:
        raise mismatch("Decimal", plain)
    if not value.is_finite():
        raise Problem(f"expected a finite Decimal, got {shown(plain)}")
    return value


def read_datetime(plain: Any) -> datetime:
    """RFC 3339 with an offset."""
    if type(plain) is str:
        match = _DATETIME(plain)
        if match is None:
            raise Problem(f"expected datetime, got {shown(plain)}")
        try:
            value = datetime.fromisoformat(plain)
        except ValueError:
            raise Problem(f"expected datetime, got {shown(plain)}") from None
    elif isinstance(plain, datetime):
        value = plain
    else:
        raise mismatch("datetime", plain)
    if value.tzinfo is None:
        raise Problem(f"a datetime needs a UTC offset, {shown(plain)} has none")
    return value


def read_date(plain: Any) -> date:
    """YYYY-MM-DD."""
    if type(plain) is str:
        try:
            if _DATE(plain):
                return date.fromisoformat(plain)
        except ValueError:
            pass
        raise Problem(f"expected date, got {shown(plain)}")
    if type(plain) is date:
        return plain
    raise mismatch("date", plain)


def read_time(plain: Any) -> time:
    """HH:MM:SS with or without fraction and offset."""
    if type(plain) is str:
        try:
            if _TIME(plain):
                return time.fromisoformat(plain)
        except ValueError:
            pass
        raise Problem(f"expected time, got {shown(plain)}")
    if type(plain) is time:
        return plain
    raise mismatch("time", plain)


def read_timedelta(plain: Any) -> timedelta:
    """An ISO 8601 duration without years and months, whose length is undefined."""
    if type(plain) is str:
        match = _DURATION(plain)
        if match is not None and plain[-1] not in "PpTt":
            sign, weeks, days, hours, minutes, seconds, fraction = match.groups()
            try:
                whole = int(weeks or 0) * 7 + int(days or 0)
                rest = int(hours or 0) * 3600 + int(minutes or 0) * 60 + int(seconds or 0)
                micros = int((fraction or "0").ljust(6, "0")[:6])
                if sign == "-":
                    return timedelta(days=-whole, seconds=-rest, microseconds=-micros)
                return timedelta(days=whole, seconds=rest, microseconds=micros)
            except (OverflowError, ValueError):
                pass
        raise Problem(f"expected timedelta, got {shown(plain)}")
    if type(plain) is timedelta:
        return plain
    raise mismatch("timedelta", plain)


_UUID = re.compile(r"[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}", re.ASCII).fullmatch
_TIME_OF_DAY = r"[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?"
_OFFSET = r"(?:[Zz]|[+-][0-9]{2}:?[0-9]{2})?"
_DATE = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}").fullmatch
_TIME = re.compile(_TIME_OF_DAY + _OFFSET).fullmatch
_DATETIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ]" + _TIME_OF_DAY + _OFFSET).fullmatch
_DURATION = re.compile(
    r"([+-])?P(?:([0-9]+)W)?(?:([0-9]+)D)?(?:T(?:([0-9]+)H)?(?:([0-9]+)M)?(?:([0-9]+)(?:\.([0-9]+))?S)?)?",
    re.IGNORECASE,
).fullmatch

WRITE: dict[str, Callable[[Any], str]] = {
    "str": str_text,
    "int": int_text,
    "bool": bool_text,
    "none": none_text,
    "float": float_text,
    "bytes": bytes_text,
    "datetime": datetime_text,
    "date": date_text,
    "time": time_text,
    "timedelta": timedelta_text,
    "UUID": uuid_text,
    "Decimal": decimal_text,
}

READ: dict[str, Callable[[Any], Any]] = {
    "str": read_str,
    "int": read_int,
    "bool": read_bool,
    "none": read_none,
    "float": read_float,
    "bytes": read_bytes,
    "datetime": read_datetime,
    "date": read_date,
    "time": read_time,
    "timedelta": read_timedelta,
    "UUID": read_uuid,
    "Decimal": read_decimal,
}
