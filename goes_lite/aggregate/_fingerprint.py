"""The fingerprint of what computes the state of an aggregate: a snapshot of other code is not trusted.

Read are the appliers, the constructor and the defaults of a class, the upcasters and types of its events, and what their code
names: methods, functions, classes and constants of the program, in turn. Another fingerprint costs a replay and is always
safe (another version of Python compiles other bytecode, too); so what is in doubt counts. What is never read: the standard
library, installed packages other than that of the class, and values that only exist at run time.
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Iterable, Mapping
from enum import Enum
from functools import partial
from types import CodeType, FunctionType, ModuleType
from typing import Any, cast
from weakref import WeakKeyDictionary

from goes_lite.aggregate._definition import Definition
from goes_lite.codec.generics import annotations_of, bound_hints

_PLAIN = (type(None), bool, int, float, complex, str, bytes, type(...))
_MEMBERS: tuple[type[Any], ...] = (FunctionType, property, staticmethod, classmethod, Enum, *_PLAIN)
_STABLE = ("datetime", "decimal", "fractions", "uuid")
"""Modules of types whose repr is their value."""

_known: WeakKeyDictionary[type[Any], str] = WeakKeyDictionary()


def fingerprint(aggregate: type[Any], base: type[Any], definition: Definition) -> str:
    """Return the fingerprint of a class, whose state begins below `base`; computed once."""
    found = _known.get(aggregate)
    if found is None:
        reader = _Reader(aggregate, base)
        reader.read(definition)
        found = _known[aggregate] = reader.digest()
    return found


class _Reader:
    """Reads code and values, each once, in an order that does not depend on the process."""

    def __init__(self, aggregate: type[Any], base: type[Any]) -> None:
        self._class = aggregate
        self._owners = [one for one in aggregate.__mro__ if one not in base.__mro__]
        self._package = aggregate.__module__.partition(".")[0]
        self._hash = hashlib.sha256()
        self._seen: dict[int, object] = {}

    def digest(self) -> str:
        return self._hash.hexdigest()[:32]

    def read(self, definition: Definition) -> None:
        """Read everything that the state of the class depends on."""
        for name, applier in sorted(definition.appliers.by_name().items()):
            self._say("event", name)
            self._value(applier)
            if name in definition.registry:
                self._values(_parts(definition.registry.type_of(name)))
                for schema, upcaster in definition.registry.upcasters_of(name):
                    self._say("schema", schema)
                    self._value(upcaster)
        attributes = {name for owner in self._owners for name in annotations_of(owner)}
        for name in ("__init__", "snapshot_state", "restore_state", *sorted(attributes)):
            for owner in self._owners:
                if name in vars(owner):
                    self._say("member", name)
                    self._value(vars(owner)[name])

    def _say(self, *parts: object) -> None:
        self._hash.update(repr(parts).encode("utf-8", "backslashreplace"))

    def _value(self, value: object) -> None:
        kind: type[object] = type(value)
        if kind in _PLAIN or kind.__module__ in _STABLE:
            self._say(kind.__name__, value)
            return
        self._say(kind.__module__, kind.__qualname__)
        if id(value) in self._seen:
            return
        self._seen[id(value)] = value  # kept, so that no other object gets its id
        try:
            self._content(value, kind)
        except Exception:  # noqa: BLE001 - an object of the program may fail on anything
            self._say("unreadable")

    def _content(self, value: Any, kind: type[object]) -> None:
        if isinstance(value, FunctionType):
            self._function(value)
        elif isinstance(value, type):
            self._type(value)
        elif isinstance(value, property):
            self._value(value.fget)
        elif isinstance(value, staticmethod | classmethod):
            self._value(cast("Any", value).__func__)
        elif isinstance(value, partial):
            self._values((value.func, value.args, value.keywords))
        elif isinstance(value, Enum):
            self._values((value.name, value.value))
        elif isinstance(value, tuple | list):
            self._values(cast("Iterable[Any]", value))
        elif isinstance(value, set | frozenset):
            self._say(sorted(map(repr, cast("Iterable[object]", value))))
        elif isinstance(value, Mapping):
            for pair in cast("Any", value).items():
                self._values(pair)
        elif kind.__module__ == "functools":  # cached
            self._value(getattr(value, "__wrapped__", None))
        elif fields := vars(kind).get("__dataclass_fields__"):
            self._values(getattr(value, name, None) for name in fields)

    def _values(self, values: Iterable[Any]) -> None:
        for value in values:
            self._value(value)

    def _type(self, cls: type[Any]) -> None:
        self._say(cls.__qualname__)
        if cls in self._owners or not self._is_own(cls.__module__):
            return
        for name, member in sorted(vars(cls).items()):
            if isinstance(member, _MEMBERS) and name not in ("__doc__", "__module__", "__firstlineno__"):
                self._say(name)
                self._value(member)
        try:
            hints = bound_hints(cls)
        except Exception:  # noqa: BLE001 - an annotation that cannot be resolved here
            return
        for name, hint in sorted(hints.items()):
            self._say(name)
            self._values(part for part in _parts(hint) if isinstance(part, type))

    def _function(self, function: FunctionType) -> None:
        if not self._is_own(function.__globals__.get("__name__")):  # its module may be that of what it wraps
            if (inner := getattr(function, "__closure__", None)) is not None:  # what it wraps may be the program's
                self._cells(inner)
            return
        names: dict[str, None] = {}
        self._code(function.__code__, names)
        self._values((function.__defaults__, function.__kwdefaults__))
        self._cells(function.__closure__ or ())
        places: list[Mapping[str, Any]] = [vars(owner) for owner in self._owners]
        places.append(function.__globals__)
        found = [(name, place[name]) for name in names for place in places if name in place]
        places = [vars(one) for _, one in found if isinstance(one, ModuleType) and self._is_own(one.__name__)]
        found += [(name, place[name]) for name in names for place in places if name in place]
        for name, value in found:
            if not isinstance(value, ModuleType):
                self._say(name)
                self._value(value)

    def _cells(self, cells: Iterable[Any]) -> None:
        for cell in cells:
            try:
                self._value(cell.cell_contents)
            except ValueError:  # not set yet
                self._say("empty")

    def _code(self, code: CodeType, names: dict[str, None]) -> None:
        self._say(
            code.co_code, code.co_exceptiontable, code.co_names, code.co_argcount, code.co_kwonlyargcount, code.co_flags
        )
        names.update(dict.fromkeys(code.co_names))
        for const in code.co_consts:
            if isinstance(const, CodeType):
                self._code(const, names)
            else:
                self._value(const)

    def _is_own(self, name: str | None) -> bool:
        """Whether a module belongs to the program, or to the package of the class."""
        package = (name or "").partition(".")[0]
        if package == self._package:
            return True
        if not package or package == "goes_lite" or package in sys.stdlib_module_names:
            return False
        file = getattr(sys.modules.get(package), "__file__", None) or ""
        return "site-packages" not in file and "dist-packages" not in file


def _parts(hint: Any) -> Iterable[Any]:
    """Return the types in an annotation."""
    yield hint
    for part in getattr(hint, "__args__", ()):
        yield from _parts(part)
