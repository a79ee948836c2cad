"""One command on its way to its handler."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Generic, NamedTuple, TypeVar
from uuid import UUID

from goes_lite.events.context import Context

D = TypeVar("D")


class Command(NamedTuple, Generic[D]):
    """What was dispatched, and with it what middleware may want to know. Immutable."""

    id: UUID
    name: str
    """Under which its type is registered."""
    data: D
    """The command itself."""
    metadata: Mapping[str, str] = MappingProxyType({})
    """The context that it was dispatched in, as text: see `Context.metadata`."""
    deadline: datetime | None = None
    """Until when it is to be handled (aware, UTC)."""
    once: bool = False
    """Whether its id was given by whoever dispatched it: then it counts once, however often it comes."""

    @property
    def context(self) -> Context:
        """What its handler runs in."""
        return Context.of(self.metadata, str(self.id), self.deadline)

    def __repr__(self) -> str:
        return f"<Command {self.name!r} {self.id}: {self.data!r:.200}>"
