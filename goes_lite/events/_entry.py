"""One registration: a name, its type and its options, and how its values are captured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, get_origin

from goes_lite.codec import Codec
from goes_lite.codec.payload import Encoded
from goes_lite.codec.upcast import Decoder, chain, gap
from goes_lite.errors import DecodeError, EncodeError, InvalidQueryError, RegistrationError

Capture = Callable[[object], tuple[str, object, Encoded]]

# Calling Encoded goes through a Python function; this does not.
_new: Any = tuple.__new__  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]


class Entry:
    """One registration."""

    __slots__ = ("aliases", "codec", "name", "schema", "type")

    def __init__(self, name: str, type: Any, schema: int, aliases: tuple[str, ...], codec: Codec | None) -> None:
        self.name = name
        self.type = type
        self.schema = schema
        self.aliases = aliases
        self.codec = codec

    def options(self) -> tuple[int, frozenset[str], str | None]:
        return self.schema, frozenset(self.aliases), None if self.codec is None else self.codec.name


def check_again(previous: Entry, entry: Entry) -> None:
    """RegistrationError unless a registration may replace a previous one, because a module was reloaded."""
    if previous.name != entry.name:
        raise RegistrationError(f"{entry.name!r} is already an alias of {previous.name!r}")
    if not same_type(previous.type, entry.type):
        raise RegistrationError(
            f"{entry.name!r} is already registered for {_label(previous.type)}, and cannot also mean "
            f"{_label(entry.type)}: choose another name, or use another Registry"
        )
    if previous.options() != entry.options():
        raise RegistrationError(
            f"{entry.name!r} is already registered with another schema, aliases or codec: register it once"
        )


def capture_with(entry: Entry, codec: Codec) -> Capture:
    """Return the function that captures values of a registration with this codec."""
    name, encoding, schema = entry.name, codec.name, entry.schema
    encode = codec.encoder(entry.type)
    if is_immutable(entry.type):

        def capture_immutable(data: object) -> tuple[str, object, Encoded]:
            try:
                return name, data, _new(Encoded, (encoding, schema, encode(data)))
            except EncodeError as exc:
                raise exc.about(name) from exc.__cause__

        return capture_immutable
    decode = codec.decoder(entry.type)

    def capture(data: object) -> tuple[str, object, Encoded]:
        try:
            payload = encode(data)
            return name, decode(payload), _new(Encoded, (encoding, schema, payload))
        except EncodeError as exc:
            raise exc.about(name) from exc.__cause__
        except DecodeError as exc:
            raise EncodeError(exc.path, f"cannot be read back: {exc.problem}", name=name) from exc.__cause__

    return capture


def check_schema(schema: object) -> None:
    if type(schema) is not int or schema < 1:
        raise RegistrationError(f"a schema version must be an int ≥ 1, not {schema!r}")


def check_upcasters(entry: Entry, upcasters: Iterable[tuple[str, int]]) -> None:
    """RegistrationError if an upcaster, given by name and schema, leads past the current schema of its event."""
    for name, schema in upcasters:
        if name in (entry.name, *entry.aliases) and schema >= entry.schema:
            raise RegistrationError(
                f"the upcaster from schema {schema} of {name!r} leads past the current schema {entry.schema} "
                f"of {entry.name!r}: register that with schema={schema + 1}"
            )


def upcasting(
    plain: Callable[[str | bytes], Any],
    finish: Callable[[Any], Any],
    entry: Entry,
    name: str,
    schema: int,
    upcasters: Mapping[tuple[str, int], Callable[[Any], Any]],
) -> Decoder:
    """Return the function that decodes a payload of an older schema, stored under a name or an alias of the registration."""
    if type(schema) is not int or schema < 1:
        raise DecodeError("$", f"a schema version is an int ≥ 1, not {schema!r:.80}")
    if schema > entry.schema:
        raise DecodeError(
            "$",
            f"it was written as schema {schema} of {entry.name!r}, but this program knows only up to {entry.schema}: "
            "a newer version wrote it, so update this program",
        )
    steps: list[tuple[int, Callable[[Any], Any]]] = []
    for step in range(schema, entry.schema):
        function = upcasters.get((name, step)) or upcasters.get((entry.name, step))
        steps.append((step, function or gap(entry.name, name, step, entry.schema)))
    return chain(name, steps, plain, finish, runtime_class(entry.type))


def not_a_name(name: object) -> InvalidQueryError:
    """Return the error for what cannot even be looked up."""
    return InvalidQueryError(f"the name of an event is a str, not {name!r:.80}")


def _label(type: Any) -> str:
    module, name = getattr(type, "__module__", None), getattr(type, "__qualname__", None)
    return f"{module}.{name}" if module and name and not get_origin(type) else repr(type)


def same_type(old: Any, new: Any) -> bool:
    if old is new:
        return True
    if get_origin(old) is not None or get_origin(new) is not None:
        return bool(old == new)
    name = getattr(old, "__qualname__", None)
    return (
        name is not None
        and name == getattr(new, "__qualname__", None)
        and getattr(old, "__module__", None) == getattr(new, "__module__", None)
        and not name.endswith("<lambda>")
    )


def names_by_class(entries: Iterable[Entry]) -> dict[type[Any], tuple[str, ...]]:
    names: dict[type[Any], tuple[str, ...]] = {}
    for entry in dict.fromkeys(entries):
        cls = runtime_class(entry.type)
        if cls is not None:
            names[cls] = (*names.get(cls, ()), entry.name)
    return names


# Loaded at the first registration, which `import goes_lite` should not pay for.


def runtime_class(hint: Any) -> type[Any] | None:
    """Return the class that values of a type have; None where there is no single one."""
    from goes_lite.codec import types

    return types.runtime_class(hint)


def is_immutable(hint: Any) -> bool:
    """Whether no value of a type can change, going by its annotations."""
    from goes_lite.codec import types

    return types.is_immutable(hint)


def is_message(hint: Any) -> bool:
    """Whether a type is a protobuf Message class."""
    from goes_lite.codec import types

    return types.is_message(hint)
