"""Any sequence of commands on a repository gives the state of a plain fold."""

from __future__ import annotations

import asyncio
from copy import deepcopy
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from goes_lite.repository import Repository
from goes_lite.repository.schedule import Every
from tests.repository.repository_kit import Account, Closed, Moved, Noted, Opened, Reopened, WordAdded, memory, state

COMMANDS = st.lists(
    st.one_of(
        st.builds(Moved, st.integers(-5, 5)),
        st.builds(Noted, st.lists(st.sampled_from("xyz"), max_size=2)),
        st.builds(WordAdded, st.sampled_from("abc")),
        st.sampled_from([Closed(), Reopened(), Opened("Ann")]),
        st.just("save"),
        st.just("fetch"),
        st.just("delete"),
    ),
    max_size=40,
)


def folded(history: list[Any]) -> tuple[Any, ...]:
    """The plain meaning of a history: what any way of loading has to give."""
    balance, words, owner, deleted = 0, list[str](), None, False
    for data in history:
        match data:
            case Moved(amount):
                balance += amount
            case Noted(noted):
                words = list(noted)
            case WordAdded(word):
                words = [*words, word]
            case Opened(name):
                owner = name
            case _:
                deleted = isinstance(data, Closed)
    return len(history), deleted, balance, words, owner


@given(COMMANDS, st.one_of(st.none(), st.integers(1, 4)), st.integers(0, 2))
def test_any_sequence_of_commands_gives_the_state_of_a_plain_fold(
    commands: list[Any], every: int | None, cache: int
) -> None:
    """With snapshots or without, cached or not, saved in whatever batches, deleted and begun again.

    And so does every version on the way.
    """

    async def test() -> None:
        async with memory() as db:
            accounts = Repository(db, Account, snapshots=Every(every) if every else None, cache=cache)
            account = accounts.new("a")
            saved: list[Any] = []
            pending: list[Any] = []
            for command in commands:
                match command:
                    case "save":
                        await accounts.save(account)
                        saved, pending = saved + pending, []
                    case "fetch":
                        account = await accounts.fetch("a", create=True, deleted=True)
                        pending = []
                    case "delete":
                        await accounts.delete("a")
                        account = accounts.new("a")
                        saved, pending = [], []
                    case _:
                        account.record(deepcopy(command))
                        pending.append(command)
                assert state(account) == folded(saved + pending)
            assert state(await accounts.fetch("a", create=True, deleted=True)) == folded(saved)
            for version in range(1, len(saved) + 1):
                assert state(await accounts.fetch_version("a", version, deleted=True)) == folded(saved[:version])

    asyncio.run(test())
