"""Which events a workflow that is written as a function may wait for, and with which keys."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from goes_lite.errors import ConfigError, InvalidEventError
from goes_lite.events.event import Event
from goes_lite.events.registry import Registry
from goes_lite.workflow.definition import check_key, keys_of
from goes_lite.workflow.marks import Key
from goes_lite.workflow.memory import Memory


class Waits:
    """The events that a function may wait for, by registered name, with the functions of their keys."""

    def __init__(self, workflow: str, keys: Mapping[str, Key]) -> None:
        self._workflow = workflow
        self._keys = keys

    def names(self, kind: Any, registry: Registry) -> tuple[str, ...]:
        """Return the names of a kind of event. ConfigError if it is none of those that the workflow waits for."""
        names = registry.names_of(kind)
        for name in names:
            if name not in self._keys:
                raise ConfigError(
                    f"the workflow {self._workflow!r} cannot wait for {name!r}: name it in waits_for={{…}}, so that an event "
                    "that comes before the wait is not lost"
                )
        return names

    @staticmethod
    def key(key: object) -> str:
        """Return the text of a key to wait for. ConfigError if it cannot be one."""
        if not isinstance(key, str | UUID):
            raise ConfigError(f"the key of a wait must be a str or a UUID, not {key!r:.80}")
        try:
            return check_key(key)
        except InvalidEventError as exc:
            raise ConfigError(f"the key of a wait: {exc}") from None

    def keys(self, event: Event[Any]) -> tuple[str, ...]:
        """Return the keys of an event. InvalidQueryError if its function returns something that cannot be one."""
        return keys_of(self._workflow, self._keys[event.name], event)


def release(memory: Memory) -> list[str]:
    """Return the keys with which nobody waits any more, each once: their events need not concern the instance."""
    needed, others = set[str](), set[str]()
    for name, asked in memory.asked.items():
        if asked.key:
            (others if asked.dropped or name in memory.answers else needed).add(asked.key)
    released = others - needed
    for asked in memory.asked.values():
        if asked.key in released:
            asked.key = ""
    return sorted(released)
