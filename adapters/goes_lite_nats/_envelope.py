r"""Events as messages: CloudEvents 1.0 in JSON, which programs in other languages can read with existing libraries.

    {"specversion": "1.0", "id": "0199…", "type": "order.placed", "source": "/goes_lite",
     "time": "2026-03-01T12:00:00.123456Z", "subject": "order/2026-001", "datacontenttype": "application/json",
     "goesaggregate": "order", "goesaggregateid": "2026-001", "goesversion": 1, "goesposition": 17, "goesencoding": "json",
     "goesschema": 1, "goesmetadata": "{\"actor\":\"ann\"}", "goestags": "[\"customer:7\"]", "data": {"total": 450}}

CloudEvents attributes are flat, so metadata and tags are JSON in a string. A bytes payload is in `data_base64`; text that is
not JSON is a string. `data` is the last member, and written exactly as it was encoded, so it can be cut out byte for byte.
"""

from __future__ import annotations

import base64
import json
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast
from uuid import NAMESPACE_OID, UUID, uuid5

from goes_lite.errors import DecodeError, GoesError
from goes_lite.events.event import Event, metadata_json, restore, tags_json
from goes_lite.events.fields import AggregateRef, to_micros
from goes_lite.events.registry import Raw
from goes_lite_nats._subjects import name_in

if TYPE_CHECKING:
    from nats.aio.msg import Msg

CONTENT_TYPE = "application/cloudevents+json"
SOURCE = "/goes_lite"

_DATA = b',"data":'
_text = json.encoder.encode_basestring_ascii


def encode(event: Event[Any]) -> bytes:
    """Return the event as the payload of a message."""
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
    """Return the event in a message, with its data still encoded (Raw); DecodeError if it is not one.

    Any program may have written it: only the attributes that CloudEvents requires are required.
    """
    try:
        return _decode(message)
    except (GoesError, LookupError, TypeError, ValueError, AttributeError, RecursionError) as exc:
        raise DecodeError("$", f"the message is not a CloudEvent in JSON: {exc!r:.200}") from exc


def _decode(message: bytes) -> Event[Any]:
    head, cut, tail = message.partition(_DATA)
    if cut and b'"goesencoding"' in head:  # ours: everything before it is flat, so this is the member itself
        attributes = cast("dict[str, Any]", json.loads(head + b"}"))
        attributes["data"] = tail[:-1].decode()
        ours = True
    else:
        attributes = cast("dict[str, Any]", json.loads(message))
        ours = False
    encoding = str(attributes.get("goesencoding", "json"))
    payload: str | bytes
    if "data_base64" in attributes:
        payload = base64.b64decode(attributes["data_base64"], validate=True)
    elif encoding == "json":
        payload = attributes["data"] if ours else json.dumps(attributes.get("data"), ensure_ascii=False)
    else:
        payload = str(json.loads(attributes["data"]) if ours else attributes["data"])
    aggregate, version = None, 0
    if "goesaggregate" in attributes:
        aggregate = AggregateRef(attributes["goesaggregate"], attributes["goesaggregateid"])
        version = int(attributes["goesversion"])
    name, schema = str(attributes["type"]), int(attributes.get("goesschema", 1))
    id = _id(str(attributes["id"]), str(attributes["source"]))
    time = to_micros(datetime.fromisoformat(attributes["time"])) if "time" in attributes else 0
    metadata, tags = attributes.get("goesmetadata"), attributes.get("goestags")
    if not (isinstance(metadata, str | None) and isinstance(tags, str | None)):
        raise TypeError("goesmetadata and goestags must be strings")
    if metadata is not None and not isinstance(json.loads(metadata), dict):
        raise TypeError("goesmetadata must be a JSON object")
    if tags is not None and not isinstance(json.loads(tags), list):
        raise TypeError("goestags must be a JSON array")
    data = Raw(name, encoding, schema, payload)
    position = int(attributes.get("goesposition", 0))
    return restore(id.bytes, name, data, time, aggregate, version, metadata, tags, position, encoding, schema, payload)


def _id(text: str, source: str) -> UUID:
    """The id of an event; an id that is not a UUID, as other programs use them, is mapped to one, always the same."""
    try:
        return UUID(text)
    except ValueError:
        return uuid5(NAMESPACE_OID, f"{source}\n{text}")


def decode_anything(message: Msg, prefix: str, key: str, time: int) -> Event[Any]:
    """Return the event in a message, or a stand-in if there is none."""
    try:
        return decode(message.data)
    except GoesError:
        return undecodable_event(name_in(prefix, message.subject) or "undecodable", key, time, message.data)


def undecodable_event(name: str, key: str, time: int, message: bytes) -> Event[Any]:
    """Return a stand-in for a message that is not an event, so that it can be a dead letter like any other."""
    data = Raw(name, "unknown", 0, message)
    id = uuid5(NAMESPACE_OID, f"goes_lite\n{key}")
    return restore(id.bytes, name, data, time, None, 0, None, None, 0, "unknown", 0, message)
