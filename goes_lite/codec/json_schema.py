"""The JSON Schema (2020-12) of what is stored of a type, derived from the same shape that both JSON codecs are compiled from.

A property is required unless the type has a default for it: what was stored before the field was added lacks it. What JSON has
no word for is an annotation, which validators ignore: the formats `decimal`, `timedelta` and `local-time`, and for keys of
objects, which are strings, `integer`; `x-flags`, the bits of a Flag; `x-open` for an Enum that makes members of other values
(`_missing_`); `x-positional` for a NamedTuple, which is read from an array as well.
"""

from __future__ import annotations

import enum
import json
import re
from collections.abc import Callable
from typing import Any

from goes_lite.codec._json import shape_of
from goes_lite.codec._problem import Problem
from goes_lite.codec._shapes import MISSING, Field, Shape, class_of
from goes_lite.codec._write import writer

DIALECT = "https://json-schema.org/draft/2020-12/schema"

Document = dict[str, Any]

_SCALARS: dict[str, Document] = {
    "any": {},
    "none": {"type": "null"},
    "bool": {"type": "boolean"},
    "int": {"type": "integer"},
    "float": {"type": "number"},
    "str": {"type": "string"},
    "bytes": {"type": "string", "contentEncoding": "base64"},
    "datetime": {"type": "string", "format": "date-time"},
    "date": {"type": "string", "format": "date"},
    "time": {"type": "string", "format": "local-time"},
    "timedelta": {"type": "string", "format": "timedelta"},
    "UUID": {"type": "string", "format": "uuid"},
    "Decimal": {"type": "string", "format": "decimal"},
}

_JSON_TYPES: dict[type[Any], str] = {str: "string", int: "integer", bool: "boolean", type(None): "null"}

#: Kinds that have a definition of their own, wherever they stand.
_NAMED = frozenset(("object", "namedtuple", "typeddict", "enum"))


def json_schema(type: Any) -> Document:
    """Return the JSON Schema of a type; RegistrationError for one that has no shape, such as a protobuf message."""
    shape = shape_of(type)
    made = _Schemas(shape)
    again = any(
        part is shape for inner in shape.walk() for part in (*inner.parts, *(one.shape for one in inner.fields))
    )
    document = made.schema(shape) if again else made.body(shape)
    return {"$schema": DIALECT, **document, **({"$defs": made.definitions} if made.definitions else {})}


class _Schemas:
    """The schemas of one type; classes, and what contains itself, are definitions that others refer to."""

    def __init__(self, root: Shape) -> None:
        self.definitions: dict[str, Document] = {}
        self.names: dict[Any, str] = {}
        self.recursive = {id(shape) for shape in root.walk() if _contains_itself(shape)}

    def schema(self, shape: Shape) -> Document:
        """Return the schema, or the reference to its definition."""
        if shape.kind not in _NAMED and id(shape) not in self.recursive:
            return self.body(shape)
        key: Any = shape.type if shape.kind == "enum" else id(shape)  # an Enum has a shape wherever it stands
        name = self.names.get(key)
        if name is None:
            name = self.names[key] = self.new_name(shape)
            self.definitions[name] = {}  # it keeps its place, above those that it refers to
            self.definitions[name] = self.body(shape)
        return {"$ref": f"#/$defs/{name}"}

    def new_name(self, shape: Shape) -> str:
        plain = re.sub(r"\W+", "_", shape.label, flags=re.ASCII).strip("_")[:60] or "type"
        name, number = plain, 1
        while name in self.definitions:
            number += 1
            name = f"{plain}_{number}"
        return name

    def body(self, shape: Shape) -> Document:
        simple = _SCALARS.get(shape.kind)
        return dict(simple) if simple is not None else _BODIES[shape.kind](self, shape)

    def enum(self, shape: Shape) -> Document:
        cls = shape.type
        if issubclass(cls, enum.Flag):
            # Others keep bits that they do not know; STRICT refuses them, and CONFORM drops them.
            bits = getattr(cls, "_boundary_", None) in (enum.STRICT, enum.CONFORM)
            return {"title": shape.label, "type": "integer", **({"x-flags": [*shape.values]} if bits else {})}
        document = {"title": shape.label, "type": _JSON_TYPES[class_of(shape.values[0])], "enum": [*shape.values]}
        makes_others = getattr(cls._missing_, "__func__", None) is not getattr(enum.Enum._missing_, "__func__", None)
        return {**document, "x-open": True} if makes_others else document

    def literal(self, shape: Shape) -> Document:
        return {"enum": [*shape.values]}

    def union(self, shape: Shape) -> Document:
        return {"anyOf": [self.schema(part) for part in shape.parts]}

    def array(self, shape: Shape) -> Document:
        document = {"type": "array", "items": self.schema(shape.parts[0])}
        return {**document, "uniqueItems": True} if shape.kind in ("set", "frozenset") else document

    def tuple(self, shape: Shape) -> Document:
        length = len(shape.parts)
        items = {"prefixItems": [self.schema(part) for part in shape.parts]} if length else {}
        return {"type": "array", **items, "minItems": length, "maxItems": length}

    def dict(self, shape: Shape) -> Document:
        key, value = shape.parts
        document = {"type": "object", "additionalProperties": self.schema(value)}
        return document if key.kind == "str" else {**document, "propertyNames": self.key(key)}

    def key(self, shape: Shape) -> Document:
        """Return the schema of keys, which are strings."""
        document = self.body(shape)
        if shape.kind in ("enum", "literal") and "enum" in document:
            return {**document, "type": "string", "enum": [str(value) for value in shape.values]}
        return {**document, "type": "string", "format": "integer"} if document.get("type") == "integer" else document

    def object(self, shape: Shape) -> Document:
        document: Document = {
            "title": shape.label,
            "type": "object",
            "properties": {field.key: self.property(field) for field in shape.fields},
            "required": [field.key for field in shape.fields if field.required],
        }
        return {**document, "x-positional": True} if shape.kind == "namedtuple" else document

    def property(self, field: Field) -> Document:
        document = self.schema(field.shape)
        if field.default is MISSING:
            return document
        try:
            return {**document, "default": json.loads(writer(field.shape)(field.default))}
        except Problem:
            return document


def _contains_itself(shape: Shape) -> bool:
    """Whether a shape contains itself, without a class in between that has a definition anyway."""
    seen: set[int] = set()
    waiting = [*shape.parts]
    while waiting:
        inner = waiting.pop()
        if inner is shape:
            return True
        if inner.kind not in _NAMED and id(inner) not in seen:
            seen.add(id(inner))
            waiting.extend(inner.parts)
    return False


_BODIES: dict[str, Callable[[_Schemas, Shape], Document]] = {
    "enum": _Schemas.enum,
    "literal": _Schemas.literal,
    "union": _Schemas.union,
    "list": _Schemas.array,
    "variadic": _Schemas.array,
    "set": _Schemas.array,
    "frozenset": _Schemas.array,
    "tuple": _Schemas.tuple,
    "dict": _Schemas.dict,
    "namedtuple": _Schemas.object,
    "typeddict": _Schemas.object,
    "object": _Schemas.object,
}
"""What a new kind of shape needs, to have a schema."""
