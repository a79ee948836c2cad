"""@event and @command without parentheses are refused with what to write: they would have made a function of the class."""

from __future__ import annotations

from typing import Any

import pytest

import goes_lite as goes


@pytest.mark.parametrize("name", ["event", "command"])
def test_the_name_is_asked_for(name: str) -> None:
    class OrderPlaced:
        pass

    decorator: Any = getattr(goes, name)
    with pytest.raises(
        goes.errors.RegistrationError, match=rf"write @{name}\('some.name'\) above the class .*OrderPlaced"
    ):
        decorator(OrderPlaced)
