"""Consumers: what a stream remembers of who has got what. One for each group, kept; one for each other subscription, not."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from goes_lite.contract.event_bus import NamePatterns
from goes_lite.errors import BusError, GoesError
from goes_lite.events.registry import Registry
from goes_lite.kit.bus.queue import Wish
from goes_lite_nats._connection import ApiError, Connection
from goes_lite_nats._streams import NANO, NOT_FOUND
from goes_lite_nats._subjects import SLOTS, filters
from goes_lite_nats._subjects import consumer as consumer_name

EXISTS = 10148

INACTIVE = 60.0
"""Seconds after which the broker forgets the consumer of a subscription that is gone."""

NAMES = "goes_lite.names"
MIN_TIME = "goes_lite.min_time"
GROUP = "goes_lite.group"


class Mismatch(BusError):
    """The group listens to other names, or in another way."""


class Last:
    """Where the last event is that a subscription or group begins with: looked for once, for all its consumers."""

    def __init__(self, connection: Connection, subjects: list[str]) -> None:
        self._connection = connection
        self._subjects = subjects
        self._before: int | None = None

    async def before(self) -> int:
        """The sequence before it; that of what is passed over if there is none."""
        if self._before is None:
            stream = self._connection.options.stream_name
            sequence = 0
            for subject in self._subjects:
                try:
                    found = await self._connection.api(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
                except ApiError as exc:
                    if exc.code != NOT_FOUND:
                        raise
                else:
                    sequence = max(sequence, found["message"]["seq"])
            self._before = max(0, sequence - 1)
        return self._before


class Consumer:
    """One consumer of the stream of the events."""

    def __init__(
        self, connection: Connection, wish: Wish, registry: Registry, slot: str = "", last: Last | None = None
    ) -> None:
        self.connection = connection
        self._wish = wish
        self._stream = connection.options.stream_name
        self._subjects = filters(connection.options.prefix, _spelt(wish.patterns, registry), slot or "*")
        self._name = ""
        self._other = ""
        self._slot = slot
        self._last = last
        self._seen: int | None = None
        if wish.group is not None:
            group = consumer_name(wish.group)
            self._name, self._other = (_slotted(group, slot), group) if slot else (group, _slotted(group, SLOTS[0]))
            if slot in ("", SLOTS[0]):
                self._subjects.append(f"{connection.options.prefix}.redrive.{group}")

    def __repr__(self) -> str:
        return f"<Consumer {self._name} of {self._stream}>"

    @property
    def next(self) -> str:
        """Where to ask for events."""
        return f"{self.connection.api_prefix}.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"

    @property
    def name(self) -> str:
        """What the broker calls it."""
        return self._name

    def passed(self, sequence: int) -> None:
        """This has come."""
        self._seen = sequence

    async def ensure(self) -> int | None:
        """Make it if it is not there; the time (in microseconds) before which its events are left out, if any.

        Mismatch if it is there, and for other names.
        """
        if self._wish.group is None:
            return await self._ensure_ephemeral()
        config: dict[str, Any] = {
            **await self._begin(), "name": self._name, "durable_name": self._name, "filter_subjects": self._subjects,
            "ack_policy": "explicit", "ack_wait": round(self.connection.options.lease * NANO),
            "max_ack_pending": 1 if self._slot else -1, "max_waiting": 4096, "metadata": self._metadata(),
        }  # fmt: skip
        if self._slot in ("", SLOTS[0]) and await self._is_there(self._other):
            raise Mismatch(
                f"the members of the group {self._wish.group!r} {'do not keep' if self._slot else 'keep'} each aggregate in "
                "order: all of them have one `ordered_by`; use another group for another one, or reset the group"
            )
        try:
            found = await self._create(config)
        except ApiError as exc:
            if exc.err_code != EXISTS:
                raise
            found = await self.look()
        said: dict[str, str] = found["config"].get("metadata") or {}
        group, names = self._wish.group, str(self._wish.patterns)
        if said.get(NAMES) != names or said.get(GROUP) != group:
            raise Mismatch(
                f"the group {group!r} listens to {said.get(NAMES)!r}, not to {names!r}: its members share one set of names; "
                "use another group for other names, or reset the group"
            )
        return int(said[MIN_TIME]) if MIN_TIME in said else None

    async def _is_there(self, name: str) -> bool:
        try:
            await self.connection.api(f"CONSUMER.INFO.{self._stream}.{name}")
        except ApiError as exc:
            if exc.code != NOT_FOUND:
                raise
            return False
        return True

    async def look(self) -> dict[str, Any]:
        """What the broker says of it; asked for that, it drops requests whose sender listens no more."""
        return await self.connection.api(f"CONSUMER.INFO.{self._stream}.{self._name}")

    async def _ensure_ephemeral(self) -> int | None:
        # What it has sent is forgotten there, whether it has come or not. So whenever there is a doubt, another one goes on
        # behind what has come.
        await self.forget()
        self._name = ""  # what it had sent before does not count from here on
        begin = await self._begin() if self._seen is None else _behind(self._seen)
        config = {
            **begin, "filter_subjects": self._subjects, "ack_policy": "none", "mem_storage": True, "num_replicas": 1,
            "inactive_threshold": round(INACTIVE * NANO), "metadata": self._metadata(),
        }  # fmt: skip
        made = await self._create(config)
        self._name = made["name"]
        if self._seen is None:
            self._seen = made["delivered"]["stream_seq"]
        return self._wish.min_time

    async def _create(self, config: dict[str, Any]) -> dict[str, Any]:
        name = f".{self._name}" if "name" in config else ""
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        return await self.connection.api(f"CONSUMER.CREATE.{self._stream}{name}", body)

    async def _begin(self) -> dict[str, Any]:
        if self._last is not None:
            return _behind(await self._last.before())
        if self._wish.position is None:
            return {"deliver_policy": "new"}
        return _behind(self._wish.position)

    def _metadata(self) -> dict[str, str]:
        said = {NAMES: str(self._wish.patterns)}
        if self._wish.group is not None:
            said[GROUP] = self._wish.group
        if self._wish.min_time is not None:
            said[MIN_TIME] = str(self._wish.min_time)
        return said

    async def forget(self) -> None:
        """Remove it, if it is that of a subscription which is gone."""
        if self._wish.group is None and self._name and self.connection.connected:
            with suppress(GoesError):
                await self.connection.api(f"CONSUMER.DELETE.{self._stream}.{self._name}")


def consumers_of(connection: Connection, wish: Wish, registry: Registry) -> list[Consumer]:
    """Those of a subscription or group: one, or one for each slot of an ordered group.

    Each of these gives out one event at a time, so of one aggregate there is never another one out, in whatever process.
    """
    last = (
        Last(connection, filters(connection.options.prefix, _spelt(wish.patterns, registry), "*"))
        if wish.last
        else None
    )
    if wish.ordered_by is None:
        return [Consumer(connection, wish, registry, last=last)]
    return [Consumer(connection, wish, registry, slot, last) for slot in SLOTS]


async def remove_group(connection: Connection, group: str) -> None:
    """Forget a group, with all that it has still to get."""
    name = consumer_name(group)
    for one in (name, *(_slotted(name, slot) for slot in SLOTS)):
        try:
            await connection.api(f"CONSUMER.DELETE.{connection.options.stream_name}.{one}")
        except ApiError as exc:
            if exc.code != NOT_FOUND:
                raise


def _slotted(group: str, slot: str) -> str:
    return f"{group}=slot{slot}"  # which no other group is called, for = is followed by two hexadecimal digits


def _behind(sequence: int) -> dict[str, Any]:
    if sequence == 0:
        return {"deliver_policy": "all"}
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": sequence + 1}


def _spelt(patterns: NamePatterns, registry: Registry) -> NamePatterns:
    """The names, with those that they had before: who publishes may not know today's yet."""
    return NamePatterns(frozenset(_spellings(patterns.exact, registry)), patterns.prefixes)


def _spellings(names: Iterable[str], registry: Registry) -> Iterable[str]:
    for name in names:
        yield name
        with suppress(GoesError):
            yield from registry.spellings(name)
