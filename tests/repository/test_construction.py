"""How a repository is made, and what is refused there."""

from __future__ import annotations

from typing import Any, cast

import pytest

from goes_lite.aggregate import Aggregate
from goes_lite.errors import ConfigError, RegistrationError
from goes_lite.events.registry import Registry
from goes_lite.repository import Repository
from goes_lite.repository.schedule import Every
from tests.repository.repository_kit import Account, memory


async def test_options_that_make_no_sense_are_refused() -> None:
    async with memory() as db:
        for options in (
            {"tries": 0},
            {"cache": -1},
            {"cache": True},
            {"keep_snapshots": 0, "snapshots": Every(1)},
            {"keep_snapshots": 1},
            {"backoff": -0.1},
            {"backoff": float("nan")},
        ):
            with pytest.raises(ConfigError):
                Repository(db, Account, **cast("Any", options))
        with pytest.raises(RegistrationError, match="no aggregate name"):
            Repository(db, Aggregate)


async def test_class_and_backend_must_share_a_registry() -> None:
    """Else one would write what the other cannot read."""

    class Elsewhere(Aggregate, name="elsewhere", registry=Registry()):
        pass

    async with memory() as db:
        with pytest.raises(ConfigError, match="same registry"):
            Repository(db, Elsewhere)


async def test_a_backend_makes_its_repositories() -> None:
    """`db.repository(Account, …)` takes the options of Repository; its repr says what it is."""
    async with memory() as db:
        accounts = db.repository(Account, snapshots=Every(3))
        account = accounts.new("a")
        account.open("Ann")
        await accounts.save(account)
        fetched: Account = await accounts.fetch("a")
        assert fetched.owner == "Ann"
        assert repr(accounts) == f"<Repository of Account on {db.location}, snapshots=Every(3)>"
