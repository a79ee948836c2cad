"""The API of JetStream: its units and error codes, and its replies as results or errors of ours."""

from __future__ import annotations

import base64
import json
from typing import Any, cast

from goes_lite.errors import BusError

NANO = 1_000_000_000
"""Nanoseconds in a second: JetStream counts time in nanoseconds."""

NOT_FOUND = 404
CONSUMER_EXISTS = 10148
STREAM_NAME_IN_USE = 10058
SUBJECTS_OVERLAP = 10065
INSUFFICIENT_RESOURCES = 10023
MEMORY_EXCEEDED = 10028
STORAGE_EXCEEDED = 10047
STORE_FAILED = 10077
DUPLICATE_IN_PROGRESS = 10158


_FULL = "free space, raise the limits of the server or the account, or let the stream keep less (max_age, max_bytes)"
_WAYS_OUT = {
    INSUFFICIENT_RESOURCES: _FULL,
    MEMORY_EXCEEDED: _FULL,
    STORAGE_EXCEEDED: _FULL,
    STORE_FAILED: "see the log of the server; a stream that is full needs a limit that discards what is old, or more room",
}


class ApiError(BusError):
    """JetStream refused a request. Attributes: `code` (an HTTP-like status), `err_code` (the NATS error code)."""

    def __init__(self, subject: str, code: int, err_code: int, description: str) -> None:
        self.code = code
        self.err_code = err_code
        way_out = f": {_WAYS_OUT[err_code]}" if err_code in _WAYS_OUT else ""
        super().__init__(f"JetStream refused {subject!r}: {description} (code {code}, {err_code}){way_out}")


def api_result(request: str, data: bytes) -> dict[str, Any]:
    """Return the reply of JetStream to a request; ApiError if it is an error."""
    reply = cast("dict[str, Any]", json.loads(data))
    if "error" in reply:
        error = reply["error"]
        raise ApiError(request, error.get("code", 0), error.get("err_code", 0), error.get("description", ""))
    return reply


def message_headers(message: dict[str, Any]) -> dict[str, str]:
    """Return the headers of a stored message, as the API returns it."""
    lines = base64.b64decode(message.get("hdrs", "")).decode().split("\r\n")[1:]
    return {key: value.strip() for key, colon, value in (line.partition(":") for line in lines) if colon}


def delivery_fields(reply: str) -> tuple[str, int, int, int]:
    """What the reply subject of a delivered message says: consumer, deliveries so far, stream sequence, time in ns."""
    fields = reply.split(".")
    first = 3 if len(fields) == 9 else 5  # the newer form also has a domain and an account
    return fields[first], int(fields[first + 1]), int(fields[first + 2]), int(fields[first + 4])
