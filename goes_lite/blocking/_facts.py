"""What a handle says about its store: facts that need no waiting."""

from __future__ import annotations

from goes_lite.contract.backend import Backend, Durability
from goes_lite.events.registry import Registry
from goes_lite.runtime import Runtime


class BackendFacts:
    """A handle, and what it says about the store behind it."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        """The async backend that does the work."""

    @property
    def location(self) -> str:
        """Where the store is: a path or URL, without a password."""
        return self.backend.location

    @property
    def identity(self) -> str:
        """The store and its epoch, to which its checkpoints belong (see `Checkpoint.store`)."""
        return self.backend.identity

    @property
    def registry(self) -> Registry:
        """Where the names and types of its events are registered."""
        return self.backend.registry

    @property
    def runtime(self) -> Runtime:
        """How coroutines wait, and the clock."""
        return self.backend.runtime

    @property
    def abilities(self) -> frozenset[str]:
        """What it can do beyond the contract, such as "transactions" or "sql"."""
        return self.backend.abilities

    @property
    def durability(self) -> Durability:
        """What an acknowledged append survives, with the settings of this handle."""
        return self.backend.durability
