"""The stored form of a value."""

from __future__ import annotations

import base64
from typing import Any, NamedTuple

from goes_lite.codec import Codec
from goes_lite.codec import codec as find_codec
from goes_lite.errors import ConfigError


class Encoded(NamedTuple):
    """The stored form of the data of an event. JSON payloads are str, all others bytes."""

    encoding: str
    schema: int
    payload: str | bytes


def payload_text(payload: str | bytes) -> str:
    """Return a payload as text, for records that are JSON: base64 of bytes."""
    return base64.b64encode(payload).decode() if isinstance(payload, bytes) else payload


def text_payload(text: str, *, binary: bool) -> str | bytes:
    """Return the payload that `payload_text` has made text of. ValueError if it was bytes and is no base64."""
    return base64.b64decode(text, validate=True) if binary else text


class Raw:
    """The data of a stored event without a registered type, for readers with unknown="raw"."""

    __slots__ = ("_codec", "encoding", "name", "payload", "schema")

    name: str
    encoding: str
    schema: int
    payload: str | bytes
    _codec: Codec | None

    def __init__(
        self, name: str, encoding: str, schema: int, payload: str | bytes, *, codec: Codec | None = None
    ) -> None:
        put = object.__setattr__
        put(self, "name", name)
        put(self, "encoding", encoding)
        put(self, "schema", schema)
        put(self, "payload", payload)
        put(self, "_codec", codec)

    def plain(self) -> Any:
        """Decode the payload without a type, as json.loads would; return the payload itself if its encoding cannot.

        DecodeError if it is damaged.
        """
        codec = self._codec
        if codec is None:
            try:
                codec = find_codec(self.encoding)
            except (ConfigError, ImportError):
                return self.payload
        return codec.plain(self.payload)

    def _fields(self) -> tuple[str, str, int, str | bytes]:
        return self.name, self.encoding, self.schema, self.payload

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a Raw cannot be changed ({name})")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a Raw cannot be changed ({name})")

    def __eq__(self, other: object) -> bool:
        return self._fields() == other._fields() if isinstance(other, Raw) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._fields())

    def __reduce__(self) -> tuple[Any, ...]:
        return Raw, self._fields()

    def __repr__(self) -> str:
        size = f"{len(self.payload)} {'characters' if isinstance(self.payload, str) else 'bytes'}"
        return f"<Raw {self.name!r} schema {self.schema}, {size} of {self.encoding!r}>"
