"""One command on its way to its handler, and what handles it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, NamedTuple, Protocol, TypeVar
from uuid import UUID

from goes_lite.events.context import Context

if TYPE_CHECKING:
    from goes_lite.commands._receipts import Receipts

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


class Handler(Protocol):
    """What handles the commands of one name."""

    receipts: Receipts

    async def handle(self, command: Command[Any]) -> object:
        """Do it, and answer the result. What it raises comes through to whoever dispatched."""
        ...
