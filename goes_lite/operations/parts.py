"""Copy a part of a store: a fork, which is the log as it was, or a subset, which is renumbered.

Rule of this file: a part says what it leaves out. Only the log is copied, since nothing else can be told as of an earlier
moment, or of some of the events: read models are rebuilt from the log, and snapshots are taken again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from goes_lite.contract.backend import Backend, View
from goes_lite.contract.event_store import check_position
from goes_lite.errors import ConfigError, InvalidEventError
from goes_lite.events.event import Event, canonical_json, id_bytes, metadata_json, restore, tags_json, time_micros
from goes_lite.events.fields import AggregateRef, aggregate_ref, check_metadata, check_name, check_tags
from goes_lite.events.query import EventQuery
from goes_lite.events.registry import Raw
from goes_lite.operations.canonical import Folder
from goes_lite.operations.copying import CopyProgress, Step, silent
from goes_lite.operations.digests import receipt_of
from goes_lite.operations.lineage import COMPLETE, COPYING, Origin, check_part, keep_origin, lineage_of
from goes_lite.operations.planning import records_of
from goes_lite.operations.receipts import Receipt
from goes_lite.operations.transfer import BATCH, BATCH_BYTES, Transfer, check_log, compare

Transform = Callable[[Event[Raw]], "Event[Any] | Iterable[Event[Any]] | None"]
"""Returns what becomes of an event: itself, one made by `rewritten`, several, or None to leave it out."""


class LeftOut(NamedTuple):
    """What a part does not have."""

    events: int
    """Those after the fork, or not in the subset."""
    snapshots: int
    models: int
    """Records of read models, with those of goes_lite: commands, receipts, parked events."""
    checkpoints: int


class PartCopied(NamedTuple):
    """What a copy of a part has done."""

    receipt: Receipt
    """Of the part."""
    upto: int
    """The position of the source up to which events were read."""
    left_out: LeftOut
    renumbered: bool
    """Whether positions, and versions where events were left out, are not those of the source."""


async def copy_part(
    source: Backend,
    target: Backend,
    *,
    upto: int | None = None,
    until: datetime | None = None,
    only: Iterable[str] = (),
    transform: Transform | None = None,
    progress: CopyProgress | None = None,
) -> PartCopied:
    """Copy a part of the log into an empty store, to look at, to try something, or as data for tests.

    - `upto` and `until` make a fork: the events up to a position, or those before the first one that is later than a time,
      with their positions, as they are now: what was deleted since is gone.
    - `only` keeps the events of aggregates, or with event names, that are called so; `transform` gets each of them and returns
      what it becomes, see `rewritten`. Then positions are renumbered 1, 2, 3, …, and so are the versions of aggregates that
      lost events. Memory: about 200 bytes for each such aggregate, with `transform` for every one.
    - Only events are copied. Consumers begin from the start there: do not run those that have effects outside.
    - The log is compared at the end. An interrupted part goes on when it is repeated with the same arguments.

    Raises CopyRefused if the target holds anything else, ConfigError if the arguments do not fit together, CopyDiffers if the
    target is not equal, for example since the source was changed meanwhile, or `transform` returns something else each time.
    """
    names = frozenset(only)
    if upto is not None and until is not None:
        raise ConfigError("a fork ends at a position (upto) or at a time (until), not at both")
    if isinstance(only, str) or not all(isinstance(name, str) for name in names):
        raise ConfigError(f"only is a collection of names, not {only!r:.80}")
    tell: CopyProgress = silent if progress is None else progress
    async with source.view() as view:
        head = await view.events.head()
        last = head if upto is None else min(check_position("upto", upto), head)
        if until is not None:
            last = await _before(view, until, head)
        renumbered = bool(names) or transform is not None
        said = _said(last, names, transform)
        await check_part(source.identity, target, said)
        earlier = await lineage_of(source.models, source.runtime)

        async def note(state: str) -> None:
            now = source.runtime.clock.now()
            await keep_origin(target, Origin(source.identity, source.location, last, now, state, earlier, said))

        await note(COPYING)
        if renumbered:
            subset = _Subset(names, transform)
            await subset.copy(view, target, last, tell)
            folder, end, kept = subset.folder, subset.position, subset.kept
            what = "it is not what the source has there now, or what the transform returns now"
            await check_log(target, folder.finish(), end, what)
        else:
            folder, end = await _fork(view, target, last, tell), last
            kept = folder.events
        snapshots, models, checkpoints = await records_of(view)
        left_out = LeftOut(await view.events.count() - kept, snapshots, models.total(), checkpoints)
        await note(COMPLETE)
    return PartCopied(receipt_of(target, folder, end, end), last, left_out, renumbered)


async def _before(view: View, until: datetime, head: int) -> int:
    """Return the last position before the first event that is later than a time."""
    later = EventQuery(min_time=until + timedelta(microseconds=1))
    found = await view.events.query(later, limit=1).list()
    return found[0].position - 1 if found else head


def _said(upto: int, names: frozenset[str], transform: Transform | None) -> str:
    """Return what makes a part, in words: two parts of a source with the same words are the same."""
    said = f"up to position {upto}"
    if names:
        said += f", only {', '.join(sorted(names))}"
    if transform is not None:
        where, what = getattr(transform, "__module__", "?"), getattr(transform, "__qualname__", "?")
        said += f", transformed by {where}:{what}"
    return said


async def _fork(view: View, target: Backend, upto: int, tell: CopyProgress) -> Folder:
    """Copy the events up to a position, and return what the source has there."""
    transfer = Transfer(target, lambda position: tell(Step("events", position, upto)))
    done = await target.events.head()
    if done < upto:
        await transfer.bring(view.events, done, upto)
    await target.events.import_events([], head=upto)
    folder = Folder()
    await compare(
        view.events, target, after=0, upto=upto, told=lambda at: tell(Step("verifying", at, upto)), folder=folder
    )
    return folder


class _Subset:
    """Selects and renumbers events."""

    def __init__(self, names: frozenset[str], transform: Transform | None) -> None:
        self._names = names
        self._transform = transform
        self._versions: dict[AggregateRef, int] = {}  # of aggregates that may lose events
        self.folder = Folder()
        self.position = self.kept = 0

    async def copy(self, view: View, target: Backend, upto: int, tell: CopyProgress) -> None:
        """Copy the events up to a position; those that the target has already are only folded."""
        done = await target.events.head()
        batch: list[Event[Any]] = []
        pages = view.events.stored(upto=upto)
        while page := await pages.next_page():
            new = [self._numbered(made, event) for event in page for made in self._made(event)]
            self.folder.add(new)
            batch += [event for event in new if event.position > done]
            if len(batch) >= BATCH or sum([len(event._payload) for event in batch]) >= BATCH_BYTES:
                await target.events.import_events(batch)
                batch = []
            tell(Step("events", page[-1].position, upto))
        await target.events.import_events(batch)

    def _made(self, event: Event[Raw]) -> Sequence[Event[Any]]:
        """Return what becomes of an event."""
        ref = event.aggregate
        if self._names and event.name not in self._names and (ref is None or ref.name not in self._names):
            return []
        made: object = event if self._transform is None else self._transform(event)
        found: list[Any] = [made] if isinstance(made, Event) else [] if made is None else [None]
        if isinstance(made, (list, tuple)):
            found = [*made]  # pyright: ignore[reportUnknownVariableType]
        if not all(isinstance(one, Event) for one in found):
            raise InvalidEventError(f"transform returns an Event, a list of them, or None, not {made!r:.80}")
        self.kept += bool(found)
        return found

    def _numbered(self, event: Event[Any], was: Event[Raw]) -> Event[Any]:
        """Return the event at the next position, and at the next version of its aggregate."""
        ref, version = event.aggregate, was.version
        if ref is None:
            version = 0
        elif self._transform is not None or (self._names and ref.name not in self._names):
            version = self._versions[ref] = self._versions.get(ref, 0) + 1
        self.position += 1
        encoding, schema, payload = event.encoded
        return restore(
            id_bytes(event), event.name, Raw(event.name, encoding, schema, payload), time_micros(event), ref, version,
            metadata_json(event), tags_json(event), self.position, encoding, schema, payload,
        )  # fmt: skip


def rewritten(
    event: Event[Any],
    *,
    payload: str | bytes | None = None,
    encoding: str | None = None,
    name: str | None = None,
    aggregate: AggregateRef | tuple[str, str] | None = None,
    metadata: dict[str, str] | None = None,
    tags: Iterable[str] | None = None,
) -> Event[Any]:
    """Return a stored event with other fields, for a `transform`: what is not given stays as it is.

    `event.encoded.payload` is what is stored: text or bytes in `event.encoded.encoding`, usually JSON. Nothing is decoded.
    Raises InvalidEventError or RegistrationError for values that no event can have.
    """
    was, schema, old = event.encoded
    new, form = old if payload is None else payload, was if encoding is None else encoding
    if not isinstance(new, (str, bytes)):  # pyright: ignore[reportUnnecessaryIsInstance]
        raise InvalidEventError(f"a payload is str or bytes, as it is stored, not {new!r:.80}")
    called = event.name if name is None else check_name(name, "an event name")
    checked = None if tags is None else check_tags(tags)
    return restore(
        id_bytes(event), called, Raw(called, form, schema, new), time_micros(event),
        event.aggregate if aggregate is None else aggregate_ref(aggregate), event.version,
        metadata_json(event) if metadata is None else canonical_json(dict(check_metadata(metadata))) if metadata else None,
        tags_json(event) if tags is None else canonical_json(sorted(checked)) if checked else None,
        event.position, form, schema, new,
    )  # fmt: skip
