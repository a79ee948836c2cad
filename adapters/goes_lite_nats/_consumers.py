"""Consumers: what the broker remembers of who received what. That of a group is durable, any other is ephemeral."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from typing import Any

from goes_lite.contract.event_bus import NamePatterns
from goes_lite.errors import BusError, GoesError
from goes_lite.events.registry import Registry
from goes_lite.kit.bus.subscription_request import SubscriptionRequest
from goes_lite_nats._api import CONSUMER_EXISTS, NANO, ApiError
from goes_lite_nats._connection import Connection
from goes_lite_nats._subjects import SLOTS, consumer_name, filter_subjects

INACTIVE = 60.0
"""Seconds after which the broker deletes the consumer of a subscription that is gone."""

NAMES = "goes_lite.names"
MIN_TIME = "goes_lite.min_time"
GROUP = "goes_lite.group"


class GroupMismatch(BusError):
    """The group has other names, or another order."""


class LastSequence:
    """Finds the last event that a new subscription or group starts with: once, for all its consumers."""

    def __init__(self, connection: Connection, subjects: list[str]) -> None:
        self._connection = connection
        self._subjects = subjects
        self._before: int | None = None

    async def before(self) -> int:
        """Return the sequence before that event; 0 if there is none."""
        if self._before is None:
            stream = self._connection.options.stream_name
            sequence = 0
            for subject in self._subjects:
                found = await self._connection.find(f"STREAM.MSG.GET.{stream}", {"last_by_subj": subject})
                if found is not None:
                    sequence = max(sequence, found["message"]["seq"])
            self._before = max(0, sequence - 1)
        return self._before


class Consumer:
    """One consumer of the event stream."""

    def __init__(
        self,
        connection: Connection,
        request: SubscriptionRequest,
        patterns: NamePatterns,
        slot: str = "",
        last: LastSequence | None = None,
    ) -> None:
        self.connection = connection
        self._request = request
        self._stream = connection.options.stream_name
        self._subjects = filter_subjects(connection.options.prefix, patterns, slot or "*")
        self._name = ""
        self._other_name = ""
        self._slot = slot
        self._last = last
        self._last_received: int | None = None
        self._settled: int | None = None  # of a group: all up to this sequence
        self._born = ""
        self._again = False  # whether the stream was made again since this began
        if request.group is not None:
            group = consumer_name(request.group)
            slotted = _slot_consumer(group, slot or SLOTS[0])
            self._name, self._other_name = (slotted, group) if slot else (group, slotted)
            if slot in ("", SLOTS[0]):
                self._subjects.append(f"{connection.options.prefix}.redrive.{group}")

    def __repr__(self) -> str:
        return f"<Consumer {self._name} of {self._stream}>"

    @property
    def next(self) -> str:
        """The subject of pull requests."""
        return f"{self.connection.api_prefix}.CONSUMER.MSG.NEXT.{self._stream}.{self._name}"

    @property
    def name(self) -> str:
        """Its name at the broker."""
        return self._name

    def belongs_to(self, born: str) -> None:
        """Note when its stream was made. In another one of that name, it begins with the first event."""
        if self._born and born != self._born:
            self._again, self._last_received, self._settled = True, None, None
        self._born = born

    def received(self, sequence: int) -> None:
        """Note that the event at this sequence has arrived."""
        self._last_received = sequence

    async def ensure(self, unsettled: int | None = None) -> int | None:
        """Create it unless it exists; return the time (in microseconds) before which events are left out, if any.

        `unsettled` is the sequence of the first event that is not settled here, if there is one. GroupMismatch if it exists
        for other names.
        """
        if self._request.group is None:
            return await self._ensure_ephemeral()
        config: dict[str, Any] = {
            **await self._resume_policy(unsettled), "name": self._name, "durable_name": self._name,
            "filter_subjects": self._subjects, "ack_policy": "explicit", "max_waiting": 4096,
            "ack_wait": round(self.connection.options.lease * NANO), "max_ack_pending": 1 if self._slot else -1,
            "metadata": self._metadata(),
        }  # fmt: skip
        if self._slot in ("", SLOTS[0]) and await self._exists(self._other_name):
            raise GroupMismatch(
                f"the group {self._request.group!r} {'does not keep' if self._slot else 'keeps'} each aggregate in order: all "
                "members have the same `ordered_by`; use another group for another one, or reset the group"
            )
        try:
            found = await self._create(config)
        except ApiError as exc:
            if exc.err_code != CONSUMER_EXISTS:
                raise
            found = await self.info()
        metadata: dict[str, str] = found["config"].get("metadata") or {}
        group, names = self._request.group, str(self._request.patterns)
        if metadata.get(NAMES) != names or metadata.get(GROUP) != group:
            raise GroupMismatch(
                f"the group {group!r} subscribes to {metadata.get(NAMES)!r}, not to {names!r}: all members have the same "
                "names; use another group for other names, or reset the group"
            )
        self._settled = max(self._settled or 0, found["ack_floor"]["stream_seq"])
        return int(metadata[MIN_TIME]) if MIN_TIME in metadata else None

    async def _exists(self, name: str) -> bool:
        return await self.connection.find(f"CONSUMER.INFO.{self._stream}.{name}") is not None

    async def info(self) -> dict[str, Any]:
        """Return its state. To answer that, the broker also drops pull requests whose sender listens no more."""
        return await self.connection.api(f"CONSUMER.INFO.{self._stream}.{self._name}")

    async def _ensure_ephemeral(self) -> int | None:
        # The broker forgets what it has sent, whether it arrived or not. So in any doubt, a new consumer resumes after the
        # last event that arrived.
        await self.delete()
        self._name = ""  # what the old one sent does not count any more
        policy = await self._start_policy() if self._last_received is None else _after(self._last_received)
        config = {
            **policy, "filter_subjects": self._subjects, "ack_policy": "none", "mem_storage": True, "num_replicas": 1,
            "inactive_threshold": round(INACTIVE * NANO), "metadata": self._metadata(),
        }  # fmt: skip
        created = await self._create(config)
        self._name = created["name"]
        if self._last_received is None:
            self._last_received = created["delivered"]["stream_seq"]
        return self._request.min_time

    async def _create(self, config: dict[str, Any]) -> dict[str, Any]:
        name = f".{self._name}" if "name" in config else ""
        body = {"stream_name": self._stream, "config": config, "action": "create"}
        return await self.connection.api(f"CONSUMER.CREATE.{self._stream}{name}", body)

    async def _resume_policy(self, unsettled: int | None) -> dict[str, Any]:
        """Where a group goes on if somebody has deleted its consumer: with what may not be handled yet."""
        if self._settled is None:
            return await self._start_policy()
        received = self._last_received or 0
        if unsettled is not None:
            received = min(received, unsettled - 1)
        return _after(max(self._settled, received))

    async def _start_policy(self) -> dict[str, Any]:
        if self._again:
            return _after(0)
        if self._last is not None:
            return _after(await self._last.before())
        if self._request.position is None:
            return {"deliver_policy": "new"}
        return _after(self._request.position)

    def _metadata(self) -> dict[str, str]:
        metadata = {NAMES: str(self._request.patterns)}
        if self._request.group is not None:
            metadata[GROUP] = self._request.group
        if self._request.min_time is not None:
            metadata[MIN_TIME] = str(self._request.min_time)
        return metadata

    async def delete(self) -> None:
        """Delete it, if it is ephemeral."""
        if self._request.group is None and self._name and self.connection.connected:
            with suppress(GoesError):
                await self.connection.api(f"CONSUMER.DELETE.{self._stream}.{self._name}")


def consumers_of(connection: Connection, request: SubscriptionRequest, registry: Registry) -> list[Consumer]:
    """Return the consumers of a subscription or group: one, or one for each slot of an ordered group.

    Each of these delivers one event at a time, so no two events of an aggregate are in flight, in whatever processes.
    """
    patterns = _with_former_names(request.patterns, registry)
    last = LastSequence(connection, filter_subjects(connection.options.prefix, patterns)) if request.last else None
    if not request.ordered:
        return [Consumer(connection, request, patterns, last=last)]
    return [Consumer(connection, request, patterns, slot, last) for slot in SLOTS]


async def delete_group(connection: Connection, group: str) -> None:
    """Delete the consumers of a group, with everything that it has still to receive."""
    name = consumer_name(group)
    for one in (name, *(_slot_consumer(name, slot) for slot in SLOTS)):
        await connection.find(f"CONSUMER.DELETE.{connection.options.stream_name}.{one}")


def _slot_consumer(group: str, slot: str) -> str:
    return f"{group}=slot{slot}"  # never the name of a group: there, two hexadecimal digits follow each =


def _after(sequence: int) -> dict[str, Any]:
    if sequence == 0:
        return {"deliver_policy": "all"}
    return {"deliver_policy": "by_start_sequence", "opt_start_seq": sequence + 1}


def _with_former_names(patterns: NamePatterns, registry: Registry) -> NamePatterns:
    """Return the names with their former spellings: a publisher may not know the current ones yet."""
    return NamePatterns(frozenset(_spellings(patterns.exact, registry)), patterns.prefixes)


def _spellings(names: Iterable[str], registry: Registry) -> Iterable[str]:
    for name in names:
        yield name
        with suppress(GoesError):
            yield from registry.spellings(name)
