"""Reading: from the result of json.loads to a value of the registered type, checking every type.

`reader(shape)` compiles one function per type. Fields that the type does not have are skipped, so an older program can
read what a newer one wrote; a missing field takes its default, and is an error if there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite
from typing import Any

from goes_lite.codec._problem import Problem, key_step, mismatch, shown
from goes_lite.codec._scalars import READ, read_float
from goes_lite.codec._shapes import DICT, LIST, MISSING, Field, Shape, class_of, forms

Read = Callable[[Any], Any]

#: Types of arrays: JSON has lists, an upcaster may return any of these.
_ARRAYS: tuple[type[Any], ...] = (list, tuple, set, frozenset)


def reader(shape: Shape, known: dict[int, Read] | None = None) -> Read:
    """Return the function that reads values of this shape, or raises Problem."""
    simple = READ.get(shape.kind)
    if simple is not None:
        return simple
    known = {} if known is None else known
    found = known.get(id(shape))
    if found is not None:
        return found

    def later(plain: Any) -> Any:
        return known[id(shape)](plain)

    known[id(shape)] = later
    made = known[id(shape)] = _READERS[shape.kind](shape, known)
    return made


def _any(shape: Shape, known: dict[int, Read]) -> Read:
    return read_any


def read_any(plain: Any) -> Any:
    """Read a plain value unchanged; numbers that overflowed to infinity are refused."""
    kind = class_of(plain)
    if kind is LIST:
        for index, item in enumerate(plain):
            try:
                read_any(item)
            except Problem as problem:
                problem.path.append(f"[{index}]")
                raise
    elif kind is DICT:
        for key, item in plain.items():
            try:
                read_any(item)
            except Problem as problem:
                problem.path.append(key_step(key))
                raise
    elif kind is float and not isfinite(plain):
        raise Problem("the number is out of range")
    return plain


def _enum(shape: Shape, known: dict[int, Read]) -> Read:
    cls = shape.type
    members = {member.value: member for member in cls}
    plain_type = class_of(shape.values[0])

    def read(plain: Any) -> Any:
        if type(plain) is plain_type:
            member = members.get(plain)
            if member is not None:
                return member
            try:
                return cls(plain)  # several flags at once, or a class with _missing_
            except Exception:  # noqa: BLE001  (_missing_ is the user's code)
                raise Problem(f"{shown(plain)} is not a value of {shape.label}") from None
        if type(plain) is cls:
            return plain
        raise mismatch(shape.label, plain)

    return read


def _literal(shape: Shape, known: dict[int, Read]) -> Read:
    values: dict[tuple[type[Any], Any], Any] = {(type(value), value): value for value in shape.values}

    def read(plain: Any) -> Any:
        try:
            return values[type(plain), plain]
        except (KeyError, TypeError):
            raise Problem(f"expected {shape.label}, got {shown(plain)}") from None

    return read


_FORM_TYPES: dict[str, type[Any]] = {
    "null": type(None),
    "true or false": bool,
    "an integer": int,
    "a float": float,
    "a string": str,
    "an array": list,
    "an object": dict,
}


def _union(shape: Shape, known: dict[int, Read]) -> Read:
    readers: dict[type[Any], Read] = {}
    for part in shape.parts:
        read_part = reader(part, known)
        for form in forms(part):
            readers[_FORM_TYPES[form]] = read_part
    if float in readers:
        readers.setdefault(int, read_float)
    typed = [reader(part, known) for part in shape.parts]

    def read(plain: Any) -> Any:
        found = readers.get(class_of(plain))
        if found is not None:
            return found(plain)
        for other in typed:  # an upcaster returned a value of its final type
            try:
                return other(plain)
            except Problem:
                continue
        raise mismatch(shape.label, plain)

    return read


def _array(shape: Shape, known: dict[int, Read]) -> Read:
    read_item = reader(shape.parts[0], known)
    builders: dict[str, Callable[[list[Any]], Any]] = {"variadic": tuple, "set": set, "frozenset": frozenset}
    build = builders.get(shape.kind)

    def read(plain: Any) -> Any:
        if not isinstance(plain, _ARRAYS):
            raise mismatch(shape.label, plain)
        items: list[Any] = []
        try:
            for item in plain:
                items.append(read_item(item))
        except Problem as problem:
            problem.path.append(f"[{len(items)}]")
            raise
        if build is None:
            return items
        try:
            return build(items)
        except TypeError as exc:
            raise Problem(f"{shape.label} cannot hold these items: {exc}") from None

    return read


def _tuple(shape: Shape, known: dict[int, Read]) -> Read:
    readers = [reader(part, known) for part in shape.parts]

    def read(plain: Any) -> Any:
        if not isinstance(plain, _ARRAYS):
            raise mismatch(shape.label, plain)
        if len(plain) != len(readers):
            raise Problem(f"expected {shape.label}, got an array of {len(plain)}")
        items: list[Any] = []
        try:
            for read_item, item in zip(readers, plain, strict=True):
                items.append(read_item(item))
        except Problem as problem:
            problem.path.append(f"[{len(items)}]")
            raise
        return tuple(items)

    return read


def _namedtuple(shape: Shape, known: dict[int, Read]) -> Read:
    cls = shape.type
    fields = [(field, reader(field.shape, known)) for field in shape.fields]
    least = sum(field.required for field in shape.fields)

    def read(plain: Any) -> Any:
        if hasattr(plain, "_asdict"):  # an upcaster returned one, perhaps of another class
            plain = plain._asdict()
        if type(plain) is DICT:
            given = [plain.get(field.key, MISSING) for field, _ in fields]
        elif isinstance(plain, _ARRAYS):  # other programs write them so; what is missing at the end has defaults
            if not least <= len(plain) <= len(fields):
                raise Problem(f"expected {shape.label} of {len(fields)} items, got an array of {len(plain)}")
            given = [*plain, *(MISSING,) * (len(fields) - len(plain))]
        else:
            raise mismatch(shape.label, plain)
        items: list[Any] = []
        try:
            for (field, read_item), item in zip(fields, given, strict=True):
                items.append(_absent(shape, field) if item is MISSING else read_item(item))
        except Problem as problem:
            problem.path.append(f".{fields[len(items)][0].name}")
            raise
        return _made(shape, cls, *items)

    return read


def _dict(shape: Shape, known: dict[int, Read]) -> Read:
    read_key = key_reader(shape.parts[0])
    read_item = reader(shape.parts[1], known)

    def read(plain: Any) -> Any:
        if not isinstance(plain, DICT):
            raise mismatch(shape.label, plain)
        found: dict[Any, Any] = {}
        key: Any = None
        try:
            for key, item in plain.items():
                found[read_key(key)] = read_item(item)
        except Problem as problem:
            problem.path.append(key_step(key))
            raise
        return found

    return read


def key_reader(shape: Shape) -> Read:
    """Keys are strings in JSON, so a number has to be parsed."""
    read_key = reader(shape)
    if forms(shape) == {"a string"}:
        return read_key

    def read(plain: Any) -> Any:
        if type(plain) is str and "an integer" in forms(shape):
            digits = plain.removeprefix("-")
            # Only the canonical text: "01" and "1" would otherwise be the same key.
            if digits.isascii() and digits.isdigit() and (digits == "0" or digits[0] != "0") and len(digits) <= 4300:
                return read_key(int(plain))
        try:
            return read_key(plain)
        except Problem as problem:
            raise Problem(f"as a key: {problem.text}") from None

    return read


def _typeddict(shape: Shape, known: dict[int, Read]) -> Read:
    readers = {field.key: reader(field.shape, known) for field in shape.fields}
    required = [field.key for field in shape.fields if field.required]

    def read(plain: Any) -> Any:
        if type(plain) is not DICT:
            raise mismatch(shape.label, plain)
        found: dict[str, Any] = {}
        key = ""
        try:
            for key, item in plain.items():
                read_item = readers.get(key)
                if read_item is not None:
                    found[key] = read_item(item)
            for key in required:
                if key not in found:
                    raise Problem(f"missing, and {shape.label} requires it")
        except Problem as problem:
            problem.path.append(key_step(key))
            raise
        return found

    return read


def _object(shape: Shape, known: dict[int, Read]) -> Read:
    return _by_attributes(shape, known) if shape.build == "set" else _by_constructor(shape, known)


def _absent(shape: Shape, field: Field) -> Any:
    if field.factory is not None:
        return field.factory()
    if field.default is MISSING:
        raise Problem(f"missing, and {shape.label} has no default for it")
    return field.default


def _by_attributes(shape: Shape, known: dict[int, Read]) -> Read:
    # A dataclass: as msgspec does, its attributes are set and __post_init__ is called; a hand-written __init__ is not.
    cls = shape.type
    fields = [(field.name, field.key, reader(field.shape, known), field) for field in shape.fields]
    computed = [field for field in shape.computed if field.default is not MISSING or field.factory is not None]
    finish: Callable[[Any], None] | None = getattr(cls, "__post_init__", None)
    new: Callable[[type[Any]], Any] = object.__new__
    put: Callable[[Any, str, Any], None] = object.__setattr__

    def read(plain: Any) -> Any:
        if type(plain) is not DICT:
            if type(plain) is cls:
                return plain
            raise mismatch(shape.label, plain)
        made = new(cls)
        name = ""
        try:
            for name, key, read_item, field in fields:
                item = plain.get(key, MISSING)
                put(made, name, read_item(item) if item is not MISSING else _absent(shape, field))
        except Problem as problem:
            problem.path.append(f".{name}")
            raise
        for field in computed:
            put(made, field.name, _absent(shape, field))
        if finish is not None:
            _made(shape, finish, made)
        return made

    return read


def _by_constructor(shape: Shape, known: dict[int, Read]) -> Read:
    cls, make = shape.type, shape.make
    fields = [(field.argument, field.key, reader(field.shape, known), field.required) for field in shape.fields]

    def read(plain: Any) -> Any:
        if type(plain) is not DICT:
            if type(plain) is cls:
                return plain
            raise mismatch(shape.label, plain)
        arguments: dict[str, Any] = {}
        key = ""
        try:
            for name, key, read_item, required in fields:
                item = plain.get(key, MISSING)
                if item is not MISSING:
                    arguments[name] = read_item(item)
                elif required:
                    raise Problem(f"missing, and {shape.label} has no default for it")
        except Problem as problem:
            problem.path.append(f".{key}")
            raise
        return _made(shape, make, **arguments)

    return read


def _made(_shape: Shape, _make: Callable[..., Any], /, *arguments: Any, **named: Any) -> Any:
    # User code: an error means that the stored value is invalid for the current class.
    try:
        return _make(*arguments, **named)
    except Problem:
        raise
    except Exception as exc:
        raise Problem(f"{_shape.label} refused it: {type(exc).__name__}: {exc}") from exc


_READERS: dict[str, Callable[[Shape, dict[int, Read]], Read]] = {
    "any": _any,
    "enum": _enum,
    "literal": _literal,
    "union": _union,
    "list": _array,
    "variadic": _array,
    "set": _array,
    "frozenset": _array,
    "tuple": _tuple,
    "namedtuple": _namedtuple,
    "dict": _dict,
    "typeddict": _typeddict,
    "object": _object,
}
