"""The registry of event names and their types.

A stored event has a name, a schema version and an encoding; the registry defines the current type of the name and how older
schemas are upcast to it. The program assigns the names: nothing is ever imported because a store names it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from goes_lite.codec import Codec
from goes_lite.codec import codec as find_codec
from goes_lite.codec.payload import Encoded, Raw
from goes_lite.codec.upcast import Decoder, failing
from goes_lite.errors import (
    ConfigError,
    DecodeError,
    InvalidQueryError,
    RegistrationError,
    UnknownEventError,
    UnregisteredTypeError,
)
from goes_lite.errors.functions import check_function
from goes_lite.events._entry import (
    Capture,
    Entry,
    capture_with,
    check_again,
    check_schema,
    check_upcasters,
    is_message,
    names_by_class,
    not_a_name,
    same_type,
    upcasting,
)
from goes_lite.events.built_in import built_in_entry, built_in_names, check_not_reserved
from goes_lite.events.fields import check_name
from goes_lite.events.outcome import CommandOutcome

C = TypeVar("C", bound=type[Any])
F = TypeVar("F", bound=Callable[[Any], Any])

__all__ = ["Encoded", "Raw", "Registry", "check_name", "command", "default_registry", "event"]


class Registry:
    """Maps event names to types and encodes their data. May be used from any thread.

    `codec` is the encoding of new events: "json" (default), "msgpack", "protobuf", or a Codec of your own. Old events
    are read in the encoding in which they were written, so it can be changed at any time.
    """

    def __init__(self, *, codec: str | Codec = "json") -> None:
        self._lock = threading.RLock()
        self._entries: dict[str, Entry] = {}  # by name and by alias
        self._names: dict[type[Any], tuple[str, ...]] = {}  # by runtime class
        self._upcasters: dict[tuple[str, int], Callable[[Any], Any]] = {}
        self._codecs: dict[str, Codec] = {}  # every codec that was passed in, to read its old events
        self._forget()
        # "json" is looked up at first use: that may import msgspec, which `import goes_lite` should not.
        self._codec: Codec | None = None
        self._kind = "event"
        self._commands: Registry | None = None
        if codec != "json":
            self.codec = codec

    def __repr__(self) -> str:
        name = "json" if self._codec is None else self._codec.name
        return f"<Registry {len(self.names())} names, {name}>"

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self._find(name) is not None

    @property
    def commands(self) -> Registry:
        """The registry of commands: separate names, registered in the same ways."""
        with self._lock:
            if self._commands is None:
                self._commands = Registry()
                self._commands._kind = "command"
            return self._commands

    # --- registering ------------------------------------------------------------------------------------------------

    @property
    def codec(self) -> Codec:
        """The codec of new events."""
        if self._codec is None:
            self._codec = find_codec("json")
        return self._codec

    @codec.setter
    def codec(self, codec: str | Codec) -> None:
        found = find_codec(codec)
        with self._lock:
            for entry in self._entries.values():
                if entry.codec is None and not is_message(entry.type):
                    found.check(entry.type)
            self._codecs[found.name] = self._codec = found
            self._forget()

    def event(
        self, name: str, *, schema: int = 1, aliases: Iterable[str] = (), codec: str | Codec | None = None
    ) -> Callable[[C], C]:
        """Register the decorated class under this name. The arguments are those of `register`."""
        if isinstance(name, type):
            raise RegistrationError(
                f"{self._kind}() needs the name: write @{self._kind}('some.name') above the class {name.__qualname__}"
            )

        def decorate(cls: C) -> C:
            self.register(name, cls, schema=schema, aliases=aliases, codec=codec)
            return cls

        return decorate

    def register(
        self,
        name: str,
        type: Any,
        *,
        schema: int = 1,
        aliases: Iterable[str] = (),
        codec: str | Codec | None = None,
    ) -> None:
        """Register `type` as the data of the event `name`; its current form is schema version `schema`.

        `aliases` are former names of the event, which are still read as this one. `codec` overrides that of the registry;
        protobuf messages use protobuf automatically. Registering the same class again with the same options replaces it
        (after reloading a module). RegistrationError for any contradiction, for a type that cannot be stored, and for a name that
        begins with `goes.`: those are built-in events, which every registry knows.
        """
        check_not_reserved(check_name(name, "an event name"), "an event name")
        check_schema(schema)
        if isinstance(aliases, str) or not isinstance(aliases, Iterable):
            raise RegistrationError(f"aliases must be a collection of names: write aliases=[{aliases!r:.80}]")
        others = tuple(dict.fromkeys(check_name(alias, "an alias") for alias in aliases))
        own = None if codec is None else find_codec(codec)
        for alias in others:
            check_not_reserved(alias, "an alias")
        entry = Entry(name, type, schema, others, own)
        self._codec_for(type, own).check(type)
        with self._lock:
            previous = self._entries.get(name)
            if previous is not None:
                check_again(previous, entry)
            for alias in others:
                if alias == name:
                    raise RegistrationError(f"{name!r} cannot be an alias of itself")
                taken = self._entries.get(alias)
                if taken is not None and taken is not previous:
                    raise RegistrationError(f"{alias!r} cannot be an alias of {name!r}: it belongs to {taken.name!r}")
            check_upcasters(entry, self._upcasters)
            if own is not None:
                self._codecs[own.name] = own
            entries = {key: value for key, value in self._entries.items() if value is not previous}
            entries.update(dict.fromkeys((name, *others), entry))
            self._entries = entries
            self._names = names_by_class(entries.values())
            self._forget()

    def upcast(self, name: str, schema: int) -> Callable[[F], F]:
        """Register the decorated function as the upcaster from `schema` of `name` to the next schema version.

        It receives the plain value (as from json.loads) and returns the plain value of schema + 1, or an instance of the
        current type, which ends the chain. For an alias it applies to events stored under the alias, and takes precedence
        over one that is registered for the current name.
        """
        if not isinstance(name, str) and callable(name):
            raise RegistrationError(
                f"upcast() needs the event and its schema: write @upcast('some.name', 1), not {name!r:.80}"
            )
        check_name(name, "an event name")
        check_schema(schema)

        def decorate(function: F) -> F:
            check_function("an upcaster", function, error=RegistrationError)
            with self._lock:
                previous = self._upcasters.get((name, schema))
                if previous is not None and not same_type(previous, function):
                    raise RegistrationError(f"schema {schema} of {name!r} already has an upcaster: {previous!r}")
                self._upcasters[name, schema] = function
                try:
                    entry = self._entries.get(name)
                    if entry is not None:
                        check_upcasters(entry, self._upcasters)
                except RegistrationError:
                    del self._upcasters[name, schema]
                    raise
                self._forget()
            return function

        return decorate

    def upcasters_of(self, name: str) -> list[tuple[int, Callable[[Any], Any]]]:
        """Return the upcasters of an event and of its former names, by schema."""
        names = self.spellings(self.canonical(name))
        found = [(schema, function) for (of, schema), function in self._upcasters.items() if of in names]
        return sorted(found, key=lambda one: one[0])

    # --- names and types --------------------------------------------------------------------------------------------

    def name_of(self, data: object) -> str:
        """Return the event name of this value by its exact class; UnregisteredTypeError if it has none, or several."""
        names = self._names.get(type(data)) or self._built_in(type(data))
        if len(names) == 1:
            return names[0]
        raise UnregisteredTypeError(type(data), names, self._kind)

    def type_of(self, name: str) -> Any:
        """Return the type of a name or an alias; UnknownEventError."""
        return self._entry(name).type

    def schema_of(self, name: str) -> int:
        """Return the schema version of today's form of a name or an alias; UnknownEventError."""
        return self._entry(name).schema

    def canonical(self, name: str) -> str:
        """Return the current name for an alias; any other name unchanged, known or not."""
        entry = self._find(name)
        return name if entry is None else entry.name

    def names_of(self, kind: Any) -> tuple[str, ...]:
        """Return the names of a registered type, or the current name of a name; UnregisteredTypeError."""
        if isinstance(kind, str):
            return (self.canonical(kind),)
        found = tuple(name for name in self.names() if self._entries[name].type == kind)
        if not (found := found or self._built_in(kind)):
            raise UnregisteredTypeError(kind, kind=self._kind)
        return found

    def names(self) -> tuple[str, ...]:
        """Return all names, without aliases and built-in events, in the order of registration."""
        return tuple(name for name, entry in self._entries.items() if name == entry.name)

    def spellings(self, name: str) -> tuple[str, ...]:
        """Return every name under which the event may be stored, the current one first. For queries.

        InvalidQueryError for an alias: events have their current name when they are read, so none would match.
        """
        entry = self._find(name)
        if entry is not None and entry.name != name:
            raise InvalidQueryError(
                f"{name!r} is a former name, its events are read as {entry.name!r}: query that name, which finds both"
            )
        return (name,) if entry is None else (name, *entry.aliases)

    # --- values -----------------------------------------------------------------------------------------------------

    def capture(self, data: object, name: str | None = None) -> tuple[str, Any, Encoded]:
        """Return the event name, a private copy of the data, and its encoded form.

        Later changes to the data affect neither. A value that is immutable according to the annotations of its type is not
        copied. EncodeError for a value that does not fit its type.
        """
        key: object = type(data) if name is None else name
        captures = self._captures
        try:
            found = captures.get(key)
        except TypeError:
            raise not_a_name(name) from None
        if found is None:
            entry = self._entry(self.name_of(data) if name is None else name)
            found = captures[key] = capture_with(entry, self._codec_for(entry.type, entry.codec))
        return found(data)

    def decode(self, name: str, encoding: str, schema: int, payload: str | bytes, position: int = 0) -> object:
        """Return the value that is stored in `payload`, as the current type. `position` is for error messages.

        UnknownEventError if the name is not registered, DecodeError if the payload does not fit.
        """
        try:
            return self.decoder(name, encoding, schema)(payload)
        except UnknownEventError:
            raise UnknownEventError(name, position) from None
        except DecodeError as exc:
            raise exc.about(name, position) from exc.__cause__

    def decoder(self, name: str, encoding: str, schema: int) -> Decoder:
        """Return the function that decodes payloads of this name, encoding and schema: a scan calls it for each row.

        UnknownEventError if the name is not registered, DriverMissing if the encoding needs a package. Any other problem is
        a DecodeError when the function is called; it does not know the event, so the reader adds that:
        `raise exc.about(name, position)`.
        """
        decoders = self._decoders  # replaced, not cleared, by a registration in another thread
        try:
            found = decoders.get((name, encoding, schema))
        except TypeError:
            raise DecodeError("$", f"{(name, encoding, schema)!r:.80} are no name, encoding and schema") from None
        if found is None:
            found = decoders[name, encoding, schema] = self._compile_decoder(name, encoding, schema)
        return found

    def encode_value(self, type: Any, value: object) -> Encoded:
        """Encode a value that is no event (a snapshot, a read model) as `type`, with the codec of this registry."""
        codec = self._codec_for(type, None)
        encode = self._cached(self._value_encoders, codec.encoder, type)
        return Encoded(codec.name, 1, encode(value))

    def decode_value(self, type: Any, encoding: str, payload: str | bytes) -> Any:
        """Return the value that `encode_value` encoded; DecodeError if the payload does not fit the type."""
        codec = self._codec_by_encoding(encoding, self._codec_for(type, None))
        decode = self._cached(self._value_decoders.setdefault(encoding, {}), codec.decoder, type)
        return decode(payload)

    # --- inside -----------------------------------------------------------------------------------------------------

    def _forget(self) -> None:
        # New dicts: a thread that is compiling an outdated function puts it into the old ones.
        self._captures: dict[object, Capture] = {}
        self._decoders: dict[tuple[str, str, int], Decoder] = {}
        self._value_encoders: dict[Any, Callable[[Any], str | bytes]] = {}
        self._value_decoders: dict[str, dict[Any, Callable[[str | bytes], Any]]] = {}

    def _find(self, name: str) -> Entry | None:
        try:
            found = self._entries.get(name)
        except TypeError:
            raise not_a_name(name) from None
        return built_in_entry(name) if found is None and self._kind == "event" else found

    def _entry(self, name: str) -> Entry:
        entry = self._find(name)
        if entry is None:
            raise UnknownEventError(name)
        return entry

    def _built_in(self, kind: Any) -> tuple[str, ...]:
        return built_in_names(kind) if self._kind == "event" else ()

    @staticmethod
    def _cached(cache: dict[Any, Any], make: Callable[[Any], Any], type: Any) -> Any:
        try:
            found = cache.get(type)
        except TypeError:  # Annotated with unhashable metadata
            return make(type)
        if found is None:
            found = cache[type] = make(type)
        return found

    def _codec_for(self, type: Any, own: Codec | None) -> Codec:
        if own is not None:
            return own
        return find_codec("protobuf") if is_message(type) else self.codec

    def _codec_by_encoding(self, encoding: str, *preferred: Codec) -> Codec:
        for codec in (*preferred, self.codec, *self._codecs.values()):
            if codec.name == encoding:
                return codec
        try:
            return find_codec(encoding)
        except ConfigError:
            raise DecodeError(
                "$", f"no codec is known for the encoding {encoding!r}: pass it as codec=… to the Registry or an event"
            ) from None

    def _compile_decoder(self, name: str, encoding: str, schema: int) -> Decoder:
        entry = self._entry(name)
        today = self._codec_for(entry.type, entry.codec)
        try:
            codec = self._codec_by_encoding(encoding, today)
            if schema == entry.schema:
                return codec.decoder(entry.type)
            # The result of the chain is plain, whatever was stored, so the current codec builds the value.
            return upcasting(codec.plain, today.from_plain(entry.type), entry, name, schema, self._upcasters)
        except DecodeError as exc:
            return failing(exc)
        except RegistrationError as exc:  # stored as protobuf, and the current type is a dataclass
            return failing(DecodeError("$", f"the encoding {encoding!r} cannot hold the current type: {exc}"))


BUILT_IN = (CommandOutcome,)
"""The types of built-in events. Naming them here is what makes a program know them."""

default_registry = Registry()
"""The registry that `event` fills, and the default everywhere."""


def nameless() -> Registry:
    """Return a registry that knows no name, not even those of built-in events: for readers of what is stored."""
    (registry := Registry())._kind = "stored event"
    return registry


def event(
    name: str, *, schema: int = 1, aliases: Iterable[str] = (), codec: str | Codec | None = None
) -> Callable[[C], C]:
    """Register the decorated class under this name in the default registry; see `Registry.register`."""
    return default_registry.event(name, schema=schema, aliases=aliases, codec=codec)


def command(
    name: str, *, schema: int = 1, aliases: Iterable[str] = (), codec: str | Codec | None = None
) -> Callable[[C], C]:
    """Register the decorated class as a command of the default registry; see `Registry.commands`."""
    return default_registry.commands.event(name, schema=schema, aliases=aliases, codec=codec)
