"""The hooks of a repository, and how their errors are handled.

Before the commit an error stops the save. After it, an error changes nothing: it is reported and not raised.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from goes_lite.aggregate import Aggregate
from goes_lite.contract.event_store import Appended
from goes_lite.errors import AppendConditionFailed, ConcurrencyError
from goes_lite.errors.functions import failure
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.runtime.face import call

A = TypeVar("A", bound=Aggregate)

# Each may be a function or a coroutine function: what it returns is awaited if possible, and ignored.
BeforeSave = Callable[[A, Sequence[Event[Any]]], object]
AfterSave = Callable[[A, Sequence[Event[Any]], Appended], object]
OnConflict = Callable[[A, ConcurrencyError | AppendConditionFailed], object]
AfterDelete = Callable[[AggregateRef, int], object]
OnError = Callable[[str, Exception], object]


class Hooks(NamedTuple, Generic[A]):
    """The hooks of a repository; see `RepositoryOptions` for their arguments."""

    before_save: BeforeSave[A] | None
    after_save: AfterSave[A] | None
    on_conflict: OnConflict[A] | None
    after_delete: AfterDelete | None
    on_error: OnError | None

    async def tell(
        self, hook: Literal["after_save", "on_conflict", "after_delete"], ref: AggregateRef, *args: object
    ) -> None:
        """Call a hook, if there is one, and report its error."""
        function: Callable[..., object] | None = getattr(self, hook)
        if function is not None:
            try:
                await call(function, *args)
            except BaseException as exc:  # noqa: BLE001  (it is reported)
                await self.report(f"the hook {hook} failed for {ref}", failure(exc))

    async def report(self, what: str, error: Exception) -> None:
        """Pass the error to `on_error`, or else log it; never raises."""
        if self.on_error is not None:
            try:
                await call(self.on_error, what, error)
            except BaseException as exc:  # noqa: BLE001  (both are logged)
                second = failure(exc)
                second.__context__ = error
                error = second
            else:
                return
        import logging  # imported only when something goes wrong

        logging.getLogger("goes_lite").error("%s: %s", what, error, exc_info=error)
