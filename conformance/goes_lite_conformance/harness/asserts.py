"""What the rules assert in more than one place: which error was raised, with which attributes; which events differ, and how."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Generator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import pytest

from goes_lite.contract.backend import Backend
from goes_lite.errors import GoesError
from goes_lite.events.event import Event
from goes_lite_conformance.harness.samples import everything

FIELDS = ("id", "name", "data", "time", "aggregate", "version", "metadata", "tags")


@contextmanager
def refused(error: type[BaseException], **attributes: Any) -> Generator[pytest.ExceptionInfo[Any]]:
    """Assert that the block raises exactly this error, with these attributes and a real message."""
    with pytest.raises(error) as caught:
        yield caught
    raised = caught.value
    assert type(raised) is error, f"{raised!r} is a {type(raised).__name__}, not just a {error.__name__}"
    missing = object()
    for name, value in attributes.items():
        assert getattr(raised, name, missing) == value, f"{name} of {raised!r}"
    if isinstance(raised, GoesError):
        assert len(str(raised)) > 20, f"{raised!r} says nothing"


async def each_refused(error: type[BaseException], calls: Mapping[str, Callable[[], Any]], **attributes: Any) -> None:
    """Assert that each of the calls raises this error, with these attributes; the keys of `calls` describe them."""
    for what, call in calls.items():
        try:
            result = await call()
        except error as raised:
            assert len(str(raised)) > 20, f"{what}: {raised!r} says nothing"
            assert {name: getattr(raised, name) for name in attributes} == attributes, f"{what}: {raised!r}"
        except Exception as raised:
            raise AssertionError(f"{what}: {raised!r}") from raised
        else:
            raise AssertionError(f"{what}: accepted, with {result!r}")


@asynccontextmanager
async def unchanged(db: Backend) -> AsyncGenerator[None]:
    """Assert that the block changes nothing that a reader can see of the events of the store."""
    before = await everything(db)
    yield
    assert await everything(db) == before, "the store was changed"


def same(found: Sequence[Event[Any]], stored: Sequence[Event[Any]]) -> None:
    """Assert that the events found are those stored, in this order, with equal fields."""
    ids, known = {event.id for event in found}, {event.id for event in stored}
    missing = [event for event in stored if event.id not in ids]
    extra = [event for event in found if event.id not in known]
    assert not missing, f"missing: {missing}"
    assert not extra, f"extra: {extra}"
    assert [event.id for event in found] == [event.id for event in stored], "out of order"
    for one, other in zip(found, stored, strict=True):
        for field in FIELDS:
            got, expected = getattr(one, field), getattr(other, field)
            assert got == expected, f"{field} of {other!r} came back as {got!r}"
            assert type(got) is type(expected) or field in ("metadata", "tags"), (
                f"{field} became a {type(got).__name__}"
            )
