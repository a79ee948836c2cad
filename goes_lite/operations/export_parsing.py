"""Parse the lines of an export: each function returns what a line says, or raises InvalidExport with its number."""

from __future__ import annotations

import json
import re
from base64 import b64decode
from datetime import datetime
from typing import Any, NoReturn, cast

from goes_lite.errors import GoesError, InvalidExport
from goes_lite.events.event import Event, canonical_json, restore
from goes_lite.events.fields import (
    AggregateRef,
    aggregate_id,
    check_metadata,
    check_name,
    check_tags,
    check_text,
    to_micros,
)
from goes_lite.events.registry import Raw
from goes_lite.operations.export_lines import FORMAT, VERSION, End, Header, strict_json, too_deep

MAX_INTEGER = 2**63 - 1
_FIELDS = {
    "position", "id", "event", "time", "aggregate", "aggregate_id", "version", "metadata", "tags", "encoding", "schema",
}  # fmt: skip
_HEADER = {"format", "version", "store", "location", "time", "after", "upto", "partial", "query"}
_TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", re.ASCII)
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DATA = ',"data":'
_KNOWN = 10_000
"""How many checked names are remembered."""


class _Duplicate(ValueError):
    """An object has a key twice."""


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        keys = [key for key, _ in pairs]
        raise _Duplicate(f"the key {next(key for key in keys if keys.count(key) > 1)!r:.80} twice")
    return found


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not JSON")


_loads = json.JSONDecoder(object_pairs_hook=_unique, parse_constant=_refuse).decode


def parse_line(number: int, text: str) -> dict[str, Any]:
    """Return the fields of a line."""
    try:
        found = _loads(text)
    except _Duplicate as exc:
        raise InvalidExport(number, f"it has {exc}") from None
    except RecursionError:
        raise InvalidExport(number, "nested too deep") from None
    except ValueError as exc:
        raise InvalidExport(number, f"not a JSON object in one line: {exc!s:.120}: {text!r:.80}") from None
    if not isinstance(found, dict):
        raise InvalidExport(number, f"not a JSON object: {text!r:.80}")
    return cast("dict[str, Any]", found)


def parse_header(number: int, text: str) -> Header:
    """Return the first line."""
    fields = parse_line(number, text)
    if fields.get("format") != FORMAT:
        raise InvalidExport(number, f"not an export: its first line does not say that its format is {FORMAT!r}")
    if fields.get("version") != VERSION:
        version = fields.get("version")
        raise InvalidExport(
            number, f"version {version!r:.80} of the format; this goes_lite reads {VERSION}: upgrade it"
        )
    _exactly(number, fields, _HEADER)
    after, upto = _int(number, fields, "after"), _int(number, fields, "upto")
    query = fields["query"]
    header = Header(
        _text(number, fields, "store"), _text(number, fields, "location"), _time(number, fields), after, upto, query
    )
    if fields["partial"] is not header.partial:
        raise InvalidExport(number, f"'partial' is {fields['partial']!r:.80}, which 'after' and 'query' contradict")
    return header


def parse_block(number: int, fields: dict[str, Any]) -> tuple[int, int, bytes]:
    """Return the number, the number of events and the hash of a block."""
    _exactly(number, fields, {"block", "events", "hash"})
    return _int(number, fields, "block"), _int(number, fields, "events"), _hash(number, fields)


def parse_end(number: int, fields: dict[str, Any]) -> End:
    """Return the last line."""
    _exactly(number, fields, {"end", "events", "upto", "hash"})
    if fields["end"] is not True:
        raise InvalidExport(number, f"'end' is true in the last line, not {fields['end']!r:.80}")
    return End(_int(number, fields, "events"), _int(number, fields, "upto"), _hash(number, fields))


class EventParser:
    """Parses the lines of the events of one export, which are in the order of their positions."""

    def __init__(self, header: Header) -> None:
        self._last = header.after
        self._upto = header.upto
        self._names: set[tuple[str, str]] = set()

    def __call__(self, number: int, text: str) -> Event[Any]:
        """Return the event of a line."""
        fields, payload = _split(number, text)
        try:
            event = self._event(number, fields, payload)
        except InvalidExport:
            raise
        except (GoesError, ValueError, TypeError, RecursionError) as exc:
            raise InvalidExport(number, str(exc)) from exc
        self._last = event.position
        return event

    def _event(self, number: int, fields: dict[str, Any], payload: str | bytes) -> Event[Any]:
        position = _int(number, fields, "position")
        if not self._last < position <= self._upto:
            raise InvalidExport(number, f"position {position} after {self._last}, in an export up to {self._upto}")
        id, name, encoding = fields["id"], fields["event"], fields["encoding"]
        if not isinstance(id, str) or not _UUID.fullmatch(id):
            raise InvalidExport(number, f"'id' is a UUID in small letters, not {id!r:.80}")
        self._name(name, "an event name")
        self._name(encoding, "an encoding")
        version, schema = _int(number, fields, "version"), _int(number, fields, "schema")
        ref = self._aggregate(number, fields, version)
        if schema < 1:
            raise InvalidExport(number, "'schema' is an int ≥ 1, not 0")
        metadata, tags = _metadata(number, fields["metadata"]), _tags(number, fields["tags"])
        return restore(
            bytes.fromhex(id.replace("-", "")), name, Raw(name, encoding, schema, payload),
            to_micros(_time(number, fields)), ref, version, metadata, tags, position, encoding, schema, payload,
        )  # fmt: skip

    def _aggregate(self, number: int, fields: dict[str, Any], version: int) -> AggregateRef | None:
        name, id = fields["aggregate"], fields["aggregate_id"]
        if (name is None) != (id is None) or (name is None) != (version == 0):
            raise InvalidExport(
                number, f"'aggregate' {name!r:.80}, 'aggregate_id' {id!r:.80} and 'version' {version}: an event has all "
                "of them, or null, null and 0"
            )  # fmt: skip
        if name is None:
            return None
        self._name(name, "an aggregate name")
        if not isinstance(id, str):
            raise InvalidExport(number, f"'aggregate_id' is text, not {id!r:.80}")
        return AggregateRef._make((name, aggregate_id(id)))

    def _name(self, name: object, what: str) -> None:
        if not isinstance(name, str) or (name, what) not in self._names:
            (check_text if what == "an encoding" else check_name)(name, what)
            if len(self._names) < _KNOWN:
                self._names.add((cast("str", name), what))


def _metadata(number: int, value: Any) -> str | None:
    """Return metadata in the form in which they are stored."""
    if not isinstance(value, dict):
        raise InvalidExport(number, f"'metadata' is an object of strings, not {value!r:.80}")
    return canonical_json(dict(check_metadata(cast("dict[str, str]", value)))) if value else None


def _tags(number: int, value: Any) -> str | None:
    """Return tags in the form in which they are stored."""
    if not isinstance(value, list):
        raise InvalidExport(number, f"'tags' is a list of tags, not {value!r:.80}")
    if not value:
        return None
    tags = check_tags(cast("list[str]", value)) or ()
    if len(tags) != len(cast("list[str]", value)):
        raise InvalidExport(number, f"'tags' has a tag twice: {value!r:.80}")
    return canonical_json(sorted(tags))


def _split(number: int, text: str) -> tuple[dict[str, Any], str | bytes]:
    """Return the fields of an event without its payload, and that.

    A payload that is JSON is the text between `,"data":` and the end of the line, which keeps its bytes. The first `,"data":`
    that makes what is before it complete is the one: inside of a string, its quotes would be escaped, and of the objects
    before it only the metadata could have a key of that name, once.
    """
    at = text.find(_DATA)
    for _ in range(2):
        if at < 0:
            break
        try:
            fields = _loads(text[:at] + "}")
        except _Duplicate as exc:
            raise InvalidExport(number, f"it has {exc}") from None
        except (ValueError, RecursionError):
            at = text.find(_DATA, at + 1)
            continue
        payload = text[at + len(_DATA) : -1]
        _exactly(number, fields, _FIELDS)
        _check_json(number, payload, text)
        return fields, payload
    fields = parse_line(number, text)
    if "data" in fields:
        raise InvalidExport(
            number, """'data' is the last key, written as ,"data": without spaces, so that its bytes are kept"""
        )
    if "text" in fields and isinstance(written := fields.pop("text"), str):
        _exactly(number, fields, _FIELDS)
        return fields, written
    if isinstance(written := fields.pop("binary", None), str):
        _exactly(number, fields, _FIELDS)
        try:
            return fields, b64decode(written, validate=True)
        except ValueError as exc:
            raise InvalidExport(number, f"'binary' is not base64: {exc}") from None
    raise InvalidExport(number, "it has no payload: one of 'data', 'text' (a string) and 'binary' (base64)")


def _check_json(number: int, payload: str, text: str) -> None:
    try:
        strict_json(payload)
    except RecursionError:
        raise InvalidExport(number, "'data' is nested too deep: write it as 'text'") from None
    except ValueError as exc:
        raise InvalidExport(number, f"'data' is not JSON, or not the last key: {exc!s:.120}") from None
    if text[-1] != "}" or "\r" in payload:
        raise InvalidExport(number, "it does not end with }")
    if too_deep(payload):
        raise InvalidExport(number, "'data' is nested too deep: write it as 'text'")


def _exactly(number: int, fields: dict[str, Any], known: set[str]) -> None:
    if fields.keys() != known:
        unknown, missing = sorted(fields.keys() - known), sorted(known - fields.keys())
        raise InvalidExport(
            number, f"unknown fields {unknown!r:.120}" if unknown else f"the fields {missing!r:.120} are missing"
        )


def _int(number: int, fields: dict[str, Any], name: str) -> int:
    value = fields[name]
    if type(value) is not int or not 0 <= value <= MAX_INTEGER:
        raise InvalidExport(number, f"{name!r} is an int from 0 to 2**63 - 1, not {value!r:.80}")
    return value


def _text(number: int, fields: dict[str, Any], name: str) -> str:
    value = fields[name]
    if not isinstance(value, str):
        raise InvalidExport(number, f"{name!r} is text, not {value!r:.80}")
    return value


def _time(number: int, fields: dict[str, Any]) -> datetime:
    value = fields["time"]
    if isinstance(value, str) and _TIME.fullmatch(value):
        try:
            return datetime.fromisoformat(value)
        except ValueError:
            pass
    raise InvalidExport(number, f"'time' is a time such as 2026-11-30T12:00:00.000000Z, not {value!r:.80}")


def _hash(number: int, fields: dict[str, Any]) -> bytes:
    value = fields["hash"]
    if not isinstance(value, str) or not re.fullmatch("[0-9a-f]{64}", value):
        raise InvalidExport(number, f"'hash' is a SHA-256 in hexadecimal, not {value!r:.80}")
    return bytes.fromhex(value)
