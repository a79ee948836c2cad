"""How much of a payload a page shows.

Rule of this file: everything that a page shows of the data of events, read models, snapshots or commands has passed here,
and filters and searches look at nothing else: a filter that sees more than the page would tell what the page hides.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, cast, get_args, get_type_hints

if TYPE_CHECKING:
    from goes_lite.events.registry import Registry

Level = Literal["none", "masked", "limited", "full"]
LEVELS: tuple[Level, ...] = ("none", "masked", "limited", "full")
"""From least to most.

- none: nothing of a payload, only how long it is.
- masked: names of fields, and the values of those that the program knows and does not declare personal. All other values are
  masked; so are all values of types that it does not know.
- limited: all values but those of fields that the program declares personal.
- full: everything.

A field is declared personal by `field(metadata={"personal": True})` of its dataclass (or attrs class). Only a program that is
known (`--app`) declares anything. A payload of an older schema, which may have had other names for its fields, is masked as a
whole if any field of its type is personal.
"""

MASK = "•••"
"""What is shown instead of a value."""

Mask = Mapping[str, Any] | bool
"""True: personal. Else which of the fields are, by name; an empty one: none is."""


@dataclasses.dataclass(frozen=True)
class Disclosure:
    """One of the levels."""

    level: Level = "limited"

    def __post_init__(self) -> None:
        """Check the level: ValueError."""
        if self.level not in LEVELS:
            raise ValueError(f"disclose is one of {', '.join(LEVELS)}, not {self.level!r:.80}")

    def event(self, data: Mapping[str, Any], registry: Registry) -> dict[str, Any]:
        """Return an event, as `operations.forms.event_data` has it, with as much of its payload as may be shown."""
        found = dict(data)
        name: str = found["event"]
        known = name in registry
        kind = registry.type_of(name) if known else None
        current = not known or found["schema"] == registry.schema_of(name)
        if "payload" in found:
            found["payload"] = self.text(found["payload"])
        found["data"] = self.value(found["data"], kind, current=current)
        return found

    def value(self, value: Any, kind: Any = None, *, current: bool = True) -> Any:
        """Return the JSON of a value of a type (None: it is not known) as it may be shown.

        `current` says whether it has the form of today's type.
        """
        if self.level == "full" or value is None:
            return value
        if self.level == "none":
            return MASK
        mask: Mask = {} if kind is None else mask_of(kind)
        if kind is None:
            mask = self.level == "masked"
        elif not current and mask:
            mask = True
        return _masked(value, mask)

    def text(self, text: str) -> str:
        """Return a text whose structure is not known, such as a payload that is no JSON, as it may be shown."""
        return text if self.level in ("limited", "full") else MASK


def _masked(value: Any, mask: Mask) -> Any:
    if isinstance(value, list):
        return [_masked(one, mask) for one in value]  # pyright: ignore[reportUnknownVariableType]
    if isinstance(value, dict):
        items = cast("dict[str, Any]", value).items()
        inside: Mapping[str, Any] = {} if isinstance(mask, bool) else mask
        return {
            key: _masked(one, mask if mask is True else inside.get(key, inside.get("*", False))) for key, one in items
        }
    return MASK if mask is True and value is not None else value


def mask_of(kind: Any, within: tuple[Any, ...] = ()) -> Mask:
    """Return which fields of a type are declared personal, at any depth; `*` stands for the values of a mapping."""
    if kind in within:  # a type that contains itself is looked at once
        return {}
    if isinstance(kind, type) and (fields := _fields(kind)):
        found: dict[str, Any] = {}
        try:
            hints = get_type_hints(kind)
        except (NameError, TypeError):
            hints = {}
        for name, metadata in fields:
            inside = True if metadata.get("personal") else mask_of(hints.get(name), (*within, kind))
            if inside:
                found[name] = inside
        return found
    masks = [mask for argument in get_args(kind) if (mask := mask_of(argument, within))]
    if True in masks:
        return True
    merged: dict[str, Any] = {}
    for mask in masks:
        merged.update(cast("Mapping[str, Any]", mask))
    origin = getattr(kind, "__origin__", None)
    if merged and isinstance(origin, type) and issubclass(origin, Mapping):
        return {"*": merged}
    return merged


def _fields(kind: Any) -> list[tuple[str, Mapping[Any, Any]]]:
    if dataclasses.is_dataclass(kind):
        return [(one.name, one.metadata) for one in dataclasses.fields(kind)]
    attributes: Any = getattr(kind, "__attrs_attrs__", ())
    return [(one.name, one.metadata) for one in attributes]
