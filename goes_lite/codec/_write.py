"""Writing: from a value to its canonical JSON text, checking every type.

`writer(shape)` compiles one function per type. It is the definition of what may be stored: a faster implementation
may take a short cut for values that it knows to be good, and asks this one about all others.
"""

from __future__ import annotations

from collections.abc import Callable
from json.encoder import encode_basestring
from typing import Any

from goes_lite.codec._problem import Problem, key_step, mismatch, shown
from goes_lite.codec._scalars import WRITE, float_text, int_text, str_text
from goes_lite.codec._shapes import DICT, LIST, Shape, class_of, forms, type_of

Write = Callable[[Any], str]


def writer(shape: Shape, known: dict[int, Write] | None = None) -> Write:
    """Return the function that writes values of this shape, or raises Problem."""
    simple = WRITE.get(shape.kind)
    if simple is not None:
        return simple
    known = {} if known is None else known
    found = known.get(id(shape))
    if found is not None:
        return found

    # A recursive type refers to itself while it is being compiled: it then calls through this name.
    def later(value: Any) -> str:
        return known[id(shape)](value)

    known[id(shape)] = later
    made = known[id(shape)] = _WRITERS[shape.kind](shape, known)
    return made


def _any(shape: Shape, known: dict[int, Write]) -> Write:
    return any_text


def any_text(value: Any) -> str:
    """Write a value that consists only of JSON types."""
    kind = class_of(value)
    if kind is str:
        return str_text(value)
    if value is None:
        return "null"
    if kind is bool:
        return "true" if value else "false"
    if kind is int:
        return int_text(value)
    if kind is float:
        return float_text(value)
    if kind is LIST:
        parts: list[str] = []
        try:
            for item in value:
                parts.append(any_text(item))
        except Problem as problem:
            problem.path.append(f"[{len(parts)}]")
            raise
        return f"[{','.join(parts)}]"
    if kind is DICT:
        parts = []
        key: Any = None
        try:
            for key, item in value.items():
                if type(key) is not str:
                    raise Problem(f"keys of a JSON object must be str, not {type(key).__name__}")
                parts.append(f"{str_text(key)}:{any_text(item)}")
        except Problem as problem:
            problem.path.append(key_step(key))
            raise
        return f"{{{','.join(parts)}}}"
    raise mismatch("a JSON value", value)


def _enum(shape: Shape, known: dict[int, Write]) -> Write:
    cls = shape.type
    texts = {member: _plain_text(member.value) for member in cls}

    def write(value: Any) -> str:
        if type(value) is not cls:
            raise mismatch(shape.label, value)
        text = texts.get(value)
        return _plain_text(value.value) if text is None else text  # several flags at once

    return write


def _plain_text(value: Any) -> str:
    return str_text(value) if type(value) is str else int_text(value)


def _literal(shape: Shape, known: dict[int, Write]) -> Write:
    # Keyed by type as well, because 1 == True.
    texts: dict[tuple[type[Any], Any], str] = {(type(value), value): any_text(value) for value in shape.values}

    def write(value: Any) -> str:
        try:
            return texts[type(value), value]
        except (KeyError, TypeError):
            raise Problem(f"expected {shape.label}, got {shown(value)}") from None

    return write


def _union(shape: Shape, known: dict[int, Write]) -> Write:
    literals = [writer(part, known) for part in shape.parts if part.kind == "literal"]
    writers: dict[type[Any], Write] = {
        type_of(part): writer(part, known) for part in shape.parts if part.kind != "literal"
    }
    if float in writers and not any("an integer" in forms(part) for part in shape.parts):
        writers[int] = writers[float]
    classes = [(cls, write_part) for cls, write_part in writers.items() if cls not in _FINAL]

    def write(value: Any) -> str:
        found = writers.get(class_of(value))
        if found is not None:
            return found(value)
        for write_part in literals:
            try:
                return write_part(value)
            except Problem:
                continue
        for cls, write_part in classes:  # a subclass of datetime; of other classes, for a better message
            if isinstance(value, cls):
                return write_part(value)
        raise mismatch(shape.label, value)

    return write


_FINAL = frozenset((int, bool, float, str, bytes, tuple, type(None)))


def _array(shape: Shape, known: dict[int, Write]) -> Write:
    write_item = writer(shape.parts[0], known)
    cls = type_of(shape)

    def write(value: Any) -> str:
        if type(value) is not cls:
            raise mismatch(shape.label, value)
        parts: list[str] = []
        try:
            for item in value:
                parts.append(write_item(item))
        except Problem as problem:
            problem.path.append(f"[{len(parts)}]")
            raise
        return f"[{','.join(parts)}]"

    return write


def _set(shape: Shape, known: dict[int, Write]) -> Write:
    # A set has no order, so its items are sorted: numbers by value, anything else as text.
    write_item = writer(shape.parts[0], known)
    cls = type_of(shape)
    order = _by_number if shape.parts[0].kind in ("int", "float") else None

    def write(value: Any) -> str:
        if type(value) is not cls:
            raise mismatch(shape.label, value)
        try:
            parts = sorted(map(write_item, value), key=order)
        except Problem as problem:
            problem.path.append("[…]")
            raise
        return f"[{','.join(parts)}]"

    return write


def _by_number(text: str) -> tuple[float, str]:
    return float(text), text


def _tuple(shape: Shape, known: dict[int, Write]) -> Write:
    writers = [writer(part, known) for part in shape.parts]

    cls = type_of(shape)

    def write(value: Any) -> str:
        if type(value) is not cls:
            raise mismatch(shape.label, value)
        if len(value) != len(writers):
            raise Problem(f"expected {shape.label}, got a tuple of {len(value)}")
        parts: list[str] = []
        try:
            for write_item, item in zip(writers, value, strict=True):
                parts.append(write_item(item))
        except Problem as problem:
            problem.path.append(f"[{len(parts)}]")
            raise
        return f"[{','.join(parts)}]"

    return write


def key_writer(shape: Shape) -> Write:
    """Keys are strings in JSON, so numbers are quoted."""
    write_key = writer(shape)

    def write(value: Any) -> str:
        text = write_key(value)
        return text if text[0] == '"' else f'"{text}"'

    return write_key if shape.kind == "str" else write


def _dict(shape: Shape, known: dict[int, Write]) -> Write:
    write_key = key_writer(shape.parts[0])
    write_item = writer(shape.parts[1], known)

    def write(value: Any) -> str:
        if not isinstance(value, DICT):
            raise mismatch(shape.label, value)
        parts: list[str] = []
        key: Any = None
        try:
            for key, item in DICT.items(value):  # not what a subclass makes of them
                parts.append(f"{_key(write_key, key)}:{write_item(item)}")
        except Problem as problem:
            problem.path.append(key_step(key))
            raise
        return f"{{{','.join(parts)}}}"

    return write


def _key(write_key: Write, key: Any) -> str:
    try:
        return write_key(key)
    except Problem as problem:
        raise Problem(f"as a key: {problem.text}") from None


def _typeddict(shape: Shape, known: dict[int, Write]) -> Write:
    writers = {field.name: (f"{encode_basestring(field.key)}:", writer(field.shape, known)) for field in shape.fields}
    required = [field.name for field in shape.fields if field.required]

    def write(value: Any) -> str:
        if type(value) is not DICT:
            raise mismatch(shape.label, value)
        parts: list[str] = []
        key: Any = None
        try:
            for key, item in value.items():
                if key not in writers:
                    raise Problem(f"{shape.label} has no such key")
                prefix, write_item = writers[key]
                parts.append(prefix + write_item(item))
            for key in required:
                if key not in value:
                    raise Problem(f"missing, and {shape.label} requires it")
        except Problem as problem:
            problem.path.append(key_step(key))
            raise
        return f"{{{','.join(parts)}}}"

    return write


def _object(shape: Shape, known: dict[int, Write]) -> Write:
    cls = shape.type
    writers = [
        (f"{',' if index else ''}{encode_basestring(field.key)}:", field.name, writer(field.shape, known))
        for index, field in enumerate(shape.fields)
    ]

    def write(value: Any) -> str:
        if type(value) is not cls:
            raise mismatch(shape.label, value)
        text = "{"
        name = ""
        try:
            for prefix, name, write_item in writers:
                text += prefix + write_item(getattr(value, name))
        except Problem as problem:
            problem.path.append(f".{name}")
            raise
        except (AttributeError, IndexError):
            unset = Problem(f"this field of {shape.label} was never set")
            unset.path.append(f".{name}")
            raise unset from None
        return text + "}"

    return write


_WRITERS: dict[str, Callable[[Shape, dict[int, Write]], Write]] = {
    "any": _any,
    "enum": _enum,
    "literal": _literal,
    "union": _union,
    "list": _array,
    "variadic": _array,
    "set": _set,
    "frozenset": _set,
    "tuple": _tuple,
    "namedtuple": _object,
    "dict": _dict,
    "typeddict": _typeddict,
    "object": _object,
}
