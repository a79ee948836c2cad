"""The options of a repository, as type checkers see them on both faces."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Generic, TypedDict, TypeVar

from goes_lite.aggregate import Aggregate
from goes_lite.errors import ConfigError
from goes_lite.errors.functions import check_function
from goes_lite.errors.options import check_number
from goes_lite.repository._hooks import AfterDelete, AfterSave, BeforeSave, OnConflict, OnError
from goes_lite.repository.schedule import Schedule
from goes_lite.runtime.face import Face

A = TypeVar("A", bound=Aggregate)


class RepositoryOptions(TypedDict, Generic[A], total=False):
    """The options and hooks of a repository. A hook is a function, on the async face also a coroutine function."""

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


HOOKS = ("before_save", "after_save", "on_conflict", "after_delete", "on_error")


def on_face(options: Mapping[str, Any], face: Face) -> dict[str, Any]:
    """Return the options with the hooks as the face calls them. ConfigError for one that could never run."""
    hooks = {name: face.function(options[name], name) for name in HOOKS if options.get(name) is not None}
    return {**options, **hooks}


def check_hooks(hooks: Mapping[str, Any]) -> None:
    """ConfigError for a hook that is no function, or could never run."""
    for name, hook in hooks.items():
        if hook is not None:
            check_function(name, hook, awaited=True)


def check_options(snapshots: Any, keep_snapshots: Any, cache: Any, tries: Any, backoff: Any) -> None:
    """ConfigError for an option of a wrong type or value."""
    check_number("tries", tries, 1)
    check_number("cache", cache, 0)
    if snapshots is not None:
        # A schedule of processors has a due(), too, but decides on times.
        if (
            isinstance(snapshots, type)
            or not callable(getattr(snapshots, "due", None))
            or hasattr(snapshots, "minds_when")
        ):
            raise ConfigError(f"snapshots must be a schedule such as Every(100), not {snapshots!r:.80}")
        check_function("due() of a schedule", snapshots.due)
    if keep_snapshots is not None:
        check_number("keep_snapshots", keep_snapshots, 1)
        if snapshots is None:
            raise ConfigError("keep_snapshots needs a schedule that takes snapshots: also pass snapshots=Every(n)")
    if type(backoff) not in (int, float) or not 0 <= backoff < float("inf"):
        raise ConfigError(f"backoff must be a number of seconds ≥ 0, not {backoff!r:.80}")
