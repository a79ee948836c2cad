"""Broken backends: each has one fault that a real one might have, and is SQLite in every other respect.

`MUTANTS` says of each which rules have to find it out. A rule that no mutant fails proves little; a mutant that passes
every rule is a hole in the suites.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from goes_lite.contract.backend import Backend
from goes_lite.contract.event_store import Pages
from goes_lite.contract.wrapping import WrappedBackend, WrappedStore
from goes_lite.events.event import Event, restore


class Mutant(NamedTuple):
    """A fault, and the rules that have to find it."""

    wrap: Callable[[Backend], Backend]
    killers: tuple[str, ...]


MUTANTS: dict[str, Mutant] = {}


def events_mutant(*killers: str) -> Callable[[type[WrappedStore]], type[WrappedStore]]:
    """An event store with a fault."""

    def add(store: type[WrappedStore]) -> type[WrappedStore]:
        MUTANTS[store.__name__] = Mutant(partial(WrappedBackend, events=store), killers)
        return store

    return add


def mutant(*killers: str) -> Callable[[Callable[[WrappedBackend], None]], Callable[[WrappedBackend], None]]:
    """A backend of which something else has a fault: the function replaces that."""

    def add(spoil: Callable[[WrappedBackend], None]) -> Callable[[WrappedBackend], None]:
        def wrap(backend: Backend) -> Backend:
            wrapped = WrappedBackend(backend, WrappedStore)
            spoil(wrapped)
            return wrapped

        name = "".join(word.capitalize() for word in spoil.__name__.split("_"))
        MUTANTS[name] = Mutant(wrap, killers)
        return spoil

    return add


class Handed:
    """Hands everything to another object; a fault overrides what it is about."""

    def __init__(self, target: Any) -> None:
        self.target = target

    def __getattr__(self, name: str) -> Any:
        return getattr(self.target, name)


def changed(event: Event[Any], **fields: Any) -> Event[Any]:
    """The event with other fields than it was made with."""
    was: dict[str, Any] = {
        "id": event.id, "time": event.time, "aggregate": event.aggregate, "version": event.version,
        "metadata": event.metadata or None, "tags": event.tags or None, "position": event.position,
    }  # fmt: skip
    now = {**was, **fields}
    return restore(
        now["id"], event.name, event.data, now["time"], now["aggregate"], now["version"], now["metadata"], now["tags"],
        now["position"], *event.encoded,
    )  # fmt: skip


def each(pages: Pages[Event[Any]], change: Callable[[Event[Any]], Event[Any] | None]) -> Pages[Event[Any]]:
    """The pages with every event changed, or left out."""

    async def fetch() -> Sequence[Event[Any]]:
        while page := await pages.next_page():
            if kept := [new for event in page if (new := change(event)) is not None]:
                return kept
        return []

    return Pages(fetch)
