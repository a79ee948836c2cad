"""Split a query into branches that an index serves each, and read the log through many of them.

Backends translate a branch; what is here decides, and does no I/O. Branches that differ in one value become one of many values.
An index does not have its matches in position order, so they are looked for in a short stretch of the log first, then in
longer ones, until the page is full. So the cost grows with the number of alternatives, and what is kept in memory is a page.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
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
    """One part of a query: values of a field that an index serves, and what else the events must match.

    Without a field, all items that no index serves: they share one scan.
    """

    items: tuple[QueryItem, ...]
    field: str = ""
    values: tuple[Any, ...] = ()
    name: str = ""
    """The name of the aggregates, of which the values are the ids."""


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
    alike: dict[tuple[str, str, QueryItem], list[Any]] = {}
    scanned: list[QueryItem] = []
    items = [half for item in query.items for half in _halves(item, most // 4)]
    # of several tags, the one that the fewest alternatives ask for is the most selective
    asked: Mapping[str, int] = Counter(tag for item in items for tag in item.tags) if len(items) > 1 else {}
    for item in items:
        # the most selective index first
        if item.ids:
            alike.setdefault(("ids", "", item._replace(ids=())), []).extend(item.ids)
        elif item.tags:
            tag = min(item.tags, key=lambda tag: asked.get(tag, 0))
            rest = item._replace(tags=tuple(other for other in item.tags if other != tag))
            alike.setdefault(("tags", "", rest), []).append(tag)
        elif item.aggregates:
            rest = item._replace(aggregates=())
            for ref in item.aggregates:
                alike.setdefault(("aggregates", ref.name, rest), []).append(ref.id)
        elif 0 < len(item.aggregate_names) * len(item.aggregate_ids) <= MAX_PAIRS:
            rest = item._replace(aggregate_names=(), aggregate_ids=())
            for name in item.aggregate_names:
                alike.setdefault(("aggregates", name, rest), []).extend(item.aggregate_ids)
        elif item.names:
            alike.setdefault(("names", "", item._replace(names=())), []).extend(
                old for name in item.names for old in spellings(name)
            )
        else:
            scanned.append(item)
    parts: list[Branch] = []
    for (field, name, rest), values in alike.items():
        size = 1 if len(values) <= FEW else MANY
        for first in range(0, len(values), size):
            parts.append(Branch((rest,), field, tuple(values[first : first + size]), name))
    while scanned:
        size, number = 0, 0
        while number < len(scanned) and (size := size + _size(scanned[number])) <= most // 2:
            number += 1
        parts.append(Branch(tuple(scanned[: number or 1])))
        del scanned[: number or 1]
    return parts


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
