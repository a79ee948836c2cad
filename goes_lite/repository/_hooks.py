"""The functions that a repository calls at its turning points, and what becomes of their errors.

Before the commit an error stops the save. After it, an error changes nothing any more: it is reported, and not raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from goes_lite.aggregate import Aggregate
from goes_lite.contract.event_store import Appended
from goes_lite.errors import AppendConditionFailed, ConcurrencyError
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.runtime import call

A = TypeVar("A", bound=Aggregate)

# Each may be a function or a coroutine function: what it answers is awaited if it can be, and ignored.
BeforeSave = Callable[[A, Sequence[Event[Any]]], object]
AfterSave = Callable[[A, Sequence[Event[Any]], Appended], object]
OnConflict = Callable[[A, ConcurrencyError | AppendConditionFailed], object]
AfterDelete = Callable[[AggregateRef, int], object]
OnError = Callable[[str, Exception], object]


class Hooks(NamedTuple, Generic[A]):
    """The hooks of a repository; see `Repository` for what each is told."""

    before_save: BeforeSave[A] | None
    after_save: AfterSave[A] | None
    on_conflict: OnConflict[A] | None
    after_delete: AfterDelete | None
    on_error: OnError | None

    async def tell(
        self, hook: Literal["after_save", "on_conflict", "after_delete"], ref: AggregateRef, *args: object
    ) -> None:
        """Call a hook, if there is one; its error is reported."""
        function: Callable[..., object] | None = getattr(self, hook)
        if function is not None:
            try:
                await call(function, *args)
            except Exception as error:  # noqa: BLE001  (it is reported)
                await self.report(f"the hook {hook} failed for {ref}", error)

    async def report(self, what: str, error: Exception) -> None:
        """Tell `on_error`, or else the log; raises nothing."""
        if self.on_error is not None:
            try:
                await call(self.on_error, what, error)
            except Exception as second:  # noqa: BLE001  (both are logged)
                second.__context__ = error
                error = second
            else:
                return
        import logging  # where nothing goes wrong, nobody pays for it

        logging.getLogger("goes_lite").error("%s: %s", what, error, exc_info=error)
