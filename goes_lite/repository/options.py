"""The options of a repository, as type checkers see them on both faces."""

from __future__ import annotations

from typing import Generic, TypedDict, TypeVar

from goes_lite.aggregate import Aggregate
from goes_lite.errors import ConfigError
from goes_lite.repository._hooks import AfterDelete, AfterSave, BeforeSave, OnConflict, OnError
from goes_lite.repository.schedule import Schedule

A = TypeVar("A", bound=Aggregate)


class RepositoryOptions(TypedDict, Generic[A], total=False):
    """The options and hooks of a repository. A hook is a function or a coroutine function."""

    snapshots: Schedule | None
    """When to take a snapshot, for example `Every(100)`; by default (None) it neither takes nor reads any."""
    keep_snapshots: int | None
    """How many snapshots of an aggregate to keep when a new one is taken: all by default."""
    cache: int
    """How many aggregates to keep in the cache: none (0) by default. A fetched aggregate is current either way."""
    tries: int
    """How many attempts `use` makes before it gives up: 10 by default. The error that then propagates says how many. If
    there are at least 5, those after the second keep all other writers out, where the backend and `change` allow that."""
    backoff: float
    """The longest first pause between attempts, in seconds: 0.002 by default. It doubles with each attempt, up to 0.25;
    the actual pause is a random fraction of it."""
    before_save: BeforeSave[A] | None
    """`before_save(aggregate, events)`: may record more events; if it raises, nothing is saved."""
    after_save: AfterSave[A] | None
    """`after_save(aggregate, events, appended)`: called after the commit."""
    on_conflict: OnConflict[A] | None
    """`on_conflict(aggregate, error)`: the append was refused; `use` may try again."""
    after_delete: AfterDelete | None
    """`after_delete(ref, events)`: called after a hard delete of that number of events."""
    on_error: OnError | None
    """`on_error(what, error)`: a hook after the commit, a snapshot or the cache failed. By default the error is logged to
    "goes_lite"."""


def check_number(option: str, value: object, least: int) -> None:
    """ConfigError unless the value is an int that is not less."""
    if type(value) is not int or value < least:
        raise ConfigError(f"{option} must be an int ≥ {least}, not {value!r}")
