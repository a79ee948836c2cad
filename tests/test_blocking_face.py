"""The blocking face explains itself: each method says what the async one says, with the same parameters."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from goes_lite import blocking

CLASSES = [cls for name in blocking.__all__ if inspect.isclass(cls := getattr(blocking, name))]


def members(cls: type[Any]) -> dict[str, Any]:
    """The public methods and properties of a class."""
    return {name: inspect.getattr_static(cls, name) for name in dir(cls) if not name.startswith("_")}


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_every_public_member_has_a_docstring(cls: type[Any]) -> None:
    assert [name for name, member in members(cls).items() if not inspect.getdoc(member)] == []


@pytest.mark.parametrize("cls", CLASSES, ids=lambda cls: cls.__name__)
def test_no_docstring_speaks_of_await(cls: type[Any]) -> None:
    for name, member in members(cls).items():
        words = (inspect.getdoc(member) or "").split()
        assert "await" not in words, name
        assert "async" not in words or name in ("processor", "worker", "service", "database", "backend"), name


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="conect"):
        blocking.conect  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
