"""What a registry says about the stored form of each name: its type, schema, encoding, former names and upcasters."""

from __future__ import annotations

from typing import Any, NamedTuple

from goes_lite.events.registry import Registry


class Form(NamedTuple):
    """How the values of one name are stored, and which stored ones can be read."""

    name: str
    type: Any
    schema: int
    """The version of the current form."""
    encoding: str
    """In which new values are stored."""
    steps: dict[str, tuple[int, ...]]
    """The schemas with an upcaster to the next one, by the name under which a value was stored: this one, and former ones."""
    own: dict[str, tuple[int, ...]]
    """Of these, the ones that are registered for the stored name itself, which come before those of the current name."""


def forms_of(registry: Registry) -> list[Form]:
    """Return the forms of all names of a registry, in the order of registration, without those of built-in events."""
    entries = [registry._entries[name] for name in registry.names()]
    return [
        Form(
            entry.name,
            entry.type,
            entry.schema,
            registry._codec_for(entry.type, entry.codec).name,
            {
                stored: tuple(
                    step
                    for step in range(1, entry.schema)
                    if (stored, step) in registry._upcasters or (entry.name, step) in registry._upcasters
                )
                for stored in (entry.name, *entry.aliases)
            },
            {
                stored: tuple(step for step in range(1, entry.schema) if (stored, step) in registry._upcasters)
                for stored in (entry.name, *entry.aliases)
            },
        )
        for entry in entries
    ]
