"""The JSON Schema of a type: what is stored of its values is valid, and it is read back as the type that it describes."""

from __future__ import annotations

import enum
import json
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from importlib import import_module
from importlib.util import find_spec
from typing import Any, NamedTuple, NotRequired, TypedDict

import pytest
from hypothesis import given, settings

import goes_lite as goes
from goes_lite.codec import FunctionCodec, StdlibJson, _read, _scalars
from goes_lite.codec import json_schema as json_schemas
from goes_lite.codec.json_schema import DIALECT, json_schema
from goes_lite.errors import ConfigError, RegistrationError
from goes_lite.schema import describe, gaps, parse
from goes_lite.schema.nodes import node_of
from tests.codec.codec_kit import Box, Lenient, needs_attrs, needs_msgspec
from tests.codec.codec_strategies import slow_data, typed_values
from tests.schema.schema_kit import between, goes_wrong, node

needs_jsonschema = pytest.mark.skipif(find_spec("jsonschema") is None, reason="jsonschema is not installed")


@dataclass(frozen=True)
class Node:
    name: str
    children: tuple[Node, ...] = ()
    weight: Decimal = Decimal("1.50")


class Where(TypedDict):
    street: str
    floor: NotRequired[int]


class Kind(enum.Enum):
    NEW = "new"
    USED = "used"


class Pair(NamedTuple):
    left: Kind
    right: Kind = Kind.NEW


@dataclass
class Everything:
    tree: Node
    where: Where
    pair: Pair
    at: datetime | None
    seen: set[int]
    by_size: dict[int, bytes] = field(default_factory=dict[int, bytes])


def test_a_schema_says_what_is_stored() -> None:
    """Each class once, by reference; what has a default is not required."""
    assert json_schema(Everything) == {
        "$schema": DIALECT,
        "title": "Everything",
        "type": "object",
        "properties": {
            "tree": {"$ref": "#/$defs/Node"},
            "where": {"$ref": "#/$defs/Where"},
            "pair": {"$ref": "#/$defs/Pair"},
            "at": {"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]},
            "seen": {"type": "array", "items": {"type": "integer"}, "uniqueItems": True},
            "by_size": {
                "type": "object",
                "additionalProperties": {"type": "string", "contentEncoding": "base64"},
                "propertyNames": {"type": "string", "format": "integer"},
            },
        },
        "required": ["tree", "where", "pair", "at", "seen"],
        "$defs": {
            "Node": {
                "title": "Node",
                "type": "object",
                "properties": {
                    "name": {"type": "string"},
                    "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}, "default": []},
                    "weight": {"type": "string", "format": "decimal", "default": "1.50"},
                },
                "required": ["name"],
            },
            "Where": {
                "title": "Where",
                "type": "object",
                "properties": {"street": {"type": "string"}, "floor": {"type": "integer"}},
                "required": ["street"],
            },
            "Pair": {
                "title": "Pair",
                "type": "object",
                "properties": {
                    "left": {"$ref": "#/$defs/Kind"},
                    "right": {"$ref": "#/$defs/Kind", "default": "new"},
                },
                "required": ["left"],
                "x-positional": True,
            },
            "Kind": {"title": "Kind", "type": "string", "enum": ["new", "used"]},
        },
    }


@needs_jsonschema
@settings(deadline=None, suppress_health_check=slow_data)
@given(typed_values())
def test_what_is_stored_is_valid(typed: tuple[Any, Any]) -> None:
    """For a validator that knows nothing of this package."""
    jsonschema: Any = import_module("jsonschema")

    hint, value = typed
    document = json_schema(hint)
    jsonschema.Draft202012Validator.check_schema(document)
    jsonschema.Draft202012Validator(document).validate(json.loads(StdlibJson().encoder(hint)(value)))


@settings(deadline=None, suppress_health_check=slow_data)
@given(typed_values())
def test_a_document_describes_its_type_in_full(typed: tuple[Any, Any]) -> None:
    """Written to a file and read back, it is the same type, of which nothing is unreadable."""
    assert between(typed[0], typed[0]) == []


def test_a_type_that_contains_itself_is_compared_with_another_one() -> None:
    @dataclass
    class Other:
        name: str
        children: tuple[Node, ...] = ()
        weight: int = 1

    found = between(Node, Other)
    assert [(gap.path, gap.problem) for gap in found] == [("$.weight", "Decimal is stored, int is expected")]
    assert goes_wrong(Node, Other, found[0].example)
    assert between(Node, Node) == []


def test_generic_classes_are_told_apart() -> None:
    both = json_schema(tuple[Box[int], Box[str]])
    assert [*both["$defs"]] == ["Box_int", "Box_str"]
    assert [gap.path for gap in between(Box[int], Box[str])] == ["$.content", "$.more[]"]


def test_an_enum_that_makes_members_of_other_values_reads_them() -> None:
    class More(enum.Enum):
        KNOWN = "known"
        OTHER = "other"

    assert json_schema(Lenient)["x-open"] is True
    (gap,) = between(More, Lenient)  # only the code of the class knows
    assert gap.problem == "'other' is stored, no member of Lenient, unless its _missing_ makes one of it"
    assert between(str, Lenient) == []
    assert len(between(Lenient, enum.Enum("Less", {"OTHER": "other"}))) == 1


@needs_attrs
def test_an_attrs_class_has_the_schema_of_its_fields() -> None:
    import attrs

    made = attrs.make_class("Made", {"_name": attrs.field(type=str), "size": attrs.field(type=int, default=3)})
    assert json_schema(made)["properties"].keys() == {"_name", "size"}
    assert json_schema(made)["required"] == ["_name"]


@needs_msgspec
def test_a_struct_has_the_names_that_are_stored() -> None:
    import msgspec

    made = msgspec.defstruct("Made", [("full_name", str), ("size", int, 3)], rename="camel")
    assert json_schema(made)["properties"].keys() == {"fullName", "size"}
    assert json_schema(made)["required"] == ["fullName"]


@pytest.mark.skipif(find_spec("pydantic") is None, reason="pydantic is not installed")
def test_a_model_of_pydantic_has_the_schema_of_its_fields() -> None:
    """Its constraints are its own affair: they are no part of the form."""
    pydantic: Any = import_module("pydantic")
    made = pydantic.create_model(
        "Made",
        name=(str, pydantic.Field(alias="fullName")),
        size=(int, pydantic.Field(default=3, ge=1)),
        inner=(Node, ...),
    )
    other = pydantic.create_model("Made", name=(str, pydantic.Field(alias="fullName")), size=(str, "3"))
    assert json_schema(made)["properties"].keys() == {"fullName", "size", "inner"}
    assert json_schema(made)["required"] == ["fullName", "inner"]
    assert [gap.path for gap in between(made, other)] == ["$.size"]
    assert between(made, made) == []


def test_every_kind_of_shape_has_a_schema() -> None:
    """Whoever teaches the codecs a new kind of type says here, too, how it is stored."""
    assert {*json_schemas._SCALARS, *json_schemas._BODIES} == {*_scalars.READ, *_read._READERS}


def test_a_type_without_a_shape_is_refused() -> None:
    with pytest.raises(RegistrationError, match="complex is not supported"):
        json_schema(complex)


@pytest.mark.parametrize(
    "document",
    [
        [], "x", {"type": "odd"}, {"$ref": "#/$defs/gone"}, {"anyOf": 1}, {"type": "object"}, {"enum": None},
        {"type": "string", "format": "email"}, {"type": "array", "items": 3},
        {"type": "object", "properties": {"a": 1}, "required": []},
    ],
)  # fmt: skip
def test_a_schema_of_another_program_is_refused(document: Any) -> None:
    with pytest.raises(ConfigError, match="is no schema that"):
        node_of(document)


def test_definitions_that_never_end_are_refused_and_others_are_not() -> None:
    with pytest.raises(ConfigError):
        node_of({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"anyOf": [{"anyOf": 0}]}]}}})
    deep: Any = {"type": "integer"}
    for _ in range(300):
        deep = {"type": "array", "items": deep}
    with pytest.raises(ConfigError):
        node_of(deep)


def test_a_type_that_is_no_class_may_contain_itself() -> None:
    """As `type Json = int | list[Json]` does."""
    both = {"anyOf": [{"type": "integer"}, {"type": "array", "items": {"$ref": "#/$defs/Json"}}]}
    json_like = node_of({"$ref": "#/$defs/Json", "$defs": {"Json": both}})
    assert gaps(json_like, json_like) == []
    problems = [(gap.path, gap.problem) for gap in gaps(json_like, node(int | list[int]))]
    assert problems == [("$[]", "list[int | list[…]] is stored, int is expected")]
    with pytest.raises(ConfigError, match="a union of itself"):
        node_of({"$ref": "#/$defs/a", "$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}, {"type": "integer"}]}}})


def test_a_registry_is_described_with_what_only_codecs_know() -> None:
    registry = goes.Registry()
    registry.register("node.made", Node, schema=3, aliases=["node.new"])
    registry.upcast("node.made", 2)(dict)
    registry.upcast("node.new", 1)(dict)
    registry.register("odd.made", complex, codec=FunctionCodec("odd", repr, lambda text, _: complex(text), text=True))
    registry.commands.register("node.make", Node)
    document = json.loads(json.dumps(describe(registry)))
    assert document["events"]["node.made"]["upcasters"] == {"node.made": [2], "node.new": [1, 2]}
    assert document["events"]["node.made"]["own_upcasters"] == {"node.made": [2], "node.new": [1]}
    assert document["events"]["odd.made"] == {
        "schema": 1,
        "encoding": "odd",
        "upcasters": {"odd.made": []},
        "own_upcasters": {"odd.made": []},
        "type": None,
    }
    catalogue = parse(json.dumps(document))
    assert [*catalogue.events] == ["node.made", "odd.made"]
    made = catalogue.commands["node.make"].type
    assert made is not None
    assert gaps(made, node(Node)) == []
