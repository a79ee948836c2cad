"""How much of a payload a page shows.

Rule of this file: everything that a page shows of the data of events, read models, snapshots or commands has passed here,
and filters and searches look at nothing else: a filter that sees more than the page would tell what the page hides.

A value is walked together with the shape of its type. Whatever of it has not the form of its type, or belongs to a type that
cannot be walked, is masked as a whole if anything in that type is personal.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final, Literal, cast, get_args, get_origin, get_type_hints

from goes_lite.codec.types import describe
from goes_lite.events.outcome import CommandOutcome
from goes_lite.events.workflow import EffectRecord, WorkflowSuspended

if TYPE_CHECKING:
    from goes_lite.events.registry import Registry

Level = Literal["none", "masked", "limited", "full"]
LEVELS: tuple[Level, ...] = ("none", "masked", "limited", "full")
"""From least to most.

- none: nothing of a payload, only how long it is.
- masked: names of fields, and the values of those that the program knows and does not declare personal. All other values are
  masked; of types that it does not know, only the names of the outermost fields are shown.
- limited: all values but those of fields that the program declares personal.
- full: everything.

A field is declared personal by `field(metadata={"personal": True})` of its dataclass (or attrs class), and masked as a whole,
with its keys. Only a program that is known (`--app`) declares anything. A payload of an older schema, which may have had other
names for its fields, is masked as a whole if any field of its type is personal.
"""

MASK = "•••"
"""What is shown instead of a value."""

OURS: Final[Any] = object()
"""Stands for the type of the records that goes_lite keeps for itself, which carry commands, states and errors of the program."""

_CARRY: Mapping[Any, frozenset[str]] = {
    EffectRecord: frozenset(("data",)),
    WorkflowSuspended: frozenset(("error",)),
    CommandOutcome: frozenset(("result", "message", "details")),
}
"""Fields of goes_lite's own events that carry what a type of the program may declare personal, encoded or as text."""

_OBJECTS = frozenset(("object", "namedtuple", "typeddict"))
_LISTS = frozenset(("list", "variadic", "set", "frozenset"))
_NESTED = frozenset((*_OBJECTS, *_LISTS, "tuple", "dict"))


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
        kind, current = stored_type(registry, found["event"], found["schema"])
        if "payload" in found:
            found["payload"] = self.text(found["payload"], kind)
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
        shape = None if kind is None or kind is OURS or not current else _shape_of(kind)
        if shape is not None:
            return self._walked(value, shape)
        return value if self.level == "limited" and not is_personal(kind) else _names(value)

    def text(self, text: str, kind: Any = None) -> str:
        """Return a text whose structure is not known, such as a payload that is no JSON, as it may be shown."""
        return text if self.level == "full" or (self.level == "limited" and not is_personal(kind)) else MASK

    def error(self, text: str) -> str:
        """Return the text of an error, which may quote any value, as it may be shown: its class."""
        if self.level == "full" or not text:
            return text
        name, colon, _ = text.partition(":")
        return name if colon and name.replace(".", "").isidentifier() else MASK

    def _walked(self, value: Any, shape: Any) -> Any:
        items: dict[str, Any] = value  # one of the two, or neither: what isinstance() tells has no types of its parts
        parts: list[Any] = value
        for one in shape.parts if shape.kind == "union" else (shape,):
            if one.kind == "any":
                return cast("object", value)
            if isinstance(value, dict):
                if one.kind in _OBJECTS:
                    return {key: self._field(key, inside, one) for key, inside in items.items()}
                if one.kind == "dict":
                    return {key: self._walked(inside, one.parts[1]) for key, inside in items.items()}
            elif isinstance(value, list):
                if one.kind in _LISTS:
                    return [self._walked(inside, one.parts[0]) for inside in parts]
                if one.kind == "tuple" and len(parts) == len(one.parts):
                    return [self._walked(inside, part) for inside, part in zip(parts, one.parts, strict=True)]
            elif value is None or one.kind not in _NESTED:
                return value
        if self.level == "masked" or _declares(shape):
            return MASK
        return cast("object", value)

    def _field(self, key: str, value: Any, shape: Any) -> Any:
        if value is None:
            return None
        for field in (*shape.fields, *shape.computed):
            if key in (field.key, field.name):
                # A computed field that does not count has no shape that says what is in it.
                unclear = field.shape.kind == "any" and field in shape.computed
                return MASK if unclear or field.name in _personal(shape.type) else self._walked(value, field.shape)
        return MASK if self.level == "masked" else value


def stored_type(registry: Any, name: str, schema: object) -> tuple[Any, bool]:
    """Return the type of what is stored under a name, None if it is not known, and whether it has the form of today's."""
    if name not in registry:
        return None, True
    return registry.type_of(name), schema == registry.schema_of(name)


def is_personal(kind: Any) -> bool:
    """Whether anything in a type is declared personal, at any depth; of one that cannot be looked into, it may be."""
    if kind is None or kind is OURS:
        return kind is OURS
    shape = _shape_of(kind)
    return _may_declare(kind, []) if shape is None else _declares(shape)


def _names(value: Any) -> Any:
    """Return the names of the outermost fields of an object, without values."""
    return dict.fromkeys(cast("dict[str, Any]", value), MASK) if isinstance(value, dict) else MASK


def _shape_of(kind: Any) -> Any:
    """Return the shape of a type; None if it has none, or not yet."""
    try:
        return _described(kind)
    except Exception:  # noqa: BLE001 - a type that only a codec of the program knows, or whose annotations cannot be resolved
        return None


@lru_cache(maxsize=512)
def _described(kind: Any) -> Any:
    return describe(kind)


def _declares(shape: Any) -> bool:
    return any(_personal(one.type) for one in shape.walk() if one.kind in _OBJECTS)


@lru_cache(maxsize=512)
def _personal(cls: Any) -> frozenset[str]:
    """Return the names of the fields of a class that are declared personal."""
    fields: tuple[Any, ...] = dataclasses.fields(cls) if dataclasses.is_dataclass(cls) else ()
    fields += tuple(getattr(cls, "__attrs_attrs__", ()))
    return _CARRY.get(cls, frozenset()) | {one.name for one in fields if one.metadata.get("personal")}


def _may_declare(kind: Any, seen: list[Any]) -> bool:
    """Whether a type without a shape, or one that its annotations name, declares a field personal."""
    if kind in seen:
        return False
    seen.append(kind)
    inside = [*get_args(kind), get_origin(kind)]
    if isinstance(kind, type):
        if _personal(kind):
            return True
        try:
            inside += get_type_hints(kind).values()
        except Exception:  # noqa: BLE001 - an annotation that cannot be resolved may be anything
            return True
    return any(_may_declare(one, seen) for one in inside if one is not None)
