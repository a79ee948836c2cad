"""The outcome of a command, a change or a decision, and assertions about it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from difflib import unified_diff
from pprint import pformat
from typing import Any, Self, TypeVar

from goes_lite.aggregate import Aggregate, definition_of
from goes_lite.commands.decider import Decider
from goes_lite.events.event import Event
from goes_lite.events.fields import AggregateRef
from goes_lite.repository.decision import DecisionModel

S = TypeVar("S")


class Outcome:
    """The outcome: inspect it, or call its assertions. They raise an AssertionError that shows the difference.

    An exception that was not expected with `raises` is the cause of that AssertionError.
    """

    def __init__(
        self,
        what: str,
        events: Sequence[Event[Any]],
        everything: Sequence[Event[Any]],
        result: object,
        error: BaseException | None,
    ) -> None:
        self._what = what
        self._everything = everything
        self.events = list(events)
        """The stored events, in order."""
        self.result = result
        """What the handler, change or decision returned."""
        self.error = error
        """The exception that it raised, or None."""

    def __repr__(self) -> str:
        return f"<Outcome of {self._what}: {len(self.events)} events, {self.error!r}>"

    @property
    def data(self) -> list[Any]:
        """The data of the events."""
        return [event.data for event in self.events]

    # --- events -----------------------------------------------------------------------------------------------------

    def then(self, *data: Any, equal: Callable[[Any, Any], object] | None = None) -> Self:
        """Assert that these events were stored, in this order, and no others. Without any: that nothing was stored.

        Each is the data of an event, or a matcher such as `like(…)`. `equal(found, expected)` replaces `==`.
        """
        self._check_no_error()
        found = self.data
        same = len(found) == len(data) and all(
            _equal(one, expected, equal) for one, expected in zip(found, data, strict=True)
        )
        if not same:
            raise AssertionError(f"{self._what} stored other events:\n{_difference(data, found)}")
        return self

    def then_nothing(self) -> Self:
        """Assert that nothing was stored."""
        return self.then()

    def then_exactly(self, times: int, data: Any) -> Self:
        """Assert that exactly this number of the stored events match; others may have been stored, too."""
        return self._counted(data, times, times, f"exactly {times}")

    def then_at_least(self, times: int, data: Any) -> Self:
        """Assert that this number of the stored events match, or more."""
        return self._counted(data, times, None, f"at least {times}")

    def then_at_most(self, times: int, data: Any) -> Self:
        """Assert that this number of the stored events match, or fewer."""
        return self._counted(data, 0, times, f"at most {times}")

    def _counted(self, data: Any, least: int, most: int | None, wanted: str) -> Self:
        self._check_no_error()
        count = sum(_equal(one, data, None) for one in self.data)
        if count < least or (most is not None and count > most):
            raise AssertionError(f"{self._what} stored {count} of {data!r}, not {wanted}:\n{pformat(self.data)}")
        return self

    # --- errors and results -----------------------------------------------------------------------------------------

    def raises(self, kind: type[BaseException], match: str | None = None, **attributes: Any) -> Self:
        """Assert that it raised this error, with a message in which `match` (a regex) is found, and stored nothing.

        And with these attributes: `.raises(CommandRejected, code="order_closed")`.
        """
        if self.error is None:
            raise AssertionError(f"{self._what} raised nothing, and stored {self.data!r}")
        if not isinstance(self.error, kind):
            raise AssertionError(f"{self._what} raised {self.error!r}, not {kind.__name__}") from self.error  # noqa: TRY004
        if match is not None and not re.search(match, str(self.error)):
            raise AssertionError(
                f"{self._what} raised {str(self.error)!r}, which does not match {match!r}"
            ) from self.error
        for name, expected in attributes.items():
            if (found := getattr(self.error, name, None)) != expected:
                raise AssertionError(
                    f"{self._what} raised an error whose {name} is {found!r}, not {expected!r}"
                ) from self.error
        if self.events:
            raise AssertionError(f"{self._what} raised {self.error!r}, and stored {self.data!r}") from self.error
        return self

    def then_result(self, result: object) -> Self:
        """Assert that this was returned."""
        self._check_no_error()
        if self.result != result:
            raise AssertionError(f"{self._what} returned {self.result!r}, not {result!r}")
        return self

    # --- states -----------------------------------------------------------------------------------------------------

    def then_state(
        self,
        kind: type[Aggregate] | Decider[Any] | DecisionModel[Any],
        id: str = "",
        state: Any = None,
        **attributes: Any,
    ) -> Self:
        """Assert the current state of an aggregate (by its attributes), of a decider, or of a decision model.

        .then_state(Order, "1", status="placed", total=450)
        .then_state(accounts, "1", Account(cents=450))
        .then_state(seats_of("maths"), state=0)
        """
        if isinstance(kind, DecisionModel):
            self._compare(kind.fold(self._everything), state, f"the state of {kind!r}")
            return self
        aggregate: type[Aggregate] = kind.aggregate if isinstance(kind, Decider) else kind
        instance = aggregate(id)
        ref = AggregateRef(definition_of(aggregate).name, id)
        instance.replay(event for event in self._everything if event.aggregate == ref)
        if isinstance(kind, Decider):
            self._compare(vars(instance)["state"], state, f"the state of {ref}")
        for name, expected in attributes.items():
            self._compare(getattr(instance, name), expected, f"{name} of {ref}")
        return self

    def _compare(self, found: Any, expected: Any, what: str) -> None:
        if found != expected:
            raise AssertionError(f"after {self._what}, {what} is {found!r}, not {expected!r}") from self.error

    def _check_no_error(self) -> None:
        if self.error is not None:
            raise AssertionError(f"{self._what} raised {self.error!r}") from self.error


def _equal(found: Any, expected: Any, equal: Callable[[Any, Any], object] | None) -> bool:
    return bool(expected == found if equal is None else equal(found, expected))  # in this order, a matcher decides


def _difference(expected: Iterable[Any], found: Iterable[Any]) -> str:
    """Return the differences line by line."""
    wanted, stored = (
        [line for one in side for line in pformat(one, width=100).splitlines()] for side in (expected, found)
    )
    shown = list(unified_diff(wanted, stored, n=100, lineterm=""))[3:]
    return "\n".join(["  - expected, + stored", *(f"  {line}" for line in shown)]) if shown else f"  {stored}"
