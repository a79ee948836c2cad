"""Split a query into branches that an index serves each, and read the log through many of them.

Backends translate a branch; what is here decides, and does no I/O. Branches that differ in one value become one of many values.
An index does not have its matches in position order, so they are looked for in a short stretch of the log first, then in
longer ones, until the page is full. So the cost grows with the number of alternatives, and what is kept in memory is a page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple, TypeVar

from goes_lite.events.query import EventQuery, QueryItem

FEW = 8
"""Up to so many branches that differ in one value are kept apart, so that an index has each in position order."""
MANY = 1000
"""The maximum number of values of one branch."""
MAX_PAIRS = 10_000
"""More pairs of aggregate names and ids than this are not looked up one by one: the log is scanned for them."""
STRETCH = 16
"""The first stretch of the log is so many times as long as the page, and each further one as the one before."""

Spellings = Callable[[str], Sequence[str]]
"""Returns an event name and its former names: `Registry.spellings`."""
S = TypeVar("S")


class Branch(NamedTuple):
    """One part of a query: values of a field that an index serves, and the items of which the events must match one.

    Without a field, all items that no index serves: they share one scan.
    """

    items: tuple[QueryItem, ...]
    field: str = ""
    values: tuple[Any, ...] = ()
    name: str = ""
    """The name of the aggregates, of which the values are the ids."""

    @property
    def size(self) -> int:
        """About how many parameters it needs."""
        return len(self.values) + sum(map(_size, self.items))


class Window(NamedTuple):
    """The part of the log that a page comes from."""

    after: int
    upto: int
    limit: int
    reverse: bool = False

    def split(self, length: int) -> tuple[Window, Window]:
        """Return the first part, of that length, and the rest."""
        if self.reverse:
            edge = max(self.after, self.upto - length)
            return self._replace(after=edge), self._replace(upto=edge)
        edge = min(self.upto, self.after + length)
        return self._replace(upto=edge), self._replace(after=edge)

    def before(self, position: int) -> Window:
        """Return what is read before that position."""
        return self._replace(after=position) if self.reverse else self._replace(upto=position - 1)


def branches(query: EventQuery, spellings: Spellings, most: int) -> list[Branch]:
    """Split a query into branches that indexes serve, and one for the rest; `most` values fit into a statement."""
    if query.is_everything:
        return [Branch((QueryItem(),))]
    driven: dict[tuple[str, str, Any], dict[QueryItem, None]] = {}
    scanned: list[QueryItem] = []
    items = [half for item in joined(query.items) for half in _halves(item, most // 4)]
    # of several tags, the one that the fewest alternatives ask for is the most selective
    asked: Mapping[str, int] = Counter(tag for item in items for tag in item.tags) if len(items) > 1 else {}
    for item in items:
        found = _driven(item, asked, spellings)
        if found is None:
            scanned.append(item)
            continue
        field, values, rest = found
        for name, value in values:
            driven.setdefault((field, name, value), {})[rest] = None
    # What an index finds for a value is read once, for all alternatives of that value.
    alike: dict[tuple[str, str, tuple[QueryItem, ...]], list[Any]] = {}
    for (field, name, value), rests in driven.items():
        alike.setdefault((field, name, (_ANY,) if _ANY in rests else tuple(rests)), []).append(value)
    parts: list[Branch] = []
    for (field, name, others), listed in alike.items():
        size = 1 if len(listed) <= FEW else MANY
        for portion in _portions(others, most // 4):
            for first in range(0, len(listed), size):
                parts.append(Branch(portion, field, tuple(listed[first : first + size]), name))
    return parts + [Branch(portion) for portion in _portions(scanned, most // 2)]


_ANY = QueryItem()


def _driven(
    item: QueryItem, asked: Mapping[str, int], spellings: Spellings
) -> tuple[str, list[tuple[str, Any]], QueryItem] | None:
    """Return the field of which an index finds the events, its values (after the name of aggregates), and the rest.

    The most selective index first; None if there is none.
    """
    if item.ids:
        return "ids", [("", one) for one in item.ids], item._replace(ids=())
    if item.tags:
        tag = min(item.tags, key=lambda tag: asked.get(tag, 0))
        return "tags", [("", tag)], item._replace(tags=tuple(other for other in item.tags if other != tag))
    if item.aggregates:
        return "aggregates", [(ref.name, ref.id) for ref in item.aggregates], item._replace(aggregates=())
    if 0 < len(item.aggregate_names) * len(item.aggregate_ids) <= MAX_PAIRS:
        pairs = [(name, id) for name in item.aggregate_names for id in item.aggregate_ids]
        return "aggregates", pairs, item._replace(aggregate_names=(), aggregate_ids=())
    if item.names:
        names = [("", old) for name in item.names for old in spellings(name)]
        return "names", names, item._replace(names=())
    return None


def joined(items: Sequence[QueryItem]) -> list[QueryItem]:
    """Join alternatives that differ in one field, of which an event may have any value: not in tags, as it needs all."""
    found = [*items]
    for at in _JOINED if len(found) > 1 else ():
        alike: dict[tuple[Any, ...], list[tuple[Any, ...]]] = {}
        for item in found:
            alike.setdefault((*item[:at], *item[at + 1 :]), []).append(item[at])
        if len(alike) < len(found):
            found = [QueryItem._make((*same[:at], _any(values), *same[at:])) for same, values in alike.items()]
    return found


_JOINED = tuple(at for at, field in enumerate(QueryItem._fields) if field != "tags")


def _any(values: Sequence[tuple[Any, ...]]) -> tuple[Any, ...]:
    """Return the values of which an event may have any; none at all mean that it may have every value."""
    return () if () in values else tuple(dict.fromkeys(chain.from_iterable(values)))


def _portions(items: Sequence[QueryItem], most: int) -> Iterator[tuple[QueryItem, ...]]:
    """Split items into portions of at most so many parameters, and of at least one item."""
    first = 0
    while first < len(items):
        size, end = _size(items[first]), first + 1
        while end < len(items) and (size := size + _size(items[end])) <= most:
            end += 1
        yield tuple(items[first:end])
        first = end


def _size(item: QueryItem) -> int:
    """Return about how many parameters the item needs."""
    return sum(map(len, item)) + len(item.aggregates) + len(item.versions) + len(item.times)


def _halves(item: QueryItem, most: int) -> Iterator[QueryItem]:
    """Split an item with too many values for one statement into alternatives."""
    if _size(item) <= most:
        yield item
        return
    # an event must have all of the tags, so these cannot be split
    field = max((name for name in item._fields if name != "tags"), key=lambda name: len(getattr(item, name)))
    values = getattr(item, field)
    if len(values) < 2:
        yield item
        return
    half = len(values) // 2
    for part in (values[:half], values[half:]):
        yield from _halves(item._replace(**{field: part}), most)


def positions(
    parts: Sequence[Branch], window: Window, write: Callable[[Sequence[Branch], Window], tuple[S, int]]
) -> Generator[S, Sequence[Any], list[int]]:
    """Find the positions of a page that takes several statements, or has branches of many values.

    `write` returns a statement and how many of the branches it is for. It is yielded, and rows that begin with positions are
    sent. The window must end at the head: what is appended meanwhile is not on this page, or one statement could miss what
    another one sees.
    """
    found: list[int] = []
    length = window.limit
    while window.after < window.upto and len(found) < window.limit:
        length = min(length * STRETCH, window.upto)
        stretch, window = window.split(length)
        before, left = found, parts
        while left and stretch.after < stretch.upto:
            statement, number = write(left, stretch)
            left = left[number:]
            rows = yield statement
            new = sorted({*found[len(before) :], *(row[0] for row in rows)}, reverse=window.reverse)
            found = [*before, *new][: window.limit]
            if len(found) == window.limit:  # the page is full: others can only be before its end
                stretch = stretch.before(found[-1])
    return found
