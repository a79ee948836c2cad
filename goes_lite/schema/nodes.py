"""A JSON Schema as a tree: the part of the language in which `goes_lite.codec.json_schema` describes what is stored."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from goes_lite.errors import ConfigError

ANY, INTEGER, NUMBER, STRING = "any", "integer", "number", "string"
VALUES, FLAGS, ARRAY, TUPLE, DICT, OBJECT, UNION = "values", "flags", "array", "tuple", "dict", "object", "union"

FORMATS = ("base64", "date-time", "date", "local-time", "timedelta", "uuid", "decimal", "integer")
"""Of strings. An integer is a string as the key of an object."""

NATIVE = ("base64", "date-time", "integer")
"""Those for which msgpack has a form of its own."""

_NAMES = {
    "base64": "bytes", "date-time": "datetime", "local-time": "time", "uuid": "UUID", "decimal": "Decimal",
    INTEGER: "int", NUMBER: "float", STRING: "str", ANY: "any JSON",
}  # fmt: skip


MAPPING: type[Any] = dict
"""For type checkers: what is in it is Any."""


class Node:
    """One type, as it is stored. A recursive type is a node that contains itself."""

    __slots__ = (
        "fields",
        "format",
        "key",
        "kind",
        "native",
        "open",
        "parts",
        "positional",
        "required",
        "title",
        "unique",
        "values",
    )

    def __init__(self, kind: str = ANY) -> None:
        self.kind = kind
        self.title = ""
        self.format = ""
        self.values: tuple[Any, ...] = ()  # of VALUES; the bits of FLAGS
        self.open = False  # other values are read, too
        self.parts: tuple[Node, ...] = ()  # items; key and value of a DICT; members of a UNION
        self.unique = False
        self.fields: dict[str, Node] = {}
        self.required: frozenset[str] = frozenset()
        self.positional = False
        self.key = False  # of an object, so that it is always text
        self.native = False  # stored in a form of its own where JSON has a string, as msgpack does

    def __repr__(self) -> str:
        return f"<Node {self.label()}>"

    def label(self, depth: int = 3) -> str:
        """Return the type as a message shows it, so many levels of it: it may contain itself."""
        if self.title:
            return self.title
        if self.kind == VALUES:
            return " | ".join(map(repr, self.values))
        parts = [part.label(depth - 1) if depth else "…" for part in self.parts]
        if self.kind == UNION:
            return " | ".join(parts) if depth else "…"
        if self.kind == ARRAY:
            return f"{'set' if self.unique else 'list'}[{parts[0]}]"
        if self.kind == TUPLE:
            return f"tuple[{', '.join(parts) or '()'}]"
        if self.kind == DICT:
            return f"dict[{parts[0]}, {parts[1]}]"
        name = self.format or self.kind
        return _NAMES.get(name, name)


def node_of(document: Any, *, native: bool = False) -> Node:
    """Return the tree of a schema, `native` if it is stored in msgpack; ConfigError for one that `json_schema` does not make."""
    definitions: Any = document.get("$defs", {}) if isinstance(document, MAPPING) else {}
    reader = _Reader(definitions if isinstance(definitions, MAPPING) else {}, native)
    found = reader.node(document, 0)
    for node in reader.known.values():
        _check_members(node, ())
    return found


def _check_members(node: Node, above: tuple[int, ...]) -> None:
    """ConfigError for a union that is a member of itself."""
    if node.kind == UNION:
        if id(node) in above:
            raise _foreign("a union of itself")
        for part in node.parts:
            _check_members(part, (*above, id(node)))


class _Reader:
    """Reads one document; definitions are read once, so that a recursive one refers to itself."""

    def __init__(self, definitions: dict[str, Any], native: bool) -> None:
        self.definitions = definitions
        self.native = native
        self.known: dict[str, Node] = {}

    def node(self, schema: Any, depth: int) -> Node:
        if not isinstance(schema, MAPPING) or depth > 200:
            raise _foreign(schema)
        reference: object = schema.get("$ref")
        if reference is None:
            node = Node()
            self.fill(node, schema, depth)
            return node
        name = str(reference).removeprefix("#/$defs/")
        if name not in self.definitions:
            raise _foreign(reference)
        if name not in self.known:
            self.known[name] = Node()
            self.fill(self.known[name], self.definitions[name], depth)
        return self.known[name]

    def fill(self, node: Node, schema: dict[str, Any], depth: int) -> None:
        try:
            self.read(node, schema, depth + 1)
        except (AttributeError, ArithmeticError, LookupError, TypeError, ValueError) as error:
            raise _foreign(schema) from error

    def read(self, node: Node, schema: dict[str, Any], depth: int) -> None:
        node.title = str(schema.get("title", ""))
        kind = schema.get("type")
        if "$ref" in schema:  # a definition that is nothing but another one
            other = self.node(schema, depth)
            for slot in Node.__slots__:
                setattr(node, slot, getattr(other, slot))
        elif "anyOf" in schema:
            node.kind, node.parts = UNION, tuple(self.node(part, depth) for part in _some(schema["anyOf"]))
        elif "enum" in schema:
            node.kind, node.values, node.open = VALUES, _some(schema["enum"]), bool(schema.get("x-open"))
            if any(type(value) not in _FORMS for value in node.values):
                raise ValueError(node.values)
        elif kind in _CONSTANTS:
            node.kind, node.values, node.title = VALUES, *_CONSTANTS[kind]
        elif "x-flags" in schema:
            node.kind, node.values = FLAGS, tuple(map(int, schema["x-flags"]))
            if min(node.values, default=0) < 0:
                raise ValueError(node.values)
        elif kind in (INTEGER, NUMBER):
            node.kind = kind
        elif kind == STRING:
            self.string(node, schema)
        elif kind == "array":
            self.array(node, schema, depth)
        elif kind == "object":
            self.object(node, schema, depth)
        elif kind is not None:
            raise ValueError(kind)

    def string(self, node: Node, schema: dict[str, Any]) -> None:
        node.kind = STRING
        node.format = str(schema.get("contentEncoding") or schema.get("format") or "")
        node.native = self.native and node.format in NATIVE
        if node.format and node.format not in FORMATS:
            raise ValueError(node.format)

    def array(self, node: Node, schema: dict[str, Any], depth: int) -> None:
        if "items" in schema:
            node.kind, node.parts, node.unique = ARRAY, (self.node(schema["items"], depth),), "uniqueItems" in schema
        else:
            node.kind, node.parts = TUPLE, tuple(self.node(part, depth) for part in schema.get("prefixItems", ()))

    def object(self, node: Node, schema: dict[str, Any], depth: int) -> None:
        if "additionalProperties" in schema:
            key = self.node(schema.get("propertyNames", {"type": STRING}), depth)
            key.key = True
            node.kind, node.parts = DICT, (key, self.node(schema["additionalProperties"], depth))
        else:
            node.kind = OBJECT
            node.fields = {name: self.node(part, depth) for name, part in schema["properties"].items()}
            node.required = frozenset(schema["required"]) & node.fields.keys()
            node.positional = bool(schema.get("x-positional"))


_CONSTANTS: dict[Any, tuple[tuple[Any, ...], str]] = {"boolean": ((False, True), "bool"), "null": ((None,), "None")}


def _some(found: Any) -> tuple[Any, ...]:
    """Return a tuple of these, of which there has to be at least one."""
    if not (several := tuple(found)):
        raise ValueError(found)
    return several


def _foreign(schema: object) -> ConfigError:
    return ConfigError(f"{schema!r:.120} is no schema that `goes-lite schema events` writes: write the document again")


def atoms(node: Node) -> Iterator[Node]:
    """Yield the alternatives of which each value of the type is one: members of unions, single values, JSON types."""
    if node.kind == UNION:
        for part in node.parts:
            yield from atoms(part)
    elif node.kind == VALUES:
        for value in node.values:
            one = Node(VALUES)
            one.values = (value,)
            yield one
    elif node.kind == ANY:
        yield from _JSON
    else:
        yield node


def _json() -> tuple[Node, ...]:
    anything = Node()
    constant, array, mapping = Node(VALUES), Node(ARRAY), Node(DICT)
    constant.values, array.parts, mapping.parts = (None, False, True), (anything,), (Node(STRING), anything)
    return (*atoms(constant), Node(INTEGER), Node(NUMBER), Node(STRING), array, mapping)


_JSON = _json()


def forms(node: Node) -> frozenset[str]:
    """Return the JSON forms in which values of the type are written; unions are read by them."""
    if node.kind == UNION:
        return frozenset[str]().union(*(forms(part) for part in node.parts))
    if node.kind == VALUES:
        return frozenset(_FORMS[type(value)] for value in node.values)
    return frozenset((_KINDS.get(node.kind, node.kind),))


_KINDS = {FLAGS: INTEGER, ARRAY: "array", TUPLE: "array", DICT: "object"}
_FORMS: dict[type[Any], str] = {str: STRING, int: INTEGER, bool: "boolean", type(None): "null", float: NUMBER}
