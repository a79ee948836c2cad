"""The blocking face is documented: each method has the docstring and the parameters of the async one."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from goes_lite import blocking

CLASSES = [cls for name in blocking.__all__ if inspect.isclass(cls := getattr(blocking, name))]


def members(cls: type[Any]) -> dict[str, Any]:
    """Return the public methods and properties of a class."""
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


def test_a_missing_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="conect"):
        blocking.conect  # type: ignore[attr-defined]  # pyright: ignore[reportAttributeAccessIssue]
