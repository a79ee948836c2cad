r"""Events as messages: CloudEvents 1.0 in their JSON form, which programs in other languages read with what they have.

    {"specversion": "1.0", "id": "0199…", "type": "order.placed", "source": "/goes_lite",
     "time": "2026-03-01T12:00:00.123456Z", "subject": "order/2026-001", "datacontenttype": "application/json",
     "goesaggregate": "order", "goesaggregateid": "2026-001", "goesversion": 1, "goesposition": 17, "goesencoding": "json",
     "goesschema": 1, "goesmetadata": "{\"actor\":\"ann\"}", "goestags": "[\"customer:7\"]", "data": {"total": 450}}

The attributes of CloudEvents are flat, so metadata and tags are JSON in a string. A payload that is bytes is in
`data_base64`; text that is not JSON is a string. `data` is the last member, and written as it was encoded: so it can be cut
out again byte for byte.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import Any, cast
from uuid import NAMESPACE_OID, UUID, uuid5

from goes_lite.errors import DecodeError, GoesError
from goes_lite.events.event import Event, metadata_json, restore, tags_json
from goes_lite.events.fields import AggregateRef, to_micros
from goes_lite.events.registry import Raw

CONTENT_TYPE = "application/cloudevents+json"
SOURCE = "/goes_lite"

_DATA = b',"data":'
_text = json.encoder.encode_basestring_ascii


def encode(event: Event[Any]) -> bytes:
    """The event as the payload of a message."""
    encoding, schema, payload = event.encoded
    parts = [
        (
            f'{{"specversion":"1.0","id":"{event.id}","type":{_text(event.name)},"source":"{SOURCE}"'
            f',"time":"{event.time.replace(tzinfo=None).isoformat(timespec="microseconds")}Z"'
        )
    ]
    if event.aggregate is not None:
        name, id = event.aggregate
        parts.append(
            f',"subject":{_text(f"{name}/{id}")},"goesaggregate":{_text(name)},"goesaggregateid":{_text(id)}'
            f',"goesversion":{event.version}'
        )
    if event.position:
        parts.append(f',"goesposition":{event.position}')
    parts.append(f',"goesencoding":{_text(encoding)},"goesschema":{schema}')
    if (metadata := metadata_json(event)) is not None:
        parts.append(f',"goesmetadata":{_text(metadata)}')
    if (tags := tags_json(event)) is not None:
        parts.append(f',"goestags":{_text(tags)}')
    if isinstance(payload, bytes):
        parts.append(f',"data_base64":"{base64.b64encode(payload).decode()}"}}')
    elif encoding == "json":
        parts.append(f',"datacontenttype":"application/json","data":{payload}}}')
    else:
        parts.append(f',"datacontenttype":"text/plain","data":{json.dumps(payload)}}}')
    return "".join(parts).encode()


def decode(message: bytes) -> Event[Any]:
    """The event in a message, its data as it was encoded (Raw); DecodeError if there is none.

    Whatever program wrote it: only what CloudEvents asks for has to be there.
    """
    try:
        return _decode(message)
    except (GoesError, LookupError, TypeError, ValueError, AttributeError) as exc:
        raise DecodeError("$", f"the message is no event as CloudEvents has them in JSON: {exc!r:.200}") from exc


def _decode(message: bytes) -> Event[Any]:
    head, cut, tail = message.partition(_DATA)
    if cut and b'"goesencoding"' in head:  # one of ours: all before it is flat, so this is the member itself
        said = cast("dict[str, Any]", json.loads(head + b"}"))
        said["data"] = tail[:-1].decode()
        ours = True
    else:
        said = cast("dict[str, Any]", json.loads(message))
        ours = False
    encoding = str(said.get("goesencoding", "json"))
    payload: str | bytes
    if "data_base64" in said:
        payload = base64.b64decode(said["data_base64"], validate=True)
    elif encoding == "json":
        payload = said["data"] if ours else json.dumps(said.get("data"), ensure_ascii=False)
    else:
        payload = str(json.loads(said["data"]) if ours else said["data"])
    aggregate, version = None, 0
    if "goesaggregate" in said:
        aggregate = AggregateRef(said["goesaggregate"], said["goesaggregateid"])
        version = int(said["goesversion"])
    name, schema = str(said["type"]), int(said.get("goesschema", 1))
    id = _id(str(said["id"]), str(said["source"]))
    time = to_micros(datetime.fromisoformat(said["time"])) if "time" in said else 0
    metadata, tags = said.get("goesmetadata"), said.get("goestags")
    if not (isinstance(metadata, str | None) and isinstance(tags, str | None)):
        raise TypeError("goesmetadata and goestags are strings")
    if metadata is not None and not isinstance(json.loads(metadata), dict):
        raise TypeError("goesmetadata is an object, as JSON")
    if tags is not None and not isinstance(json.loads(tags), list):
        raise TypeError("goestags is a list, as JSON")
    data = Raw(name, encoding, schema, payload)
    position = int(said.get("goesposition", 0))
    return restore(id.bytes, name, data, time, aggregate, version, metadata, tags, position, encoding, schema, payload)


def _id(text: str, source: str) -> UUID:
    """The id of an event; one that is no UUID, as other programs give them, becomes one, always the same."""
    try:
        return UUID(text)
    except ValueError:
        return uuid5(NAMESPACE_OID, f"{source}\n{text}")


def undecodable(name: str, key: str, time: int, message: bytes) -> Event[Any]:
    """What stands for a message that is no event, so that it can be a dead letter like any other."""
    data = Raw(name, "unknown", 0, message)
    id = uuid5(NAMESPACE_OID, f"goes_lite\n{key}")
    return restore(id.bytes, name, data, time, None, 0, None, None, 0, "unknown", 0, message)
