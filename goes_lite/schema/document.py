"""The document of `goes-lite schema events`: for each event and command, its JSON Schema and which stored forms can be read."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

from goes_lite.errors import ConfigError, RegistrationError
from goes_lite.events.forms import Form, forms_of
from goes_lite.events.registry import Registry
from goes_lite.schema.nodes import MAPPING, Node, node_of

FORMAT = 1
"""The version of the document: higher if a key changes its meaning or disappears."""

KINDS = ("events", "commands")

LATEST = 10_000
"""No program has this many versions of one event."""

PLAIN = ("json", "msgpack")
"""Encodings that every program reads, and which write what the JSON Schema of a type says."""


class Described(NamedTuple):
    """One event or command, as a document has it."""

    name: str
    schema: int
    """The version of its current form."""
    type: Node | None
    """What is stored of it; None for a type that only its codec knows, such as a protobuf message."""
    steps: Mapping[str, tuple[int, ...]]
    """The schemas with an upcaster to the next one, by the name that is stored: this one, and former ones."""
    own: Mapping[str, tuple[int, ...]] | None = None
    """Those that are registered for the stored name itself; None in a document that does not tell."""
    encoding: str = "json"
    """In which new values are stored."""

    @property
    def judged(self) -> bool:
        """Whether its type says all of what is stored: not if only its codec knows how it writes."""
        return self.type is not None and self.encoding in PLAIN


class Catalogue(NamedTuple):
    """What a document says: events and commands, by name."""

    events: Mapping[str, Described]
    commands: Mapping[str, Described]


def describe(registry: Registry) -> dict[str, Any]:
    """Return the document of a registry, which JSON can hold. RegistrationError for a type whose names do not resolve."""
    return {
        "format": FORMAT,
        "events": {form.name: _described(form) for form in forms_of(registry)},
        "commands": {form.name: _described(form) for form in forms_of(registry.commands)},
    }


def _described(form: Form) -> dict[str, Any]:
    return {
        "schema": form.schema,
        "encoding": form.encoding,
        "upcasters": {name: [*steps] for name, steps in form.steps.items()},
        "own_upcasters": {name: [*steps] for name, steps in form.own.items()},
        "type": _type(form),
    }


def _type(form: Form) -> dict[str, Any] | None:
    from goes_lite.codec.json_schema import json_schema
    from goes_lite.codec.types import is_message

    if is_message(form.type):
        return None
    try:
        return json_schema(form.type)
    except RegistrationError:
        if form.encoding in PLAIN:
            raise
        return None  # its codec accepts what has no shape


def parse(document: object) -> Catalogue:
    """Return what a document says, given as its text or as json.loads returns it; ConfigError unless it is one."""
    if isinstance(document, str):
        try:
            document = json.loads(document)
        except (ValueError, RecursionError) as error:
            raise ConfigError(f"not JSON: {error!s:.200}: write the document with `goes-lite schema events`") from None
    found: Any = document
    number: object = found.get("format") if isinstance(found, MAPPING) else None
    if type(number) is not int:
        raise ConfigError(f"{found!r:.80} is no document of `goes-lite schema events`: write it with that")
    if number > FORMAT:
        raise ConfigError(f"the document has format {number}, and this goes-lite knows {FORMAT}: update it")
    return Catalogue(*({name: _parsed(name, one) for name, one in _items(found, kind)} for kind in KINDS))


def _items(found: dict[str, Any], kind: str) -> list[tuple[str, Any]]:
    entries: Any = found.get(kind, {})
    if not isinstance(entries, MAPPING):
        raise ConfigError(f"{kind!r} of the document is no object: write it with `goes-lite schema events`")
    return [*entries.items()]


def _parsed(name: str, one: Any) -> Described:
    try:
        schema, kind = one["schema"], one["type"]
        encoding: object = one.get("encoding", "json")
        steps = _steps(one["upcasters"])
        own = _steps(one["own_upcasters"]) if "own_upcasters" in one else None
        if own is not None and own.keys() != steps.keys():
            raise TypeError(own)
        if type(schema) is not int or not 1 <= schema <= LATEST or name not in steps or not isinstance(encoding, str):
            raise TypeError(schema)
    except (AttributeError, KeyError, TypeError):
        raise ConfigError(
            f"{name!r} is not described as `goes-lite schema events` does: write the document again"
        ) from None
    node = None if kind is None else node_of(kind, native=encoding == "msgpack")
    return Described(name, schema, node, steps, own, encoding)


def _steps(found: Any) -> dict[str, tuple[int, ...]]:
    if any(type(step) is not int for steps in found.values() for step in steps):
        raise TypeError(found)
    return {str(stored): tuple(step for step in steps if 1 <= step <= LATEST) for stored, steps in found.items()}
